"""What all templates have: texts in the person's language, and lines that an email can have."""

import re
from collections.abc import Callable

import pytest
from jinja2 import Environment

from webapp import i18n
from webapp.i18n import PSEUDO
from webapp.settings import ROOT, Settings
from webapp.web import templating


@pytest.fixture
def templates(make_settings: Callable[..., Settings]) -> Environment:
    return templating.environment(make_settings())


def said(templates: Environment, source: str, **values: object) -> str:
    """On a page, where what a person wrote is escaped."""
    return templates.from_string(source).render(values)


def test_a_text_is_said_in_the_language_in_force(templates: Environment) -> None:
    source = "{{ _('Hello') }} {{ _('Hello, %(name)s', name=name) }}"

    english = said(templates, source, name="Ann")
    with i18n.use(PSEUDO):
        marked = said(templates, source, name="Ann")

    assert (english, marked) == ("Hello Hello, Ann", "⟦Hélló··⟧ ⟦Hélló, Ann······⟧")
    assert said(templates, source, name="Ann") == english, "and not what was said last"


@pytest.mark.parametrize(("number", "words"), [(1, "1 email for A&amp;B"), (3, "3 emails for A&amp;B")])
def test_a_number_chooses_the_words(templates: Environment, number: int, words: str) -> None:
    source = "{{ ngettext('%(num)s email for %(name)s', '%(num)s emails for %(name)s', number, name='A&B') }}"

    assert said(templates, source, number=number) == words
    with i18n.use(PSEUDO):
        assert f"{number} émáíl" in said(templates, source, number=number)


def test_a_large_number_is_grouped_as_the_language_does(templates: Environment) -> None:
    source = "{{ ngettext('%(num)s email', '%(num)s emails', number) }}"

    english = [said(templates, source, number=number) for number in (999, 1000, 12345)]
    with i18n.use("ru"):
        russian = said(templates, source, number=12345)

    assert english == ["999 emails", "1,000 emails", "12,345 emails"]
    assert russian.split("\N{NO-BREAK SPACE}")[0] == "12"


def test_what_a_person_wrote_is_escaped_on_a_page_and_left_alone_in_a_text(templates: Environment) -> None:
    source = "{{ _('100 %% of <%(name)s>', name=name) }}{{ _(' or 5 %%') }}"

    assert said(templates, source, name="<b>") == "100 % of <&lt;b&gt;> or 5 %"
    assert (
        said(templates, f"{{% autoescape false %}}{source}{{% endautoescape %}}", name="<b>") == "100 % of <<b>> or 5 %"
    )


@pytest.mark.parametrize("name", ["text", "one", "many", "number", "evaluation"])
def test_a_text_may_name_its_values_as_it_likes(templates: Environment, name: str) -> None:
    source = f"{{{{ _('a %({name})s', {name}='b') }}}} {{{{ ngettext('%({name})s', '', 1, {name}='c') }}}}"

    assert said(templates, source) == "a b c"


def test_lines_of_an_email_are_wrapped_and_links_never_broken(templates: Environment) -> None:
    link, words = f"https://blog.example/{'x' * 100}", "word " * 30

    lines = (
        templates.from_string("{% filter wrapped %}{{ words }}\n\n{{ link }}\n{{ words }}{{ link }}{% endfilter %}")
        .render(words=words.strip() + " ", link=link)
        .split("\n")
    )

    assert lines.count(link) == 2
    assert max(len(line) for line in lines if line != link) <= 72
    assert " ".join(lines).split().count("word") == 60


TITLE = re.compile(r"{% block title %}(.*?){% endblock %}", re.DOTALL)
HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
# Its heading is the site's name, which every title ends with; and a name that is looked up twice.
OTHER_TITLES = {"posts/front_door.html", "admin_people/admin_person.html"}


def test_the_title_of_a_page_is_its_heading_also_after_a_form_was_sent() -> None:
    """Without scripts nothing makes it follow, and it is the first thing that is read aloud."""
    folder = ROOT / "templates"
    pages = {str(file.relative_to(folder)): file.read_text() for file in folder.glob("*/*.html")}
    others = set()
    for page, source in pages.items():
        title, headings = TITLE.search(source), {heading.strip() for heading in HEADING.findall(source)}
        if not title or not headings:
            continue
        if title[1] == "{{ self.heading() }}":
            is_told = len(headings) == 1 and headings.pop().startswith("{% block heading %}")
        else:
            is_told = headings == {title[1].strip()}
        others |= set() if is_told else {page}

    assert others == OTHER_TITLES

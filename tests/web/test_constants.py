"""What a template says to everybody alike is worked out when it is compiled, and must be the same as worked out
later.
"""

from collections.abc import Callable

import pytest
from jinja2 import DictLoader, Environment, nodes
from jinja2.compiler import CodeGenerator

from tests.depth import deep
from webapp import i18n
from webapp.i18n import PSEUDO
from webapp.settings import ROOT, Settings
from webapp.web import templating
from webapp.web.constants import FUNCTIONS, SETTINGS

TEMPLATES = ROOT / "templates"

SOURCES = (
    "{{ _('Log in') }} {{ _('%(name)s & 5 %%', name='<b>') }} {{ _('%(name)s', name=name) }}",
    "{{ ngettext('%(num)s <b>', '%(num)s <i>', 2) }} {{ ngettext('%(num)s', '%(num)s', number) }}",
    "{% trans where=site.name %}Welcome to {{ where }}{% endtrans %}",
    "{% autoescape false %}{{ _('%(name)s', name='<b>') }}{% endautoescape %}{{ _('%(name)s', name='<b>') }}",
    "{% if site.sends_mail %}a{{ name }}{% elif number %}b{% else %}c{% endif %}",
    "{% if not site.sends_mail %}a{% elif site.has_mailbox %}b{% elif number == 2 %}{{ _('c') }}{% else %}d{% endif %}",
    "{% if site.has_mailbox %}{% block one %}{{ name }}{% endblock %}{% endif %}",
    "{{ 'a' if site.sends_mail else name }} {{ name if site.has_mailbox else _('b') }} {{ 'c' if site.has_mailbox }}",
    "{% set said = 'x' if site.has_mailbox else 'y' %}{% if site.sends_mail and number %}{{ said }}{% endif %}",
    "{% for name, own in site.languages %}{{ name }}{{ own }}{% endfor %}{{ site.reset_minutes + 1 }}",
    "{% macro shown(path) %}{{ path }}{{ static('a') }}{% endmacro %}{{ shown(static(name)) }}{{ static('b') }}",
)


def environment(settings: Settings, generator: type[CodeGenerator] | None = None) -> Environment:
    made = templating.environment(settings)
    made.loader = DictLoader({str(number): source for number, source in enumerate(SOURCES)})
    made.globals["static"] = lambda name: f"/static/{name}?<"
    made.code_generator_class = generator or made.code_generator_class
    return made


@pytest.mark.parametrize("language", ["en", PSEUDO])
@pytest.mark.parametrize("number", range(len(SOURCES)))
def test_it_is_the_same_as_when_it_is_found_out_for_each_request(
    make_settings: Callable[..., Settings], number: int, language: str
) -> None:
    values = {"name": "<Ann>", "number": 2}
    with i18n.use(language):
        at_once = environment(make_settings()).get_template(str(number)).render(values)
        each_time = environment(make_settings(), CodeGenerator).get_template(str(number)).render(values)

    assert at_once == each_time


def test_what_is_the_same_for_everybody_is_asked_once(make_settings: Callable[..., Settings]) -> None:
    asked: list[str] = []
    templates = environment(make_settings())
    templates.globals["static"] = asked.append
    for _reader in range(3):
        templates.get_template(str(len(SOURCES) - 1)).render(name="c")

    assert sorted(asked) == ["a", "b", "c", "c", "c"]


def test_each_language_has_templates_of_its_own(make_settings: Callable[..., Settings]) -> None:
    templates, said = environment(make_settings()), []
    for language in ("en", PSEUDO, "en"):
        with i18n.use(language):
            said.append(templates.get_template("0").render(name="n").partition(" &")[0])

    assert said == ["Log in", "⟦Lóg íñ··⟧ ⟦", "Log in"] or said[0] == said[2] != said[1]


@pytest.mark.parametrize("name", sorted(file.relative_to(TEMPLATES).as_posix() for file in TEMPLATES.rglob("*.*")))
@deep
def test_no_template_gives_these_names_to_something_else(name: str) -> None:
    """What they stand for everywhere would be said there, too."""
    parsed = Environment(extensions=["jinja2.ext.i18n"]).parse((TEMPLATES / name).read_text("utf-8"))
    assigned = {each.name for each in parsed.find_all(nodes.Name) if each.ctx != "load"}
    called = {each.node.name for each in parsed.find_all(nodes.Call) if isinstance(each.node, nodes.Name)}

    assert not assigned & called & FUNCTIONS
    assert SETTINGS not in assigned

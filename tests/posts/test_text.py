"""What a post says: how it is counted, cleaned, and turned into markup that is safe to show."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.depth import deep
from webapp.posts import text

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
PIECES = ["http://", "https://", "HTTPS://", "@susan", "@", "<", ">", '"', "'", "&", "a", "é", "\n", " ", "/", ".", ":"]
PIECES += [
    "example.com",
    "javascript:",
    "evil.example",
    "[",
    "]",
    "(",
    ")",
    "?",
    "#",
    "%00",
    "\\",
    "\u202e",
    "xn--",
    "1",
]
writing = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


class Shown(HTMLParser):
    """The elements and the words of a piece of markup."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.other: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words += "\n" if tag == "br" else ""

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_decl(self, decl: str) -> None:
        self.other.append(decl)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    @property
    def links(self) -> list[str]:
        return [attributes["href"] or "" for tag, attributes in self.tags if tag == "a"]


def shown(words: str, *names: str) -> Shown:
    return Shown(str(text.markup(words, set(names))))


def link_of(words: str) -> tuple[str, str]:
    """Where the only link of a text leads, and what is shown of it."""
    found = re.findall(r'<a href="([^"]*)"[^>]*>([^<]*)</a>', str(text.markup(words, set())))
    [(href, visible)] = found
    return href, visible


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("", 0),
        ("abc", 3),
        ("e\u0301", 1),
        (FAMILY, 1),
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", 2),
        (ENGLAND, 1),
        ("\U0001f44d\U0001f3fd", 1),
        ("नमस्ते", 3),
        ("각", 1),
        ("a\nb", 3),
    ],
)
def test_characters_are_counted_as_people_count(words: str, count: int) -> None:
    assert text.count(words) == count


@pytest.mark.parametrize("one", ["a", FAMILY, ENGLAND, "é"])
def test_280_characters_are_taken_and_one_more_is_not(one: str) -> None:
    assert text.count(text.clean(one * 280)) == 280

    with pytest.raises(ValueError, match="281 characters"):
        text.clean(one * 281)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  a  ", "a"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("a\n \t \n\u00a0\n b", "a\n\n b"),
        ("e\u0301", "é"),
        ("a\u200fb", "a\u200fb"),
    ],
)
def test_line_breaks_and_spaces_are_put_in_order(typed: str, kept: str) -> None:
    assert text.clean(typed) == kept


@pytest.mark.parametrize("typed", ["", " \n ", "\u200b", "\u3164", "\u2800\u2800", "\u200d\ufe0f", "\u0301"])
def test_what_shows_nothing_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="Write something"):
        text.clean(typed)


@pytest.mark.parametrize("sign", ["\u202e", "\u202a", "\u2066", "\u2069", "\0", "\x1b", "\x7f", "\x9b", "\ufff9"])
def test_signs_that_turn_writing_round_or_control_machines_are_refused(sign: str) -> None:
    """C38, C46: CVE-2021-42574 among others."""
    with pytest.raises(ValueError, match="invisible character"):
        text.clean(f"price {sign} list")


def test_thousands_of_marks_on_few_letters_are_refused() -> None:
    with pytest.raises(ValueError, match="too many marks"):
        text.clean("x" + "\u0301" * 31)
    assert text.clean("x" + "\u0301" * 30)


def test_a_text_longer_than_any_280_characters_is_not_even_looked_at() -> None:
    with pytest.raises(ValueError, match="far too long"):
        text.clean("x" * 4001)


@pytest.mark.parametrize(
    ("words", "href", "visible"),
    [
        ("see https://example.com.", "https://example.com", "example.com"),
        ("HTTP://EXAMPLE.com/A", "http://example.com/A", "example.com/A"),
        ("(https://example.com/a_(b))", "https://example.com/a_(b)", "example.com/a_(b)"),
        ("https://www.example.com/", "https://www.example.com/", "example.com"),
        ("https://example.com/a,b;c!d", "https://example.com/a,b;c!d", "example.com/a,b;c!d"),
        ("https://example.com:8443/x?", "https://example.com:8443/x", "example.com:8443/x"),
        ("«https://example.com/x», ok", "https://example.com/x", "example.com/x"),
        ('https://example.com/"onx=1', "https://example.com/", "example.com"),
        ("https://example.com/?a=1&b=2#c", "https://example.com/?a=1&amp;b=2#c", "example.com/?a=1&amp;b=2#c"),
        ("https://example.com/путь", "https://example.com/%D0%BF%D1%83%D1%82%D1%8C", "example.com/путь"),
        (f"https://example.com/{'y' * 99}", f"https://example.com/{'y' * 99}", f"example.com/{'y' * 22}…"),
        (f"https://{'h' * 60}.example/", f"https://{'h' * 60}.example/", f"{'h' * 60}.example"),
    ],
)
def test_a_link_leads_where_it_says_and_shows_its_host_whole(words: str, href: str, visible: str) -> None:
    assert link_of(words) == (href, visible)


@pytest.mark.parametrize(
    ("host", "visible"),
    [
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("bücher.example", "bücher.example"),
        ("ex\u0430mple.com", "xn--exmple-4nf.com"),  # a Cyrillic a
        ("аррӏе.com", "xn--80ak6aa92e.com"),  # Cyrillic letters only, but not to the end
        ("ɢoogle.com", "xn--oogle-wmc.com"),
        ("xn--80ak6aa92e.com", "xn--80ak6aa92e.com"),
    ],
)
def test_a_host_is_shown_in_its_letters_only_if_none_passes_for_another(host: str, visible: str) -> None:
    """C38: and the link itself always leads to the host's ASCII form."""
    href, seen = link_of(f"https://{host}/")

    assert seen == visible
    assert urlsplit(href).netloc.isascii()


@pytest.mark.parametrize(
    "words",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://bank.example@evil.example/",
        "https://user:password@example.com/",
        "http://localhost/",
        "https://[::1]/",
        "https://example.com:99999/",
        "https://-a.example/",
        "https://exa mple",
        "https://",
        "https://a..b/",
        "xhttps://example.com",
        "www.example.com",
    ],
)
def test_a_misleading_address_is_not_a_link(words: str) -> None:
    """C38"""
    assert shown(words).tags == []
    assert shown(words).words == words


@pytest.mark.parametrize(
    ("words", "linked"),
    [
        ("@susan", ["/user/susan"]),
        ("Hi @Susan, and @susan!", ["/user/Susan", "/user/susan"]),
        ("(@susan)", ["/user/susan"]),
        ("@nobody", []),
        ("mail a@susan.example", []),
        ("@susan@elsewhere.example", []),
        ("@susanna", []),
        ("@susané", []),
        ("/@susan", []),
    ],
)
def test_a_mention_of_somebody_who_is_here_is_linked(words: str, linked: list[str]) -> None:
    assert shown(words, "susan").links == linked


def test_names_are_mentioned_once_each_and_in_their_order() -> None:
    assert text.mentioned("@bob @Ann, @bob and https://example.com/@carl") == ["bob", "ann"]


@pytest.mark.parametrize(
    "words", ["<script>alert(1)</script>", "<b onclick=x>", "&lt;b&gt;", "<!-- -->", "\"'><i>", "]]>"]
)
def test_markup_in_a_post_is_text(words: str) -> None:
    """C38"""
    assert shown(words).tags == []
    assert shown(words).words == words


@given(writing)
@deep
def test_no_text_makes_any_markup_but_links_and_line_breaks(words: str) -> None:
    """C38"""
    seen = shown(words, "susan")

    assert seen.other == []
    for tag, attributes in seen.tags:
        if tag == "br":
            assert attributes == {}
        else:
            assert tag == "a"
            assert set(attributes) in ({"href", "class", "dir"}, {"href", "title", "rel", "dir"})


@given(writing)
def test_no_text_links_to_anything_but_the_web_and_people(words: str) -> None:
    """C38"""
    for link in shown(words, "susan").links:
        parts = urlsplit(link)
        assert link.isascii()
        assert (parts.scheme in {"http", "https"} and "@" not in parts.netloc) or link.lower() == "/user/susan"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_text_without_links_is_shown_as_it_is(words: str) -> None:
    assert shown(words.replace("://", ""), "susan").words == words.replace("://", "")


@given(writing)
def test_what_is_kept_would_be_kept_the_same_again(words: str) -> None:
    try:
        kept = text.clean(words)
    except ValueError:
        return

    assert text.clean(kept) == kept
    assert 0 < text.count(kept) <= 280
    assert "\n\n\n" not in kept

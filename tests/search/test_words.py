"""What people type, and what it finds, on both databases alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.depth import deep, one_in
from tests.people.crowd import import_people, names_in
from tests.posts.wall import let_post, numbers_in
from tests.sites import Site
from tests.watching import execute, standing_site
from webapp.search import index, words

SAID = "Привет, Ёлка! Foo-bar <b>Bold</b> Élan, see https://example.com/path or İstanbul: 3.14; CO₂ in 5 m²"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def library(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site with one post, and people who say something of themselves; once on each kind of database."""
    changes = {}
    if request.param == "postgresql":
        changes["database_url"] = request.getfixturevalue("standing_postgres_url")
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("library"), **changes) as site:
        import_people(site, "susan", "Susan_2", "sus", "bob")
        introduction = "Ёжик, susan's friend: foo_bar gardens"
        execute(site, "UPDATE user_account SET about_me = :words WHERE id = 4", words=introduction)
        let_post(site, ("susan", SAID))
        yield site


@pytest.mark.parametrize(
    "typed",
    [
        *("привет", "ПРИВЕТ", "прив*", "елка", "ЁЛКА", "elan", "ÉLAN", "e\u0301lan", "ela*", "istanbul", "İSTANBUL"),
        *("foo", "bar foo", "foo-bar", '"foo bar"', '"foo bar', "foo_bar", '"foo ba"*', "#foo", "bold", "b", "14"),
        *("example", "path", "example.com/path", "https://example.com/path", '"foo bar b bold" привет', "3.14"),
        *("^foo", "foo:", "(foo", "foo'bar", "foo\\", "-foo", "foo & bar!", "{foo}", "+foo", '"" foo', "foo * bar"),
        *("CO₂", '"5 m²"', "m²*"),
    ],
)
@deep
def test_a_post_is_found_by_its_words(library: Site, typed: str) -> None:
    page = library.browser().get("/search", params={"q": typed})

    assert numbers_in(page) == [1]


@deep
@pytest.mark.parametrize(
    "typed",
    [
        *("прив", "ела", "fo", "f*", '"bar foo"', "bar-foo", "foo nowhere", "foo OR nowhere", "foo NOT nowhere"),
        *("foo | nowhere", "body:foo", "NEAR(foo bar)", "foo AND bar", "1=1", "' OR 1=1 --", "foo:*A", "examplecom"),
    ],
)
@one_in(6)
def test_a_post_is_not_found_by_other_words(library: Site, typed: str) -> None:
    """C38: what means something to the database is a word like any other."""
    page = library.browser().get("/search", params={"q": typed})

    assert page.status_code == 200
    assert numbers_in(page) == []


@deep
@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("susan", ["susan", "Susan_2", "bob"]),
        ("@susan", ["susan", "Susan_2", "bob"]),
        ('"sus', ["sus", "susan", "Susan_2"]),
        ('"sus"', []),
        ("SUS", ["sus", "susan", "Susan_2"]),
        ("sus*", ["sus", "susan", "Susan_2", "bob"]),
        ("susan_", ["Susan_2", "bob"]),
        ("usan", []),
        ("2", []),
        ("ежик", ["bob"]),
        ("bo gardens", ["bob"]),
        ("susan gardens", ["bob"]),
        ("foo_bar", ["bob"]),
        ('"susan s friend"', ["bob"]),
        ('"friend susan"', []),
        ("bob nowhere", []),
        ("username:bob", []),
    ],
)
@one_in(4)
def test_people_are_found_by_how_their_names_begin_and_by_what_they_say(
    library: Site, typed: str, names: list[str]
) -> None:
    page = library.browser().get("/search", params={"q": typed})

    assert names_in(page.text) == names


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("x" * 101, "Search with 100 characters or fewer"),
        ("!?", "Only letters and digits can be found."),
        ('"', "Only letters and digits can be found."),
        ("***", "Only letters and digits can be found."),
        ("🎉", "Only letters and digits can be found."),
        ("\x00", "Only letters and digits can be found."),
        ("_", "Only letters and digits can be found."),
    ],
)
def test_what_cannot_be_searched_is_refused_with_a_sentence(library: Site, typed: str, sentence: str) -> None:
    page = library.browser().get("/search", params={"q": typed})

    assert page.status_code == 422
    assert sentence in page.text
    assert 'aria-invalid="true" aria-describedby="search-refusal"' in page.text


@pytest.mark.parametrize("path", ["/search", "/search?q=", "/search?q=+%20+"])
def test_where_nothing_is_typed_the_page_says_what_can_be(library: Site, path: str) -> None:
    page = library.browser().get(path)

    assert page.status_code == 200
    assert "Search posts and people." in page.text
    assert "feed-posts" not in page.text


TYPED = st.one_of(
    st.text(max_size=100),
    st.text("\"*+-^:(){}[]\\&|!<>'@_%.,;/ aZяЁ9½e\u0301हि\u200d\u00ad中ß²", min_size=1, max_size=100),
    st.lists(st.sampled_from(["foo", "AND", "OR", "NOT", "NEAR", "*", '"', ":", "^", "(", ")", "<->", "!", "&"])).map(
        " ".join
    ),
)


@deep
@given(typed=TYPED)
def test_nothing_that_is_typed_is_an_error(library: Site, typed: str) -> None:
    found = []

    async def look(terms: tuple[words.Term, ...]) -> None:
        async with library.app.state.database.session() as db:
            found.append(len((await index.find(db, terms, None, 20))[0].cards))
            found.append(len((await index.find(db, terms, 1, 20))[1]))

    try:
        terms = words.parse(typed)
    except ValueError:  # with its sentence, as above
        return
    library.run(look, terms)

    posts, people = found
    assert posts <= 20
    assert people <= index.MOST_PEOPLE

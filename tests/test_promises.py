"""docs/promises.md has a row for every promise that a test names, and names every test file that proves one."""

from tests import promises
from tests.depth import deep


def test_every_promise_that_a_test_names_is_in_the_document() -> None:
    written = {match[1] for match in promises.ROW.finditer(promises.DOCUMENT.read_text())}

    assert set(promises.proofs()) - written == set()


@deep
def test_the_document_names_the_tests_of_each_promise() -> None:
    text = promises.DOCUMENT.read_text()

    assert text == promises.filled(text), "run `make promises`"


def test_no_promise_stands_twice() -> None:
    ids = [match[1] for match in promises.ROW.finditer(promises.DOCUMENT.read_text())]

    assert len(ids) == len(set(ids)) > 60

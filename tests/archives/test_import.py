"""Posts and follows come in again, from our own archive and from Mastodon's, and hostile ones do no harm."""

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.archives.test_export import ask, live, wait_until_ready
from tests.deletion.test_delete_account import arrive
from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import PASSWORD
from tests.watching import execute
from webapp.archive_imports import reading, zips
from webapp.imports import Refused, import_archive

PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
ME = "https://mastodon.example/users/susan"


def zipped(folder: Path, **members: Any) -> Path:
    """An archive; each member is its text, or what becomes its JSON."""
    file = folder / "archive.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members.items():
            text = content if isinstance(content, str | bytes) else json.dumps(content)
            written.writestr(name.replace("__", "."), text)
    return file


def outbox(*items: Any) -> dict[str, Any]:
    return {"type": "OrderedCollection", "totalItems": len(items), "orderedItems": items}


def note(content: str, **more: Any) -> dict[str, Any]:
    about = {"type": "Note", "published": "2023-05-06T07:08:09Z", "to": [PUBLIC], "cc": [], "content": content}
    return {"type": "Create", "actor": ME, "object": about | more}


def bring(site: Site, capsys: pytest.CaptureFixture[str], file: Path, name: str = "susan") -> str:
    import_archive.run(site.settings, name, file)
    return capsys.readouterr().out


def posts(site: Site) -> list[tuple[Any, ...]]:
    return execute(site, "SELECT body, created_at FROM post WHERE author_id = 1 ORDER BY id")


@deep
def test_somebody_who_comes_back_under_a_new_name_has_the_old_posts(
    site: Site, mailbox: Mailbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    susan = live(site)
    ask(susan)
    wait_until_ready(site)
    file = tmp_path / "archive.zip"
    file.write_bytes(susan.post("/export/download", data={"current_password": PASSWORD}).content)
    before = execute(site, "SELECT body, created_at FROM post WHERE author_id = 1 AND deleted_at IS NULL ORDER BY id")
    arrive(site, "anew")

    first = bring(site, capsys, file, "anew")
    again = bring(site, capsys, file, "anew")

    assert "Posts: 2 new, 0 here already.\nNew follows: 1. New mutes: 0. New blocks: 0." in first
    assert "Posts: 0 new, 2 here already.\nNew follows: 0. New mutes: 0. New blocks: 0." in again
    assert execute(site, "SELECT body, created_at FROM post WHERE author_id = 3 ORDER BY id") == before
    assert execute(site, "SELECT followed_id FROM follow WHERE follower_id = 3") == [(2,)]


@deep
def test_a_mastodon_post_becomes_plain_text_and_mentions_nobody_here(
    site: Site, mailbox: Mailbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrive(site, "susan", "david")
    html = (
        '<p>Hello <span class="h-card"><a class="u-url mention" href="https://else.example/@david">@<span>david</span>'
        '</a></span>,<br>see <a href="https://example.org/a"><span class="invisible">https://</span>'
        '<span class="ellipsis">example.org/</span><span class="invisible">a</span></a> &amp; be well</p>'
        "<p>Bye<script>alert(1)</script></p>"
    )

    bring(site, capsys, zipped(tmp_path, outbox__json=outbox(note(html))))

    [(body, when)] = posts(site)
    assert body == "Hello @david@else.example,\nsee https://example.org/a & be well\n\nBye"
    assert when.startswith("2023-05-06 07:08:09")
    assert execute(site, "SELECT * FROM mention") == []


@deep
def test_what_is_left_out_is_said(
    site: Site, mailbox: Mailbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrive(site, "susan", "david")
    items = [
        note("one"),
        {"type": "Announce", "object": "https://else.example/1"},
        note("for friends", to=[f"{ME}/followers"]),
        note("answer", inReplyTo="https://else.example/2"),
        note("thread", inReplyTo=f"{ME}/statuses/1"),
        note("x" * 500),
        note("undated", published="yesterday"),
        "nonsense",
    ]
    table = f"Account address,Show boosts\ndavid@{site.settings.host},true\nsomebody@else.example,true\nx@y@z,true\n"

    said = bring(site, capsys, zipped(tmp_path, outbox__json=outbox(*items), following_accounts__csv=table))

    assert "Posts: 2 new, 0 here already.\nNew follows: 1." in said
    for line in ("that you boosted", "not public", "a reply to somebody else", "longer than a post", "without a date"):
        assert line in said
    assert "somebody on another site, who can't be followed from here: 2" in said
    assert [body for body, _when in posts(site)] == ["one", "thread"]


def lying(folder: Path) -> Path:
    """A member whose header says that it is small."""
    file = zipped(folder, outbox__json=" " * (zips.MOST_BYTES + 5))
    data = file.read_bytes().replace(struct.pack("<L", zips.MOST_BYTES + 5), struct.pack("<L", 5))
    file.write_bytes(data)
    return file


HOSTILE = {
    "no zip": lambda folder: _written(folder, b"no zip at all"),
    "empty": lambda folder: _written(folder, b""),
    "cut off": lambda folder: _written(folder, zipped(folder, outbox__json=outbox(note("x"))).read_bytes()[:-30]),
    "nothing in it": lambda folder: zipped(folder, other__json="{}"),
    "no JSON": lambda folder: zipped(folder, outbox__json="{"),
    "bytes that are no text": lambda folder: zipped(folder, outbox__json=b"\xff\xfe\x00"),
    "deep JSON": lambda folder: zipped(folder, outbox__json="[" * 200_000),
    "a list": lambda folder: zipped(folder, outbox__json="[]"),
    "no items": lambda folder: zipped(folder, outbox__json={"orderedItems": "x"}),
    "a million zeros": lambda folder: zipped(folder, outbox__json=f'{{"orderedItems": [{"0," * 600_000}0]}}'),
    "many people": lambda folder: zipped(
        folder, outbox__json=outbox(), account__json={"following": [{"username": "anybody"}] * 100_001}
    ),
    "many rows": lambda folder: zipped(
        folder, outbox__json=outbox(), following_accounts__csv="Account address\n" + "x@y\n" * 100_001
    ),
    "a row of commas": lambda folder: zipped(
        folder, outbox__json=outbox(), following_accounts__csv="Account address\n" + "," * 100_000
    ),
    "columns without end, in many rows": lambda folder: zipped(
        folder, outbox__json=outbox(), following_accounts__csv="," * 3_000_000 + "\nx" * 90_000
    ),
    "rows that are no text": lambda folder: zipped(
        folder, outbox__json=outbox(), following_accounts__csv=b"Account address\n\xff@x"
    ),
    "a bomb": lambda folder: zipped(folder, outbox__json=" " * (zips.MOST_BYTES + 1)),
    "a bomb that says it is small": lying,
}


def _written(folder: Path, content: bytes) -> Path:
    file = folder / "hostile.zip"
    file.write_bytes(content)
    return file


@deep
@pytest.mark.parametrize("kind", HOSTILE)
@one_in(15)
def test_a_hostile_archive_is_refused_in_a_sentence(site: Site, mailbox: Mailbox, tmp_path: Path, kind: str) -> None:
    with pytest.raises(Refused, match="Nothing was imported") as refused:
        import_archive.run(site.settings, "susan", HOSTILE[kind](tmp_path))

    assert "\n" not in str(refused.value)


def test_a_path_that_leads_out_is_never_written(
    site: Site, mailbox: Mailbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrive(site, "susan")
    file = tmp_path / "a" / "archive.zip"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("../escaped.txt", "x")
        written.writestr("/tmp/../escaped.txt", "x")
        written.writestr("outbox.json", json.dumps(outbox(note("one"))))
        written.writestr("following_accounts.csv", "")

    bring(site, capsys, file)

    assert [path.name for path in tmp_path.rglob("escaped*")] == []
    assert [body for body, _when in posts(site)] == ["one"]


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "Create"}, {"type": "Create", "object": []}, note("x", to=5, cc=None), note("x", to={"a": 1}),
        note("x", published=1e400), note("x", published="9999-99-99"), note("\x00\u202e"), note(""), 7, None, [[]],
        note("x") | {"object": {"type": "Note", "to": [PUBLIC], "content": None}},
        note("x", summary=["a"], to=[PUBLIC], source={"mediaType": "text/plain"}), note("half \ud800 a character"),
    ],
)  # fmt: skip
@one_in(5)
def test_a_broken_post_is_left_out_and_the_others_come_in(site: Site, tmp_path: Path, broken: Any) -> None:
    archive = reading.read(site.settings, zipped(tmp_path, outbox__json=outbox(broken, note("good"))))

    assert "good" in [post.body for post in archive.posts]
    assert len(archive.posts) + sum(archive.left_out.values()) == 2


@pytest.mark.parametrize(("name", "why"), [("nowhere.zip", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_is_not_there_is_not_called_broken(site: Site, tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(Refused, match=f"can't be read: {why}"):
        import_archive.run(site.settings, "susan", tmp_path / name)


def test_nobody_of_that_name(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="Nobody who can log in here"):
        import_archive.run(site.settings, "nobody", zipped(tmp_path, outbox__json=outbox(note("x"))))

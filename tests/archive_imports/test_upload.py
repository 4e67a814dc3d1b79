"""An archive comes in by a form: after a proof, bounded, in the background, and it says what it left out."""

import asyncio
import io
import json
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlmodel import select
from time_machine import Traveller

from tests.archives.test_export import full_disk
from tests.archives.test_import import ME, note, outbox, zipped
from tests.depth import deep, one_in
from tests.mailbox import PATIENCE
from tests.people.crowd import arrive, import_people
from tests.posts.wall import words_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in
from tests.watching import execute
from webapp import database
from webapp.archive_imports import importer, uploads, zips
from webapp.archive_imports.models import ArchiveImport
from webapp.archives import exports
from webapp.database import now, table
from webapp.settings import Settings

PROOF = {"current_password": PASSWORD}


def archive(folder: Path, *texts: str, **members: Any) -> bytes:
    """Mastodon's, with a post a day."""
    items = [note(text, published=f"2023-05-{day:02}T07:08:09Z") for day, text in enumerate(texts, 1)]
    return zipped(folder, outbox__json=outbox(*items), **members).read_bytes()


def prove(browser: Browser) -> Browser:
    answer = browser.post("/import", data=PROOF)
    assert 'type="file"' in answer.text, answer.text
    return browser


def upload(browser: Browser, content: bytes) -> str:
    answer = prove(browser).post("/import/upload", files={"archive": ("archive.zip", content, "application/zip")})
    assert answer.url.path == "/import", answer.text
    return answer.text


def wait_until_done(site: Site) -> None:
    deadline = time.monotonic() + PATIENCE
    while execute(site, "SELECT 1 FROM archive_import WHERE state <> 'done'"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@one_in(2)
def test_the_posts_are_there_with_their_dates_and_the_page_says_what_is_not(any_site: Site, tmp_path: Path) -> None:
    susan = arrive(any_site)
    import_people(any_site, "david", "erin", "frank", "gina")
    execute(any_site, "INSERT INTO block SELECT 5, 1, created_at FROM user_account WHERE id = 5")
    lists = {"following": ["gina", "susan"], "muted": ["erin", "x_y"], "blocked": ["frank", "gina"], "profile": ["x"]}
    account = {name: [{"username": each} for each in names] for name, names in lists.items()}
    here = any_site.settings.host
    table = f"Account address,Show boosts\ndavid@{here},true\nSusan@{here},true\nsomebody@else.example,true\n"
    items = [note("one"), note("for friends", to=[f"{ME}/followers"]), note("x" * 500)]
    members = {"outbox__json": outbox(*items), "following_accounts__csv": table, "account__json": account}
    content = zipped(tmp_path, **members).read_bytes()

    said = upload(susan, content)
    wait_until_done(any_site)
    page = susan.get("/import").text
    upload(susan, content)
    wait_until_done(any_site)
    again = susan.get("/import").text

    assert "We have your file" in said
    for words in (
        "brought 1 post.",
        "You follow 1 person from it. You've muted 1 person from it. You've blocked 1 person from it.",
        "people who aren't here: 3",
        "not public: 1",
        "with characters not allowed here: 1",
    ):
        assert words in page
    assert "on another site" in page
    assert "brought 0 posts. 1 was here already." in again
    assert words_in(susan.get("/user/susan")) == ["one"]
    assert execute(any_site, "SELECT follower_id, followed_id FROM follow") == [(1, 2)]
    assert execute(any_site, "SELECT muter_id, muted_id FROM mute") == [(1, 3)]
    assert execute(any_site, "SELECT blocked_id FROM block WHERE blocker_id = 1") == [(4,)]
    assert execute(any_site, "SELECT added FROM archive_import") == [(0,)]
    assert execute(any_site, "SELECT 1 FROM import_chunk") == []
    kinds = "SELECT kind FROM security_event WHERE kind = 'import_asked'"
    assert execute(any_site, kinds) == [("import_asked",), ("import_asked",)]


def test_without_a_proof_nothing_is_taken(site: Site, tmp_path: Path) -> None:
    susan = arrive(site)
    execute(site, "UPDATE session SET proved_at = '2026-01-01 00:00:00.000000'")
    small, large = archive(tmp_path, "one"), b"PK" + b"x" * 100_000

    answers = [susan.post("/import/upload", files={"archive": ("archive.zip", file)}) for file in (small, large)]

    for answer in answers:
        assert answer.url.path == "/import"
        assert "confirm that it" in answer.text
    assert susan.post("/import").status_code == 422
    assert execute(site, "SELECT 1 FROM archive_import") == []


@pytest.mark.parametrize("path", ["/import", "/import/", "/login", "//import/upload"])
@one_in(4)
def test_a_pass_opens_one_door_only(site: Site, path: str) -> None:
    susan = prove(arrive(site))

    answer = susan.post(path, files={"archive": ("archive.zip", b"PK" + b"x" * 100_000)})

    assert answer.status_code == 413


def test_an_old_or_forged_pass_or_somebody_elses_opens_nothing(site: Site) -> None:
    settings = site.settings
    susan = arrive(site)
    import_people(site, "david")
    forged = [uploads.pass_for(settings, 2, 0), uploads.pass_for(settings, 1, 7), "1.0", "x"]

    for value in forged:
        susan.cookies.set("__Host-upload" if settings.is_https else "upload", value)
        answer = susan.post("/import/upload", files={"archive": ("archive.zip", b"PK")})
        assert "confirm that it" in answer.text

    assert execute(site, "SELECT 1 FROM archive_import") == []


def packed(compression: int = zipfile.ZIP_DEFLATED, /, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        for name, content in members.items():
            written.writestr(name.replace("__", "."), content)
    return file.getvalue()


def crowded() -> bytes:
    return packed(outbox__json=b'{"orderedItems": []}', **{"x" * 200 + str(number): b"" for number in range(5_000)})


def with_flag(content: bytes) -> bytes:
    """As if it had a password: the list of members says so."""
    at = content.rindex(b"PK\1\2") + 8
    return content[:at] + b"\1" + content[at + 1 :]


def saying(content: bytes, size: int) -> bytes:
    at = content.rindex(b"PK\1\2") + 24
    return content[:at] + size.to_bytes(4, "little") + content[at + 4 :]


EMPTY = packed(outbox__json=b'{"orderedItems": []}')
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no zip": ({"archive": ("archive.zip", b"no zip")}, "a zip file"),
    "nothing chosen": ({"archive": ("", b"")}, "Choose the zip file"),
    "another field": ({"other": ("archive.zip", b"PK")}, "Choose the zip file"),
    "no more than a beginning": ({"archive": ("archive.zip", b"PK and no more")}, "a zip file"),
    "cut off": ({"archive": ("archive.zip", EMPTY[:-20])}, "a zip file"),
    "another zip": ({"archive": ("archive.zip", packed(other=b"{}"))}, "no outbox.json"),
    "a password": ({"archive": ("archive.zip", with_flag(EMPTY))}, "has a password"),
    "a bomb": ({"archive": ("archive.zip", saying(EMPTY, zips.MOST_BYTES + 1))}, "unpacks to more"),
    "bzip2": (
        {"archive": ("archive.zip", packed(zipfile.ZIP_BZIP2, outbox__json=b" "))},
        "compressed in an unusual way",
    ),
    "LZMA": ({"archive": ("archive.zip", packed(zipfile.ZIP_LZMA, outbox__json=b" "))}, "compressed in an unusual way"),
    "a crowd of members": ({"archive": ("archive.zip", crowded())}, "unpacks to more"),
}


@pytest.mark.parametrize("kind", REFUSED)
@one_in(6)
def test_what_cannot_be_an_archive_is_refused_at_once(site: Site, kind: str) -> None:
    files, words = REFUSED[kind]
    answer = prove(arrive(site)).post("/import/upload", files=files)

    assert answer.status_code == 422
    assert words in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert execute(site, "SELECT 1 FROM archive_import") == []


def test_too_large_a_file_is_refused(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[..., Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, import_megabytes=1))
    susan = prove(arrive(site))

    answer = susan.post("/import/upload", files={"archive": ("a.zip", b"PK" + b"x" * 1_100_000)})

    assert answer.status_code == 413


@deep
def test_what_turns_out_to_be_unreadable_is_said_and_does_no_harm(site: Site) -> None:
    """Its list of members says that it's small."""
    content = saying(packed(outbox__json=b" " * (zips.MOST_BYTES + 5)), 5)
    susan = arrive(site)

    upload(susan, content)
    wait_until_done(site)

    page = susan.get("/import").text
    assert "Nothing was imported from your last file. That" in page
    assert execute(site, "SELECT 1 FROM import_chunk") == []


def test_visitors_can_write_between_two_pieces_of_a_file(
    any_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty megabytes in one transaction kept SQLite's only writer for seconds."""
    monkeypatch.setattr(uploads, "PIECE", 50)
    engine, done = any_site.app.state.database.engine.sync_engine, list[str]()
    susan, content = prove(arrive(any_site)), archive(tmp_path, "one", "two")
    event.listen(engine, "commit", lambda _connection: done.append("commit"))
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_rest: done.append(statement))

    answer = susan.post("/import/upload", files={"archive": ("archive.zip", content, "application/zip")})
    wait_until_done(any_site)

    order = [each[:24] for each in done if each == "commit" or each.startswith("INSERT INTO import_chunk")]
    pieces = [place for place, each in enumerate(order) if each != "commit"]
    assert "We have your file" in answer.text
    assert len(pieces) > 2
    assert [order[place + 1] for place in pieces] == ["commit"] * len(pieces)
    assert "brought 2 posts." in susan.get("/import").text


def test_a_file_that_was_cut_off_while_it_was_stored_is_nothing(site: Site, tmp_path: Path) -> None:
    """As when the process dies: nobody imports it, and the page and the next upload are as if it weren't there."""
    susan = arrive(site)

    async def begin() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            import_id = await uploads.begin(db, 1, 0)
            await uploads.add_piece(db, import_id, 0, b"PK")
            await db.commit()

    site.run(begin)
    is_claimed = site.run(importer.Importer(site.settings, site.app.state.database).do_one)
    page = susan.get("/import").text
    upload(susan, archive(tmp_path, "one"))
    deadline = time.monotonic() + PATIENCE
    while "brought 1 post." not in susan.get("/import").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert not is_claimed
    assert "importing your file" not in page


def test_a_second_press_is_answered_like_the_first(site: Site, tmp_path: Path) -> None:
    site.app.state.imports.stop()  # so that the first waits
    susan = arrive(site)
    content = archive(tmp_path, "one")

    answers = [upload_again(susan, content) for _press in range(2)]

    assert ["We have your file" in answer for answer in answers] == [True, True]
    assert execute(site, "SELECT count(*) FROM archive_import") == [(1,)]
    assert "importing your file" in susan.get("/import").text


def upload_again(browser: Browser, content: bytes) -> str:
    browser.cookies.delete("upload") if "upload" in browser.cookies else None
    answer = browser.post("/import", data=PROOF)
    answer = browser.post("/import/upload", files={"archive": ("archive.zip", content)})
    return answer.text


@deep
def test_what_a_dead_process_has_begun_goes_on(any_site: Site, tmp_path: Path) -> None:
    """With what was added counted once, and no post twice."""
    any_site.app.state.imports.stop()
    susan = arrive(any_site)
    texts = [f"post {number}" for number in range(20)]
    content = archive(tmp_path, *texts)
    upload_again(susan, content)
    again = importer.Importer(any_site.settings, any_site.app.state.database)

    async def die_and_go_on() -> None:
        async with any_site.app.state.database.session(is_writing=True) as db:
            claimed = await uploads.queue.claim(db)
            assert claimed
            await uploads.queue.hold(db, claimed, done=5, total=20)
            await db.commit()
        assert not await again.do_one(), "somebody has it"

    any_site.run(die_and_go_on)
    execute(any_site, "UPDATE archive_import SET leased_until = '2026-01-01 00:00:00'")
    any_site.run(again.do_one)

    assert "brought 20 posts." in susan.get("/import").text
    assert len(words_in(susan.get("/user/susan"))) == 20


@deep
def test_a_full_disk_only_delays_an_import(site: Site, tmp_path: Path) -> None:
    """However often it is tried meanwhile: what failed for lack of room is no crash."""
    site.app.state.imports.stop()
    susan = arrive(site)
    upload_again(susan, archive(tmp_path, *["x" * 279 + str(number % 10) for number in range(28)]))
    again = importer.Importer(site.settings, site.app.state.database)

    with full_disk(site):
        for _try in range(importer.MOST_CRASHES + 1):
            with pytest.raises(OperationalError, match="full"):
                site.run(again.do_one)
    site.run(again.do_one)

    assert "brought 28 posts." in susan.get("/import").text


def test_an_upload_that_kills_whoever_imports_it_is_given_up(site: Site, tmp_path: Path) -> None:
    site.app.state.imports.stop()
    susan = arrive(site)
    upload_again(susan, archive(tmp_path, "one"))

    async def die() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            assert await uploads.queue.claim(db)
            await db.commit()

    for _crash in range(importer.MOST_CRASHES):
        site.run(die)
        execute(site, "UPDATE archive_import SET leased_until = '2026-01-01 00:00:00'")
    site.run(importer.Importer(site.settings, site.app.state.database).do_one)

    assert "t finish it. Please tell" in susan.get("/import").text
    assert execute(site, "SELECT 1 FROM post") == []


@deep
def test_an_upload_is_held_for_as_long_as_it_takes_to_read(any_site: Site, clock: Traveller, tmp_path: Path) -> None:
    """Nobody else begins with it meanwhile."""
    any_site.app.state.imports.stop()
    susan, state = arrive(any_site), any_site.app.state
    items = [note(f"{number} <p>{'word <br>' * 200}") for number in range(600)]
    upload_again(susan, zipped(tmp_path, outbox__json=outbox(*items)).read_bytes())
    reader = importer.Importer(any_site.settings, state.database, renew_seconds=0.01)
    reading: list[asyncio.Task[bool]] = []

    async def renewed() -> None:
        """Until the lease is as long as one that has just begun."""
        lease, left = select(table(ArchiveImport).c.leased_until), timedelta()
        while left < exports.LEASE * 0.95 and not reading[0].done():
            await asyncio.sleep(0.001)
            async with state.database.session() as db:
                left = ((await database.execute(db, lease)).scalar() or now()) - now()

    async def read_for_long() -> bool:
        reading.append(asyncio.create_task(reader.do_one()))
        for _part in range(2):
            await renewed()
            clock.shift(exports.LEASE * 0.9)
        await renewed()
        assert not reading[0].done(), "the file is too small to tell"
        is_claimed = await importer.Importer(any_site.settings, state.database).do_one()
        assert await reading[0]
        return is_claimed

    assert not any_site.run(read_for_long)
    assert execute(any_site, "SELECT state, fence FROM archive_import") == [("done", 1)]


@deep
def test_what_a_thief_has_uploaded_ends_with_everything_else(any_site: Site, tmp_path: Path) -> None:
    """C68: whether somebody has begun with it or not; and the owner can bring an archive of their own at once."""
    any_site.app.state.imports.stop()
    thief, owner, state = arrive(any_site), any_site.browser(), any_site.app.state
    log_in(owner)
    upload_again(thief, archive(tmp_path, "stolen"))

    async def begin_and_go_on_later(after: Callable[[], object]) -> bool:
        async with state.database.session(is_writing=True) as db:
            claimed = await uploads.queue.claim(db)
            await db.commit()
            assert claimed
        await asyncio.to_thread(after)
        async with state.database.session(is_writing=True) as db:
            with pytest.raises(exports.LeaseLost):
                await uploads.queue.hold(db, claimed)
        return await importer.Importer(any_site.settings, state.database).do_one()

    assert not any_site.run(begin_and_go_on_later, lambda: owner.post("/sessions/end_others"))
    execute(any_site, "UPDATE archive_import SET leased_until = NULL")
    any_site.run(importer.Importer(any_site.settings, state.database).do_one)
    assert execute(any_site, "SELECT 1 FROM post") == []
    assert "importing your file" not in owner.get("/import").text
    assert "We have your file" in upload_again(owner, archive(tmp_path, "own"))


def test_a_process_that_ends_leaves_it_to_another(site: Site, tmp_path: Path) -> None:
    """Also in the middle of a large file, of which nothing is brought in."""
    site.app.state.imports.stop()
    susan = arrive(site)
    upload_again(susan, archive(tmp_path, "x" * 500))
    ending = importer.Importer(site.settings, site.app.state.database)
    ending.stop()

    site.run(ending.do_one)
    left = execute(site, "SELECT state FROM archive_import")
    execute(site, "UPDATE archive_import SET leased_until = '2026-01-01 00:00:00'")
    site.run(importer.Importer(site.settings, site.app.state.database).do_one)

    assert left == [("waiting",)]
    assert "with characters not allowed here: 1" in susan.get("/import").text


def test_a_disabled_account_gets_nothing_more(site: Site, tmp_path: Path) -> None:
    site.app.state.imports.stop()
    susan = arrive(site)
    upload_again(susan, archive(tmp_path, "one"))
    execute(site, "UPDATE user_account SET disabled_at = created_at")

    site.run(importer.Importer(site.settings, site.app.state.database).do_one)

    assert execute(site, "SELECT 1 FROM post") == []


def test_an_account_has_room_for_so_many_imported_posts(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest, with what it brought before; and those that are here already aren't said to be left out."""
    assert format(importer.MOST_IMPORTED, ",") in importer.FULL
    susan = arrive(site)
    monkeypatch.setattr(importer, "MOST_IMPORTED", 3)
    pages = []

    for content in (archive(tmp_path, "one", "two"), archive(tmp_path, "one", "two", "three", "four", "five")):
        upload(susan, content)
        wait_until_done(site)
        pages.append(susan.get("/import").text)

    assert "an account can have here" not in pages[0]
    assert "brought 1 post. 2 were here already." in pages[1]
    assert "over the 100,000 imported posts that an account can have here: 2" in pages[1]
    assert words_in(susan.get("/user/susan")) == ["five", "two", "one"]


@deep
def test_an_archive_can_be_brought_three_times_a_day(site: Site, tmp_path: Path) -> None:
    susan, content = arrive(site), archive(tmp_path, "one")
    for _day in range(3):
        upload(susan, content)
        wait_until_done(site)

    answer = prove(susan).post("/import/upload", files={"archive": ("archive.zip", content)})

    assert answer.status_code == 429
    assert "You can continue in" in answer.text


def test_what_is_waiting_is_in_the_file_one_takes_along(site: Site, tmp_path: Path) -> None:
    """But not its bytes."""
    susan = arrive(site)
    upload(susan, archive(tmp_path, "one"))
    wait_until_done(site)
    [(report,)] = execute(site, "SELECT report FROM archive_import")

    assert json.loads(report)["seen"] == 1

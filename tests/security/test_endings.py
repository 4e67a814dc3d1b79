"""What a thief may hold of an account, and what ends it: the table of docs/security.md, cell by cell (C19, C68)."""

import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.addresses.steps import NEW, ask_and_find_link, change, links
from tests.archives.test_export import wait_until_ready
from tests.asked_emails.test_email_codes import code_in
from tests.depth import deep, one_in
from tests.factors.steps import set_up_app
from tests.mailbox import PATIENCE, Mailbox, link_in
from tests.passkeys.authenticator import Authenticator, options_of
from tests.registration.test_invites import invite
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, RESET_SUBJECT, ask_for_reset, is_logged_in, log_in, register
from tests.watching import execute
from webapp.accounts import endings, known_browsers, tokens, users
from webapp.accounts.models import User
from webapp.admin_people import actions
from webapp.audit import events
from webapp.audit.events import ClientInfo
from webapp.authentication import throttle
from webapp.settings import Settings

ROOT = Path(__file__).parents[2]
SUSAN = "susan@example.com"
THIEFS = "thief@example.org"
MARK = "SELECT b.secret_hash FROM known_browser b JOIN user_account u ON u.id = b.user_id AND u.epoch = b.epoch"


@pytest.fixture
def site(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    return start_site(make_settings(database_url=sqlite_url, member_invites=1))


@pytest.fixture
def any_site(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]) -> Site:
    return start_site(make_settings(database_url=database_url, member_invites=1))


class Life:
    """Susan's account, an hour after somebody else has learnt the password: with all that they made and hold."""

    def __init__(self, site: Site, mailbox: Mailbox) -> None:
        self.site, self.mailbox = site, mailbox
        register(site.browser(), mailbox)
        self.owner, self.thief = site.browser(), site.browser()
        log_in(self.owner)
        log_in(self.thief, remember_me="1")
        [[self.session]] = execute(site, "SELECT max(id) FROM session")
        [self.thiefs_mark] = self.marks("ORDER BY b.last_seen_at DESC LIMIT 1")
        self.not_me = links(mailbox, SUSAN, "/not_me/")[0]
        self.confirmation = ask_and_find_link(self.thief, mailbox, THIEFS)
        self.asking = site.browser()
        self.waiting_page = ask_for_reset(self.asking, SUSAN).url.path
        email = mailbox.last(SUSAN, subject=RESET_SUBJECT)
        self.reset, self.email_code = link_in(email.text), code_in(email.text)
        page = self.thief.post("/recovery_codes", data={"current_password": PASSWORD}).text
        self.invitation = invite(self.thief)
        self.thief.post("/export", data={"current_password": PASSWORD})
        wait_until_ready(site)
        self.phone = Authenticator()
        self.challenge = site.browser().get("/login/passkey/challenge").json()
        options = options_of(self.thief.get("/passkeys").text)
        fields = {"handle": options["user"]["id"], "credential": self.phone.make(options)}
        self.thief.post("/passkeys", data=fields | {"current_password": PASSWORD})
        self.inside = site.browser()
        self.answers(self.inside.get("/login/passkey/challenge").json(), self.inside)
        self.codes = re.findall(r"<code>([0-9a-z-]{14})</code>", page)
        self.thief.post("/letters", data={"current_password": PASSWORD})
        self.thief.post("/language", data={"language": "ru"})

    def marks(self, order: str = "") -> list[str]:
        return [mark for (mark,) in execute(self.site, f"{MARK} {order}")]

    def held(self) -> dict[str, bool]:
        """Whether each thing that the thief holds still opens, or is worth, something."""
        stranger = self.site.browser()
        return {
            "session": is_logged_in(self.thief),
            "known browser": self.is_known(),
            "reset link": stranger.get(self.reset).status_code == 200,
            "email code": self.leads_on(),
            "pending address": stranger.get(self.confirmation).status_code == 200,
            "export": self.downloads(),
            "invitation": stranger.get(self.invitation).status_code == 200,
            "password": self.opens(PASSWORD),
            "recovery code": self.recovers(self.codes[0]),
            "passkey": self.enters(),
            "its session": is_logged_in(self.inside),
            "silence": self.is_silenced(),
            "language": execute(self.site, "SELECT language FROM user_account") == [("ru",)],
        }

    def is_known(self) -> bool:
        """Whether its guesses would be counted apart, or no email would tell of a log-in with it."""
        mark, client = self.thiefs_mark, ClientInfo("192.0.2.9", "a browser", self.thiefs_mark)

        async def look(db: AsyncSession, user: User) -> bool:
            is_apart = bool(await throttle.known_browser(db, "susan", client))
            is_known = await known_browsers.is_known(db, user.id, mark, user.epoch)
            return is_apart or is_known or mark in await known_browsers.remember(db, user.id, mark, user.epoch)

        return bool(by_hand(self.site, look, commits=False))

    def opens(self, password: str) -> bool:
        browser = self.site.browser()
        log_in(browser, password=password)
        return is_logged_in(browser)

    def leads_on(self) -> bool:
        answer = self.asking.post(f"{self.waiting_page}/code", data={"code": self.email_code})
        return answer.url.path.startswith("/reset_password/") and answer.status_code == 200

    def downloads(self) -> bool:
        answer = self.thief.post("/export/download", data={"current_password": PASSWORD})
        return answer.headers["content-type"] == "application/zip"

    def enters(self) -> bool:
        """By an answer to a fresh question, or to one that was asked before all this."""
        fresh = self.site.browser().get("/login/passkey/challenge").json()
        return self.answers(fresh) or self.answers(self.challenge)

    def answers(self, challenge: dict[str, object], browser: Browser | None = None) -> bool:
        browser = browser or self.site.browser()
        browser.post("/login/passkey", data={"credential": self.phone.use(challenge)})
        return is_logged_in(browser)

    def recovers(self, code: str) -> bool:
        answer = self.site.browser().post("/recover", data={"username": "susan", "code": code})
        return answer.url.path.startswith("/reset_password/")

    def run(self, work: Callable[..., Awaitable[object]]) -> object:
        return by_hand(self.site, work)

    def is_silenced(self) -> bool:
        """Whether emails about log-ins are off."""
        return bool(execute(self.site, "SELECT 1 FROM email_switch WHERE kind = 'new_sign_in' AND NOT is_wanted"))


def by_hand(site: Site, work: Callable[..., Awaitable[object]], *, commits: bool = True) -> object:
    """Does to susan's account what the command line does."""

    async def do() -> object:
        async with site.app.state.database.session(is_writing=True) as db:
            user = await users.find(db, "susan")
            if not commits and user is None:
                return None  # the account is deleted
            assert user
            result = await work(db, user)
            await (db.commit() if commits else db.rollback())
            return result

    return site.run(do)


def a_new_password(life: Life) -> None:
    fields = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert life.owner.post("/change_password", data=fields).url.path == "/settings"


def a_reset(life: Life) -> None:
    answer = life.site.browser().post(life.reset, data={"password": NEW_PASSWORD})
    assert "Your recovery codes no longer work either" in answer.text


def a_reset_by_a_recovery_code(life: Life) -> None:
    browser = life.site.browser()
    page = browser.post("/recover", data={"username": "susan", "code": life.codes[-1]})
    assert browser.post(page.url.path, data={"password": NEW_PASSWORD}).url.path == "/login"


def a_reset_by_the_operators_link(life: Life) -> None:
    async def link(db: object, user: User) -> str:
        return tokens.reset_link(life.site.settings, user)

    answer = life.site.browser().post(str(life.run(link)), data={"password": NEW_PASSWORD})
    assert answer.url.path == "/login"


def a_new_address(life: Life) -> None:
    change(life.owner, life.mailbox)


def an_undone_address(life: Life) -> None:
    life.site.browser().post(change(life.thief, life.mailbox))


def this_was_not_me(life: Life) -> None:
    assert "Your account is locked" in life.site.browser().post(life.not_me).text


def log_out_everywhere_else(life: Life) -> None:
    life.owner.post("/sessions/end_others")
    assert is_logged_in(life.owner), "kept on purpose"


def the_end_of_the_session(life: Life) -> None:
    life.owner.post(f"/sessions/{life.session}/end")
    assert execute(life.site, "SELECT 1 FROM session WHERE id = :id", id=life.session) == []


def the_passkey_removed(life: Life) -> None:
    [[passkey]] = execute(life.site, "SELECT id FROM passkey")
    life.owner.post(f"/passkeys/{passkey}/remove", data={"current_password": PASSWORD})
    assert execute(life.site, "SELECT 1 FROM passkey") == []


def an_app_set_up(life: Life) -> None:
    set_up_app(life.owner)


def users_end_sessions(life: Life) -> None:
    life.run(lambda db, user: actions.end_sessions(db, life.site.settings, user))


def users_disable(life: Life) -> None:
    life.run(lambda db, user: actions.disable(db, life.site.settings, user, "", events.BY_OPERATOR))


def users_disable_and_enable(life: Life) -> None:
    users_disable(life)
    life.run(lambda db, user: actions.enable(db, life.site.settings, user, events.BY_OPERATOR))


def the_account_deleted_and_brought_back(life: Life) -> None:
    life.owner.post("/delete_account", data={"username": "susan", "current_password": PASSWORD})
    life.site.browser().post(links(life.mailbox, SUSAN, "/undo_deletion/")[0])


def new_recovery_codes(life: Life) -> None:
    life.owner.post("/recovery_codes", data={"current_password": PASSWORD})


def a_used_recovery_code(life: Life) -> None:
    life.recovers(life.codes[0])


def a_log_out(life: Life) -> None:
    life.thief.post("/logout")


EVENTS = {
    "a new password, in the settings": a_new_password,
    "a reset, by the mailed link": a_reset,
    "a reset, by a recovery code": a_reset_by_a_recovery_code,
    "a reset, by the admin's link": a_reset_by_the_operators_link,
    "a new address, confirmed": a_new_address,
    "a change of address, undone": an_undone_address,
    '"this wasn\'t me"': this_was_not_me,
    '"log out everywhere else"': log_out_everywhere_else,
    "`users end-sessions`": users_end_sessions,
    "`users disable`": users_disable,
    "the account deleted, then brought back": the_account_deleted_and_brought_back,
    "`users disable`, then `enable`": users_disable_and_enable,
    "one session ended": the_end_of_the_session,
    "the passkey removed": the_passkey_removed,
    "an app set up": an_app_set_up,
    "new recovery codes": new_recovery_codes,
    "a recovery code used": a_used_recovery_code,
    "logging out": a_log_out,
}


def table(heading: str = "## What ends what") -> dict[str, dict[str, bool]]:
    """A table of docs/security.md: for each event, whether each thing outlives it."""
    text = re.split(r"\n#+ ", (ROOT / "docs" / "security.md").read_text().partition(f"{heading}\n")[2])[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    names = rows[0][1:]
    said = {"ends": False, "stays": True}
    return {row[0]: {name: said[cell] for name, cell in zip(names, row[1:], strict=True)} for row in rows[2:]}


def test_the_table_names_every_event() -> None:
    assert list(table()) == list(EVENTS)


@deep
def test_all_that_a_thief_holds_opens_something_before(site: Site, mailbox: Mailbox) -> None:
    """Else the table below would say of nothing that it ends."""
    life = Life(site, mailbox)

    assert life.held() == dict.fromkeys(next(iter(table().values())), True)
    assert life.recovers(life.codes[-1]), "and each of the codes"


@pytest.mark.parametrize("event", EVENTS)
@one_in(20)
def test_what_a_thief_holds_ends_as_the_table_says(site: Site, mailbox: Mailbox, event: str) -> None:
    life = Life(site, mailbox)

    EVENTS[event](life)

    assert life.held() == table()[event]


@one_in(3)
@pytest.mark.parametrize("event", [a_reset, this_was_not_me, an_undone_address], ids=lambda event: event.__name__)
def test_the_owner_gets_back_in_and_nobody_else(site: Site, mailbox: Mailbox, event: Callable[[Life], None]) -> None:
    """C68: the whole way, and with the thief's old things tried again at its end."""
    life = Life(site, mailbox)
    event(life)
    if event is not a_reset:
        known = links(mailbox, SUSAN, "/reset_password/")
        log_in(site.browser())  # who knows the locked password has the link sent to the owner
        if event is an_undone_address:
            ask_for_reset(site.browser(), "susan")
        fresh = links(mailbox, SUSAN, "/reset_password/", len(known) + 1)[0]
        assert site.browser().post(fresh, data={"password": NEW_PASSWORD}).url.path == "/login"

    assert life.opens(NEW_PASSWORD)
    held = life.held()
    stays = {"silence", "language"} if event is a_reset else set()  # it asks nobody whether somebody else was here
    assert {name for name in ("silence", "language") if held.pop(name)} == stays
    assert not any(held.values())


@deep
def test_a_deleted_account_leaves_nothing_that_opens(site: Site, mailbox: Mailbox) -> None:
    life = Life(site, mailbox)

    execute(site, "DELETE FROM user_account")

    assert not any(life.held().values())


KEPT: dict[str, Callable[[Life], object]] = {  # in the owner's own browser, which stays known
    "a new password, in the settings": a_new_password,
    '"log out everywhere else"': log_out_everywhere_else,
    "a reset": lambda life: life.owner.post(life.reset, data={"password": NEW_PASSWORD}),
    "a new address, confirmed": a_new_address,
    "a new address, confirmed by somebody logged out": lambda life: confirm_logged_out(life),
    "a change of address, undone": lambda life: life.owner.post(change(life.owner, life.mailbox)),
    '"this wasn\'t me"': lambda life: life.owner.post(life.not_me),
    "one session ended": the_end_of_the_session,
    "the passkey removed": the_passkey_removed,
}


def confirm_logged_out(life: Life) -> None:
    link = ask_and_find_link(life.owner, life.mailbox)
    life.owner.post("/logout")
    life.owner.post(link)


@pytest.mark.parametrize("event", KEPT)
@deep
def test_a_copy_of_the_cookies_of_the_browser_that_stays_known_is_worth_nothing(
    site: Site, mailbox: Mailbox, event: str
) -> None:
    """C68: with it, the password and no more, somebody was in without the second step, and no email told of it."""
    life = Life(site, mailbox)
    register(site.browser(), mailbox, "david")
    log_in(life.owner, "david")
    log_in(life.owner)
    copied = known_browsers.mark(life.owner.cookies["__Host-browser"])

    KEPT[event](life)

    kept = known_browsers.mark(life.owner.cookies["__Host-browser"])
    assert copied not in life.marks()
    assert life.marks().count(kept) == 2, "its owner is known in it, and so is whoever shares it"


def at_once(*works: Callable[[], object]) -> list[object]:
    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(lambda work: work(), works))


@deep
def test_a_log_in_while_the_owner_logs_everybody_out_is_worth_nothing(any_site: Site, mailbox: Mailbox) -> None:
    """C33, C68: a session or a known browser of the old epoch that is written after its end is worth nothing."""
    life = Life(any_site, mailbox)
    thieves = [any_site.browser() for _number in range(12)]

    at_once(
        *(lambda browser=browser: log_in(browser) for browser in thieves[:6]),
        lambda: any_site.browser().post(life.not_me),
        *(lambda browser=browser: log_in(browser) for browser in thieves[6:]),
    )

    assert [is_logged_in(browser) for browser in thieves] == [False] * 12
    assert life.marks() == []


@deep
def test_two_endings_at_once_raise_the_epoch_twice(any_site: Site, mailbox: Mailbox) -> None:
    """An epoch that was read, raised and written back would come out too low, and an old link alive again."""
    register(any_site.browser(), mailbox)

    async def end(times: int) -> None:
        for _time in range(times):
            async with any_site.app.state.database.session(is_writing=True) as db:
                await endings.end_everything(db, 1)
                await db.commit()

    at_once(*[lambda: any_site.run(end, 6)] * 8)  # as many as there are connections, so nobody waits for one

    assert execute(any_site, "SELECT epoch FROM user_account") == [(48,)]


@deep
def test_an_email_to_a_thief_that_was_late_carries_no_live_link(
    site: Site, mailbox: Mailbox, start_site: Callable[..., Site], make_settings: Callable[..., object]
) -> None:
    """C68: posted while the address was theirs, written after it was taken back."""
    owner, thief = site.browser(), site.browser()
    register(site.browser(), mailbox)
    log_in(owner)
    log_in(thief)
    undo = change(thief, mailbox)
    execute(site, "UPDATE mail_status SET paused_at = :now", now="2026-01-01 00:00:00+00:00") or execute(
        site, "INSERT INTO mail_status (id, paused_at) VALUES (1, '2026-01-01 00:00:00+00:00') ON CONFLICT DO NOTHING"
    )
    ask_for_reset(site.browser(), NEW)
    thief.post("/recovery_codes", data={"current_password": PASSWORD})
    thief.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})
    log_in(site.browser(), password=NEW_PASSWORD)
    waiting = execute(site, "SELECT kind FROM outbox_email WHERE finished_at IS NULL AND recipient = :to", to=NEW)

    site.browser().post(undo)
    execute(site, "UPDATE outbox_email SET due_at = created_at")
    execute(site, "UPDATE mail_status SET paused_at = NULL")
    got = [path for path in links(mailbox, NEW, "/", len(waiting)) if not path.startswith(("/confirm", "/sessions"))]

    assert len(waiting) >= 3
    stranger: Browser = site.browser()
    live = [path for path in got if stranger.get(path).status_code == 200 and path.startswith(("/not_me", "/reset"))]
    assert live == []


def test_only_one_place_ends_everything() -> None:
    """Whoever needs an end of their own adds a `keep` to `endings.end_everything`, and a row to the table."""
    sources = {file.relative_to(ROOT).as_posix(): file.read_text() for file in (ROOT / "webapp").rglob("*.py")}

    def places(pattern: str) -> list[str]:
        return [name for name, text in sources.items() for _found in re.finditer(pattern, text)]

    assert places(r"epoch\)?\s*\+\s*1|epoch\s*\+=") == ["webapp/accounts/endings.py"]
    assert set(places(r"delete\((?:_sessions|Session)\)")) == {"webapp/accounts/sessions.py"}
    assert sorted(places(r"delete\(\w*(?:RecoveryCode|_codes)\)")) == [
        "webapp/accounts/endings.py",
        "webapp/factors/codes.py",
    ]
    assert places(r"known_browsers\.forget_others\(") == ["webapp/accounts/endings.py"]


TAKE_ALL = [event for event, stays in table().items() if not (stays["recovery code"] or stays["passkey"])]
TOLD_BY_NO_EMAIL = {'"this wasn\'t me"': "its own page does", "`users disable`": "nothing opens the account now"}


@deep
@one_in(6)
@pytest.mark.parametrize("event", sorted({*TAKE_ALL} - TOLD_BY_NO_EMAIL.keys()))
def test_an_email_tells_who_has_lost_codes_and_passkeys(site: Site, mailbox: Mailbox, event: str) -> None:
    """Nobody should go on relying on a sheet of paper, or a phone, that opens nothing any more."""
    life = Life(site, mailbox)
    before = mailbox.all(SUSAN)

    EVENTS[event](life)

    def told() -> list[str]:
        new = [" ".join(email.text.split()) for email in mailbox.all(SUSAN) if email not in before]
        return [text for text in new if "ecovery codes" in text and "asskeys" in text]

    deadline = time.monotonic() + PATIENCE
    while not told():
        assert time.monotonic() < deadline, [email.subject for email in mailbox.all(SUSAN) if email not in before]
        time.sleep(0.01)


def test_who_reads_that_everything_ends_or_comes_back_reads_what_of_codes_and_passkeys() -> None:
    """Every ending takes all three, and somebody who logs in with a passkey must know."""
    sources = "".join(file.read_text() for file in (ROOT / "templates").rglob("*.html"))
    texts = re.findall(r'_\("(.*?)"[,)]', sources)
    about_all = "logged out.*code|be logged out everywhere else,|as it was|bring it back here"
    told = [text for text in texts if re.search(about_all, text)]

    assert len(told) > 5
    assert [text for text in told if "passkey" not in text] == []

"""How often is too often, counted in the database and shared by all processes.

A window begins with its first use and ends when its seconds are over. What was refused isn't counted, because the
transaction that counted it is rolled back: nobody can make somebody else's wait longer by trying.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import limit_windows
from webapp.database import execute, now
from webapp.database.hot import Call, Row, Transaction, rows_together
from webapp.i18n import ngettext
from webapp.limit_windows import Limit as Limit
from webapp.limit_windows import LimitWindow, mailbox, wider
from webapp.limit_windows import Rate as Rate
from webapp.settings import Settings

MINUTE, HOUR, DAY = 60, 3600, 86400
# Every limit of the site. First what an account can do to itself, which nobody may loop over with a stolen session:
OWN_CHANGES = (Rate(5, HOUR), Rate(20, DAY))
CHANGE_PASSWORD = Limit("change_password", OWN_CHANGES)
CHANGE_EMAIL = Limit("change_email", OWN_CHANGES)
CHANGE_USERNAME = Limit("change_username", (*OWN_CHANGES, Rate(30, 30 * DAY)))  # each keeps a username from others
TAKE_BACK_USERNAME = Limit("take_back_username", OWN_CHANGES)
SHOW_PROFILE = Limit("show_profile", OWN_CHANGES)
EXPORTS = Limit("export", (Rate(2, DAY),))
DOWNLOADS = Limit("download", (Rate(20, DAY),))
IMPORTS = Limit("import", (Rate(3, DAY),))
UPLOADS = Limit("upload", (Rate(10, HOUR),))  # also of what is refused
IMPORT_PASSES = Limit("import_pass", OWN_CHANGES)
INVITES = Limit("invites", (Rate(20, HOUR), Rate(60, DAY)))
DELETE_ACCOUNT = Limit("delete_account", OWN_CHANGES)
RECOVERY_CODES = Limit("recovery_codes", OWN_CHANGES)
FACTORS = Limit("factors", OWN_CHANGES)
PASSKEYS = Limit("passkeys", (Rate(10, HOUR), Rate(20, DAY)))
CHECKUP = Limit("checkup", (Rate(10, HOUR), Rate(30, DAY)))
SWITCHES = Limit("switches", OWN_CHANGES)
EMAIL_WORKS = Limit("email_works", OWN_CHANGES)
UNSUBSCRIBING = Limit("unsubscribe", (Rate(30, HOUR), Rate(100, DAY)))  # by link, so it mustn't use up the one above
# What takes no password and throws a thief out. Each session has its own count, because the thief has one, too:
ENDING_SESSIONS = Limit("end_sessions", (Rate(30, HOUR), Rate(100, DAY)), of_session=True)
# A removal of factors, counted for the link that asks for it: a fresh one from the mailbox always does.
FACTOR_REMOVAL = Limit("factor_removal", OWN_CHANGES)
# What an account does to others, or often; each for an account, however many browsers it has.
POSTS = Limit("post", (Rate(5, MINUTE), Rate(60, HOUR)))
FOLLOWS = Limit("follow", (Rate(30, MINUTE), Rate(400, HOUR)))  # follows and unfollows
REPORTS = Limit("report", (Rate(5, MINUTE), Rate(30, DAY)))
ADMIN_DECISIONS = Limit("admin_decisions", (Rate(30, MINUTE), Rate(300, HOUR)))
SMALL_CHANGES = Limit("small_changes", (Rate(60, MINUTE), Rate(600, HOUR)))  # cheap, and nobody gets an email
# Guesses at a password: for a typed username or email and a client_ip; for a client_ip, whatever is typed; and for what
# is typed over all of them. An account has two things to type, so there are 100 in a row at most (NIST SP 800-63B-4).
LOG_IN = Limit("login", (Rate(5, 5 * MINUTE),))
LOG_IN_CLIENT_IP = Limit("login_network", (Rate(30, MINUTE),), of_client_ip=True)
LOG_IN_ANYWHERE = Limit("login_anywhere", (), after=Rate(50, 30 * DAY), then=(Rate(1, MINUTE),))
# For an account in one browser that it is known by, which the others don't touch: guesses, and log-ins at all.
LOG_IN_KNOWN_BROWSER = Limit("login_known", (Rate(5, 5 * MINUTE),))
LOG_INS_KNOWN_BROWSER = Limit("logins_known", (Rate(20, 5 * MINUTE), Rate(60, HOUR)))
# Answers of passkeys, which nobody guesses: from a client_ip, and for a session; and each opens something once.
PASSKEY_LOG_IN = Limit("passkey_log_in", (Rate(30, MINUTE),), of_client_ip=True)
PASSKEY_CHALLENGE = Limit("passkey_challenge", (Rate(1, HOUR),))
# For an account, over all networks and browsers: each log-in leaves a line in its history for months.
LOG_INS = Limit("log_ins", (Rate(200, HOUR), Rate(500, DAY)))
RECOVER = Limit("recover", (Rate(5, 5 * MINUTE),))  # guesses at a recovery code, in the same way
RECOVER_CLIENT_IP = Limit("recover_network", (Rate(30, MINUTE),), of_client_ip=True)
RECOVER_ANYWHERE = Limit("recover_anywhere", (), after=Rate(50, 30 * DAY), then=(Rate(1, MINUTE),))
RECOVER_KNOWN_BROWSER = Limit("recover_known", (Rate(5, 5 * MINUTE), Rate(20, HOUR)))
# Guesses at the second step, whose six digits are few. A browser that the account is known by is counted separately.
SECOND_STEP = Limit("second_step", (Rate(5, 5 * MINUTE), Rate(20, HOUR)))
SECOND_STEP_CLIENT_IP = Limit("second_step_network", (Rate(30, MINUTE),), of_client_ip=True)
SECOND_STEP_ANYWHERE = Limit("second_step_anywhere", (), after=Rate(20, 30 * DAY), then=(Rate(1, 5 * MINUTE),))
SECOND_STEP_KNOWN_BROWSER = Limit("second_step_known", (Rate(5, 5 * MINUTE), Rate(20, HOUR)))
# The form behind a registration link: for its address, and for a client_ip.
FINISH_REGISTRATION = Limit("finish_registration", (Rate(10, 10 * MINUTE), Rate(50, DAY)))
FINISH_REGISTRATION_CLIENT_IP = Limit("finish_registration_network", (Rate(30, 10 * MINUTE),), of_client_ip=True)
# Emails that a visitor asks for: of each kind for what was typed, whether anybody has it or not; and for a client_ip.
# After ten in a day it is one an hour: a stranger who asks all day makes nobody wait longer than that.
MANY_EMAILS, THEN_SLOWLY = Rate(10, DAY), (Rate(1, HOUR),)
EMAILS = Limit("email", (Rate(1, MINUTE), Rate(3, HOUR)), after=MANY_EMAILS, then=THEN_SLOWLY)
# Outsiders' mailboxes: of all kinds together, for whatever reaches the same one (`mailbox`).
EMAILS_MAILBOX = Limit("emails_mailbox", (Rate(6, HOUR),), after=Rate(20, DAY), then=THEN_SLOWLY)
EMAILS_CLIENT_IP = Limit("emails_network", (Rate(20, HOUR),), of_client_ip=True)
# For an account, whatever was typed. Counted when they are written, a little later, and so for a little less:
# anybody who asks again when the page says they can gets an email.
NEARLY_AN_HOUR = HOUR - 10 * MINUTE
RESET_EMAILS = Limit(
    "reset_password_to", (Rate(3, NEARLY_AN_HOUR),), after=MANY_EMAILS, then=(Rate(1, NEARLY_AN_HOUR),)
)
# Guesses at the code of one such email; of all emails of its kind for what was typed; and from a client_ip.
EMAIL_CODE = Limit("email_code", (Rate(5, DAY),))
EMAIL_CODES = Limit("email_codes", (Rate(10, HOUR), Rate(20, DAY)))
EMAIL_CODES_CLIENT_IP = Limit("email_codes_network", (Rate(30, HOUR),), of_client_ip=True)
SEARCHES = Limit("search", (Rate(30, MINUTE),), of_client_ip=True)  # for a client_ip, and for an account
WAITED_FOR_FIRST = Limit("waited_for_first", (Rate(8, HOUR),))  # emails that go before notices, for an account
# Emails that would otherwise come too often.
NEW_FOLLOWER = Limit("follower", (Rate(1, DAY),))  # somebody who leaves and comes back is announced once
ADDRESS_WORKS = Limit("address_works", (Rate(1, 31 * DAY),))  # when it was last shown to
SIGNED_EVENT = Limit("signed_event", (Rate(1, HOUR),))  # a signature of Mailgun's isn't over the event
ERROR_ALARM = Limit("alarm_of", (Rate(1, 15 * MINUTE),))
ERROR_ALARMS = Limit("alarms", (Rate(5, HOUR),))
BUDGET_ALARM = Limit("budget_alarm", (Rate(1, HOUR),))

Use = tuple[Limit, str]


def email(kind: str, recipient: str, client_ip: str = "", known_browser: str = "") -> list[Use]:
    """What a visitor's request for an email counts for; in a `known_browser`, for what no stranger uses up."""
    of_client_ip = EMAILS_CLIENT_IP, client_ip
    if known_browser:
        return [(EMAILS, f"{kind} {known_browser}"), of_client_ip]
    is_any_address = "@" in recipient and kind != "reset_password"  # which only goes to an account, and counts for it
    of_mailbox = [(EMAILS_MAILBOX, mailbox(recipient))] if is_any_address else []
    return [(EMAILS, f"{kind} {recipient}"), *of_mailbox, of_client_ip]


def email_code(asked_id: str, kind: str, recipient: str, client_ip: str) -> tuple[Use, Use, Use]:
    """What a guess at an email's code counts for. Whether there is an account plays no part."""
    of_recipient = EMAIL_CODES, f"{kind} {recipient}"
    return (EMAIL_CODE, asked_id), of_recipient, (EMAIL_CODES_CLIENT_IP, client_ip)


class TooOften(Exception):
    """Asked more often than allowed; `seconds` is how long to wait, and `wait` says it in words."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds

    @property
    def wait(self) -> str:
        """As people say it, and never less than it is: "40 seconds", "5 minutes", "2 hours"."""
        if self.seconds < MINUTE:
            return ngettext("%(num)s second", "%(num)s seconds", self.seconds) % {"num": self.seconds}
        if (minutes := math.ceil(self.seconds / MINUTE)) < 60:
            return ngettext("%(num)s minute", "%(num)s minutes", minutes) % {"num": minutes}
        if (hours := math.ceil(self.seconds / HOUR)) < 24:
            return ngettext("%(num)s hour", "%(num)s hours", hours) % {"num": hours}
        days = math.ceil(self.seconds / DAY)
        return ngettext("%(num)s day", "%(num)s days", days) % {"num": days}


async def count(db: Transaction, settings: Settings, *uses: Use, beside: Sequence[Call] = ()) -> list[list[Row]]:
    """Counts one use of each limit by somebody, all in one statement. Others may go `beside` it, in the same trip; it
    returns their rows.

    What is counted for an IPv6 client_ip also counts for the /48 around it. Raises TooOften if any is over its rate;
    the caller must then roll back, so that nothing counts and nothing else was done.
    """
    moment = now().timestamp()
    uses = (*uses, *((limit.of_wider, around) for limit, who in uses if limit.of_client_ip and (around := wider(who))))
    windows = {use: _windows(settings, *use) for use in uses}
    # Each key once, and sorted: two processes that lock the same rows lock them in the same order.
    rows = sorted({key: rate for of_use in windows.values() for rate, key in of_use.items()}.items())
    parameters: dict[str, object] = {"now": moment}
    for number, (key, rate) in enumerate(rows):
        parameters |= {f"key{number}": key, f"ends{number}": moment + rate.seconds}
    found, *others = await rows_together(db, (limit_windows.statement(len(rows)), parameters), *beside)
    counted = {key: (times, ends) for key, times, ends in found}
    waits = [
        counted[key][1] - moment
        for (limit, _who), of_use in windows.items()
        for rate, key in of_use.items()
        if counted[key][0] > _most(limit, rate, of_use, counted)
    ]
    if waits:
        raise TooOften(math.ceil(max(waits)))
    return others


async def tally(db: Transaction, settings: Settings, limit: Limit, who: str) -> tuple[int, datetime]:
    """Counts one use without refusing any; returns its number within the window, and when the window ends.

    On PostgreSQL, others who count the same wait until this transaction ends, as all writers do on SQLite.
    """
    ((rate, key),) = _windows(settings, limit, who).items()
    moment = now().timestamp()
    parameters = {"now": moment, "key0": key, "ends0": moment + rate.seconds}
    [(_key, times, ends)] = await limit_windows.statement(1).rows(db, parameters)
    return times, datetime.fromtimestamp(ends, UTC)


async def begin(db: AsyncSession, settings: Settings, limit: Limit, people: list[str]) -> set[str]:
    """Begins a window for everybody who has none; returns who they are. Others are left alone."""
    if not people:
        return set()
    moment, (rate,) = now().timestamp(), limit.rates
    keys = {_windows(settings, limit, who)[rate]: who for who in people}
    # Always in the same order: two processes that begin the same windows wait for each other, without a deadlock.
    rows = [{"key": key, "count": 1, "ends": moment + rate.seconds} for key in sorted(keys)]
    statement = (sqlite if db.get_bind().dialect.name == "sqlite" else postgresql).insert(LimitWindow).values(rows)
    begun = statement.on_conflict_do_update(
        index_elements=["key"],
        set_={"count": 1, "ends": statement.excluded.ends},
        where=(col(LimitWindow.ends) <= moment)
        | (col(LimitWindow.ends) > statement.excluded.ends + limit_windows.LATEST),
    ).returning(col(LimitWindow.key))
    return {keys[key] for key in (await execute(db, begun)).scalars()}


async def forget(db: AsyncSession, settings: Settings, *uses: Use) -> None:
    """Starts the counts anew, as after a successful log-in."""
    keys = sorted(key for use in uses for key in _windows(settings, *use).values())
    await execute(db, text("DELETE FROM limit_window WHERE key = :key"), [{"key": key} for key in keys])


async def last(db: AsyncSession, settings: Settings, limit: Limit, who: str) -> datetime | None:
    """When a limit's shortest window began, also for an hour after its end. With one use a window, the last use."""
    rate = limit.rates[0]
    row = await limit_windows.ENDS.row(db, {"key": _windows(settings, limit, who)[rate]})
    return min(now(), datetime.fromtimestamp(row[0] - rate.seconds, UTC)) if row else None


async def erase(db: AsyncSession, settings: Settings, people: Iterable[str]) -> None:
    """Deletes all counts of these, whatever the limit: they belong to an account that is gone."""
    secrets = sorted({_secret(settings, who) for who in people})
    of_one = col(LimitWindow.key) > bindparam("first"), col(LimitWindow.key) < bindparam("last")
    await execute(
        db, delete(LimitWindow).where(*of_one), [{"first": f"{each}:", "last": f"{each};"} for each in secrets]
    )


def _most(limit: Limit, rate: Rate, windows: Mapping[Rate, str], counted: Mapping[str, tuple[int, float]]) -> float:
    """How many uses the rate allows at the moment."""
    is_slowed = limit.after is not None and counted[windows[limit.after]][0] > limit.after.times
    return rate.times if rate in limit.rates or (rate in limit.then and is_slowed) else math.inf


def _windows(settings: Settings, limit: Limit, who: str) -> dict[Rate, str]:
    """The key of each rate's window.

    It contains no address, since the table must not tell who asked for what. One person's windows lie side by side.
    """
    secret = _secret(settings, who)
    return {rate: f"{secret}:{limit.name}:{rate.seconds}" for rate in limit.counted}


def _secret(settings: Settings, who: str) -> str:
    return hashlib.blake2b(who.encode(), key=settings.key("limits"), digest_size=16).hexdigest()

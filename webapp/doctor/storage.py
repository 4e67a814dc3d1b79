"""What the doctor finds out about the database, and by what it holds."""

import sqlite3
from collections.abc import AsyncIterator

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import CLOCKS_DIFFER, Database, execute, migrations, refusals
from webapp.doctor.findings import FAILURE, OK, WARNING, Finding
from webapp.factors import methods
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.mail import status
from webapp.operator import mail_status
from webapp.operator.health import learn_time
from webapp.settings import Settings

# Before it, write-ahead logging could lose data when several connections write and checkpoint at once.
SOUND_SQLITE = (3, 51, 3)


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Is it the right one, does it keep what it is told, and can it be written to?"""
    database = Database(settings.database_url)
    try:
        async with database.session() as db:
            version = "SELECT sqlite_version()" if database.is_sqlite else "SHOW server_version"
            number = (await execute(db, text(version))).scalar_one()
            name = "SQLite" if database.is_sqlite else "PostgreSQL"
            if database.is_sqlite and sqlite3.sqlite_version_info < SOUND_SQLITE:
                words = _("SQLite %(version)s: before 3.51.3 it has a rare bug with several processes")
                yield Finding(WARNING, _("database"), words % {"version": number})
            else:
                yield Finding(OK, _("database"), f"{name} {number}")
            if not database.is_sqlite:
                yield await _durability(db)
                yield await _clock(db)
            there = (await execute(db, text("SELECT version_num FROM alembic_version"))).scalar_one()
            newest = migrations.newest()
            if there == newest:
                yield Finding(OK, _("migrations"), _("at %(version)s, the newest") % {"version": there})
                if waiting := await methods.waiting_for_reseal(db, settings):
                    yield _sealed_before(waiting)
                if settings.sends_mail:
                    yield await _leaving(settings, db)
                if settings.admin_two_factors:
                    yield await _admins_factors(settings, db)
            else:
                words = _("at %(version)s, not %(newest)s: run `python -m webapp migrate`")
                yield Finding(FAILURE, _("migrations"), words % {"version": there, "newest": newest})
        await database.try_write()
        yield Finding(OK, _("writing"), _("the database can be written to"))
    except (SQLAlchemyError, OSError) as error:
        yield Finding(FAILURE, _("database"), f"{refusals.in_words(error)}. {refusals.what_to_check(error)}")
    finally:
        await database.aclose()


async def _leaving(settings: Settings, db: AsyncSession) -> Finding:
    state = await status.read(db)
    return Finding(OK if mail_status.is_well(state) else WARNING, _("mail"), mail_status.sentence(state, settings))


async def _durability(db: AsyncSession) -> Finding:
    """Whether PostgreSQL flushes before it answers: without that, what the site has confirmed can be gone."""
    subject, names = _("durability"), ("fsync", "full_page_writes", "synchronous_commit")
    query = text("SELECT name FROM pg_settings WHERE name = ANY(:names) AND setting = 'off' ORDER BY name")
    off = (await execute(db, query, {"names": list(names)})).scalars().all()
    if not off:
        return Finding(OK, subject, _("what the site has confirmed survives a power cut"))
    words = _("%(settings)s off: a power cut can undo what the site has confirmed")
    return Finding(WARNING, subject, words % {"settings": ", ".join(off)})


async def _clock(db: AsyncSession) -> Finding:
    """Whether this machine's clock agrees with PostgreSQL's, and so with those of the site's other machines."""
    ahead = await learn_time(db)
    if abs(ahead) <= CLOCKS_DIFFER.total_seconds():
        return Finding(OK, _("clock"), _("this machine's agrees with the database's"))
    words = ngettext(
        "this machine's is %(count)s second behind the database's: let NTP set both, or links and codes fail",
        "this machine's is %(count)s seconds behind the database's: let NTP set both, or links and codes fail",
        abs(ahead),
    )
    if ahead > 0:
        words = ngettext(
            "this machine's is %(count)s second ahead of the database's: let NTP set both, or links and codes fail",
            "this machine's is %(count)s seconds ahead of the database's: let NTP set both, or links and codes fail",
            ahead,
        )
    return Finding(WARNING, _("clock"), words % {"count": abs(ahead)})


def _sealed_before(waiting: int) -> Finding:
    words = ngettext(
        "%(count)s secret of an authenticator app is sealed with an older key: keep that a fallback for now",
        "%(count)s secrets of authenticator apps are sealed with an older key: keep that a fallback for now",
        waiting,
    )
    return Finding(WARNING, "SECRET_KEY", words % {"count": waiting})


async def _admins_factors(settings: Settings, db: AsyncSession) -> Finding:
    """Says why an admin's pages stay closed. Nothing else does until that admin tries."""
    subject = "ADMIN_TWO_FACTORS"
    if not settings.admins:
        return Finding(WARNING, subject, _("it asks nobody for a second step, since ADMINS names nobody"))
    if lacking := await methods.lacking(db, settings.admin_addresses):
        words = _("no second step yet, so the admin pages stay closed to %(who)s: an authenticator app opens them")
        return Finding(WARNING, subject, words % {"who": ", ".join(lacking)})
    return Finding(OK, subject, _("every admin with an account here has a second step"))

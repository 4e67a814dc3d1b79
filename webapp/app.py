"""create_app(): the routes, middleware and lifespan of a site."""

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from webapp import i18n, limit_windows, logs
from webapp.accounts import known_browsers, tokens, users
from webapp.accounts.models import AddressChange, KnownBrowser, Session
from webapp.addresses import changes
from webapp.archive_imports.importer import Importer
from webapp.archive_imports.models import ArchiveImport
from webapp.archive_imports.views import expected
from webapp.archives.maker import Maker
from webapp.archives.models import AccountExport
from webapp.audit import events
from webapp.audit.models import SecurityEvent
from webapp.authentication import throttle
from webapp.authentication.auth import CurrentUser, is_open
from webapp.database import Database, cleanup
from webapp.database.cleanup import CleanupTask, CleanupWalk, Work, past
from webapp.deletion.erasure import Erasure
from webapp.delivery.mailer import Mailer
from webapp.delivery.pace import USUAL, Pace
from webapp.delivery.smtp import Connection, Transport
from webapp.digests.planning import Digests
from webapp.factors import second_step
from webapp.factors.models import PendingLogIn
from webapp.factors.upkeep import PendingRemovals, Resealing
from webapp.limit_windows import LimitWindow
from webapp.mail import refusals, status
from webapp.mail.models import OutboxEmail, RefusedAddress
from webapp.mail_preview.inbox import MailboxTransport
from webapp.moderation import decided
from webapp.moderation.models import DecidedReport
from webapp.names import reserved
from webapp.names.usernames import KeptUsername, RetiredUsername
from webapp.operator.error_alerts import Alarms
from webapp.operator.health import ClockCheck
from webapp.operator.mail_status import PausedMail
from webapp.passwords.costs import HashCost
from webapp.passwords.hasher import Hasher
from webapp.people import avatars
from webapp.posts import posts
from webapp.posts.models import Post
from webapp.posts.pieces import Pieces
from webapp.registration import invites
from webapp.registration.models import Invite, RegistrationRequest
from webapp.routes import routes, words_in_paths
from webapp.settings import ROOT, Misconfigured, Settings
from webapp.web import errors, form_answers, pages
from webapp.web.compression import Compression
from webapp.web.csrf import CrossSiteWrites
from webapp.web.database_session import MOST_BY_ANYBODY, DatabaseSession
from webapp.web.form_answers import FormAnswer
from webapp.web.front import Front
from webapp.web.hosts import ForeignHost
from webapp.web.large_body import LargeBody
from webapp.web.pasted_links import PastedLinks
from webapp.web.request_body import WholeBody
from webapp.web.request_head import BoundedHead
from webapp.web.request_log import Requests
from webapp.web.routing import ByFirstSegment
from webapp.web.second_press import SecondPress
from webapp.web.static_files import assets_of

for emails in sorted(ROOT.glob("webapp/*/emails.py")):
    importlib.import_module(f"webapp.{emails.parent.name}.emails")  # which registers its kinds of email
CLEANUP_TASKS = (
    CleanupTask(Session, past(Session.expires_at)),
    CleanupWalk(LimitWindow, limit_windows.outdated),
    CleanupTask(SecurityEvent, past(SecurityEvent.created_at, events.KEPT)),
    CleanupTask(AddressChange, past(AddressChange.created_at, changes.KEPT)),
    CleanupTask(PendingLogIn, past(PendingLogIn.created_at, second_step.KEPT)),
    CleanupTask(KnownBrowser, past(KnownBrowser.last_seen_at, known_browsers.KEPT)),
    CleanupTask(KeptUsername, past(KeptUsername.kept_until)),
    CleanupTask(AccountExport, past(AccountExport.expires_at)),
    CleanupTask(ArchiveImport, past(ArchiveImport.expires_at)),
    CleanupTask(RetiredUsername, past(RetiredUsername.kept_until)),
    CleanupTask(RegistrationRequest, past(RegistrationRequest.expires_at)),
    CleanupTask(Invite, invites.outdated),
    CleanupTask(DecidedReport, past(DecidedReport.decided_at, decided.KEPT)),
    CleanupTask(Post, past(Post.deleted_at, posts.KEPT_WHEN_DELETED)),
    CleanupTask(OutboxEmail, status.outdated),
    CleanupWalk(RefusedAddress, past(RefusedAddress.since, refusals.REMEMBERED)),
    CleanupTask(HashCost, users.unused_hash_costs),
    CleanupTask(FormAnswer, form_answers.outdated),
)
SECRET_PAGES = frozenset({"recovery_codes", "authenticator_app"})
STARTUP_FAILURE = 3  # uvicorn's own exit code when an application can't start


def create_app(settings: Settings | None = None) -> Starlette:
    """Builds the site. Without settings, it reads a deployed site's from the environment."""
    if settings is None:
        settings = deployed_settings()
        logs.configure(settings)
    database = Database(settings.database_url)
    assets = assets_of(settings)
    alarms = Alarms(settings, database)
    site_map = routes(settings, assets)
    policies = BoundedHead(), ForeignHost(settings), PastedLinks(site_map, tokens.SHAPE), CrossSiteWrites(settings)
    app = Starlette(
        routes=[ByFirstSegment(site_map), *site_map],
        middleware=[
            Middleware(Front, settings, policies, alarms.report),
            Middleware(Compression, site_map, SECRET_PAGES),
            Middleware(LargeBody, expected),
            Middleware(WholeBody),  # before anything that may hold a database connection
            Middleware(SecondPress, database, settings, is_open),
            Middleware(DatabaseSession, database),
            Middleware(CurrentUser, database),
        ],
        exception_handlers={HTTPException: errors.refused},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    templates = pages.set_up(app, settings, assets)
    app.state.pieces = Pieces(templates, settings.admin_addresses)
    templates.globals |= {
        "picture_of": avatars.draw,
        "show_post": app.state.pieces.show,
        "part_of": app.state.pieces.part_of,
    }
    app.state.database = database
    app.state.alarms = alarms
    app.state.hasher = Hasher()
    app.state.requests = Requests()
    app.state.turns = throttle.Turns()
    app.state.anybody = asyncio.Semaphore(MOST_BY_ANYBODY)
    app.state.reserved_usernames = reserved.reserved(settings, words_in_paths(app.routes))
    app.state.exports = Maker(settings, database, templates)
    app.state.imports = Importer(settings, database)
    app.state.mailer = mailer(settings, database, templates)
    return app


def mailer(settings: Settings, database: Database, templates: Environment, pace: Pace = USUAL) -> Mailer:
    """Empties the outbox: over SMTP, or into the mailbox of a development site."""
    transport: Callable[[], Transport] = partial(Connection, settings, pace)
    if settings.mailbox:
        transport = partial(MailboxTransport, settings.mailbox)
    return Mailer(settings, database, templates, transport, Alarms(settings, database).report, pace)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Runs the cleanup beside the site, and the mailer unless a process of its own does."""
    mailer, database, settings = app.state.mailer, app.state.database, app.state.settings
    report = app.state.alarms.report
    clock = ClockCheck()
    await clock.begin(database)
    sending = asyncio.create_task(mailer.run()) if settings.mailer == "web" else None
    works: list[Work] = [clock, *CLEANUP_TASKS, Erasure(settings), PendingRemovals(settings), Resealing(settings)]
    if settings.sends_mail:
        works += [Digests(settings), PausedMail()]
    exporting = asyncio.create_task(app.state.exports.run(report))
    importing = asyncio.create_task(app.state.imports.run(report))
    tidying = asyncio.create_task(cleanup.run(database, works, report))
    try:
        yield
    finally:
        tidying.cancel()
        app.state.exports.stop()
        app.state.imports.stop()
        app.state.alarms.stop()
        await mailer.stop()
        if sending:
            await sending
        await asyncio.wait([tidying, exporting, importing])
        await database.aclose()


def deployed_settings() -> Settings:
    """A deployed site's settings. Ends the process, and the server above it, if there is anything wrong with them."""
    try:
        return Settings.from_environment()
    except Misconfigured as refused:
        with i18n.use(i18n.of_environment(os.environ)):
            logs.say(refused.said(i18n.gettext), sys.stderr)
        supervisor = multiprocessing.parent_process()
        if supervisor and supervisor.pid == os.getppid():
            # With several workers, uvicorn's supervisor would exit with 0 as if all were well. This is the one
            # plain signal that it doesn't catch.
            os.kill(os.getppid(), signal.SIGALRM)
        sys.exit(STARTUP_FAILURE)

"""create_app(): the routes, the middleware and the lifespan of one site."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

import webapp.accounts.letters
import webapp.addresses.letters
import webapp.digests.letters
import webapp.moderation.letters
import webapp.people.letters
import webapp.posts.letters
import webapp.recovery.letters
import webapp.subscriptions.models  # noqa: F401
from webapp import errors, housekeeping, limits, logs, pages
from webapp.accounts import signins
from webapp.accounts.models import Session
from webapp.accounts.passwords import Hasher
from webapp.accounts.sessions import CurrentUser
from webapp.addresses import changes
from webapp.csrf import CrossSiteWrites, ForeignHost
from webapp.database import Database, DatabaseSession
from webapp.delivery.mailer import Mailer
from webapp.digests.planning import Digests
from webapp.errors import LargeBodies, Unhandled
from webapp.headers import SecurityHeaders
from webapp.housekeeping import Chore
from webapp.limits import LimitWindow
from webapp.logs import RequestLog
from webapp.postmaster.alarms import Alarms
from webapp.posts import posts
from webapp.posts.models import Post
from webapp.routes import routes
from webapp.security import browsers, events
from webapp.security.models import AddressChange, KnownBrowser, SecurityEvent
from webapp.settings import Misconfigured, Settings

MAX_BODY_BYTES = 64 * 1024
CHORES = (
    Chore(Session, signins.outdated),
    Chore(LimitWindow, limits.outdated),
    Chore(SecurityEvent, events.outdated),
    Chore(AddressChange, changes.outdated),
    Chore(KnownBrowser, browsers.outdated),
    Chore(Post, posts.outdated),
)
STARTUP_FAILURE = 3  # what uvicorn, too, exits with when an application can't start


def create_app(settings: Settings | None = None) -> Starlette:
    """Builds the site. Without settings they are read from the environment, as on a deployed site."""
    if settings is None:
        settings = deployed_settings()
        logs.configure(settings)
    database = Database(settings.database_url)
    alarms = Alarms(settings, database)
    app = Starlette(
        routes=routes(settings),
        middleware=[
            Middleware(RequestLog),
            Middleware(SecurityHeaders, settings),
            Middleware(Unhandled, alarms.report),
            Middleware(LargeBodies, MAX_BODY_BYTES),
            # As an argument of Starlette it would stand before these, and answer without their page and headers.
            Middleware(RequestBodyLimitMiddleware, MAX_BODY_BYTES),
            Middleware(ForeignHost, settings),
            Middleware(CrossSiteWrites, settings),
            Middleware(DatabaseSession, database),
            Middleware(CurrentUser, database),
        ],
        exception_handlers={HTTPException: errors.refused},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    templates = pages.set_up(app, settings)
    app.state.database = database
    app.state.hasher = Hasher()
    app.state.mailer = Mailer(settings, database, templates)
    return app


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Runs the mailer beside the site, unless another process does, and keeps the house in order."""
    mailer, database, settings = app.state.mailer, app.state.database, app.state.settings
    sending = asyncio.create_task(mailer.run()) if settings.mailer == "web" else None
    works = (*CHORES, Digests(settings)) if settings.sends_mail else CHORES
    tidying = asyncio.create_task(housekeeping.run(database, works))
    try:
        yield
    finally:
        tidying.cancel()
        await mailer.stop()
        if sending:
            await sending
        await asyncio.wait([tidying])
        await database.close()


def deployed_settings() -> Settings:
    """The settings in the environment; ends the process, and the server above it, if they can't be served from."""
    try:
        return Settings.from_environment()
    except Misconfigured as refused:
        for problem in refused.problems:
            print(problem, file=sys.stderr)
        supervisor = multiprocessing.parent_process()
        if supervisor and supervisor.pid == os.getppid():
            # With several workers uvicorn's supervisor would end with 0, as if all were well. This is the
            # one plain signal that it does not catch.
            os.kill(os.getppid(), signal.SIGALRM)
        sys.exit(STARTUP_FAILURE)

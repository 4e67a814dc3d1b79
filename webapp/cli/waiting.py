"""The command `requests`: who is waiting for an account, and the admin's yes or no."""

import argparse
from collections.abc import AsyncIterator, Callable
from functools import partial

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.users import Taken
from webapp.audit import events
from webapp.cli import Refused, commands
from webapp.i18n import N_
from webapp.i18n import gettext as _
from webapp.names import identities
from webapp.registration import requests
from webapp.registration.requests import Decided
from webapp.settings import Settings


def add_to(add: Callable[..., argparse.ArgumentParser], with_session: Callable[..., None]) -> None:
    """Adds the command and its actions; `with_session` runs what has a database session."""
    parser = add("requests", help=_("list who's waiting to be let in (REGISTRATION=approval), approve or refuse them"))
    parser.set_defaults(run=partial(with_session, _list))
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help=_("one line for each, oldest first: the same as without ACTION"))
    for action, work, words in (
        ("approve", _approve, N_("make the account; the person is told by email")),
        ("refuse", _refuse, N_("refuse it; the person is told by email")),
    ):
        command = actions.add_parser(action, help=_(words))
        command.add_argument("email", help=_("whose request it is"))
        command.set_defaults(run=partial(with_session, work, is_writing=True))
        if action == "refuse":
            command.add_argument("--reason", type=commands.reason, help=_("why: the person is told"))


async def _list(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """A line for each waiting request: who asks, and why."""
    waiting = await requests.waiting(db)
    for request in waiting:
        yield f"{request.email}\t{request.username}\tsince {request.created_at:%Y-%m-%d}\t{request.why}"
    if not waiting:
        commands.hint(_("Nobody is waiting to be let in."))


async def _approve(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Makes the account; the person is told by email."""
    try:
        user = await requests.approve(db, settings, await _request(db, options.email), events.BY_OPERATOR)
    except (Decided, Taken) as refused:
        raise Refused(str(refused) or _nobody_asks(options.email)) from None
    await db.commit()
    yield _("%(name)s can log in now.") % {"name": user.username}


async def _refuse(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    try:
        await requests.refuse(db, settings, await _request(db, options.email), options.reason or "")
    except Decided:
        raise Refused(_nobody_asks(options.email)) from None
    await db.commit()
    yield _("The request is refused.")


async def _request(db: AsyncSession, email: str) -> int:
    """The number of the request of an address; 0 if there is none."""
    request = await requests.of(db, identities.identity_or_nonsense(email))
    return request.id if request else 0


def _nobody_asks(email: str) -> str:
    return _("There's no request from '%(email)s' to answer.") % {"email": email}

"""The pages of people: requests to decide, a list, one person, and actions on an account."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.users import Taken
from webapp.admin_people import actions, people
from webapp.admin_people.actions import NotNow
from webapp.admin_people.forms import AdminDecision
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.authentication import auth, proof
from webapp.authentication.auth import admin_required, while_logged_in
from webapp.database import LAST_ID, release
from webapp.i18n import gettext as _
from webapp.moderation import emails
from webapp.registration import requests
from webapp.registration.requests import Decided
from webapp.web import pages
from webapp.web.forms import Form, number_in_query
from webapp.web.limits import limited

Do = Callable[[User, str, ClientInfo], Awaitable[object]]


@dataclass(frozen=True)
class Action:
    """Something done to an account: its words, and whether it needs a reason.

    From what `is_danger` admins are exempt, and the other admins are told of it by email.
    """

    title: str
    consequence: str
    button: str
    done: str
    do: Do
    asks_reason: bool = False
    is_danger: bool = True


@admin_required
async def admin_people(request: Request) -> Response:
    return await _list(request, Form(AdminDecision))


@admin_required
async def approve_request(request: Request) -> Response:
    form = await Form.read(request, AdminDecision)
    words = await _approved(request, form) if form.is_valid else None
    return await _after(request, form, words)


@admin_required
async def refuse_request(request: Request) -> Response:
    form = await Form.read(request, AdminDecision)
    words = await _refused(request, form) if form.is_valid else None
    return await _after(request, form, words)


@admin_required
async def admin_person(request: Request) -> Response:
    person = await _person(request)
    return pages.render(
        request,
        "admin_people/admin_person.html",
        account=await people.account(request.state.db, person),
        is_admin=person.email in request.app.state.settings.admin_addresses,
    )


@admin_required
async def act_on_person(request: Request) -> Response:
    """The page that says what will happen, and asks for the password if the last proof is old."""
    form, person = await Form.of(request, AdminDecision), await _person(request)
    action = _actions(request, person.username).get(request.path_params["action"])
    if action is None:
        raise HTTPException(404)
    if form.is_valid and action.is_danger and person.email in request.app.state.settings.admin_addresses:
        form.refuse("", _("That's an admin, too. Only the command line can do that."))
    if form.is_valid and action.asks_reason and not form.data.reason:
        form.refuse("reason", _("Say why, in a sentence. It goes into the email."))
    response = await _acted(request, form, person, action) if form.is_valid else None
    return response or pages.render(
        request,
        "admin_people/act_on_person.html",
        part="form",
        form=form,
        person=person,
        action=action,
        action_name=request.path_params["action"],
    )


def _actions(request: Request, name: str) -> dict[str, Action]:  # by the last word of the path
    db, settings, who = request.state.db, request.app.state.settings, {"name": name}
    return {
        "disable": Action(
            _("Disable %(name)s's account") % who,
            _("Nobody can log in to it, nobody sees its posts, and all reports of them are closed. You can undo this."),
            _("Disable the account"),
            _("%(name)s's account is disabled.") % who,
            lambda person, reason, by: actions.disable(db, settings, person, reason, by),
            asks_reason=True,
        ),
        "enable": Action(
            _("Enable %(name)s's account") % who,
            _("It has no sessions, recovery codes or passkeys any more. If it was being deleted, it stays."),
            _("Enable the account"),
            _("%(name)s's account is open again.") % who,
            lambda person, _reason, by: actions.enable(db, settings, person, by),
            is_danger=False,
        ),
        "send_reset_link": Action(
            _("Send %(name)s a reset link") % who,
            _("We email a link for a new password to the address on the account. You won't see it."),
            _("Send the link"),
            _("The link to %(name)s is on its way.") % who,
            lambda person, _reason, by: actions.send_reset_link(db, settings, person, by),
            is_danger=False,
        ),
        "remove_factors": Action(
            _("Remove %(name)s's second step") % who,
            _("Only do this if you're sure who is asking: from then on the password is enough to log in."),
            _("Remove the second step"),
            _("%(name)s has no second step any more.") % who,
            lambda person, _reason, by: actions.remove_factors(db, settings, person, by),
        ),
        "delete": Action(
            _("Delete %(name)s's account") % who,
            _("It's hidden at once, and deleted for good some days later. Until then you can enable it again."),
            _("Delete the account"),
            _("%(name)s's account is hidden, and will be deleted.") % who,
            lambda person, reason, by: actions.delete(db, settings, person, reason, by),
            asks_reason=True,
        ),
    }


@proof.proved
@limited(rate_limits.ADMIN_DECISIONS)
@while_logged_in
async def _acted(request: Request, form: Form[AdminDecision], person: User, action: Action) -> Response | None:
    try:
        await action.do(person, form.data.reason, events.by_admin(request.state.user.username))
    except NotNow as refused:
        form.refuse("", str(refused))
        return None
    if action.is_danger:
        await emails.tell_other_admins(request.state.db, request.app.state.settings, request.state.user.email)
    await request.state.db.commit()
    to = request.app.url_path_for("admin_person", username=person.username)
    return pages.redirect(request, to, flash=action.done)


@proof.proved
@limited(rate_limits.ADMIN_DECISIONS)
@while_logged_in
async def _approved(request: Request, form: Form[AdminDecision]) -> str | None:
    db, settings, request_id = request.state.db, request.app.state.settings, request.path_params["request_id"]
    try:
        user = await requests.approve(db, settings, request_id, events.by_admin(request.state.user.username))
    except Decided:
        form.refuse("", _already_decided())
    except Taken as taken:
        form.refuse("", str(taken) + " " + _("You can only refuse the request now."))
    else:
        await db.commit()
        return _("%(name)s can log in now.") % {"name": user.username}
    await release(db)
    return None


@proof.proved
@limited(rate_limits.ADMIN_DECISIONS)
@while_logged_in
async def _refused(request: Request, form: Form[AdminDecision]) -> str | None:
    db, settings, request_id = request.state.db, request.app.state.settings, request.path_params["request_id"]
    try:
        await requests.refuse(db, settings, request_id, form.data.reason)
        me, client = request.state.user, auth.client_info(request)
        await events.note(db, Event.REQUEST_REFUSED, me.id, client, request=request_id)
    except Decided:
        await release(db)
        form.refuse("", _already_decided())
        return None
    await db.commit()
    return _("The request is refused.")


def _already_decided() -> str:
    return _("That request has been decided already, or has expired.")


async def _after(request: Request, form: Form[AdminDecision], words: str | None) -> Response:
    """Shows the list again: in place with htmx, otherwise by a redirect once something was decided."""
    if words and not pages.asks_for_part(request):
        return pages.redirect(request, request.app.url_path_for("admin_people"), flash=words)
    return await _list(request, form, said=words or "")


async def _list(request: Request, form: Form[AdminDecision], said: str = "") -> Response:
    db, state = request.state.db, request.query_params.get("state", "")
    typed = request.query_params.get("q", "")[:320]
    found = await people.find(db, typed, state, number_in_query(request, "before", LAST_ID))
    return pages.render(
        request,
        "admin_people/admin_people.html",
        part="requests",
        form=form,
        said=said,
        asked_id=request.path_params.get("request_id"),
        waiting=await requests.waiting(db),
        people=found[: people.AT_ONCE],
        has_more=len(found) > people.AT_ONCE,
        typed=typed,
        state=state if state in people.STATES else "",
    )


async def _person(request: Request) -> User:
    person = await users.named(request.state.db, request.path_params["username"])
    if person is None:
        raise HTTPException(404)
    return person

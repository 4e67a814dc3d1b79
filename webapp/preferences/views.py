"""The pages of your own account: profile, password, language and sessions."""

import contextlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import endings, known_browsers, users
from webapp.accounts import sessions as open_sessions
from webapp.accounts.endings import Ended, Keep, Overtaken
from webapp.accounts.models import User
from webapp.accounts.users import Taken
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth, email_links, proof
from webapp.authentication.auth import login_required, while_logged_in
from webapp.authentication.forms import check_password, check_username
from webapp.database import release
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.names import usernames
from webapp.preferences import forms, profiles
from webapp.web import errors, page_language, pages
from webapp.web.forms import Form
from webapp.web.limits import limited, limited_button, too_often


@login_required
async def settings(request: Request) -> Response:
    return pages.render(request, "preferences/settings.html")


async def well_known_change_password(request: Request) -> Response:
    """Where password managers send people (W3C, A Well-Known URL for Changing Passwords)."""
    return pages.redirect(request, request.app.url_path_for("change_password"))


@login_required
async def change_password(request: Request) -> Response:
    form, user = await Form.of(request, forms.ChangePassword), request.state.user
    if form.is_valid:
        check_password(form, request.app.state.settings, form.data.password, user.username, user.email)
    proved = await proof.prove(request, form) if form.is_valid else None
    response = await _password_changed(request, form, proved) if proved else None
    return response or pages.render(request, "preferences/change_password.html", part="form", form=form)


async def language(request: Request) -> Response:
    """Shows this browser the site in another language; if somebody is logged in, their emails come in it, too."""
    form = await Form.read(request, forms.Language)
    chosen, user, db = form.values["language"], request.state.user, request.state.db
    if chosen not in request.app.state.settings.languages:
        return errors.page(request, 422, _("This site doesn't speak that language."))
    if user:
        if await too_often(request, form, (rate_limits.SMALL_CHANGES, str(user.id))):
            return errors.page(request, 429, form.errors[""], form.headers)
        await users.set_language(db, user.id, chosen)
        await db.commit()
    response = pages.redirect(request, pages.page_before(request))
    page_language.remember(request, response, chosen)
    return response


@login_required
async def edit_profile(request: Request) -> Response:
    user = await users.owner(request.state.db, request.state.user.id)
    public = "1" if user.is_public else ""
    form = await Form.of(request, forms.EditProfile, username=user.username, about_me=user.about_me, is_public=public)
    may_save = form.is_valid
    if form.is_valid and form.data.username != user.username:
        may_save = bool(await _renamed(request, form, user))
    elif form.is_valid and form.data.is_public and not user.is_public:
        may_save = await proof.prove(request, form) is not None
    is_shown = may_save and bool(form.data.is_public) and not user.is_public
    save = limited(rate_limits.SHOW_PROFILE if is_shown else rate_limits.SMALL_CHANGES)(_saved)
    response = await save(request, form, user) if may_save else None
    return response or pages.render(request, "preferences/edit_profile.html", part="form", form=form)


@login_required
@limited_button(rate_limits.SMALL_CHANGES)
async def another_picture(request: Request) -> Response:
    await profiles.take_another_picture(request.state.db, request.state.user.id)
    await request.state.db.commit()
    return pages.redirect(request, request.app.url_path_for("edit_profile"), flash=_("Here's your new picture."))


@login_required
async def sessions(request: Request) -> Response:
    user, db = request.state.user, request.state.db
    trusted = await known_browsers.trusted(db, user.id, user.epoch)
    listed = [
        {
            "session": each,
            "browser": known_browsers.described(each.user_agent),
            "is_this": each.id == user.session_id,
            "trusted_until": trusted.pop(each.browser_mark, None),
        }
        for each in await open_sessions.of(db, user)
    ]
    return pages.render(request, "preferences/sessions.html", listed=listed, trusted=sorted(trusted.values()))


@login_required
@limited_button(rate_limits.ENDING_SESSIONS)
async def end_session(request: Request) -> Response:
    """Ends one of your own sessions; ending the current one logs you out. Somebody else's doesn't exist here.

    It takes no password, and a thief may be ending the owner's session, so the owner is told.
    """
    db, user, chosen = request.state.db, request.state.user, request.path_params["id"]
    session = next((session for session in await open_sessions.of(db, user) if str(session.id) == chosen), None)
    if session and session.id == user.session_id:
        with page_language.after_logging_out(request, user.id):
            response = pages.redirect(request, "/login", flash=_("You're logged out."))
        await auth.log_out(request, response)
        await db.commit()
        return response
    client = auth.client_info(request)
    if not await _holds_on(request):
        return await _to_try_again(request, "/sessions")
    if session and await open_sessions.end_others(db, user, client.browser_mark, [session.id]):
        named = known_browsers.described(session.user_agent)
        await events.note(db, Event.SESSION_ENDED, user.id, client, browser=named)
        await _tell_of_end(request, browser=session.user_agent, is_everywhere=False, codes=0, passkeys=0)
        response = pages.redirect(request, "/sessions", flash=_("Logged out of %(browser)s.") % {"browser": named})
        await auth.renew_browser(request, response)
        await db.commit()
        return response
    return pages.redirect(request, "/sessions", flash=_("That session has already ended."), kind="notice")


@login_required
@limited_button(rate_limits.ENDING_SESSIONS)
async def end_other_sessions(request: Request) -> Response:
    """Logs the person out everywhere else. Links, known browsers and recovery codes end too, since a thief may have
    them.

    It takes no password, and the thief may be the one who presses it, so the owner is told.
    """
    db, user, client = request.state.db, request.state.user, auth.client_info(request)
    if not await _holds_on(request):
        return await _to_try_again(request, "/sessions")
    ended = await endings.log_out_everywhere(db, user.id, Keep(user.session_id, client.browser_mark), client)
    await _tell_of_end(request, is_everywhere=True, codes=ended.codes, passkeys=ended.passkeys)
    response = pages.redirect(request, "/sessions", flash=_others_ended(ended))
    await auth.renew(request, response, ended.epoch)
    await db.commit()
    return response


async def _holds_on(request: Request) -> bool:
    """Whether this session may still end others: the owner may be throwing it out at this moment."""
    db, user = request.state.db, request.state.user
    with contextlib.suppress(Overtaken):
        await endings.hold(db, user.id, user.epoch, user.session_id)
        return True
    return False


async def _to_try_again(request: Request, path: str) -> Response:
    """Whatever overtook this session has most likely ended it: then a stranger reads this, on the log-in page."""
    goes_on = await endings.goes_on(request.state.db, request.state.user.session_id)
    with contextlib.nullcontext() if goes_on else page_language.after_logging_out(request, request.state.user.id):
        return pages.redirect(request, path, flash=_("Your account has just changed. Try again."), kind="error")


async def _tell_of_end(request: Request, **told: Any) -> None:
    db, settings, user = request.state.db, request.app.state.settings, request.state.user
    await users.tell(db, settings, user, "sessions_ended", **told)


def _others_ended(ended: Ended) -> str:
    words = _("You weren't logged in anywhere else.")
    if ended.sessions:
        words = ngettext(
            "You're logged out on %(ended)s other device.",
            "You're logged out on %(ended)s other devices.",
            ended.sessions,
        ) % {"ended": ended.sessions}
    return email_links.with_codes(words, ended)


@while_logged_in
async def _saved(request: Request, form: Form[forms.EditProfile], user: User) -> Response:
    db, settings, client = request.state.db, request.app.state.settings, auth.client_info(request)
    await profiles.change(db, settings, user, form.data.about_me, bool(form.data.is_public), client)
    await db.commit()
    return pages.redirect(request, "/settings", flash=_("Profile saved."))


async def _renamed(request: Request, form: Form[forms.EditProfile], user: User) -> bool | None:
    """Gives the account its new username, or says in the form why not. The cheapest checks come first.

    Taking back one that is kept for the account keeps no more of them from others, so it has a limit of its own.
    """
    db, settings = request.state.db, request.app.state.settings
    is_own = await usernames.former_owner(db, form.data.username) == user.id
    if form.data.username.lower() != user.username_key:
        check_username(form, request.app.state.reserved_usernames)
    if form.is_valid and not await users.is_free(db, settings, form.data.username, by=user.id):
        form.refuse("username", str(Taken("username")))
    owner = await proof.prove(request, form) if form.is_valid else None
    change = limited(rate_limits.TAKE_BACK_USERNAME if is_own else rate_limits.CHANGE_USERNAME)(_username_changed)
    return await change(request, form, owner) if owner else False


@while_logged_in
async def _username_changed(request: Request, form: Form[forms.EditProfile], owner: User) -> bool:
    db, settings, client = request.state.db, request.app.state.settings, auth.client_info(request)
    try:
        await profiles.rename(db, settings, owner, form.data.username, client)
    except Taken as taken:
        await release(db)
        form.refuse("username", str(taken))
        return False
    return True


@limited(rate_limits.CHANGE_PASSWORD, at_once=True)
async def _password_changed(request: Request, form: Form[forms.ChangePassword], user: User) -> Response:
    """Changes the password. This browser stays logged in, under a new session id."""
    db, state, keep = request.state.db, request.app.state, Keep(request.state.user.session_id)
    client = auth.client_info(request)
    try:
        ended = await users.change_password(
            db, state.hasher, state.settings, user, form.data.password, client, Event.PASSWORD_CHANGED, keep
        )
    except Overtaken:
        return await _to_try_again(request, "/change_password")
    response = pages.redirect(request, "/settings", flash=_changed(ended))
    await auth.renew(request, response, ended.epoch)
    await db.commit()
    return response


def _changed(ended: Ended) -> str:
    words = _("Your password is changed.")
    if ended.sessions:
        words = ngettext(
            "Your password is changed, and you're logged out on %(ended)s other device.",
            "Your password is changed, and you're logged out on %(ended)s other devices.",
            ended.sessions,
        ) % {"ended": ended.sessions}
    return email_links.with_codes(words, ended)

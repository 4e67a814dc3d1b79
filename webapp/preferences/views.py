"""The pages of one's own account: profile, password, address, sessions and emails."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import known_browsers, users
from webapp.accounts import sessions as open_sessions
from webapp.accounts.models import User
from webapp.accounts.tokens import Purpose, Refused, TokenMalformed, verify
from webapp.accounts.users import Ended, Keep, Overtaken, Taken
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth, email_links
from webapp.authentication.auth import login_required
from webapp.authentication.forms import check_password
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.mail.kinds import KINDS
from webapp.notifications import history, switches
from webapp.preferences import forms, profiles
from webapp.web import errors, page_language, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import limited, limited_button


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
    proved = await auth.prove(request, form, form.data.current_password) if form.is_valid else None
    response = await _password_changed(request, form, proved) if proved else None
    return response or pages.render(request, "preferences/change_password.html", part="form", form=form)


async def language(request: Request) -> Response:
    """Shows this browser the site in another language; whoever is logged in gets their emails in it, too."""
    form = await Form.read(request, forms.Language)
    chosen, user, db = form.values["language"], request.state.user, request.state.db
    if chosen not in request.app.state.settings.languages:
        return errors.page(request, 422, _("This site does not speak that language."))
    if user:
        await users.set_language(db, user.id, chosen)
        await db.commit()
    response = pages.redirect(request, pages.page_before(request))
    page_language.remember(request, response, chosen)
    return response


@login_required
async def edit_profile(request: Request) -> Response:
    db = request.state.db
    user = await users.get(db, request.state.user.id)
    assert user is not None, "a session goes with its account"
    is_public = "1" if user.is_public else ""
    form = await Form.of(
        request, forms.EditProfile, username=user.username, about_me=user.about_me, is_public=is_public
    )
    if form.is_valid:
        data, client = form.data, auth.client_info(request)
        try:
            await profiles.change(db, user, data.username, data.about_me, bool(data.is_public), client)
        except Taken as taken:
            form.refuse("username", str(taken))
        else:
            await db.commit()
            return pages.redirect(request, "/settings", flash=_("Your profile is saved."))
    return pages.render(request, "preferences/edit_profile.html", part="form", form=form)


@login_required
async def sessions(request: Request) -> Response:
    user = request.state.user
    listed = [
        {
            "session": session,
            "browser": known_browsers.described(session.user_agent),
            "is_this": session.id == user.session_id,
        }
        for session in await open_sessions.of(request.state.db, user)
    ]
    return pages.render(request, "preferences/sessions.html", listed=listed)


@login_required
@limited_button(rate_limits.SMALL_CHANGES)
async def end_session(request: Request) -> Response:
    """Ends one of one's own sessions; ending the current one logs out. Somebody else's is answered like none at all."""
    await Form.read(request, EmptyForm)
    db, user, chosen = request.state.db, request.state.user, request.path_params["id"]
    session = next((session for session in await open_sessions.of(db, user) if str(session.id) == chosen), None)
    if session and session.id == user.session_id:
        response = pages.redirect(request, "/login", flash=_("You are logged out."))
        await auth.log_out(request, response)
        await db.commit()
        return response
    client = auth.client_info(request)
    if session and await open_sessions.end_other(db, user, session.id, client.browser_mark):
        named = known_browsers.described(session.user_agent)
        await events.note(db, Event.SESSION_ENDED, user.id, client, browser=named)
        await db.commit()
        return pages.redirect(request, "/sessions", flash=_("Ended: %(browser)s.") % {"browser": named})
    return pages.redirect(request, "/sessions", flash=_("That sign-in has ended already."))


@login_required
@limited_button(rate_limits.SMALL_CHANGES)
async def end_other_sessions(request: Request) -> Response:
    """Logs the person out everywhere else. Links, known browsers and recovery codes end too: a thief may hold those."""
    await Form.read(request, EmptyForm)
    db, user, client = request.state.db, request.state.user, auth.client_info(request)
    ended = await users.log_out_everywhere(db, user.id, Keep(user.session_id, client.browser_mark), client)
    response = pages.redirect(request, "/sessions", flash=_others_ended(ended))
    await auth.renew(request, response, ended.epoch)
    await db.commit()
    return response


@login_required
async def emails(request: Request) -> Response:
    """The emails that were sent, and switches for the optional ones."""
    db, user = request.state.db, request.state.user
    wanted = await switches.of(db, user.id)
    initial = {kind: "1" for kind, is_wanted in wanted.items() if is_wanted}
    form = await Form.of(request, forms.email_choices(list(wanted)), **initial)
    if form.is_valid:
        for kind in wanted:
            await switches.choose(db, user.id, kind, bool(form.values[kind]))
        await db.commit()
        return pages.redirect(request, "/letters", flash=_("Saved: only the emails that you want will come."))
    sent = await history.latest(db, user.id)
    labels = [(kind, _(KINDS[kind].label)) for kind in wanted]
    return pages.render(request, "preferences/emails.html", part="form", form=form, sent=sent, switches=labels)


async def unsubscribe(request: Request) -> Response:
    """The page behind the unsubscribe link of an optional email.

    A POST turns it off whoever sends it, and whatever its body says: mail programs do so by themselves, without
    cookies (RFC 8058).
    """
    return await _choice(request, is_wanted=False)


async def subscribe_again(request: Request) -> Response:
    return await _choice(request, is_wanted=True)


async def _choice(request: Request, *, is_wanted: bool) -> Response:
    """Shows the choice that a link is about; a POST makes it first."""
    db, token, is_post = request.state.db, request.path_params["token"], request.method == "POST"
    try:
        claim = verify(request.app.state.settings, Purpose.UNSUBSCRIBE, token)
        user, kind = await users.get(db, int(claim.subject)), KINDS.get(claim.about)
        if user is None or kind is None or not kind.is_optional:
            raise TokenMalformed
    except Refused as refused:
        return email_links.bad(request, refused, "unsubscribe")
    if is_post:
        await switches.choose(db, user.id, claim.about, is_wanted)
        await db.commit()
    return pages.render(
        request,
        "preferences/unsubscribe.html",
        part="panel",
        username=user.username,
        label=_(kind.label),
        is_wanted=await switches.wants(db, user.id, claim.about),
        is_answer=is_post,
        token=token,
    )


def _others_ended(ended: Ended) -> str:
    words = _("There was no other sign-in.")
    if ended.sessions:
        words = ngettext("%(ended)s other sign-in was ended.", "%(ended)s other sign-ins were ended.", ended.sessions)
        words %= {"ended": ended.sessions}
    return email_links.with_codes(words, ended)


@limited(rate_limits.CHANGE_PASSWORD, at_once=True)
async def _password_changed(request: Request, form: Form[forms.ChangePassword], user: User) -> Response:
    """Changes the password. This browser stays logged in, under a new session id."""
    db, state, kept = request.state.db, request.app.state, request.state.user.session_id
    client = auth.client_info(request)
    try:
        ended = await users.change_password(
            db, state.hasher, state.settings, user, form.data.password, client, Event.PASSWORD_CHANGED, kept=kept
        )
    except Overtaken:
        return pages.redirect(request, "/change_password", flash=_("Your account changed meanwhile. Please try again."))
    response = pages.redirect(request, "/settings", flash=_changed(ended))
    await auth.renew(request, response, ended.epoch)
    await db.commit()
    return response


def _changed(ended: Ended) -> str:
    words = _("Your password is changed.")
    if ended.sessions:
        words = ngettext(
            "Your password is changed, and %(ended)s other sign-in was ended.",
            "Your password is changed, and %(ended)s other sign-ins were ended.",
            ended.sessions,
        ) % {"ended": ended.sessions}
    return email_links.with_codes(words, ended)

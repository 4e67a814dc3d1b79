"""The pages of one's own account: the list of them, and the password."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import pages
from webapp.accounts import sessions, users
from webapp.accounts.forms import check_password
from webapp.accounts.sessions import login_required
from webapp.accounts.users import Overtaken
from webapp.forms import Form
from webapp.language import gettext as _
from webapp.language import ngettext
from webapp.preferences import forms
from webapp.security.events import Event


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
    if form.is_valid:
        response = await _password_changed(request, form)
        if response:
            return response
    return pages.render(request, "preferences/change_password.html", part="form", form=form)


async def _password_changed(request: Request, form: Form[forms.ChangePassword]) -> Response | None:
    """Changes the password, or says in the form why not. This browser stays logged in, under a new session id."""
    user = await sessions.prove(request, form, form.data.current_password)
    if user is None:
        return None
    db, state, kept = request.state.db, request.app.state, request.state.user.session_id
    here = sessions.visit(request)
    try:
        ended = await users.change_password(
            db, state.hasher, state.settings, user, form.data.password, here, Event.PASSWORD_CHANGED, kept=kept
        )
    except Overtaken:
        return pages.redirect(request, "/change_password", flash=_("Your account changed meanwhile. Please try again."))
    response = pages.redirect(request, "/settings", flash=_changed(ended))
    await sessions.renew(request, response, user.epoch + 1)
    await db.commit()
    return response


def _changed(ended: int) -> str:
    if not ended:
        return _("Your password is changed.")
    words = ngettext(
        "Your password is changed, and %(ended)s other sign-in was ended.",
        "Your password is changed, and %(ended)s other sign-ins were ended.",
        ended,
    )
    return words % {"ended": ended}

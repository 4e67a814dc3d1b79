"""Passkeys in the browser: a small script fills in ordinary forms with a passkey's answers; these views take them."""

from typing import Any

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp import rate_limits
from webapp.accounts import known_browsers, users
from webapp.accounts.endings import Overtaken
from webapp.accounts.models import Passkey, User
from webapp.authentication import auth, email_links, proof
from webapp.authentication.auth import login_required, while_logged_in
from webapp.authentication.forms import Login, Proved
from webapp.authentication.proof import proved
from webapp.factors import second_step
from webapp.i18n import gettext as _
from webapp.passkey_pages.forms import AddPasskey, LogIn, RenamePasskey
from webapp.passkeys import ceremony
from webapp.passkeys import passkeys as keys
from webapp.passkeys.ceremony import PasskeyInvalid
from webapp.passkeys.passkeys import LOG_IN, Duplicate, TooMany
from webapp.web import pages
from webapp.web.forms import Form
from webapp.web.limits import limited, limited_button


async def passkey_challenge(request: Request) -> Response:
    """The challenge for logging in with a passkey. It is alike for everybody, and nobody is looked up."""
    _must_be_possible(request)
    return JSONResponse(ceremony.to_use(request.app.state.settings, LOG_IN))


async def log_in_with_passkey(request: Request) -> Response:
    """Logs in whoever has one of the account's passkeys and can unlock it: two factors in one."""
    _must_be_possible(request)
    form = await Form.read(request, LogIn)
    came_for = pages.local_path(form.values["next"])
    found = await proof.try_passkey(request, form, LOG_IN, form.data.credential) if form.is_valid else None
    if found and not await auth.logs_in_too_often(request, form, found[0]):
        user, passkey = found
        response = pages.redirect(request, came_for)
        is_remembered = bool(form.data.remember_me)
        await _end_wait(request, user)
        await auth.log_in(request, response, user, is_remembered=is_remembered, passkey=passkey.id)
        await request.state.db.commit()
        return response
    shown, failed = Form(Login), _("That passkey didn't open an account here. Log in with your password instead.")
    shown.errors, shown.status, shown.headers = {"": form.errors.get("") or failed}, form.status, form.headers
    return pages.render(
        request,
        "authentication/login.html",
        form=shown,
        status=max(form.status, 422),
        next="" if came_for == "/" else came_for,
        forgot_url=request.app.url_path_for("reset_password_request"),
    )


async def _end_wait(request: Request, user: User) -> None:
    """Ends a log-in that was waiting for its second step: this answers it, so the owner needs no email about it."""
    waiting = await auth.pending_log_in(request)
    if waiting and waiting[1].id == user.id:
        await second_step.finish(request.state.db, waiting[0])


@login_required
async def prove_challenge(request: Request) -> Response:
    """The challenge with which a logged-in person proves who they are."""
    _must_be_possible(request)
    about = request.state.user.proves
    return JSONResponse(ceremony.to_use(request.app.state.settings, about))


@login_required
async def passkeys(request: Request) -> Response:
    """The person's passkeys, and the form that adds one."""
    form, settings, user = await Form.of(request, AddPasskey), request.app.state.settings, request.state.user
    is_possible = settings.can_have_passkeys
    if request.method == "POST" and not is_possible:
        form.refuse("", _("This site can't have passkeys."))
    if form.is_valid and not form.data.credential:
        form.refuse("", _("Passkeys need JavaScript, and a browser that supports them."))
    if form.is_valid and await _added(request, form):
        words = _("The passkey is added. You can log in with it from now on.")
        return pages.redirect(request, request.app.url_path_for("passkeys"), flash=words)
    listed = await keys.of(request.state.db, user.id)
    # After a wrong password or code the browser needn't make another one: what it made is sent again.
    made = form.values["credential"] if form.errors.keys() & {"current_password", "code"} else ""
    handle = form.values["handle"] if made else listed[0].handle if listed else ceremony.new_handle()
    about = keys.about_new(user.id, user.epoch, handle)
    others = [passkey.credential_id for passkey in listed]
    return pages.render(
        request,
        "passkey_pages/passkeys.html",
        form=form,
        listed=listed,
        is_possible=is_possible,
        handle=handle,
        made=made,
        options=ceremony.to_make(settings, about, handle, user.username, others) if is_possible else "",
    )


@proved
@limited(rate_limits.PASSKEYS)
async def _added(request: Request, form: Form[AddPasskey]) -> bool:
    """Adds the passkey that the browser has made, or says in the form why not."""
    db, settings, data, user = request.state.db, request.app.state.settings, form.data, await _account(request)
    about = keys.about_new(user.id, request.state.user.epoch, data.handle)
    client = auth.client_info(request)
    name = data.name or known_browsers.described(client.user_agent)[:60]
    try:
        await db.commit()
        made = await run_sync(ceremony.made, settings, about, data.credential)
        if user.epoch != request.state.user.epoch:  # what ends everything came between the visitor and their account
            raise Overtaken
        await keys.add(db, settings, user, request.state.user.session_id, made, data.handle, name, client)
        await db.commit()
    except PasskeyInvalid:
        form.refuse("", _("The passkey couldn't be added: its answer came too late, or was meant for another site."))
    except Duplicate:
        form.refuse("", _("That passkey is on the list already."))
    except TooMany:
        form.refuse("", _("That's as many as an account can have. Remove one first."))
    except Overtaken:
        form.refuse("", _("Your account has just changed. Try again."))
    return form.is_valid


@login_required
async def passkey(request: Request) -> Response:
    """Renames a passkey."""
    chosen = await _chosen(request)
    form = await Form.of(request, RenamePasskey, name=chosen.name)
    if form.is_valid and await _renamed(request, form, chosen):
        page = request.app.url_path_for("passkeys")
        return pages.redirect(request, page, flash=_("The passkey is now called %(name)s.") % {"name": form.data.name})
    return pages.render(request, "passkey_pages/passkey.html", part="form", form=form, passkey=chosen)


@proved
@limited(rate_limits.PASSKEYS)
@while_logged_in
async def _renamed(request: Request, form: Form[RenamePasskey], chosen: Passkey) -> bool:
    db, settings = request.state.db, request.app.state.settings
    await keys.rename(db, settings, await _account(request), chosen, form.data.name, auth.client_info(request))
    await db.commit()
    return True


@login_required
async def remove_passkey(request: Request) -> Response:
    chosen = await _chosen(request)
    form = await Form.of(request, Proved)
    response = await _removed(request, form, chosen) if form.is_valid else None
    return response or pages.render(
        request, "passkey_pages/remove_passkey.html", part="form", form=form, passkey=chosen
    )


@proved
@while_logged_in
async def _removed(request: Request, form: Form[Any], chosen: Passkey) -> Response:
    db, settings = request.state.db, request.app.state.settings
    ended = await keys.remove(db, settings, request.state.user, chosen, auth.client_info(request))
    words = _("%(name)s no longer opens your account.") % {"name": chosen.name}
    if ended:
        words = f"{words} {email_links.logged_out_on(ended)}"
    response = pages.redirect(request, request.app.url_path_for("passkeys"), flash=words)
    await auth.renew_browser(request, response)
    await db.commit()
    return response


@login_required
@limited_button(rate_limits.SMALL_CHANGES)
async def decline_passkey(request: Request) -> Response:
    """Stops offering a passkey."""
    await keys.decline(request.state.db, request.state.user.id)
    await request.state.db.commit()
    return pages.redirect(request, "/")


async def _account(request: Request) -> User:
    return await users.owner(request.state.db, request.state.user.id)


async def _chosen(request: Request) -> Passkey:
    """The person's own passkey named in the path. Somebody else's is answered as if there were none."""
    chosen = request.path_params["passkey_id"]
    for each in await keys.of(request.state.db, request.state.user.id):
        if each.id == chosen:
            return each
    raise HTTPException(404)


def _must_be_possible(request: Request) -> None:
    if not request.app.state.settings.can_have_passkeys:
        raise HTTPException(404)

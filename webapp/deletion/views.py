"""Delete your account, and undo that."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import deletions, users
from webapp.accounts.endings import Overtaken
from webapp.accounts.models import AccountDeletion, User
from webapp.accounts.tokens import Purpose, TokenClosed, TokenInvalid, TokenUsed, read
from webapp.authentication import auth, email_links, proof
from webapp.authentication.auth import login_required, while_logged_in
from webapp.deletion import emails, forms
from webapp.i18n import gettext as _
from webapp.web import cookies, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import limited


@login_required
async def delete_account(request: Request) -> Response:
    """Says what goes and what stays, and takes the username and the password. Then the account is hidden."""
    form, user = await Form.of(request, forms.DeleteAccount), request.state.user
    if form.is_valid and form.data.username.lower() != user.username.lower():
        form.refuse("username", _("That's not your username. It is %(name)s.") % {"name": user.username})
    proved = await proof.prove(request, form) if form.is_valid else None
    response = await _asked(request, form, proved) if proved else None
    if response:
        return response
    days = request.app.state.settings.account_deletion_days
    return pages.render(request, "deletion/delete_account.html", part="form", form=form, days=days)


async def account_deleted(request: Request) -> Response:
    """What people see right after deleting their account. It doesn't say whose it was."""
    days = request.app.state.settings.account_deletion_days
    return pages.render(request, "deletion/account_deleted.html", days=days)


async def undo_deletion(request: Request) -> Response:
    """The button behind the link in the email. Opening the page changes nothing."""
    form = await Form.of(request, EmptyForm)
    try:
        deletion, user = await _deletion_of(request)
        if form.is_valid:
            return await _undone(request, deletion, user)
    except Overtaken:
        return pages.redirect(request, request.url.path)  # where the link now says that it was used
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "undo_deletion")
    return pages.render(
        request,
        "deletion/undo_deletion.html",
        part="panel",
        form=form,
        username=user.username,
        due_at=deletion.due_at,
        token=request.path_params["token"],
    )


@limited(rate_limits.DELETE_ACCOUNT)
@while_logged_in
async def _asked(request: Request, form: Form[forms.DeleteAccount], user: User) -> Response:
    db, settings = request.state.db, request.app.state.settings
    await deletions.ask(db, settings, user, auth.client_info(request))
    if settings.sends_mail:
        await emails.tell(db, settings, user)
    await db.commit()
    response = pages.redirect(request, request.app.url_path_for("account_deleted"))
    cookies.delete(request, response, auth.COOKIE)
    return response


async def _deletion_of(request: Request) -> tuple[AccountDeletion, User]:
    """The deletion that a link undoes. Raises TokenInvalid; the link is used up once there is nothing left to undo."""
    db = request.state.db
    claim, expired = read(request.app.state.settings, Purpose.UNDO_DELETION, request.path_params["token"])
    deletion = await deletions.get(db, int(claim.subject))
    if deletion is None:
        raise expired or TokenUsed(claim)
    if not deletions.is_undoable(deletion):
        raise TokenClosed(claim)
    if expired:
        raise expired
    return deletion, await users.owner(db, deletion.user_id)


async def _undone(request: Request, deletion: AccountDeletion, user: User) -> Response:
    await deletions.undo(request.state.db, deletion, auth.client_info(request))
    await request.state.db.commit()
    words = _("%(name)s is back. Recovery codes and passkeys from before no longer work. Log in to go on.")
    words %= {"name": user.username}
    return pages.redirect(request, f"/login?username={user.username}", flash=words)

"""Report a post and, for ADMINS, decide what happens to it."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.endings import Overtaken
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth
from webapp.authentication.auth import admin_required, login_required, while_logged_in
from webapp.authentication.proof import proved, proved_button
from webapp.i18n import gettext as _
from webapp.moderation import decided, decisions, emails, forms, reports
from webapp.moderation.decisions import Gone, OwnPost
from webapp.moderation.reports import Case
from webapp.web import errors, pages
from webapp.web.forms import Form
from webapp.web.limits import limited, limited_button
from webapp.web.pages import FlashKind


@login_required
async def report(request: Request) -> Response:
    me = request.state.user
    form, post = await Form.of(request, forms.ReportPost), await _post(request, me.id)
    if post.author_id == me.id:
        return errors.page(request, 400, _("That's your own post. You can delete it."))
    is_filed = await reports.has_filed(request.state.db, post.id, me.id)
    if form.is_valid and not is_filed:
        is_filed = bool(await _filed(request, form, post))
    if is_filed and request.method == "POST" and not pages.asks_for_part(request):
        return pages.redirect(request, request.url.path)
    return pages.render(request, "moderation/report.html", part="panel", form=form, post=post, is_filed=is_filed)


@admin_required
async def admin_reports(request: Request) -> Response:
    db, me = request.state.db, request.state.user
    return pages.render(
        request,
        "moderation/admin_reports.html",
        cases=await reports.waiting(db),
        decided=await decided.latest(db),
        keeps_own=not await decisions.has_other_admin(db, request.app.state.settings, me),
    )


@admin_required
@limited_button(rate_limits.SMALL_CHANGES)
@proved_button
async def keep_post(request: Request) -> Response:
    post, me, client = await _post(request), request.state.user, auth.client_info(request)
    try:
        await decisions.keep(request.state.db, request.app.state.settings, post, me)
    except OwnPost:
        await request.state.db.commit()  # it counts
        return _decided(request, _("That's your own post, so another admin decides."), kind="error")
    except Gone:
        raise HTTPException(404) from None
    await events.note(request.state.db, Event.POST_KEPT, me.id, client, post=post.id)
    await request.state.db.commit()
    return _decided(request, _("%(name)s's post stays.") % {"name": post.username})


@admin_required
async def remove_post(request: Request) -> Response:
    form, post = await Form.of(request, forms.Decision), await _post(request)
    if form.is_valid and await _removed(request, form, post):
        return _decided(request, _("%(name)s's post is removed.") % {"name": post.username})
    return _decision(request, "moderation/remove_post.html", form, post)


@admin_required
async def disable_user(request: Request) -> Response:
    form, post = await Form.of(request, forms.Decision), await _post(request)
    if form.is_valid and post.email in request.app.state.settings.admin_addresses:
        form.refuse("", _("That's an admin, too. Only the command line can do that."))
    if form.is_valid and await _disabled(request, form, post):
        return _decided(request, _("%(name)s's account is disabled.") % {"name": post.username})
    return _decision(request, "moderation/disable_user.html", form, post)


@proved
@limited(rate_limits.SMALL_CHANGES)
@while_logged_in
async def _removed(request: Request, form: Form[forms.Decision], post: Case) -> bool:
    db, settings = request.state.db, request.app.state.settings
    by = events.by_admin(request.state.user.username)
    if not await decisions.remove(db, settings, post.id, form.data.reason, by):
        raise HTTPException(404)  # another admin was quicker, and it is their reason that the author reads
    await db.commit()
    return True


@proved
@limited(rate_limits.SMALL_CHANGES)
@while_logged_in
async def _disabled(request: Request, form: Form[forms.Decision], post: Case) -> bool:
    db, settings = request.state.db, request.app.state.settings
    person = await users.get(db, post.author_id)
    if person is None:
        return False
    try:
        if person.disabled_at is not None:
            raise Overtaken  # by another admin
        await decisions.disable(db, settings, person, form.data.reason, events.by_admin(request.state.user.username))
    except Overtaken:
        words = _("%(name)s's account has just changed. Look at it again, then decide.")
        form.refuse("", words % {"name": person.username})
        return False
    await emails.tell_other_admins(db, settings, request.state.user.email)
    await db.commit()
    return True


@limited(rate_limits.REPORTS)
async def _filed(request: Request, form: Form[forms.ReportPost], post: Case) -> bool:
    """Adds the report, unless too many of theirs wait."""
    db, settings, me = request.state.db, request.app.state.settings, request.state.user
    if await reports.open_of(db, me.id) >= reports.MOST_OPEN:
        words = _("%(num)s of your reports wait for an admin. You can send more once some of them are decided.")
        form.refuse("", words % {"num": reports.MOST_OPEN})
        return False
    if await reports.file(db, post.id, me.id, form.data.reason):
        await emails.tell_admins(db, settings, post.id, me.id)
    await db.commit()
    return True


async def _post(request: Request, viewer_id: int | None = None) -> Case:
    """The post in the path; 404 if it can't be seen, by the viewer if there is one."""
    post = await reports.case(request.state.db, request.path_params["post_id"], viewer_id=viewer_id)
    if post is None:
        raise HTTPException(404)
    return post


def _decision(request: Request, page: str, form: Form[Any], post: Case) -> Response:
    return pages.render(request, page, part="form", form=form, post=post)


def _decided(request: Request, words: str, kind: FlashKind = "success") -> Response:
    return pages.redirect(request, request.app.url_path_for("admin_reports"), flash=words, kind=kind)

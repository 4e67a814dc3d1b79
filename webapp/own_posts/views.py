"""Edit a post within ten minutes; delete it, and undo that."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.authentication.auth import login_required
from webapp.i18n import gettext as _
from webapp.posts import posts, text, timeline
from webapp.posts.views import Write, gone
from webapp.web import pages
from webapp.web.forms import Form
from webapp.web.limits import limited, limited_button


@login_required
async def edit_post(request: Request) -> Response:
    """The form with the post in it, for ten minutes. If sent later, it keeps what was typed, and says why."""
    db, user, post_id = request.state.db, request.state.user, request.path_params["post_id"]
    body = await posts.editable(db, user.id, post_id)
    if body is None and not await posts.is_own(db, user.id, post_id):
        if request.method == "POST" and await posts.is_own(db, user.id, post_id, even_gone=True):
            return await gone(request)
        raise HTTPException(404)
    if body is None and request.method != "POST":
        return pages.render(
            request, "own_posts/gone.html", status=410, words=_("A post can be edited for ten minutes.")
        )
    form = await Form.of(request, Write, body=body or "")
    if form.is_valid and await _edited(request, form, post_id, body):
        return pages.redirect(request, f"/user/{user.username}/{post_id}", flash=_("Post saved."))
    if form.is_valid:
        form.refuse("body", _("Too late: a post can be edited for ten minutes."))
    return pages.render(
        request,
        "own_posts/edit_post.html",
        part="panel",
        form=form,
        post_id=post_id,
        most_characters=text.MOST_CHARACTERS,
    )


@limited(rate_limits.POSTS)
async def _edited(request: Request, form: Form[Write], post_id: int, before: str | None) -> bool:
    """Whether the post now says what was typed. It isn't marked as edited if it already did."""
    db, settings, user = request.state.db, request.app.state.settings, request.state.user
    is_same = form.data.body == before
    is_edited = is_same or await posts.edit(db, settings, user.id, post_id, form.data.body)
    await db.commit()
    return is_edited


@login_required
@limited_button(rate_limits.SMALL_CHANGES)
async def delete_post(request: Request) -> Response:
    db, user, post_id = request.state.db, request.state.user, request.path_params["post_id"]
    if not await posts.delete(db, user.id, post_id):
        raise HTTPException(404)
    await db.commit()
    if pages.asks_for_part(request):
        return pages.render(request, "posts/deleted.html", part="deleted", post_id=post_id)
    return pages.redirect(request, f"/user/{user.username}/{post_id}")


@login_required
@limited_button(rate_limits.SMALL_CHANGES)
async def restore_post(request: Request) -> Response:
    db, user, post_id = request.state.db, request.state.user, request.path_params["post_id"]
    if not await posts.restore(db, user.id, post_id):
        words = _("That post is gone. You can undo for ten seconds.")
        return pages.render(request, "own_posts/gone.html", part="gone", status=422, words=words)
    await db.commit()
    if pages.asks_for_part(request):
        card = await timeline.one(db, post_id, viewer_id=user.id)
        return pages.render(request, "posts/_restored.html", part="post", card=card)
    return pages.redirect(request, f"/user/{user.username}/{post_id}", flash=_("Your post is back."))

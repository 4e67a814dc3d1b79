"""The search page."""

from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.i18n import gettext as _
from webapp.names.identities import visible
from webapp.posts import timeline
from webapp.posts.timeline import Page
from webapp.rate_limits import TooOften
from webapp.search import index, words
from webapp.search.index import FoundPerson
from webapp.web import pages
from webapp.web.forms import number_in_query
from webapp.web.limits import count_look


async def search(request: Request) -> Response:
    """Posts and people by their words; for strangers, what they may read."""
    user, settings = request.state.user, request.app.state.settings
    if user is None and not settings.public_profiles:
        return _to_log_in(request)
    typed = " ".join(visible(request.query_params.get("q", "")).split())
    before = number_in_query(request, "before", timeline.LAST, is_signed=True)
    try:
        terms = words.parse(typed) if typed else ()
        if terms:
            await count_look(request, rate_limits.SEARCHES)
    except ValueError as refused:
        return _page(request, typed, refusal=str(refused), status=422)
    except TooOften as refused:
        sentence = _("That was a lot at once. You can search again in %(wait)s.") % {"wait": refused.wait}
        headers = {"retry-after": str(refused.seconds)}
        return _page(request, typed, refusal=sentence, status=429, headers=headers)
    if not terms:
        return _page(request, typed)
    db, viewer_id = request.state.db, user.id if user else None
    is_first = before == timeline.LAST
    page, people = await index.find(db, terms, viewer_id, settings.posts_per_page, before, with_people=is_first)
    return _page(request, typed, part="results" if is_first else "posts", page=page, people=people)


def _page(
    request: Request,
    typed: str,
    *,
    part: str = "results",
    page: Page | None = None,
    people: Sequence[FoundPerson] = (),
    refusal: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    return pages.render(
        request,
        "search/search.html",
        part=part,
        status=status,
        headers=headers,
        typed=typed,
        most_characters=words.MOST_CHARACTERS,
        page=page,
        people=people[: index.MOST_PEOPLE],
        has_more_people=len(people) > index.MOST_PEOPLE,
        refusal=refusal,
    )


def _to_log_in(request: Request) -> Response:
    """Sends to the log-in, and back to this search afterwards."""
    query = f"?{request.url.query}" if request.url.query else ""
    return pages.redirect(request, f"/login?next={quote(request.url.path + query)}")

"""The pages of posts."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import pages
from webapp.accounts.sessions import login_required


@login_required
async def home(request: Request) -> Response:
    return pages.render(request, "posts/home.html")

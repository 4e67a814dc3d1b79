"""For load balancers and monitors: does the process serve, and can it do its work?"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.database import now
from webapp.errors import UNAVAILABLE
from webapp.mail import status


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """200 when the database answers and this process's mailer runs, else 503 and what is wrong."""
    mailer, wanted = request.app.state.mailer, request.app.state.settings.mailer == "web"
    problems = [] if mailer.is_running or not wanted else ["the mailer is not running"]
    age = None
    try:
        oldest = await status.oldest_waiting(request.state.db)
        age = round((now() - oldest).total_seconds()) if oldest else 0
    except UNAVAILABLE:
        problems.append("the database can't be used; was `python -m webapp migrate` run?")
    body = {"status": "unavailable" if problems else "ok", "problems": problems, "oldest_waiting_letter_seconds": age}
    return JSONResponse(body, 503 if problems else 200)

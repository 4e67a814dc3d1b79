"""How a view refuses what is done too often. A limit stands on the line above what it limits."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.database import release
from webapp.i18n import gettext as _
from webapp.rate_limits import Limit, TooOften, Use
from webapp.web import client_ip, errors
from webapp.web.database_session import SAFE_METHODS
from webapp.web.forms import EmptyForm, Form

Result = TypeVar("Result")
More = ParamSpec("More")
View = Callable[[Request], Awaitable[Response]]
Action = Callable[Concatenate[Request, Form[Any], More], Awaitable[Result]]


async def too_often(request: Request, form: Form[Any], *uses: Use, words: str = "") -> TooOften | None:
    """Counts the uses. If that is too often nothing is counted, and the form says when to try again."""
    try:
        await rate_limits.count(request.state.db, request.app.state.settings, *uses)
    except TooOften as refused:
        await release(request.state.db)  # undoes it, and what was read before can still be shown
        form.refuse_for_now(words or _("That was a lot at once. You can continue in %(wait)s."), refused)
        return refused
    return None


async def count_look(request: Request, limit: Limit) -> None:
    """Counts a GET, whose own transaction only reads, in a separate one: for where it comes from, and for who is logged
    in. Raises TooOften.

    With a single rate, what is counted beyond it makes nobody wait longer, so it need not be undone.
    """
    (_rate,), user = limit.counted, request.state.user
    state, who = request.app.state, [client_ip.of(request), *([str(user.id)] if user else [])]
    async with state.database.direct(is_writing=True, is_single=True) as db:
        await rate_limits.count(db, state.settings, *((limit, each) for each in who))
        await db.commit()


def limited(limit: Limit, *, at_once: bool = False) -> Callable[[Action[More, Result]], Action[More, Result | None]]:
    """Runs only as often as the limit allows the account. Otherwise it returns None, and the form says why.

    For what takes long: `at_once` also counts what is still under way, by committing the count first.
    """

    def limit_it(action: Action[More, Result]) -> Action[More, Result | None]:
        @wraps(action)
        async def counted(
            request: Request, form: Form[Any], /, *arguments: More.args, **more: More.kwargs
        ) -> Result | None:
            if await too_often(request, form, (limit, _who(request, limit))):
                return None
            if at_once:
                await request.state.db.commit()
            return await action(request, form, *arguments, **more)

        return counted

    return limit_it


def limited_button(limit: Limit) -> Callable[[View], View]:
    """The same for a button without fields: reads its form, and refuses with a page. A look is not counted."""

    def limit_it(view: View) -> View:
        @wraps(view)
        async def counted(request: Request) -> Response:
            if request.method in SAFE_METHODS:
                return await view(request)
            form = await Form.read(request, EmptyForm)
            if await too_often(request, form, (limit, _who(request, limit))):
                return errors.page(request, 429, form.errors[""], form.headers)
            return await view(request)

        return counted

    return limit_it


def _who(request: Request, limit: Limit) -> str:
    user = request.state.user
    return f"session {user.session_id}" if limit.of_session else str(user.id)

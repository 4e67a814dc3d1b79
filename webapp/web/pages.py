"""How a page is made: render(), redirect(), flash(), and the cookies that go with them."""

import re
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from itsdangerous import BadSignature
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from webapp import i18n, signing
from webapp.i18n import gettext as _
from webapp.settings import Settings
from webapp.web import cookies, drafts, forms, templating
from webapp.web.forms import Form
from webapp.web.static_files import Assets

FLASH_SECONDS = 300
IN_URLS = "/?#[]@!$&'()*+,;=%-._~:"  # characters that need no escaping in a URL (RFC 3986)
FlashKind = Literal["success", "notice", "error"]


def set_up(app: Starlette, settings: Settings, assets: Callable[[], Assets]) -> Environment:
    """Gives the application its templates; returns them, since emails use them, too."""
    env = templating.environment(settings)
    env.globals["path"] = lambda name, **parameters: str(app.url_path_for(name, **parameters))
    env.globals["static"] = lambda name: assets().url(name)
    app.state.templates = env
    app.state.settings = settings
    app.state.new_form_id = forms.new_id
    app.state.flash = signing.serializer(settings, "flash", "said to")
    return env


def render(
    request: Request,
    name: str,
    *,
    part: str | None = None,
    form: Form[Any] | None = None,
    status: int | None = None,
    headers: dict[str, str] | None = None,
    **context: Any,
) -> Response:
    """The page `name`, or only its block `part` when htmx asked for a part of a page.

    The status is the form's own (200, 422 or 429) unless one is given.
    """
    block = part if part is not None and asks_for_part(request) else None
    status = status or (form.status if form else 200)
    values = {
        **context,
        "form": form,
        "status": status,
        "user": getattr(request.state, "user", None),
        "is_known": hasattr(request.state, "user"),  # else it failed before anybody looked whose request it is
        "language": i18n.current(),
        "flashes": [] if block else [*(said[1:] for said in _said(request)), *_said_of_draft(request)],
    }
    template = request.app.state.templates.get_template(name)
    html = "".join(template.blocks[block](template.new_context(values))) if block else template.render(values)
    answer_headers = {"vary": "HX-Request, HX-Request-Type", **(form.headers if form else {}), **(headers or {})}
    html = forms.with_ids(html, request.app.state.new_form_id())
    response = HTMLResponse(html, status, answer_headers)
    if values["flashes"]:
        cookies.delete(request, response, "flash")
        drafts.forget_shown(request, response)
    return response


def _said_of_draft(request: Request) -> list[tuple[FlashKind, str]]:
    is_shown = getattr(request.state, "draft", None)
    return [("notice", _("This is what you typed. It isn't sent yet."))] if is_shown else []


def asks_for_part(request: Request) -> bool:
    """Whether htmx wants only the block of the page that changes."""
    return request.headers.get("hx-request-type") == "partial"


def redirect(request: Request, to: str, flash: str | None = None, kind: FlashKind = "success") -> Response:
    """Redirects with 303; under htmx by a real navigation, which password managers need.

    The next page shows the `flash`, once, as a success, a notice or an error.
    """
    to = quote(to, safe=IN_URLS)  # a header holds ASCII only, and a line break in it would begin another
    if request.headers.get("hx-request") == "true":
        response = Response(status_code=204, headers={"hx-redirect": to})
    else:
        response = RedirectResponse(to, 303)
    if flash:
        say(request, response, flash, kind)
    return response


def say(request: Request, response: Response, words: str, kind: FlashKind = "success") -> None:
    """Makes the next page say something, once, but not to somebody else who has logged in meanwhile."""
    user = getattr(request.state, "user", None)
    value = request.app.state.flash.dumps([*_said(request), (user.id if user else None, kind, words)][-5:])
    cookies.write(request, response, "flash", value, FLASH_SECONDS)


def page_before(request: Request) -> str:
    """The path of the page on this site from which a form was sent, according to the browser; `/` if it doesn't say."""
    try:
        referer = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # brackets around something that isn't a host
        return "/"
    if f"{referer.scheme}://{referer.netloc}" != request.app.state.settings.base_url:
        return "/"
    return local_path(f"{referer.path}?{referer.query}" if referer.query else referer.path)


def local_path(target: str, default: str = "/") -> str:
    """The target if it is a path on this very site, else the default: a redirect never leaves the host."""
    if len(target) > 2000 or not re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", target):
        return default
    parts = urlsplit(target)
    return default if parts.scheme or parts.netloc else target


def _said(request: Request) -> list[tuple[int | None, FlashKind, str]]:
    """What the last page left to be shown once, and to whom; nothing if the cookie is old or not ours."""
    cookie, user = cookies.read(request, "flash"), getattr(request.state, "user", None)
    try:
        said = list(request.app.state.flash.loads(cookie, max_age=FLASH_SECONDS)) if cookie else []
    except BadSignature:
        return []
    return [each for each in said if user is None or each[0] in {None, user.id}]

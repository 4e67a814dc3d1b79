"""The files that browsers and robots ask for by name: icons, the manifest, robots.txt."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from webapp.web.static_files import STATIC
from webapp.web.templating import site_description

KEPT_FOR_A_DAY = {"cache-control": "public, max-age=86400"}


async def favicon(_request: Request) -> Response:
    return FileResponse(STATIC / "favicon.ico", headers=KEPT_FOR_A_DAY, media_type="image/x-icon")


async def touch_icon(_request: Request) -> Response:
    return FileResponse(STATIC / "apple-touch-icon.png", headers=KEPT_FOR_A_DAY)


async def manifest(request: Request) -> Response:
    """What a phone shows of the site among its apps (W3C Web Application Manifest)."""
    settings, static = request.app.state.settings, request.app.state.templates.globals["static"]
    icons = [
        {"src": static(f"icon-{name}{size}.png"), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for name, purpose in (("", "any"), ("maskable-", "maskable"))
        for size in (192, 512)
    ]
    return JSONResponse(
        {
            "name": settings.site_name,
            "short_name": settings.site_name,
            "description": site_description(settings),
            "start_url": "/",
            "display": "standalone",
            "background_color": "#f6f1e7",
            "theme_color": "#f6f1e7",
            "icons": icons,
        },
        media_type="application/manifest+json",
    )


async def robots(request: Request) -> Response:
    """Where search engines may go: nowhere, if strangers may read nothing."""
    is_public = request.app.state.settings.public_profiles
    lines = [f"Disallow: {path}" for path in (_unlisted(request.app.routes) if is_public else ["/"])]
    return PlainTextResponse("\n".join(["User-agent: *", *lines, ""]), headers=KEPT_FOR_A_DAY)


def _unlisted(routes: Iterable[BaseRoute]) -> list[str]:
    """What search engines needn't look at: links from emails, which open accounts; and the search."""
    with_token = (route for route in routes if isinstance(route, Route) and "token" in route.param_convertors)
    return [*dict.fromkeys(route.path.partition("{")[0] for route in with_token), "/search"]

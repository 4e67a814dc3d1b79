"""Refuses writes that another site asks for.

No token is needed: browsers say where a request comes from (Fetch Metadata; RFC 6454 for Origin), and the cookies are
`SameSite=Lax`. So nothing expires while somebody types, and forms work with cookies off.
"""

from starlette.requests import Request
from starlette.responses import Response

from webapp.i18n import gettext as _
from webapp.settings import Settings
from webapp.web import errors
from webapp.web.database_session import SAFE_METHODS
from webapp.web.hosts import own_hosts


class CrossSiteWrites:
    """Lets a write through only if one of this site's own pages sent it, or no browser at all."""

    def __init__(self, settings: Settings) -> None:
        scheme = settings.base_url.partition("://")[0]
        self.origins = {f"{scheme}://{host}" for [host] in own_hosts(settings)}

    def __call__(self, request: Request) -> Response | None:
        if request.method in SAFE_METHODS or self.is_ours(request):
            return None
        words = _("That form was sent from another site, so it was refused. Fill it in here.")
        return errors.page(request, 403, words)

    def is_ours(self, request: Request) -> bool:
        sites, origins = request.headers.getlist("sec-fetch-site"), request.headers.getlist("origin")
        if sites:
            return sites in (["same-origin"], ["none"])
        if origins:
            return len(origins) == 1 and origins[0] in self.origins
        # Every browser since 2020 sends one of the two with a POST. A client that sends neither is no browser.
        return True

"""Refuses requests that were meant for another host."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.i18n import gettext as _
from webapp.settings import LOOPBACK, Settings
from webapp.web import errors


class ForeignHost:
    """Answers only to the host of BASE_URL, so that no link, cookie or cache is made for another."""

    def __init__(self, settings: Settings) -> None:
        self.base_url = settings.base_url
        self.hosts = own_hosts(settings)

    def __call__(self, request: Request) -> Response | None:
        # A load balancer asks for these two by IP address.
        if request.scope["path"] in {"/health", "/ready"} or request.headers.getlist("host") in self.hosts:
            return None
        words = _("This site is at %(url)s. Open it there.") % {"url": self.base_url}
        return errors.page(request, 400, words)


def own_hosts(settings: Settings) -> list[list[str]]:
    """Our own Host headers, each as the one-element list that a proper request has."""
    scheme, _scheme, host = settings.base_url.partition("://")
    hosts = [host]
    if settings.host == host.strip("[]"):
        hosts.append(f"{host}:{443 if scheme == 'https' else 80}")
    if settings.development:
        port = host.rpartition(":")[2]
        hosts += [f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in LOOPBACK]
    return [[host] for host in hosts]

"""Where a request comes from. TRUSTED_PROXIES alone decides whom to believe."""

import logging
import re
from ipaddress import ip_address, ip_network

from starlette.requests import Request

log = logging.getLogger("webapp.requests")
FORWARDED = ("x-forwarded-for", "forwarded")
# Where proxies of one's own live: RFC 1918, RFC 6598, RFC 4193, the machine itself and its links.
_INSIDE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 127.0.0.0/8 fc00::/7 fe80::/10 ::/64"
INSIDE = [ip_network(network) for network in _INSIDE.split()]
# Some proxies write the port, too, such as Azure's Application Gateway.
WITH_PORT = re.compile(r"([0-9.]+):[0-9]+|\[([^\[\]]+)\](?::[0-9]+)?")


def of(request: Request) -> str:
    """Where a request comes from: an IPv4 address or an IPv6 /64.

    Behind n trusted proxies it is the n-th X-Forwarded-For entry from the right: anything further left is the client's
    own claim.
    """
    hops = request.app.state.settings.trusted_proxies
    peer = request.client.host if request.client else ""
    forwarded = [part.strip() for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
    if not hops and any(name in request.headers for name in FORWARDED):
        _warn_once(request, "forwarded_headers_ignored", value=0)
    if hops and len(forwarded) < hops:
        _warn_once(request, "too_few_proxies", value=hops, entries=len(forwarded))
    if hops and len(forwarded) >= hops:
        client = _network(forwarded[-hops])
        if len(forwarded) > hops and _is_inside(client):
            _warn_once(request, "too_many_proxies", value=hops, entries=len(forwarded))
        return client
    # A server that reads the header itself, as uvicorn does unless told not to, puts the client's words there.
    return "unknown" if peer and any(peer in entry for entry in forwarded) else _network(peer)


def _network(name: str) -> str:
    if with_port := WITH_PORT.fullmatch(name):
        name = with_port[1] or with_port[2]
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return "unknown"
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _is_inside(client_ip: str) -> bool:
    if client_ip == "unknown":
        return False
    address = ip_network(client_ip).network_address
    return any(address in network for network in INSIDE)


def _warn_once(request: Request, event: str, **fields: int) -> None:
    """Warns that TRUSTED_PROXIES may be wrong, or somebody pretends so: all visitors may look like one, or lie."""
    state = request.app.state
    warned_of: frozenset[str] = getattr(state, "proxy_warnings", frozenset())
    if event not in warned_of:
        state.proxy_warnings = warned_of | {event}
        log.warning(event, extra={"fields": {"setting": "TRUSTED_PROXIES", **fields}})

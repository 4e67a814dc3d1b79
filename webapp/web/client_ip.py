"""Where a request comes from."""

from ipaddress import ip_address, ip_network

from starlette.requests import Request


def of(request: Request) -> str:
    """Where a request comes from: an IPv4 address or an IPv6 /64.

    Behind n trusted proxies, the n-th X-Forwarded-For entry from the right: the ones left of it are the
    client's own words.
    """
    hops = request.app.state.settings.trusted_proxies
    peer = request.client.host if request.client else ""
    if hops:
        forwarded = [part.strip() for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
        peer = forwarded[-hops] if len(forwarded) >= hops else peer
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return "unknown"
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)

"""The security headers of every response: pages, errors and static files alike."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message

from webapp.settings import Settings

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types htmx",
    )
)


Header = tuple[bytes, bytes]


def of(settings: Settings) -> dict[bytes, Header]:
    """The headers that every response of this site has, by name."""
    headers = {
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "x-content-type-options": "nosniff",
        # With no-referrer, plain forms would send `Origin: null`, which csrf.py must refuse.
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "cache-control": "no-store",
    }
    if settings.is_https:
        headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    return {name.encode(): (name.encode(), value.encode()) for name, value in headers.items()}


def add(start: Message, ours: dict[bytes, Header]) -> None:
    """Adds those that a view did not set itself."""
    headers = start.setdefault("headers", [])
    present = ours.keys() & [name for name, _value in headers]
    headers += [header for name, header in ours.items() if name not in present] if present else ours.values()
    if not (b"cache-control" in present and _is_for_everybody(headers)):
        MutableHeaders(raw=headers).add_vary_header("Cookie, Accept-Language")


def _is_for_everybody(headers: list[Header]) -> bool:
    """Whether it is a static file. If one varied by cookie, browsers would ask for it again after every log-in."""
    return any(name == b"cache-control" and value.endswith(b"immutable") for name, value in headers)

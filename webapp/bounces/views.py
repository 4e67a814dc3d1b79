"""POST /bounces: what mail servers and providers send back, for a site with a BOUNCE_KEY."""

import base64
import hmac
import logging
from binascii import Error
from codecs import BOM_UTF8

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.bounces import bounces as marks
from webapp.bounces import providers

log = logging.getLogger("webapp.mail")


async def bounces(request: Request) -> Response:
    """Takes a whole message, or a provider's event. The sender knows the key, or has signed with it."""
    db, settings = request.state.db, request.app.state.settings
    if not settings.bounce_key:
        raise HTTPException(404)
    body = await request.body()
    is_event = body.removeprefix(BOM_UTF8).lstrip()[:1] == b"{"
    try:
        event = providers.read(body) if is_event else {}
        knows_the_key = _knows_the_key(request, settings.bounce_key)
        if not knows_the_key and not providers.is_signed(event, settings.bounce_key):
            return JSONResponse({"problem": "the key is missing or wrong"}, 401, {"www-authenticate": "Basic"})
        if link := providers.subscription(event):
            log.warning("bounces_to_confirm", extra={"fields": {"open": link}})  # for a person to open
            return JSONResponse({"marked": 0})
        if not knows_the_key and not await marks.is_new(db, settings, event):
            return JSONResponse({"marked": 0})
        marked = await (marks.take_event(db, settings, event) if is_event else marks.take_message(db, settings, body))
    except providers.UnknownReport:
        return JSONResponse({"problem": "this is no report that is known here"}, 422)
    await db.commit()
    return JSONResponse({"marked": len(marked)})


def _knows_the_key(request: Request, key: str) -> bool:
    """The key comes as `Authorization: Bearer KEY`, or as the password of any user name."""
    scheme, _space, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (Error, ValueError):
            return False
    return hmac.compare_digest(given.encode(), key.encode())

"""The mailbox page of a development site. A deployed site has no such route."""

import re
from pathlib import Path

from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from webapp import headers, pages
from webapp.mail import mailbox as mailboxes
from webapp.mail.mailbox import Received

# Letters carry inline styles and run no script; they are shown in a frame of the mailbox page.
LETTER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self';"
    " sandbox allow-popups allow-top-navigation-by-user-activation"
)
FRAME_POLICY = f"{headers.CONTENT_SECURITY_POLICY}; frame-src 'self'"


async def mailbox(request: Request) -> Response:
    return pages.render(request, "mail/mailbox.html", part="letters", letters=mailboxes.received(_folder(request)))


async def mailbox_letter(request: Request) -> Response:
    letter = _letter(request)
    return pages.render(
        request,
        "mail/mailbox_letter.html",
        letter=letter,
        text_html=_with_links(letter.text),
        headers={"content-security-policy": FRAME_POLICY},
    )


async def mailbox_html(request: Request) -> Response:
    html = _letter(request).html.replace("<head>", '<head><base target="_top">', 1)
    return HTMLResponse(html, headers={"content-security-policy": LETTER_POLICY})


async def mailbox_source(request: Request) -> Response:
    return PlainTextResponse(_letter(request).source)


def _folder(request: Request) -> Path:
    folder: Path = request.app.state.settings.mailbox
    return folder


def _letter(request: Request) -> Received:
    letter = mailboxes.find(_folder(request), request.path_params["id"])
    if letter is None:
        raise HTTPException(404)
    return letter


def _with_links(text: str) -> Markup:
    """The text with its links made clickable, and everything else escaped."""
    pieces = re.split(r"(https?://\S+)", text)
    return Markup().join(
        Markup('<a href="{0}">{0}</a>').format(piece) if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )

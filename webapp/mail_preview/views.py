"""The mailbox of a development site, and a gallery of every letter it can write. A deployed site has no such routes."""

import re
from pathlib import Path

from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from webapp.mail_preview import inbox as mailboxes
from webapp.mail_preview import lint
from webapp.mail_preview import samples as galleries
from webapp.mail_preview.inbox import Received
from webapp.web import pages, security_headers

# Letters carry inline styles and run no script; they are shown in a frame of the mailbox page.
LETTER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self';"
    " sandbox allow-popups allow-top-navigation-by-user-activation"
)
FRAME_POLICY = f"{security_headers.CONTENT_SECURITY_POLICY}; frame-src 'self'"


async def mailbox(request: Request) -> Response:
    return pages.render(
        request, "mail_preview/mailbox.html", part="letters", letters=mailboxes.received(_folder(request))
    )


async def mailbox_letter(request: Request) -> Response:
    letter = _letter(request)
    faults = lint.faults(letter.source, request.app.state.settings)
    return _show(request, letter, faults, "mailbox_html", "mailbox_source")


async def mailbox_html(request: Request) -> Response:
    return _html(request, _letter(request))


async def mailbox_source(request: Request) -> Response:
    return PlainTextResponse(_letter(request).source)


async def gallery(request: Request) -> Response:
    state = request.app.state
    return pages.render(
        request, "mail_preview/gallery.html", samples=list(galleries.samples(state.settings, state.templates))
    )


async def gallery_letter(request: Request) -> Response:
    sample = _sample(request)
    return _show(request, sample.letter, sample.faults, "gallery_html", "gallery_source")


async def gallery_html(request: Request) -> Response:
    return _html(request, _sample(request).letter)


async def gallery_source(request: Request) -> Response:
    return PlainTextResponse(_sample(request).letter.source)


def _show(request: Request, letter: Received, faults: list[str], html: str, source: str) -> Response:
    return pages.render(
        request,
        "mail_preview/email.html",
        letter=letter,
        text_html=_with_links(letter.text),
        faults=faults,
        html_url=request.app.url_path_for(html, id=letter.id),
        source_url=request.app.url_path_for(source, id=letter.id),
        headers={"content-security-policy": FRAME_POLICY},
    )


def _html(request: Request, letter: Received) -> Response:
    """The letter's HTML; with ?dark as a dark mail program shows it. Its links open in the whole window."""
    html = letter.html.replace("<head>", '<head><base target="_top">', 1)
    if "dark" in request.query_params:
        html = html.replace("(prefers-color-scheme: dark)", "all")
    return HTMLResponse(html, headers={"content-security-policy": LETTER_POLICY})


def _folder(request: Request) -> Path:
    folder: Path = request.app.state.settings.mailbox
    return folder


def _letter(request: Request) -> Received:
    letter = mailboxes.find(_folder(request), request.path_params["id"])
    if letter is None:
        raise HTTPException(404)
    return letter


def _sample(request: Request) -> galleries.Sample:
    state = request.app.state
    sample = galleries.find(state.settings, state.templates, request.path_params["id"])
    if sample is None:
        raise HTTPException(404)
    return sample


def _with_links(text: str) -> Markup:
    """The text with its links made clickable, and everything else escaped."""
    pieces = re.split(r"(https?://\S+)", text)
    return Markup().join(
        Markup('<a href="{0}">{0}</a>').format(piece) if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )

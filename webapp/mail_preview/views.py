"""A development site's mailbox, and a gallery of every email. A deployed site doesn't have these routes."""

import re
from pathlib import Path

from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from webapp.mail_preview import inbox, lint, samples
from webapp.mail_preview.inbox import Received
from webapp.mail_preview.samples import Sample
from webapp.web import pages, security_headers

# Emails need inline styles and must run no script. They are shown in a frame of the mailbox page.
EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self';"
    " sandbox allow-popups allow-top-navigation-by-user-activation"
)
FRAME_POLICY = f"{security_headers.CONTENT_SECURITY_POLICY}; frame-src 'self'"


async def mailbox(request: Request) -> Response:
    return pages.render(request, "mail_preview/mailbox.html", part="emails", emails=inbox.received(_folder(request)))


async def mailbox_email(request: Request) -> Response:
    email = _email(request)
    problems = lint.problems(email.source, request.app.state.settings)
    return _show(request, email, problems, "mailbox_html", "mailbox_source")


async def mailbox_html(request: Request) -> Response:
    return _html(request, _email(request))


async def mailbox_source(request: Request) -> Response:
    return PlainTextResponse(_email(request).source)


async def gallery(request: Request) -> Response:
    state = request.app.state
    return pages.render(request, "mail_preview/gallery.html", samples=samples.samples(state.settings, state.templates))


async def gallery_email(request: Request) -> Response:
    sample = _sample(request)
    return _show(request, sample.email, sample.problems, "gallery_html", "gallery_source")


async def gallery_html(request: Request) -> Response:
    return _html(request, _sample(request).email)


async def gallery_source(request: Request) -> Response:
    return PlainTextResponse(_sample(request).email.source)


def _show(request: Request, email: Received, problems: list[str], html: str, source: str) -> Response:
    return pages.render(
        request,
        "mail_preview/email.html",
        email=email,
        text_html=_with_links(email.text),
        problems=problems,
        html_url=request.app.url_path_for(html, id=email.id),
        source_url=request.app.url_path_for(source, id=email.id),
        headers={"content-security-policy": FRAME_POLICY},
    )


def _html(request: Request, email: Received) -> Response:
    """The email's HTML; with ?dark, as a mail program in dark mode shows it. Its links open in the whole window."""
    html = email.html.replace("<head>", '<head><base target="_top">', 1)
    if "dark" in request.query_params:
        html = html.replace("(prefers-color-scheme: dark)", "all")
    return HTMLResponse(html, headers={"content-security-policy": EMAIL_POLICY})


def _folder(request: Request) -> Path:
    folder: Path = request.app.state.settings.mailbox
    return folder


def _email(request: Request) -> Received:
    email = inbox.find(_folder(request), request.path_params["id"])
    if email is None:
        raise HTTPException(404)
    return email


def _sample(request: Request) -> Sample:
    state = request.app.state
    sample = samples.find(state.settings, state.templates, request.path_params["id"])
    if sample is None:
        raise HTTPException(404)
    return sample


def _with_links(text: str) -> Markup:
    """The text with clickable links and everything else escaped."""
    pieces = re.split(r"(https?://\S+)", text)
    return Markup().join(
        Markup('<a href="{0}">{0}</a>').format(piece) if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )

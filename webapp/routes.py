"""The site map: every path, its name, its view, in reading order."""

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route

from webapp import health
from webapp.accounts import views as accounts
from webapp.mail import views as mail
from webapp.pages import HashedFiles
from webapp.posts import views as posts
from webapp.settings import Settings

FORM = ["GET", "POST"]


def routes(settings: Settings) -> list[BaseRoute]:
    site: list[BaseRoute] = [
        Route("/", posts.home, name="home"),
        Route("/login", accounts.login, methods=FORM, name="login"),
        Route("/logout", accounts.logout, methods=["POST"], name="logout"),
        Route("/register", accounts.register, methods=FORM, name="register"),
        Route("/register/{token}", accounts.finish_registration, methods=FORM, name="finish_registration"),
        Route("/reset_password_request", accounts.reset_password_request, methods=FORM, name="reset_password_request"),
        Route("/reset_password/{token}", accounts.reset_password, methods=FORM, name="reset_password"),
        Route("/reset_password/{token}/renew", accounts.renew_reset_link, methods=["POST"], name="renew_reset_link"),
        Route("/health", health.health, name="health"),
        Route("/ready", health.ready, name="ready"),
        Mount("/static", HashedFiles(), name="static", middleware=[Middleware(GZipMiddleware)]),
    ]
    mailbox: list[BaseRoute] = [
        Route("/mailbox", mail.mailbox, name="mailbox"),
        Route("/mailbox/{id}", mail.mailbox_letter, name="mailbox_letter"),
        Route("/mailbox/{id}/html", mail.mailbox_html, name="mailbox_html"),
        Route("/mailbox/{id}/source", mail.mailbox_source, name="mailbox_source"),
    ]
    return site + (mailbox if settings.mailbox else [])

"""The site map: every path, its name, its view, in reading order."""

from collections.abc import Callable, Iterable

from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route

from webapp.addresses import views as addresses
from webapp.archives import views as archives
from webapp.authentication import views as authentication
from webapp.bounces import views as bounces
from webapp.checkup import views as checkup
from webapp.deletion import views as deletion
from webapp.feeds import views as feeds
from webapp.mail_preview import views as mail_preview
from webapp.moderation import views as moderation
from webapp.operator import views as operator
from webapp.own_posts import views as own_posts
from webapp.passkey_pages import views as passkeys
from webapp.people import views as people
from webapp.posts import views as posts
from webapp.preferences import views as preferences
from webapp.recovery import views as recovery
from webapp.search import views as search
from webapp.second_step import views as second_step
from webapp.settings import Settings
from webapp.sign_in_methods import views as sign_in_methods
from webapp.subscriptions import views as subscriptions
from webapp.web import site_files
from webapp.web.static_files import Assets, HashedFiles, assets_of

FORM = ["GET", "POST"]


class Number(Convertor[int]):
    """The number of a post. Starlette's own `int` fails on thousands of digits; here, that is simply no page."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", Number())


def words_in_paths(site: Iterable[BaseRoute]) -> set[str]:
    """The words of which the paths are made: a person of that name would look like a page."""
    return {word for route in site for word in getattr(route, "path", "").split("/") if word and "{" not in word}


def routes(settings: Settings, assets: Callable[[], Assets] | None = None) -> list[BaseRoute]:
    files = HashedFiles(assets or assets_of(settings))
    site: list[BaseRoute] = [
        Route("/", posts.home, methods=FORM, name="home"),
        Route("/explore", posts.explore, name="explore"),
        Route("/news", posts.news, name="news"),
        Route("/search", search.search, name="search"),
        Route("/user/{username}", posts.profile, name="profile"),
        Route("/user/{username}/{post_id:number}", posts.post, name="post"),
        Route("/posts/{post_id:number}/edit", own_posts.edit_post, methods=FORM, name="edit_post"),
        Route("/posts/{post_id:number}/delete", own_posts.delete_post, methods=["POST"], name="delete_post"),
        Route("/posts/{post_id:number}/restore", own_posts.restore_post, methods=["POST"], name="restore_post"),
        Route("/login", authentication.login, methods=FORM, name="login"),
        Route("/login/second_step", second_step.second_step, methods=FORM, name="second_step"),
        Route("/login/lost_second_step", second_step.lost_second_step, methods=["POST"], name="lost_second_step"),
        Route("/factor_removal/{token}", second_step.factor_removal, methods=FORM, name="factor_removal"),
        Route("/keep_factors/{token}", second_step.keep_factors, methods=FORM, name="keep_factors"),
        Route("/login/passkey", passkeys.log_in_with_passkey, methods=["POST"], name="log_in_with_passkey"),
        Route("/login/passkey/challenge", passkeys.passkey_challenge, name="passkey_challenge"),
        Route("/logout", authentication.logout, methods=["POST"], name="logout"),
        Route("/register", authentication.register, methods=FORM, name="register"),
        Route("/register/{token}", authentication.finish_registration, methods=FORM, name="finish_registration"),
        Route("/check_email/{token}", authentication.check_email, methods=FORM, name="check_email"),
        Route("/check_email/{token}/code", authentication.email_code, methods=FORM, name="email_code"),
        Route("/reset_password_request", recovery.reset_password_request, methods=FORM, name="reset_password_request"),
        Route("/reset_password/{token}", recovery.reset_password, methods=FORM, name="reset_password"),
        Route("/reset_password/{token}/renew", recovery.renew_reset_link, methods=["POST"], name="renew_reset_link"),
        Route(
            "/reset_password/{token}/lost_second_step",
            recovery.email_removal_link,
            methods=["POST"],
            name="email_removal_link",
        ),
        Route("/not_me/{token}", recovery.report_not_me, methods=FORM, name="report_not_me"),
        Route("/not_me/{token}/email", recovery.email_reset_link, methods=["POST"], name="email_reset_link"),
        Route("/recover", recovery.recover, methods=FORM, name="recover"),
        Route("/settings", preferences.settings, name="settings"),
        Route("/language", preferences.language, methods=["POST"], name="language"),
        Route("/edit_profile", preferences.edit_profile, methods=FORM, name="edit_profile"),
        Route("/change_password", preferences.change_password, methods=FORM, name="change_password"),
        Route(
            "/.well-known/change-password", preferences.well_known_change_password, name="well_known_change_password"
        ),
        Route("/sign-in_methods", sign_in_methods.sign_in_methods, name="sign_in_methods"),
        Route("/sign-in_methods/app", sign_in_methods.authenticator_app, methods=FORM, name="authenticator_app"),
        Route(
            "/sign-in_methods/app/remove",
            sign_in_methods.remove_authenticator_app,
            methods=FORM,
            name="remove_authenticator_app",
        ),
        Route(
            "/sign-in_methods/keep",
            sign_in_methods.stop_factor_removal,
            methods=["POST"],
            name="stop_factor_removal",
        ),
        Route("/passkeys", passkeys.passkeys, methods=FORM, name="passkeys"),
        Route("/passkeys/decline", passkeys.decline_passkey, methods=["POST"], name="decline_passkey"),
        Route("/passkeys/{passkey_id:number}", passkeys.passkey, methods=FORM, name="passkey"),
        Route("/passkeys/{passkey_id:number}/remove", passkeys.remove_passkey, methods=FORM, name="remove_passkey"),
        Route("/checkup", checkup.checkup, methods=FORM, name="checkup"),
        Route("/checkup/send", checkup.send_checkup_email, methods=["POST"], name="send_checkup_email"),
        Route("/checkup_email/{token}", checkup.checkup_email, methods=FORM, name="checkup_email"),
        Route("/checkup/app", checkup.checkup_app, methods=["POST"], name="checkup_app"),
        Route("/checkup/passkey", checkup.checkup_passkey, methods=["POST"], name="checkup_passkey"),
        Route("/checkup/passkey/challenge", checkup.checkup_challenge, name="checkup_challenge"),
        Route("/checkup/decline", checkup.decline_checkup, methods=["POST"], name="decline_checkup"),
        Route("/recovery_codes", recovery.recovery_codes, methods=FORM, name="recovery_codes"),
        Route("/change_email", addresses.change_email, methods=FORM, name="change_email"),
        Route("/email_works", addresses.email_works, methods=["POST"], name="email_works"),
        Route("/confirm_email/{token}", addresses.confirm_email, methods=FORM, name="confirm_email"),
        Route("/undo_email/{token}", addresses.undo_email, methods=FORM, name="undo_email"),
        Route("/sessions", preferences.sessions, name="sessions"),
        Route("/sessions/end_others", preferences.end_other_sessions, methods=["POST"], name="end_other_sessions"),
        Route("/sessions/{id}/end", preferences.end_session, methods=["POST"], name="end_session"),
        Route("/export", archives.export, methods=FORM, name="export"),
        Route("/export/download", archives.download_export, methods=["POST"], name="download_export"),
        Route("/delete_account", deletion.delete_account, methods=FORM, name="delete_account"),
        Route("/account_deleted", deletion.account_deleted, name="account_deleted"),
        Route("/undo_deletion/{token}", deletion.undo_deletion, methods=FORM, name="undo_deletion"),
        Route("/letters", subscriptions.emails, methods=FORM, name="emails"),
        Route("/unsubscribe/{token}", subscriptions.unsubscribe, methods=FORM, name="unsubscribe"),
        Route("/unsubscribe/{token}/again", subscriptions.subscribe_again, methods=["POST"], name="subscribe_again"),
        Route("/explore/feed.atom", feeds.explore_feed, name="explore_feed"),
        Route("/user/{username}/feed.atom", feeds.profile_feed, name="profile_feed"),
        Route("/user/{username}/avatar.svg", people.avatar, name="avatar"),
        Route("/user/{username}/followers", people.followers, name="followers"),
        Route("/user/{username}/following", people.following, name="following"),
        Route("/follow/{username}", people.follow, methods=["POST"], name="follow"),
        Route("/unfollow/{username}", people.unfollow, methods=["POST"], name="unfollow"),
        Route("/posts/{post_id:number}/report", moderation.report, methods=FORM, name="report"),
        Route("/admin/reports", moderation.admin_reports, name="admin_reports"),
        Route("/admin/reports/{post_id:number}/keep", moderation.keep_post, methods=["POST"], name="keep_post"),
        Route("/admin/reports/{post_id:number}/remove", moderation.remove_post, methods=FORM, name="remove_post"),
        Route("/admin/reports/{post_id:number}/disable", moderation.disable_user, methods=FORM, name="disable_user"),
        Route("/admin/mail", operator.admin_mail, name="admin_mail"),
        Route("/admin/mail/pause", operator.pause_mail, methods=["POST"], name="pause_mail"),
        Route("/admin/mail/resume", operator.resume_mail, methods=["POST"], name="resume_mail"),
        Route("/admin/mail/send_again", operator.send_mail_again, methods=["POST"], name="send_mail_again"),
        Route("/admin/mail/works_again", operator.address_works_again, methods=["POST"], name="address_works_again"),
        Route("/.well-known/security.txt", operator.security_txt, name="security_txt"),
        Route("/robots.txt", site_files.robots, name="robots"),
        Route("/manifest.webmanifest", site_files.manifest, name="manifest"),
        Route("/favicon.ico", site_files.favicon, name="favicon"),
        Route("/apple-touch-icon.png", site_files.touch_icon, name="touch_icon"),
        Route("/bounces", bounces.bounces, methods=["POST"], name="bounces"),
        Route("/health", operator.health, name="health"),
        Route("/ready", operator.ready, name="ready"),
        Route("/metrics", operator.metrics, name="metrics"),
        Mount("/static", files, name="static", middleware=[Middleware(GZipMiddleware)]),
    ]
    mailbox: list[BaseRoute] = [
        Route("/mailbox", mail_preview.mailbox, name="mailbox"),
        Route("/mailbox/gallery", mail_preview.gallery, name="gallery"),
        Route("/mailbox/gallery/{id}", mail_preview.gallery_email, name="gallery_email"),
        Route("/mailbox/gallery/{id}/html", mail_preview.gallery_html, name="gallery_html"),
        Route("/mailbox/gallery/{id}/source", mail_preview.gallery_source, name="gallery_source"),
        Route("/mailbox/{id}", mail_preview.mailbox_email, name="mailbox_email"),
        Route("/mailbox/{id}/html", mail_preview.mailbox_html, name="mailbox_html"),
        Route("/mailbox/{id}/source", mail_preview.mailbox_source, name="mailbox_source"),
    ]
    return site + (mailbox if settings.mailbox else [])

"""The site map: every path, its name, its view, in reading order."""

from collections.abc import Callable, Iterable

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import BaseRoute, Mount, Route

from webapp.addresses import views as addresses
from webapp.admin_people import views as admin_people
from webapp.archive_imports import views as archive_imports
from webapp.archives import views as archives
from webapp.authentication import views as authentication
from webapp.blocking import views as blocking
from webapp.bounces import views as bounces
from webapp.checkup import views as checkup
from webapp.conversations import views as conversations
from webapp.deletion import views as deletion
from webapp.feeds import views as feeds
from webapp.invitation_pages import views as invitation_pages
from webapp.mail_preview import views as mail_preview
from webapp.moderation import views as moderation
from webapp.not_me import views as not_me
from webapp.operator import views as operator
from webapp.own_posts import views as own_posts
from webapp.passkey_pages import views as passkeys
from webapp.people import views as people
from webapp.posts import views as posts
from webapp.preferences import views as preferences
from webapp.recovery import views as recovery
from webapp.registration import views as registration
from webapp.search import views as search
from webapp.second_step import views as second_step
from webapp.settings import Settings
from webapp.sign_in_methods import views as sign_in_methods
from webapp.subscriptions import views as subscriptions
from webapp.web import site_files
from webapp.web.static_files import Assets, HashedFiles, assets_of

FORM = ["GET", "POST"]


class Number(Convertor[int]):
    """A number of ours. Starlette's own `int` fails on thousands of digits; here, that is simply no page."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


class PostNumber(Number):
    """The number of a post is below zero if it was imported."""

    regex = "-?[0-9]{1,18}"


register_url_convertor("number", Number())
register_url_convertor("post", PostNumber())

# Posts, and where to read them.
READING: list[BaseRoute] = [
    Route("/", posts.home, methods=FORM),
    Route("/explore", posts.explore),
    Route("/news", posts.news),
    Route("/mentions", conversations.mentions),
    Route("/search", search.search),
    Route("/user/{username}", posts.profile),
    Route("/user/{username}/{post_id:post}", posts.post),
    Route("/posts/{post_id:post}", conversations.find_post),
    Route("/posts/{post_id:post}/reply", conversations.reply, methods=FORM),
    Route("/posts/{post_id:post}/edit", own_posts.edit_post, methods=FORM),
    Route("/posts/{post_id:post}/delete", own_posts.delete_post, methods=["POST"]),
    Route("/posts/{post_id:post}/restore", own_posts.restore_post, methods=["POST"]),
]
# Log in, log out, register.
LOGGING_IN: list[BaseRoute] = [
    Route("/login", authentication.login, methods=FORM),
    Route("/login/second_step", second_step.second_step, methods=FORM),
    Route("/login/lost_second_step", second_step.lost_second_step, methods=["POST"]),
    Route("/factor_removal/{token}", second_step.factor_removal, methods=FORM),
    Route("/keep_factors/{token}", second_step.keep_factors, methods=FORM),
    Route("/login/passkey", passkeys.log_in_with_passkey, methods=["POST"]),
    Route("/login/passkey/challenge", passkeys.passkey_challenge),
    Route("/logout", authentication.logout, methods=["POST"]),
    Route("/prove/challenge", passkeys.prove_challenge),
    Route("/register", registration.register, methods=FORM),
    Route("/register/waiting", registration.registration_waiting),
    Route("/register/{token}", registration.finish_registration, methods=FORM),
    Route("/invite/{token}", invitation_pages.invitation, methods=FORM),
    Route("/check_email/{token}", authentication.check_email, methods=FORM),
    Route("/check_email/{token}/code", authentication.email_code, methods=FORM),
]
# Get back in: a reset link, "this wasn't me", a recovery code.
RECOVERY: list[BaseRoute] = [
    Route("/reset_password_request", recovery.reset_password_request, methods=FORM),
    Route("/reset_password/{token}", recovery.reset_password, methods=FORM),
    Route("/reset_password/{token}/renew", recovery.renew_reset_link, methods=["POST"]),
    Route("/reset_password/{token}/lost_second_step", recovery.email_removal_link, methods=["POST"]),
    Route("/not_me/{token}", not_me.report_not_me, methods=FORM),
    Route("/not_me/{token}/email", not_me.email_reset_link, methods=["POST"]),
    Route("/recover", recovery.recover, methods=FORM),
]
# Your own account.
SETTINGS: list[BaseRoute] = [
    Route("/settings", preferences.settings),
    Route("/language", preferences.language, methods=["POST"]),
    Route("/edit_profile", preferences.edit_profile, methods=FORM),
    Route("/edit_profile/picture", preferences.another_picture, methods=["POST"]),
    Route("/change_password", preferences.change_password, methods=FORM),
    Route("/.well-known/change-password", preferences.well_known_change_password),
    Route("/sign-in_methods", sign_in_methods.sign_in_methods),
    Route("/sign-in_methods/app", sign_in_methods.email_app_link, methods=FORM),
    Route("/sign-in_methods/app/remove", sign_in_methods.remove_authenticator_app, methods=FORM),
    Route("/authenticator_app/{token}", sign_in_methods.authenticator_app, methods=FORM),
    Route("/sign-in_methods/keep", sign_in_methods.stop_factor_removal, methods=["POST"]),
    Route("/passkeys", passkeys.passkeys, methods=FORM),
    Route("/passkeys/decline", passkeys.decline_passkey, methods=["POST"]),
    Route("/passkeys/{passkey_id:number}", passkeys.passkey, methods=FORM),
    Route("/passkeys/{passkey_id:number}/remove", passkeys.remove_passkey, methods=FORM),
    Route("/checkup", checkup.checkup, methods=FORM),
    Route("/checkup/send", checkup.send_checkup_email, methods=["POST"]),
    Route("/checkup_email/{token}", checkup.checkup_email, methods=FORM),
    Route("/checkup/app", checkup.checkup_app, methods=["POST"]),
    Route("/checkup/passkey", checkup.checkup_passkey, methods=["POST"]),
    Route("/checkup/passkey/challenge", checkup.checkup_challenge),
    Route("/checkup/decline", checkup.decline_checkup, methods=["POST"]),
    Route("/recovery_codes", sign_in_methods.recovery_codes, methods=FORM),
    Route("/change_email", addresses.change_email, methods=FORM),
    Route("/email_works", addresses.email_works, methods=["POST"]),
    Route("/confirm_email/{token}", addresses.confirm_email, methods=FORM),
    Route("/undo_email/{token}", addresses.undo_email, methods=FORM),
    Route("/sessions", preferences.sessions),
    Route("/sessions/end_others", preferences.end_other_sessions, methods=["POST"]),
    Route("/sessions/{id}/end", preferences.end_session, methods=["POST"]),
    Route("/invites", invitation_pages.invites, methods=FORM),
    Route("/invites/{invite_id:number}/revoke", invitation_pages.revoke_invite, methods=["POST"]),
    Route("/export", archives.export, methods=FORM),
    Route("/export/download", archives.download_export, methods=["POST"]),
    Route("/import", archive_imports.import_posts, methods=FORM),
    Route("/import/upload", archive_imports.upload_archive, methods=["POST"]),
    Route("/delete_account", deletion.delete_account, methods=FORM),
    Route("/account_deleted", deletion.account_deleted),
    Route("/undo_deletion/{token}", deletion.undo_deletion, methods=FORM),
    Route("/letters", subscriptions.emails, methods=FORM),
    Route("/unsubscribe/{token}", subscriptions.unsubscribe, methods=FORM),
    Route("/unsubscribe/{token}/again", subscriptions.subscribe_again, methods=["POST"]),
]
# Feeds, people, and who follows, mutes and blocks whom.
PEOPLE: list[BaseRoute] = [
    Route("/explore/feed.atom", feeds.explore_feed),
    Route("/user/{username}/feed.atom", feeds.profile_feed),
    Route("/user/{username}/followers", people.followers),
    Route("/user/{username}/following", people.following),
    Route("/follow/{username}", people.follow, methods=["POST"]),
    Route("/unfollow/{username}", people.unfollow, methods=["POST"]),
    Route("/mute/{username}", blocking.mute, methods=["POST"]),
    Route("/unmute/{username}", blocking.unmute, methods=["POST"]),
    Route("/block/{username}", blocking.block, methods=FORM),
    Route("/unblock/{username}", blocking.unblock, methods=["POST"]),
    Route("/muted_and_blocked", blocking.muted_and_blocked),
]
# Reports, and what the admin does.
ADMIN: list[BaseRoute] = [
    Route("/posts/{post_id:post}/report", moderation.report, methods=FORM),
    Route("/admin/reports", moderation.admin_reports),
    Route("/admin/reports/{post_id:post}/keep", moderation.keep_post, methods=["POST"]),
    Route("/admin/reports/{post_id:post}/remove", moderation.remove_post, methods=FORM),
    Route("/admin/reports/{post_id:post}/disable", moderation.disable_user, methods=FORM),
    Route("/admin/people", admin_people.admin_people),
    Route("/admin/people/{username}", admin_people.admin_person),
    Route("/admin/people/{username}/{action}", admin_people.act_on_person, methods=FORM),
    Route("/admin/requests/{request_id:number}/approve", admin_people.approve_request, methods=["POST"]),
    Route("/admin/requests/{request_id:number}/refuse", admin_people.refuse_request, methods=["POST"]),
    Route("/admin/mail", operator.admin_mail),
    Route("/admin/mail/pause", operator.pause_mail, methods=["POST"]),
    Route("/admin/mail/resume", operator.resume_mail, methods=["POST"]),
    Route("/admin/mail/send_again", operator.send_mail_again, methods=["POST"]),
    Route("/admin/mail/works_again", operator.address_works_again, methods=["POST"]),
]
# What browsers, robots, monitors and mail servers ask for.
PROGRAMS: list[BaseRoute] = [
    Route("/.well-known/security.txt", operator.security_txt),
    Route("/robots.txt", site_files.robots),
    Route("/manifest.webmanifest", site_files.manifest),
    Route("/favicon.ico", site_files.favicon),
    Route("/apple-touch-icon.png", site_files.touch_icon),
    Route("/bounces", bounces.bounces, methods=["POST"]),
    Route("/health", operator.health),
    Route("/ready", operator.ready),
    Route("/metrics", operator.metrics),
]
# A development site has these, too.
MAILBOX: list[BaseRoute] = [
    Route("/mailbox", mail_preview.mailbox),
    Route("/mailbox/gallery", mail_preview.gallery),
    Route("/mailbox/gallery/{id}", mail_preview.gallery_email),
    Route("/mailbox/gallery/{id}/html", mail_preview.gallery_html),
    Route("/mailbox/gallery/{id}/source", mail_preview.gallery_source),
    Route("/mailbox/{id}", mail_preview.mailbox_email),
    Route("/mailbox/{id}/html", mail_preview.mailbox_html),
    Route("/mailbox/{id}/source", mail_preview.mailbox_source),
]


def routes(settings: Settings, assets: Callable[[], Assets] | None = None) -> list[BaseRoute]:
    """All of them, each named after its view, and the static files."""
    files = HashedFiles(assets or assets_of(settings))
    static = Mount("/static", files, name="static")
    pages = [*READING, *LOGGING_IN, *RECOVERY, *SETTINGS, *PEOPLE, *ADMIN, *PROGRAMS]
    return [*pages, static, *(MAILBOX if settings.mailbox else [])]


def words_in_paths(site: Iterable[BaseRoute]) -> set[str]:
    """The words of which the paths are made: a person of that name would look like a page."""
    return {word for route in site for word in getattr(route, "path", "").split("/") if word and "{" not in word}

"""Every kind of email in every language, as its bytes arrive at a real mail server (C59, C08)."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default, strict
from functools import cached_property
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.depth import besides, deep
from tests.factors.steps import set_up_app
from tests.inspection import query
from tests.mailbox import link_in
from tests.mailserver import Certificates, Delivered, MailServer
from tests.passkeys.authenticator import Authenticator, options_of
from tests.sites import QUICK, SECRET_KEY, Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD
from tests.watching import execute, wait_until_posted
from webapp.accounts import tokens, users
from webapp.audit.events import BY_OPERATOR
from webapp.database import migrations
from webapp.deletion.emails import tell
from webapp.mail import kinds, mime
from webapp.mail.kinds import KINDS
from webapp.mail_preview import samples
from webapp.moderation import decisions
from webapp.settings import ROOT, Settings

LANGUAGES = sorted({"en", *(folder.name for folder in (ROOT / "webapp" / "translations").glob("*/"))})
MINUTES = 17
LONG_HOST = ".".join(["a-host-name-as-long-as-a-label-of-the-domain-name-system-can-be"] * 3 + ["a" * 51, "example"])
# The longest address that can have an account: 254 characters.
LONG_ADDRESS = f"{'l' * 64}@{'.'.join(['d' * 60, 'd' * 60, 'd' * 59])}.example"
ODD_ADDRESS = "o'brien+tag=1%x{y}|z~!#$&*/?^_`-@xn--bcher-kva.example"
SITES = {
    "plain": ("https://blog.example", "NUMBER@example.com"),
    "port": ("https://blog.example:8443", "pNUMBER+" + ODD_ADDRESS),
    "long": (f"https://{LONG_HOST}", "NUMBER" + LONG_ADDRESS[1:]),
}
TEMPLATES = [
    "account_deleted_by_admin",
    "account_deletion",
    "account_disabled",
    "account_enabled",
    "address_change_asked",
    "address_changed",
    "address_removed",
    "address_reserved",
    "address_restored",
    "address_taken",
    "admin_acted",
    "already_registered",
    "app_link",
    "checkup",
    "confirm_email",
    "digest",
    "emails_turned_off",
    "factor_added",
    "factor_removal_link",
    "factor_removal_stopped",
    "factor_removal_waiting",
    "factor_removed",
    "export_ready",
    "mention",
    "new_follower",
    "new_sign_in",
    "passkey_added",
    "passkey_removed",
    "passkey_renamed",
    "password_changed",
    "post_removed",
    "post_reported",
    "profile_shown",
    "recovery_code_used",
    "recovery_codes_made",
    "register",
    "registration_approved",
    "registration_refused",
    "registration_waiting",
    "registrations_waiting",
    "reset_password",
    "second_step_unfinished",
    "sessions_ended",
    "username_changed",
]
OPTIONAL = ["digest", "mention", "new_follower"]
# There is nothing to do, but to write to the host.
WITHOUT_LINK = [
    "account_deleted_by_admin",
    "account_disabled",
    "address_removed",
    "post_removed",
    "registration_refused",
    "registration_waiting",
]
# Addresses that are odd or long in one language each, the last in letters beyond ASCII; in depth, plain ones in all.
PLAIN = [("plain", language) for language in LANGUAGES]
WRITTEN = [("port", LANGUAGES[0]), ("long", LANGUAGES[-1]), *besides(PLAIN)]
# What an email says about how long its link works.
LIFETIMES = {
    "app_link": "60",
    "checkup": "24",
    "factor_removal_link": str(MINUTES),
    "reset_password": str(MINUTES),
    "register": "24",
    "confirm_email": "24",
    "address_changed": "72",
}
WITH_CODE = ["app_link", "confirm_email", "register", "reset_password"]
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
]


# What a site notes of an email is gone from its row once it was sent.
NOTE_PARAMETERS = [
    "CREATE TABLE posted_email (kind TEXT, parameters TEXT)",
    "CREATE TRIGGER note_email AFTER INSERT ON outbox_email"
    " BEGIN INSERT INTO posted_email VALUES (NEW.kind, NEW.parameters); END",
]
# Between the event and its email somebody turns off, for the account, every email that no switch should stop any more:
# those without a switch, and those about its safety, which are decided when they are posted.
STOPPABLE = sorted(name for name, kind in KINDS.items() if kind.is_optional and not kind.is_security)
TURN_OFF_WHAT_WAS_POSTED = [
    "CREATE TABLE turned_off (kind TEXT)",
    "CREATE TRIGGER turn_off AFTER INSERT ON outbox_email WHEN NEW.kind NOT IN (" + str(STOPPABLE)[1:-1] + ")"
    " BEGIN INSERT OR REPLACE INTO email_switch (user_id, kind, is_wanted) SELECT id, NEW.kind, false FROM user_account"
    " WHERE id = NEW.user_id OR email = NEW.recipient; INSERT INTO turned_off VALUES (NEW.kind); END",
    "CREATE TRIGGER turn_on AFTER UPDATE OF state ON outbox_email WHEN NEW.state = 'sent'"
    " BEGIN DELETE FROM email_switch WHERE kind = NEW.kind AND kind NOT IN (" + str(STOPPABLE)[1:-1] + "); END",
]
# Which event an email is about, or all that is in it: without that there is nothing to write.
ESSENTIAL = {"change", "post_id"}


@dataclass(frozen=True)
class OutboxEmail:
    """An email of the sweep: what asked for it, and how it came over the wire."""

    template: str
    language: str
    base_url: str
    address: str
    username: str | None
    delivered: Delivered = field(repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def raw(self) -> bytes:
        return self.delivered.content

    @cached_property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=default)

    @cached_property
    def text(self) -> str:
        return self._part("plain").get_content().replace("\r\n", "\n")  # type: ignore[no-any-return]

    @cached_property
    def html(self) -> str:
        return self._part("html").get_content().replace("\r\n", "\n")  # type: ignore[no-any-return]

    @cached_property
    def links(self) -> list[str]:
        """What stands alone on its line; the site's own address in the last sentence may come to do so by chance."""
        alone = re.findall(r"^(https?://\S+)$", self.text, re.MULTILINE)
        return [link for link in alone if link != self.base_url]

    def _part(self, subtype: str) -> EmailMessage:
        parts = [part for part in self.message.walk() if part.get_content_type() == f"text/{subtype}"]
        assert len(parts) == 1
        assert isinstance(parts[0], EmailMessage)
        return parts[0]


class Reader(HTMLParser):
    """What a person sees of an email's HTML, and what its elements name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.anchors: list[tuple[str, str]] = []
        self.buttons: set[str] = set()  # where they lead
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside.append(tag)
        if tag == "a":
            self.anchors.append((dict(attrs)["href"] or "", ""))
            if "button" in (dict(attrs).get("class") or ""):
                self.buttons.add(self.anchors[-1][0])

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "head" not in self._inside:
            self.words.append(data)
        if "a" in self._inside:
            href, seen = self.anchors[-1]
            self.anchors[-1] = (href, seen + data)

    @property
    def sentences(self) -> str:
        return " ".join("".join(self.words).split())


class Sweep:
    """Has each site write each of its emails, by doing what people do."""

    def __init__(self, server: MailServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.emails: dict[tuple[str, str, str], OutboxEmail] = {}
        self.kinds: set[str] = set()
        self.site: Site  # the one that writes at the moment
        self.turned_off: set[str] = set()
        self.page = ""  # what the last step was answered with
        self.posted: dict[str, dict[str, object]] = {}  # what the site noted for each kind, as one email has it

    def visit(self, name: str, language: str) -> None:
        base_url, addresses = SITES[name]
        url = f"sqlite+aiosqlite:///{self.folder / f'{name}-{language}.db'}"
        migrations.upgrade(url)
        settings = Settings(
            base_url=base_url,
            secret_key=SECRET_KEY,
            database_url=url,
            languages=(language,),
            reset_token_minutes=MINUTES,
            trusted_proxies=1,
            admins=(addresses.replace("NUMBER", "h"),),
            registration="approval",
            **self.server.settings,
        )
        with Site(settings, pace=QUICK) as site:
            self.site = site
            for statement in NOTE_PARAMETERS + TURN_OFF_WHAT_WAS_POSTED:
                execute(site, statement)
            self._write_all(site, name, language, addresses)
        with Site(replace(settings, admins=(addresses.replace("NUMBER", "i"),)), pace=QUICK) as site:
            self._keep_news_of_admins(site, (name, language), addresses.replace("NUMBER", "i"))
            self.posted |= {kind: json.loads(told) for kind, told in execute(site, "SELECT * FROM posted_email")}
        self.kinds |= {kind for (kind,) in query(url, "SELECT kind FROM outbox_email")}
        self.turned_off |= {kind for (kind,) in query(url, "SELECT kind FROM turned_off")}

    def _write_all(self, site: Site, name: str, language: str, addresses: str) -> None:
        browser, newcomer, owner = site.browser(), addresses.replace("NUMBER", "n"), addresses.replace("NUMBER", "o")
        invitation = urlsplit(tokens.register_link(site.settings, owner)).path
        browser.post(invitation, data={"username": "Susan_1", "password": PASSWORD})

        self._keep("register", None, (name, language), newcomer, browser, "/register", email=newcomer)
        self._keep("already_registered", "Susan_1", (name, language), owner, browser, "/register", email=owner)
        email = self._keep(
            "reset_password", "Susan_1", (name, language), owner, browser, "/reset_password_request", email=owner
        )
        link = link_in(email.text)
        self._keep("password_changed", "Susan_1", (name, language), owner, browser, link, password=NEW_PASSWORD)
        self._write_about_codes((name, language), owner, browser)
        typed = {"username": owner, "password": NEW_PASSWORD}
        self._keep("new_sign_in", "Susan_1", (name, language), owner, site.browser(), "/login", **typed)
        self._write_about_addresses((name, language), addresses, browser, site.settings)
        self._write_about_people((name, language), addresses, site)
        self._write_about_factors((name, language), addresses, site)

    def _write_about_codes(self, where: tuple[str, str], owner: str, browser: Browser) -> None:
        browser.post("/login", data={"username": "Susan_1", "password": NEW_PASSWORD})
        wait_until_posted(self.site)  # an email may tell of the new browser
        about = "recovery_codes_made", "Susan_1", where, owner, browser
        self._keep(*about, "/recovery_codes", current_password=NEW_PASSWORD)
        code = re.findall(r"<code>(\S+)</code>", self.page)[0]
        self._keep("recovery_code_used", *about[1:], "/recover", username="Susan_1", code=code)

    def _write_about_factors(self, where: tuple[str, str], addresses: str, site: Site) -> None:
        """Ann sets up an app, loses it for a while, and removes it."""
        anns = addresses.replace("NUMBER", "a")
        about = "Ann_1", where, anns
        ann, thief = self._arrive(site, "Ann_1", anns), site.browser()
        self._keep("app_link", *about, ann, "/sign-in_methods/app")
        before = len(self.server.emails)
        app = set_up_app(ann)
        for delivered in self.server.wait_for(before + 2)[before:]:
            email = OutboxEmail("factor_added", where[1], SITES[where[0]][0], anns, "Ann_1", delivered)
            if "/sign-in_methods" in email.text:
                self.emails["factor_added", where[1], where[0]] = email
        typed = {"username": "Ann_1", "password": PASSWORD}
        self._keep("second_step_unfinished", *about, thief, "/login", **typed)
        asked = self._keep("factor_removal_link", *about, thief, "/login/lost_second_step")
        waits = self._keep("factor_removal_waiting", *about, thief, link_in(asked.text))
        self._keep("factor_removal_stopped", *about, thief, link_in(waits.text))
        self._keep("factor_removed", *about, ann, "/sign-in_methods/app/remove", code=app.code())

    def _write_about_addresses(
        self, where: tuple[str, str], addresses: str, browser: Browser, settings: Settings
    ) -> None:
        """Susan moves twice, asks for David's address, and is back where she was."""
        owner, first, second, davids = (addresses.replace("NUMBER", email) for email in "oqsd")
        invitation = urlsplit(tokens.register_link(settings, davids)).path
        self.site.browser().post(invitation, data={"username": "David_1", "password": PASSWORD})
        susan = "Susan_1", where

        undo = self._move(where, browser, owner, first)
        self._move(where, browser, first, second)
        self._keep("address_reserved", *susan, first, browser, "/register", email=first)
        typed = {"current_password": NEW_PASSWORD, "email": davids}
        wanted = {davids: ("address_taken", "David_1"), second: ("address_change_asked", "Susan_1")}
        self._keep_both(where, wanted, browser, "/change_email", **typed)
        wanted = {owner: ("address_restored", "Susan_1"), second: ("address_removed", "Susan_1")}
        self._keep_both(where, wanted, browser, undo)

    def _write_about_people(self, where: tuple[str, str], addresses: str, site: Site) -> None:
        """The host follows Fay and mentions her, and then has enough of what she posts."""
        fays, hosts = addresses.replace("NUMBER", "f"), addresses.replace("NUMBER", "h")
        fay, host = self._arrive(site, "Fay_1", fays), self._arrive(site, "Host_1", hosts)
        fay.post("/letters", data=dict.fromkeys([*OPTIONAL, "new_sign_in"], "1"))
        fay.post("/", data={"body": "Cheap watches, only today!"})
        fay.post("/", data={"body": "And bags."})
        to_fay, why = ("Fay_1", where, fays, host), {"reason": "Advertising is not wanted here."}

        self._keep("new_follower", *to_fay, "/follow/Fay_1")
        self._keep("mention", *to_fay, "/", body="No more of it, @Fay_1.")
        self._keep_digest(site, where, fays)
        self._keep("post_reported", None, where, hosts, host, "/posts/1/report", **why)
        self._keep("post_removed", *to_fay, "/admin/reports/1/remove", **why)
        self._keep("account_disabled", *to_fay, "/admin/reports/2/disable", **why)
        self._keep("account_enabled", *to_fay, "/admin/people/Fay_1/enable")
        self._write_about_requests(where, addresses, host)
        of_host, proof = ("Host_2", where, hosts, host), {"current_password": PASSWORD}
        self._keep("username_changed", *of_host, "/edit_profile", username="Host_2", **proof)
        self._keep("profile_shown", *of_host, "/edit_profile", username="Host_2", is_public="1", **proof)
        self._write_about_passkeys(of_host, proof)
        self._keep("checkup", *of_host, "/checkup/send")
        self._keep("sessions_ended", *of_host, "/sessions/end_others")
        self._keep("emails_turned_off", *of_host, "/letters", **proof)
        self._keep("export_ready", *of_host, "/export", **proof)
        self._keep("account_deletion", *of_host, "/delete_account", username="Host_2", **proof)
        self._keep_deletion_by_admin(site, where, hosts)

    def _write_about_requests(self, where: tuple[str, str], addresses: str, host: Browser) -> None:
        """The host lets Rita in, and Tim not."""
        hosts, decide = addresses.replace("NUMBER", "h"), "/admin/requests/{}/{}"
        for username, number in (("Rita_1", "r"), ("Tim_1", "t")):
            address = addresses.replace("NUMBER", number)
            link = urlsplit(tokens.register_link(self.site.settings, address, tokens.ASKED)).path
            typed = {"username": username, "password": PASSWORD, "why": "Why not?"}
            wanted = {address: ("registration_waiting", username), hosts: ("registrations_waiting", None)}
            self._keep_both(where, wanted, self.site.browser(), link, **typed)
            [(row,)] = execute(self.site, "SELECT id FROM registration_request WHERE username = :name", name=username)
            if username == "Rita_1":
                self._keep("registration_approved", username, where, address, host, decide.format(row, "approve"))
            else:
                why = {"reason": "This site is for people from Bristol."}
                self._keep("registration_refused", None, where, address, host, decide.format(row, "refuse"), **why)

    def _keep_deletion_by_admin(self, site: Site, where: tuple[str, str], hosts: str) -> None:
        """As `users delete` has it."""
        before = len(self.server.emails)

        async def delete() -> None:
            async with site.app.state.database.session(is_writing=True) as db:
                user = await users.find(db, hosts)
                assert user
                await decisions.delete(db, site.settings, user, "Advertising is not wanted here.", BY_OPERATOR)
                await tell(db, site.settings, user)
                await db.commit()

        site.run(delete)
        delivered = self.server.wait_for(before + 1)[-1]
        name, language = where
        email = OutboxEmail("account_deleted_by_admin", language, SITES[name][0], hosts, "Host_2", delivered)
        self.emails["account_deleted_by_admin", language, name] = email

    def _write_about_passkeys(self, of_host: tuple[str, tuple[str, str], str, Browser], proof: dict[str, str]) -> None:
        host, base_url = of_host[3], self.site.settings.base_url
        options = options_of(host.get("/passkeys").text)
        made = Authenticator(base_url, self.site.settings.host).make(options)
        fields = {"name": "A <phone> of 'mine'", "handle": options["user"]["id"], "credential": made}
        self._keep("passkey_added", *of_host, "/passkeys", **fields, **proof)
        self._keep("passkey_renamed", *of_host, "/passkeys/1", name="Old", **proof)
        self._keep("passkey_removed", *of_host, "/passkeys/1/remove", **proof)

    def _arrive(self, site: Site, username: str, address: str) -> Browser:
        invitation = urlsplit(tokens.register_link(site.settings, address)).path
        browser = site.browser()
        browser.post(invitation, data={"username": username, "password": PASSWORD})
        browser.post("/login", data={"username": username, "password": PASSWORD})
        wait_until_posted(site)  # an email may tell of the new browser
        return browser

    def _move(self, where: tuple[str, str], browser: Browser, old: str, new: str) -> str:
        """Changes the address; returns the path of the link that undoes it."""
        typed = {"current_password": NEW_PASSWORD, "email": new}
        wanted = {new: ("confirm_email", "Susan_1"), old: ("address_change_asked", "Susan_1")}
        emails = self._keep_both(where, wanted, browser, "/change_email", **typed)
        link = link_in(emails[new].text)
        return link_in(self._keep("address_changed", "Susan_1", where, old, browser, link).text)

    def _keep_both(
        self,
        where: tuple[str, str],
        wanted: Mapping[str, tuple[str, str | None]],
        browser: Browser,
        path: str,
        **typed: str,
    ) -> dict[str, OutboxEmail]:
        """Keeps the emails that one step sends to several addresses."""
        before = len(self.server.emails)
        assert browser.post(path, data=typed).status_code == 200
        execute(self.site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready' AND due_at > created_at")
        (name, language), found = where, {}
        for delivered in self.server.wait_for(before + len(wanted))[before:]:
            template, username = wanted[delivered.recipients[0]]
            email = OutboxEmail(template, language, SITES[name][0], delivered.recipients[0], username, delivered)
            self.emails[template, language, name] = found[email.address] = email
        return found

    def _keep_digest(self, site: Site, where: tuple[str, str], fays: str) -> None:
        """What is posted for Fay in her hour, without the wait for it."""
        before = len(self.server.emails)
        [(number,)] = execute(site, "SELECT id FROM user_account WHERE username = 'Fay_1'")

        async def plan() -> None:
            async with site.app.state.database.session(is_writing=True) as db:
                await kinds.post(db, site.settings, "digest", fays, user_id=number, language=where[1])
                await db.commit()

        site.run(plan)
        delivered = self.server.wait_for(before + 1)[-1]
        name, language = where
        self.emails["digest", language, name] = OutboxEmail(
            "digest", language, SITES[name][0], fays, "Fay_1", delivered
        )

    def _keep_news_of_admins(self, site: Site, where: tuple[str, str], address: str) -> None:
        """What another admin, without an account, hears."""
        before, disabled_at = (
            len(self.server.emails),
            "SELECT max(created_at) FROM security_event WHERE kind = 'disabled'",
        )

        async def tell() -> None:
            async with site.app.state.database.session(is_writing=True) as db:
                await kinds.post(db, site.settings, "admin_acted", address, language=where[1], delay=timedelta(hours=1))
                await db.commit()

        site.run(tell)
        execute(site, f"UPDATE outbox_email SET created_at = ({disabled_at}) WHERE kind = 'admin_acted'")
        execute(site, "UPDATE outbox_email SET due_at = created_at WHERE kind = 'admin_acted'")
        delivered = self.server.wait_for(before + 1)[-1]
        name, language = where
        email = OutboxEmail("admin_acted", language, SITES[name][0], address, None, delivered)
        self.emails["admin_acted", language, name] = email

    def _keep(
        self,
        template: str,
        username: str | None,
        where: tuple[str, str],
        address: str,
        browser: Browser,
        path: str,
        /,
        **typed: str,
    ) -> OutboxEmail:
        before = len(self.server.emails)
        answer = browser.post(path, data=typed)
        assert answer.status_code == 200
        self.page = answer.text
        # Some emails wait for what else may come.
        execute(self.site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready' AND due_at > created_at")
        delivered = self.server.wait_for(before + 1)[-1]
        name, language = where
        email = OutboxEmail(template, language, SITES[name][0], address, username, delivered)
        self.emails[template, language, name] = email
        return email


@pytest.fixture(scope="module")
def sweep(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    with pytest.MonkeyPatch.context() as patch, MailServer(certificates) as server:
        patch.setenv("SSL_CERT_FILE", str(certificates.authority))
        sweep = Sweep(server, tmp_path_factory.mktemp("emails"))
        for name, language in WRITTEN:
            sweep.visit(name, language)
        yield sweep


@pytest.fixture(scope="module")
def emails(sweep: Sweep) -> list[OutboxEmail]:
    """All that were written, each named by what it is in the failures of a test."""
    return list(sweep.emails.values())


@deep
def test_the_sweep_leaves_no_kind_out(sweep: Sweep) -> None:
    through_the_general_door = {"general", "alarm"}
    assert sweep.kinds == set(KINDS) - through_the_general_door
    assert set(sweep.emails) == {(template, language, site) for template in TEMPLATES for site, language in WRITTEN}


def test_every_email_of_the_sweep_came_although_it_was_turned_off_as_soon_as_it_was_posted(sweep: Sweep) -> None:
    """C67: nobody silences what has happened, except the emails that people get only for as long as they want them."""
    assert sweep.turned_off == sweep.kinds - set(STOPPABLE)
    assert STOPPABLE == ["digest", "mention", "new_follower"]


def test_the_sweep_leaves_no_template_out() -> None:
    files = {file.stem for file in (ROOT / "templates" / "email").glob("*") if not file.name.startswith("_")}

    assert files == set(TEMPLATES)


@deep
def test_an_email_that_another_version_of_the_site_posted_can_still_be_written(sweep: Sweep, site: Site) -> None:
    """An older one has not noted everything, a newer one more."""
    add = "INSERT INTO user_account (username, username_key, email, password_hash, epoch, language, created_at,"
    add += " last_seen_at, about_me, picture, is_public)"
    add += " VALUES ('s', 's', 's@example.com', '!', 0, 'en', :now, :now, '', 0, true)"
    execute(site, add, now="2026-01-01 00:00:00.000000")

    async def write(kind: str, parameters: dict[str, object]) -> None:
        email = replace(samples._claimed(site.settings, kind, "en"), user_id=1, parameters=parameters)
        async with site.app.state.database.session() as db:
            draft = await KINDS[kind].write(db, site.settings, email)
        if draft is not None:
            mime.compose(site.app.state.templates, site.settings, email, draft)

    unwritten: dict[str, str] = {}
    for kind in sorted(set(KINDS) - {"general", "alarm"}):
        for noted in versions(sweep.posted[kind]):
            try:
                site.run(write, kind, noted)
            except Exception as error:
                unwritten[f"{kind}, {sorted(noted)}"] = repr(error)

    assert unwritten == {}


def versions(told: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """With something new, without each that was noted, and with the essential alone."""
    yield {**told, "something_new": 1}
    for missing in set(told) - ESSENTIAL:
        yield {name: value for name, value in told.items() if name != missing}
    yield {name: value for name, value in told.items() if name in ESSENTIAL}


def test_an_email_has_no_defect(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        message = message_from_bytes(email.raw, policy=strict)

        assert [part.defects for part in message.walk()] == [[], [], []]
        assert [header.defects for header in message.values() if header.defects] == []
        assert message.get_content_type() == "multipart/alternative"
        assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_an_email_has_these_headers_and_no_other(emails: list[OutboxEmail]) -> None:
    """C59, C08: no List-Unsubscribe either, but in the emails that one may turn off (RFC 8058)"""
    for email in emails:
        more = ["List-Unsubscribe", "List-Unsubscribe-Post"] if email.template in OPTIONAL else []

        assert sorted(email.message.keys()) == sorted([*HEADERS, *more])


def test_an_optional_email_names_the_link_that_turns_it_off(emails: list[OutboxEmail]) -> None:
    """RFC 8058: the same link in the header, for the mail program's own button, and in the email."""
    for email in emails:
        if email.template not in OPTIONAL:
            continue
        header = email.message["List-Unsubscribe"]

        assert email.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert header.startswith(f"<{email.base_url}/unsubscribe/")
        assert header.strip("<>") in email.links


def test_an_email_goes_from_the_site_to_one_person(emails: list[OutboxEmail]) -> None:
    """C59, C08"""
    for email in emails:
        sender, recipient = email.message["From"], email.message["To"]

        assert [address.addr_spec for address in recipient.addresses] == [email.address]
        assert email.delivered.recipients == (email.address,)
        assert [address.addr_spec for address in sender.addresses] == [f"no-reply@{email.host}"]
        assert email.delivered.sender == f"no-reply@{email.host}"


def test_an_email_was_written_just_now(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        date = email.message["Date"].datetime

        assert timedelta() <= datetime.now(UTC) - date < timedelta(minutes=5)


def test_an_email_is_named_on_our_domain(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        assert re.fullmatch(rf"<[0-9a-f]{{32}}@{re.escape(email.host)}>", email.message["Message-ID"])
        assert email.message["Message-ID"].encode() in email.raw.splitlines()[_header_line(email, b"message-id")]


def test_an_email_says_that_a_program_sent_it_and_in_which_language(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        assert email.message["Auto-Submitted"] == "auto-generated"
        assert email.message["Content-Language"] == email.language
        assert f'<html lang="{email.language}" dir="ltr">' in email.html


def test_an_email_has_a_subject_on_one_line(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        subject = email.message["Subject"]

        assert "Microblog" in subject
        assert not re.search(r"[\r\n]", subject)
        assert f"<title>{subject}</title>" in email.html.replace("\xa0", " ")


def test_every_link_of_an_email_stands_whole_on_a_line_of_its_own(emails: list[OutboxEmail]) -> None:
    """C59: also in the bytes, where quoted-printable would break it"""
    for email in emails:
        encodings = {part["Content-Transfer-Encoding"] for part in email.message.iter_parts()}
        addresses_in_text = re.findall(r"https?://\S+", email.text)

        assert email.links or email.template in WITHOUT_LINK, email.text
        assert encodings <= {"7bit", "8bit", "base64"}
        assert set(addresses_in_text) - set(email.links) <= {email.base_url}
        if encodings <= {"7bit", "8bit"}:
            assert set(email.links) <= set(email.raw.decode().split("\r\n"))


def test_every_link_of_an_email_leads_to_this_site(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        origins = {"{0.scheme}://{0.netloc}".format(urlsplit(link)) for link in email.links}

        assert origins <= {email.base_url}


def test_the_html_of_an_email_shows_where_its_buttons_lead(emails: list[OutboxEmail]) -> None:
    """C59: whole and once, to copy; a list of names has no second list of their links below it"""
    for email in emails:
        read = Reader(email.html)
        anchors = read.anchors
        visible = [shown.strip() for _href, shown in anchors if "://" in shown]

        assert {href for href, _shown in anchors} == set(email.links)
        assert sorted(visible) == sorted(read.buttons)
        assert [shown for href, shown in anchors if "://" in shown and shown.strip() != href] == []


def test_text_and_html_of_an_email_say_the_same(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        seen = Reader(email.html).sentences
        paragraphs = [" ".join(paragraph.split()) for paragraph in email.text.split("\n\n") if paragraph.strip()]

        assert len(paragraphs) >= 4
        said = [it.removesuffix(":") for it in paragraphs if it not in email.links]  # in the text, a link follows
        assert [it for it in said if it not in seen] == []


def test_what_stands_beside_the_subject_is_whole_by_itself(emails: list[OutboxEmail]) -> None:
    """Mail programs show the first words of the HTML there, which are hidden below."""
    for email in emails:
        [hidden] = re.findall(r'<div style="display: none[^>]*>(.*?)</div>', email.html, re.DOTALL)

        assert len(hidden) > 20, email.template
        assert not hidden.strip().endswith(":"), email.template
        assert "://" not in hidden, email.template
        if quoted := re.search(r"(\S+)\s+\n    (\S+)", email.text):
            assert unescape(hidden).startswith(": ".join(quoted.groups())), email.template


def test_no_email_has_a_gap(emails: list[OutboxEmail]) -> None:
    """One empty line between paragraphs, two before the foot."""
    assert [email.template for email in emails if "\n\n\n\n" in email.text.replace("\r", "")] == []


def test_an_email_names_the_account_it_is_about(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        named = [email.username in email.text, email.username in email.html] if email.username else []

        assert all(named)


def test_an_email_says_how_long_its_link_works(emails: list[OutboxEmail]) -> None:
    """C59"""
    for email in emails:
        if email.template in LIFETIMES:
            lifetime = re.compile(rf"(?<![\w/]){LIFETIMES[email.template]}(?![\w/])")

            assert lifetime.search(email.text), email
            assert lifetime.search(Reader(email.html).sentences), email


def test_a_code_stands_alone_on_its_line_and_only_where_a_page_waits(emails: list[OutboxEmail]) -> None:
    """Phones find it there; and in the HTML it is no telephone number."""
    for email in emails:
        codes = re.findall(r"^\d{4} \d{4}$", email.text, re.MULTILINE)

        assert len(codes) == (email.template in WITH_CODE)
        assert [code for code in codes if f">{code}</p>" not in email.html] == []
        assert 'content="telephone=no"' in email.html


def test_an_email_fetches_nothing_and_runs_nothing(emails: list[OutboxEmail]) -> None:
    """C59: no remote image, style, font or script tells anybody that it was opened"""
    for email in emails:
        reader = Reader(email.html)
        loading = {"src", "srcset", "background", "poster", "data", "action"}

        assert reader.tags & {"img", "script", "link", "iframe", "object", "embed", "form", "video", "audio"} == set()
        assert [name for name, _value in reader.attributes if name in loading or name.startswith("on")] == []
        assert not re.search(r"url\(|@import|@font-face", email.html)


def test_no_line_of_an_email_is_longer_than_mail_allows(emails: list[OutboxEmail]) -> None:
    """C59: RFC 5322, 2.1.1"""
    for email in emails:
        assert max(len(line) for line in email.raw.split(b"\r\n")) <= 998
        assert b"\n" not in email.raw.replace(b"\r\n", b"")
        assert b"\r" not in email.raw.replace(b"\r\n", b"")


def _header_line(email: OutboxEmail, name: bytes) -> int:
    return next(number for number, line in enumerate(email.raw.splitlines()) if line.lower().startswith(name + b":"))

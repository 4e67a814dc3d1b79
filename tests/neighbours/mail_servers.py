"""Real mail servers, each with a configuration and folders of its own, on ports of this machine alone.

Postfix or Exim takes the site's emails, with TLS and a log-in, and hands them to Dovecot (LMTP, RFC 2033), where the
people of example.com have their mailboxes and read them (IMAP). Postgrey stands beside Postfix, as Debian has it.
"""

import email
import imaplib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import trustme

from tests.mailserver import settings_for
from tests.missing import unavailable
from tests.neighbours.neighbours import program, running, wait_for_port
from tests.processes import free_port

PEOPLE = ("susan", "peter", "mary", "bounces")
GHOST = "ghost"  # whom Postfix knows, and Dovecot does not
USERNAME, PASSWORD = "microblog", "secret-of-the-mail"
DOVECOT = """
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Lu
mail_location = maildir:~/Maildir
recipient_delimiter = +
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/people
}}
userdb {{
  driver = passwd-file
  args = {folder}/people
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service auth {{
  inet_listener {{
    port = {sasl}
  }}
}}
"""
POSTFIX_PROGRAMS = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
EXIM = """
primary_hostname = mail.example.com
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
keep_environment =
host_lookup =
queue_only = false
tls_advertise_hosts = *
tls_certificate = {folder}/certificate.pem
tls_privatekey = {folder}/key.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_rcpt = check_rcpt

begin acl
check_rcpt:
{refusals}
  deny message = relay not permitted
       !authenticated = *
  deny message = Unknown user
       domains = example.com
       !local_parts = {people}
  accept

begin routers
bounces:
  driver = redirect
  allow_fail
  domains = !example.com
  data = :blackhole:
people:
  driver = accept
  transport = mailboxes

begin transports
mailboxes:
  driver = smtp
  hosts = 127.0.0.1
  hosts_override
  allow_localhost
  port = {lmtp}
  protocol = lmtp

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{username}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


@dataclass(frozen=True)
class Mailboxes:
    """Where the people read their emails."""

    imap: int
    lmtp: int
    sasl: int

    def emails(self, name: str) -> list[EmailMessage]:
        """What is in somebody's inbox, oldest first."""
        with imaplib.IMAP4("127.0.0.1", self.imap) as client:
            client.login(f"{name}@example.com", PASSWORD)
            client.select("INBOX", readonly=True)
            numbers = client.search(None, "ALL")[1][0].split()
            found: list[Any] = [client.fetch(number, "(RFC822)")[1][0] for number in numbers]
        return [email.message_from_bytes(content, policy=default) for _what, content in found]

    def wait_for(self, name: str, count: int, patience: float = 40) -> list[EmailMessage]:
        deadline = time.monotonic() + patience
        while len(found := self.emails(name)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} emails arrived"
            time.sleep(0.1)
        return found

    def link(self, name: str, count: int) -> str:
        """The path of the link in somebody's newest email, once there are so many."""
        part = self.wait_for(name, count)[-1].get_body(("plain",))
        assert part is not None
        found = re.search(r"^https?://[^/\s]+(/\S+)$", part.get_content().replace("\r", ""), re.MULTILINE)
        assert found, part.get_content()
        return found[1]


@dataclass(frozen=True)
class RealServer:
    """What takes the emails of the site."""

    port: int
    authority: Path
    mailboxes: Mailboxes

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which a site logs in to it."""
        login = {"mail_username": USERNAME, "mail_password": PASSWORD}
        return settings_for(self.port, mail_ca_file=str(self.authority), **login)


Refusals = Mapping[str, str]
Start = Callable[[Path, Mailboxes, Refusals, int], AbstractContextManager[RealServer]]


@contextmanager
def folder_for(name: str) -> Iterator[Path]:
    """A folder into which servers find that run as another than we."""
    if os.getuid():
        unavailable("mail servers are started by root, and take another user themselves")
    with tempfile.TemporaryDirectory(prefix=f"microblog-{name}-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def dovecot(folder: Path) -> Iterator[Mailboxes]:
    boxes, owner = Mailboxes(free_port(), free_port(), free_port()), pwd.getpwnam("mail")
    lines = [f"{name}@example.com:{PASSWORD}:{owner.pw_uid}:{owner.pw_gid}::{folder}/{name}" for name in PEOPLE]
    lines.append(f"{USERNAME}:{PASSWORD}:{owner.pw_uid}:{owner.pw_gid}::{folder}/{USERNAME}")
    (folder / "people").write_text("\n".join(lines) + "\n")
    for name in (*PEOPLE, USERNAME):
        (folder / name).mkdir()
        shutil.chown(folder / name, owner.pw_uid, owner.pw_gid)
    ports = {"imap": boxes.imap, "lmtp": boxes.lmtp, "sasl": boxes.sasl}
    (folder / "dovecot.conf").write_text(DOVECOT.format(folder=folder, **ports))
    command = [program("dovecot"), "-F", "-c", str(folder / "dovecot.conf")]
    with running(command, {}, folder / "dovecot.out") as process:
        for port in ports.values():
            wait_for_port(port, process)
        yield boxes


@contextmanager
def postfix(folder: Path, boxes: Mailboxes, refusals: Refusals, port: int) -> Iterator[RealServer]:
    """`refusals` are parameters of main.cf."""
    for name in ("etc", "spool", "data"):
        (folder / name).mkdir(exist_ok=True)
    shutil.chown(folder / "data", "postfix")
    authority = _certificate(folder)
    settings = {**_main_cf(folder, boxes), **refusals}
    (folder / "etc" / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    (folder / "etc" / "master.cf").write_text(POSTFIX_PROGRAMS.format(port=port))
    command = [program("postfix"), "-c", str(folder / "etc")]
    with running([*command, "start-fg"], {}, folder / "postfix.out") as process:
        try:
            wait_for_port(port, process)
            yield RealServer(port, authority, boxes)
        finally:  # its master is in a session of its own, which signals to ours don't reach
            subprocess.run([*command, "abort"], capture_output=True, timeout=30, check=False)
            process.wait(20)


def _main_cf(folder: Path, boxes: Mailboxes) -> dict[str, str]:
    people = ", ".join(f"{{{name}@example.com=x}}" for name in (*PEOPLE, GHOST))
    return {
        "compatibility_level": "3.6",
        "queue_directory": f"{folder}/spool",
        "data_directory": f"{folder}/data",
        "command_directory": "/usr/sbin",
        "daemon_directory": "/usr/lib/postfix/sbin",
        "shlib_directory": "/usr/lib/postfix",
        "meta_directory": "/etc/postfix",
        "multi_instance_name": "postfix-microblog",
        "maillog_file": f"{folder}/mail.log",
        "maillog_file_prefixes": str(folder),
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "myhostname": "mail.example.com",
        "mynetworks": "",
        "mydestination": "",
        "local_recipient_maps": "",
        "alias_maps": "",
        "alias_database": "",
        "notify_classes": "",
        "recipient_delimiter": "+",
        "virtual_mailbox_domains": "example.com",
        "virtual_mailbox_maps": f"inline:{{{people}}}",
        "virtual_transport": f"lmtp:inet:127.0.0.1:{boxes.lmtp}",
        "relay_transport": "discard:",
        "default_transport": "discard:",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": f"{folder}/certificate.pem",
        "smtpd_tls_key_file": f"{folder}/key.pem",
        "smtpd_tls_auth_only": "yes",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": f"inet:127.0.0.1:{boxes.sasl}",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
    }


@contextmanager
def exim(folder: Path, boxes: Mailboxes, refusals: Refusals, port: int) -> Iterator[RealServer]:
    """`refusals` has lines of the list of access for RCPT, by what they are about."""
    owner, path = _owner_of_exim(), program("exim4")
    for name in ("spool", "log"):
        (folder / name).mkdir(exist_ok=True)
        shutil.chown(folder / name, owner, owner)
    authority = _certificate(folder)
    shutil.chown(folder / "key.pem", owner)
    values = {"program": path, "folder": folder, "port": port, "lmtp": boxes.lmtp, "people": " : ".join(PEOPLE)}
    rules = "\n".join(refusals.values())
    text = EXIM.format(**values, refusals=rules, username=USERNAME, password=PASSWORD)
    (folder / "exim.conf").write_text(text)
    with running([path, "-C", str(folder / "exim.conf"), "-bdf", "-q1m"], {}, folder / "exim.out") as process:
        wait_for_port(port, process)
        yield RealServer(port, authority, boxes)


def _owner_of_exim() -> str:
    try:
        return pwd.getpwnam("Debian-exim").pw_name
    except KeyError:
        unavailable("no user Debian-exim on this machine, whom Exim wants to be")


@contextmanager
def postgrey(folder: Path, seconds: int) -> Iterator[int]:
    """Greylists for so many seconds; gives its port."""
    (folder / "grey").mkdir()
    shutil.chown(folder / "grey", "postgrey")
    port = free_port()
    command = [program("postgrey"), f"--inet=127.0.0.1:{port}", f"--dbdir={folder}/grey", f"--delay={seconds}"]
    with running([*command, "--auto-whitelist-clients=0"], {}, folder / "postgrey.out") as process:
        wait_for_port(port, process)
        yield port


def _certificate(folder: Path) -> Path:
    """For localhost; the site trusts its authority alone."""
    if not (folder / "key.pem").exists():
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(folder / "authority.pem")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    return folder / "authority.pem"

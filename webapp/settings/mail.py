"""The MAIL_* variables, and what may be wrong with them."""

import ipaddress
import re
import ssl
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from webapp.settings.environment import Environment, ascii_host
from webapp.settings.problems import N_

_DOMAIN = r"(?=.{1,200}\Z)(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})*"
MOST_LOCAL = 38  # of 64 characters (RFC 5321, 4.5.3.1.1), what a return path leaves


def read(environment: Environment) -> dict[str, Any]:
    """The settings of the mail server and of what is sent through it. Anything wrong is among the problems."""
    sender = environment.text("MAIL_SENDER")
    sender = environment.mailbox("MAIL_SENDER", sender) if sender else ""
    return (
        _server(environment)
        | _log_in(environment)
        | _bounces(environment, sender)
        | {
            "mail_sender": sender,
            "mail_connections": environment.number("MAIL_CONNECTIONS", 4, 1, 50),
            "mail_local_domains": tuple(_local_domains(environment)),
            "mail_hourly_budget": environment.number("MAIL_HOURLY_BUDGET", 1000, 0, 10_000_000),
        }
    )


def _bounces(environment: Environment, sender: str) -> dict[str, Any]:
    """How bounces are recognised: the key of POST /bounces, and where return paths lead.

    A return path ends with a signed part of 26 characters before the @; 64 are allowed in all (RFC 5321, 4.5.3.1.1).
    """
    key, address = environment.key("BOUNCE_KEY"), environment.text("BOUNCE_ADDRESS")
    if address:
        address = parseaddr(environment.mailbox("BOUNCE_ADDRESS", address))[1]
    name, base = ("BOUNCE_ADDRESS", address) if address else ("MAIL_SENDER", parseaddr(sender)[1] if key else "")
    if len(base.rpartition("@")[0]) > MOST_LOCAL:
        environment.refuse(
            N_("%(name)s has more than %(most)s characters before the @: too long for bounces."),
            name=name,
            most=MOST_LOCAL,
        )
    return {"bounce_key": key, "bounce_address": address}


def _server(environment: Environment) -> dict[str, Any]:
    port = environment.number("MAIL_PORT", 0, 1, 65535)
    tls, is_implicit = environment.flag("MAIL_USE_TLS"), environment.flag("MAIL_USE_SSL") or port == 465
    if tls and is_implicit and port != 465:
        environment.refuse(N_("MAIL_USE_TLS and MAIL_USE_SSL can't both be set; 587 needs the first, 465 the second."))
    return {
        "mail_server": _name(environment, "MAIL_SERVER"),
        "mail_port": port or (465 if is_implicit else 587 if tls else 25),
        "mail_use_tls": tls and not is_implicit,
        "mail_use_ssl": is_implicit,
        "mail_helo": _helo(environment),
        "mail_ca_file": _authorities(environment, "MAIL_CA_FILE"),
    }


def _log_in(environment: Environment) -> dict[str, Any]:
    """A password alone would never be sent, and a name without one be refused by the server."""
    said = {"MAIL_USERNAME": environment.text("MAIL_USERNAME"), "MAIL_PASSWORD": environment.secret("MAIL_PASSWORD")}
    for name, other in (("MAIL_USERNAME", "MAIL_PASSWORD"), ("MAIL_PASSWORD", "MAIL_USERNAME")):
        if said[name] and not said[other]:
            words = N_("%(name)s is set, but %(other)s is not: the mail server's log-in takes both.")
            environment.refuse(words, name=name, other=other)
    return {name.lower(): word for name, word in said.items()}


def _local_domains(environment: Environment) -> Iterator[str]:
    """Domains of the admin's own network that no public mail server knows: home.local, home.arpa, box."""
    for said in environment.listed("MAIL_LOCAL_DOMAINS"):
        domain = ascii_host(said.removeprefix("@").rstrip("."))
        if not re.fullmatch(_DOMAIN, domain):
            environment.refuse(N_("MAIL_LOCAL_DOMAINS: no domain can be called '%(said)s'."), said=said)
        yield domain


def greeting(host: str) -> str:
    """How EHLO names a host (RFC 5321, 4.1.3): an IP address is put in brackets."""
    try:
        address = ipaddress.ip_address(host.strip("[]").removeprefix("IPv6:"))
    except ValueError:
        return host
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


def _helo(environment: Environment) -> str:
    name = environment.text("MAIL_HELO")
    is_name = re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})+|localhost", name)
    bare = name.strip("[]")
    if name and not is_name and greeting(bare) == bare:
        environment.refuse(N_("MAIL_HELO must be this machine's full name, such as mail.example.com."))
        return ""
    return greeting(name)


def _authorities(environment: Environment, name: str) -> str:
    """The file of trusted certificate authorities, opened so that it fails at the start."""
    file = environment.text(name)
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError):
            environment.refuse(
                N_("%(name)s names %(file)s, which is no readable file of certificates (PEM)."), name=name, file=file
            )
    return file


def _name(environment: Environment, name: str) -> str:
    host = environment.text(name)
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host  # as URLs have an IPv6 address
    if host and not ascii_host(host):
        environment.refuse(N_("%(name)s: no host can be called '%(host)s'."), name=name, host=host)
    return ascii_host(host) or host

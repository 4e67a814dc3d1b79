"""The variables of the mail: MAIL_*, and what is wrong with them."""

from email.utils import parseaddr
from typing import Any

from webapp.environment import Environment


def read(environment: Environment) -> dict[str, Any]:
    """The settings of the mail server and of what is sent through it; what is wrong is among the problems."""
    sender = environment.text("MAIL_SENDER")
    if sender and "@" not in parseaddr(sender)[1]:
        environment.problems.append("MAIL_SENDER must look like name@example.com.")
    return _server(environment) | {
        "mail_username": environment.text("MAIL_USERNAME"),
        "mail_password": environment.variables.get("MAIL_PASSWORD", ""),
        "mail_sender": sender,
        "mail_connections": environment.number("MAIL_CONNECTIONS", 4, 1, 50),
        "mail_hourly_budget": environment.number("MAIL_HOURLY_BUDGET", 1000, 0, 10_000_000),
    }


def _server(environment: Environment) -> dict[str, Any]:
    port = environment.number("MAIL_PORT", 0, 0, 65535)
    tls, ssl = environment.flag("MAIL_USE_TLS"), environment.flag("MAIL_USE_SSL") or port == 465
    if tls and ssl and port != 465:
        environment.problems.append(
            "MAIL_USE_TLS and MAIL_USE_SSL exclude each other; 587 wants the first, 465 the second"
        )
    return {
        "mail_server": environment.text("MAIL_SERVER"),
        "mail_port": port or (465 if ssl else 587 if tls else 25),
        "mail_use_tls": tls and not ssl,
        "mail_use_ssl": ssl,
    }

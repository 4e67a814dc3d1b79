"""Reads a database URL as platforms print it, and translates it for SQLAlchemy and asyncpg.

Everything it may contain: https://www.postgresql.org/docs/current/libpq-connect.html
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import URL

from webapp.settings.problems import N_, Problem

Arguments = dict[str, Any]
Query = dict[str, str]

CHECKED = {"verify-ca", "verify-full"}
TLS_FILES = ("sslrootcert", "sslcert", "sslkey")
CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "primary"),  # a site must write, so a standby is of no use
    "pgbouncer": ("true", "false"),
}
# How sockets are kept alive, how many connections a pool of Prisma's has, what Supabase and node-postgres add, and what
# we do anyway.
IGNORED = re.compile(
    r"keepalives(_idle|_interval|_count)?|tcp_user_timeout|gssencmode|sslsni|sslcompression|load_balance_hosts"
    r"|client_encoding|fallback_application_name|connection_limit|pool_timeout|supa|uselibpqcompat"
)
# A pooler lends a server connection for one transaction, so nothing may be prepared under a name: processes give the
# same ones. The first is asyncpg's own cache (without it, it gives no names), the other that of SQLAlchemy's adapter.
POOLED: Arguments = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
# asyncpg's own defaults; spelled out, they mean that nobody needs to look for a pooler.
NAMED: Arguments = {"statement_cache_size": 100}


class WrongURL(ValueError):
    """A sentence says what is wrong with it."""

    def __init__(self, text: str, **values: Any) -> None:
        super().__init__(Problem(text, **values))


def read(url: str) -> tuple[str, Arguments]:
    """The URL for SQLAlchemy, and its driver's arguments. Raises ValueError with a sentence about what is wrong."""
    scheme, separator, rest = url.strip().partition("://")
    kind = scheme.split("+")[0].lower() if separator else ""
    if kind == "sqlite":
        return _sqlite(rest), {}
    if kind not in {"postgres", "postgresql"}:
        raise WrongURL(N_("DATABASE_URL must begin with postgresql:// or sqlite:///."))
    return _postgresql(rest)


def _sqlite(rest: str) -> str:
    file, _mark, parameters = rest.partition("?")
    if parameters:
        option = parameters.partition("=")[0]
        raise WrongURL(N_("DATABASE_URL says '%(option)s', which is not understood here."), option=option)
    if file and not file.startswith("/"):
        raise WrongURL(N_("DATABASE_URL must begin with postgresql:// or sqlite:///."))
    return f"sqlite+aiosqlite://{file}"


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for any other."""
    return Path(url.partition(":///")[2].partition("?")[0]) if url.startswith("sqlite") else None


def files(arguments: Arguments) -> list[str]:
    """The files that the arguments name: certificates and keys, which must exist and be readable."""
    return [unquote(file) for file in re.findall(rf"(?:{'|'.join(TLS_FILES)})=([^&]*)", arguments.get("dsn", ""))]


def _postgresql(rest: str) -> tuple[str, Arguments]:
    if re.search(r"[\s\x00-\x1f]", rest) or "%00" in rest:
        raise WrongURL(N_("DATABASE_URL has a space or a line break inside."))
    address, _mark, parameters = rest.partition("?")
    authority, _slash, name = address.partition("/")
    login, _at, hosts = authority.rpartition("@")
    query = _query(parameters)
    url, arguments = _login(login, unquote(name), query), _tls(query) | _arguments(query)
    places = _places(query.pop("host", unquote(hosts)), query.pop("port", ""))
    if unknown := [name for name in query if not IGNORED.fullmatch(name)]:
        raise WrongURL(N_("DATABASE_URL says '%(option)s', which is not understood here."), option=unknown[0])
    if len(places) == 1 and not places[0][0].startswith("/"):
        url = url.set(host=places[0][0], port=places[0][1])
    else:
        arguments |= {"host": [host for host, _port in places], "port": [port for _host, port in places]}
    return url.render_as_string(hide_password=False), arguments


def _login(text: str, name: str, query: Query) -> URL:
    user, _colon, password = map(unquote, text.partition(":"))
    if re.fullmatch(r"\[.*\]|<.*>", password):
        raise WrongURL(N_("DATABASE_URL still has a placeholder where the password belongs."))
    who = query.pop("user", user) or None, query.pop("password", password) or None
    return URL.create("postgresql+asyncpg", *who, database=query.pop("dbname", name) or None)


def _query(text: str) -> Query:
    """The parameters by name. `host` may occur several times, as SQLAlchemy allows."""
    query: Query = {}
    for part in filter(None, text.split("&")):
        name, equals, value = part.partition("=")
        if name == "ssl":  # as SQLAlchemy and others have it
            name, value = "sslmode", {"true": "require", "false": "disable"}.get(value, value)
        if equals and not value:
            continue  # which means the same as if it weren't there
        if name in query and name != "host":
            raise WrongURL(N_("DATABASE_URL says '%(name)s' twice."), name=name)
        query[name] = f"{query[name]},{unquote(value)}" if name in query else unquote(value)
        if name in CHOICES and query[name] not in CHOICES[name]:
            raise WrongURL(
                N_("DATABASE_URL: %(name)s must be one of: %(choices)s."), name=name, choices=", ".join(CHOICES[name])
            )
    return query


def _places(hosts: str, ports: str) -> list[tuple[str, int]]:
    """Where the servers are: names, addresses or socket folders, each with its port."""
    places = [_place(text) for text in hosts.split(",")]
    usual = ports.split(",") * (1 if "," in ports else len(places))
    if len(usual) != len(places):
        raise WrongURL(N_("DATABASE_URL must have one port, or as many as hosts."))
    both = zip(places, usual, strict=True)
    return [(host, _number("a port", own or other or "5432", 65535)) for (host, own), other in both]


def _place(text: str) -> tuple[str, str]:
    if text.startswith("/"):
        folder, _colon, port = text.rpartition(":")  # as libpq reads postgresql://blog@%2Frun%2Fpostgresql:5433/blog
        return (folder, port) if port.isdecimal() else (text, "")
    if match := re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d*))?|([\w.-]+)(?::(\d*))?", text):
        with suppress(UnicodeError):  # an empty label, or one that is too long
            (match[3] or "").encode("idna")
            return match[1] or match[3], match[2] or match[4] or ""
    raise WrongURL(
        N_("DATABASE_URL needs a host; in a password, / is written %(slash)s, and @ is written %(at)s."),
        slash="%2F",
        at="%40",
    )


def _arguments(query: Query) -> Arguments:
    """The parameters in asyncpg's terms; they are removed from the query."""
    arguments: Arguments = {}
    if said := {name: query.pop(name) for name in ("application_name", "options") if name in query}:
        arguments["server_settings"] = said  # `options` are read by the server, whoever sends them
    if seconds := _number("connect_timeout", query.pop("connect_timeout", "0"), 60):
        arguments["timeout"] = float(seconds)
    if role := query.pop("target_session_attrs", ""):
        arguments["target_session_attrs"] = role
    caches = [query.pop(name, "") for name in ("statement_cache_size", "prepared_statement_cache_size")]
    pooler = query.pop("pgbouncer", "")
    if pooler == "true" or "0" in caches:
        arguments |= POOLED
    elif pooler == "false":
        arguments |= NAMED
    return arguments


def _tls(query: Query) -> Arguments:
    """How to encrypt. Without a file of authorities, "verify-full" trusts those that the machine trusts."""
    mode = query.pop("sslmode", "")
    details = {name: query.pop(name) for name in (*TLS_FILES, "sslnegotiation") if name in query}
    authority = details.get("sslrootcert", "")
    if query.pop("channel_binding", "") == "require" or (authority == "system" and not mode):
        if mode == "disable":
            raise WrongURL(N_("DATABASE_URL: channel_binding=require and sslmode=disable can't be used together."))
        # asyncpg can't bind the log-in to the channel. Checking the certificate prevents the same attack.
        mode = "verify-full"
    if mode == "verify-full" and authority in {"", "system"} and details.keys() <= {"sslrootcert"}:
        return {"ssl": True}
    is_file = authority not in {"", "system"}
    if authority == "system" or is_file < (mode in CHECKED) or is_file > (mode in {*CHECKED, "require"}):
        raise WrongURL(N_("DATABASE_URL: sslmode=verify-full or verify-ca and the file of an sslrootcert go together."))
    if not details:
        return {"ssl": mode} if mode else {}
    words = [f"{name}={quote(word)}" for name, word in {"sslmode": mode or "prefer", **details}.items()]
    return {"dsn": f"postgresql://?{'&'.join(words)}"}  # asyncpg itself reads the files


def _number(what: str, text: str, most: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) > most:
        raise WrongURL(N_("DATABASE_URL: %(what)s must be a whole number up to %(most)s."), what=what, most=most)
    return int(text)

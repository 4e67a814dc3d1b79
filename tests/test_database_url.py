"""Database addresses as platforms print them: what is made of them, and what is refused."""

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from webapp.settings.database_url import POOLED, files, read

RDS = "mydb.c9akciq32.eu-central-1.rds.amazonaws.com"
NEON = "ep-cool-darkness-123456-pooler.eu-central-1.aws.neon.tech"
SUPABASE = "aws-0-eu-central-1.pooler.supabase.com"

UNDERSTOOD: dict[str, tuple[str, dict[str, Any]]] = {
    # SQLite, as README has it
    "sqlite:////srv/site.db": ("sqlite+aiosqlite:////srv/site.db", {}),
    "sqlite+aiosqlite:///site.db": ("sqlite+aiosqlite:///site.db", {}),
    # Heroku
    "postgres://u1:p2@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d3": (
        "postgresql+asyncpg://u1:p2@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d3",
        {},
    ),
    "postgres://u:p@h:5432/d?sslmode=require": ("postgresql+asyncpg://u:p@h:5432/d", {"ssl": "require"}),
    # Render: within, and from outside
    "postgresql://blog:pw@dpg-abc123-a/blog_x1y2": ("postgresql+asyncpg://blog:pw@dpg-abc123-a:5432/blog_x1y2", {}),
    "postgresql://blog:pw@dpg-abc123-a.frankfurt-postgres.render.com/blog": (
        "postgresql+asyncpg://blog:pw@dpg-abc123-a.frankfurt-postgres.render.com:5432/blog",
        {},
    ),
    # Neon
    f"postgresql://neondb_owner:npg_x@{NEON}/neondb?sslmode=require&channel_binding=require": (
        f"postgresql+asyncpg://neondb_owner:npg_x@{NEON}:5432/neondb",
        {"ssl": True},
    ),
    f"postgresql://o:p@{NEON}/neondb?sslmode=verify-full&sslrootcert=system": (
        f"postgresql+asyncpg://o:p@{NEON}:5432/neondb",
        {"ssl": True},
    ),
    f"postgres://o:p@{NEON}/neondb?sslmode=require&options=endpoint%3Dep-cool-darkness-123456": (
        f"postgresql+asyncpg://o:p@{NEON}:5432/neondb",
        {"ssl": "require", "server_settings": {"options": "endpoint=ep-cool-darkness-123456"}},
    ),
    f"postgresql://o:p@{NEON}/neondb?sslmode=require&sslnegotiation=direct": (
        f"postgresql+asyncpg://o:p@{NEON}:5432/neondb",
        {"dsn": "postgresql://?sslmode=require&sslnegotiation=direct"},
    ),
    # Supabase: its poolers for sessions and for transactions
    f"postgresql://postgres.abcd:pw@{SUPABASE}:5432/postgres": (
        f"postgresql+asyncpg://postgres.abcd:pw@{SUPABASE}:5432/postgres",
        {},
    ),
    f"postgresql://postgres.abcd:pw@{SUPABASE}:6543/postgres?pgbouncer=true&connection_limit=1": (
        f"postgresql+asyncpg://postgres.abcd:pw@{SUPABASE}:6543/postgres",
        POOLED,
    ),
    # RDS
    f"postgresql://admin:a%3Ab%2Fc%40d@{RDS}:5432/db?sslmode=verify-full&sslrootcert=/etc/ssl/global-bundle.pem": (
        f"postgresql+asyncpg://admin:a%3Ab%2Fc%40d@{RDS}:5432/db",
        {"dsn": "postgresql://?sslmode=verify-full&sslrootcert=/etc/ssl/global-bundle.pem"},
    ),
    # Several servers
    "postgresql://u:p@one:5432,two:5433/d?target_session_attrs=read-write": (
        "postgresql+asyncpg://u:p@/d",
        {"host": ["one", "two"], "port": [5432, 5433], "target_session_attrs": "read-write"},
    ),
    "postgresql://u:p@one,two/d?port=6000": (
        "postgresql+asyncpg://u:p@/d",
        {"host": ["one", "two"], "port": [6000] * 2},
    ),
    "postgresql://u:p@/d?host=one:1&host=two:2": (
        "postgresql+asyncpg://u:p@/d",
        {"host": ["one", "two"], "port": [1, 2]},
    ),
    "postgresql://u:p@/d?host=one,two&port=1,2": (
        "postgresql+asyncpg://u:p@/d",
        {"host": ["one", "two"], "port": [1, 2]},
    ),
    # Sockets
    "postgresql:///blog?host=/var/run/postgresql": (
        "postgresql+asyncpg:///blog",
        {"host": ["/var/run/postgresql"], "port": [5432]},
    ),
    "postgresql://blog@%2Fvar%2Frun%2Fpostgresql/blog": (
        "postgresql+asyncpg://blog@/blog",
        {"host": ["/var/run/postgresql"], "port": [5432]},
    ),
    "postgresql://blog@%2Frun%2Fpostgresql:5433/blog": (
        "postgresql+asyncpg://blog@/blog",
        {"host": ["/run/postgresql"], "port": [5433]},
    ),
    "postgresql://blog@%2Frun%2Fone:5433,%2Frun%2Ftwo/blog": (
        "postgresql+asyncpg://blog@/blog",
        {"host": ["/run/one", "/run/two"], "port": [5433, 5432]},
    ),
    "postgresql://u:p@/d?host=/cloudsql/project:europe-west1:blog": (
        "postgresql+asyncpg://u:p@/d",
        {"host": ["/cloudsql/project:europe-west1:blog"], "port": [5432]},
    ),
    "postgresql:///d?host=/run/postgresql&port=5433&user=u&password=p": (
        "postgresql+asyncpg://u:p@/d",
        {"host": ["/run/postgresql"], "port": [5433]},
    ),
    # Parameters
    "postgresql://u:p@h/d?application_name=blog&connect_timeout=10": (
        "postgresql+asyncpg://u:p@h:5432/d",
        {"server_settings": {"application_name": "blog"}, "timeout": 10.0},
    ),
    "postgresql://u:p@h/d?options=-c%20search_path%3Dblog%20-c%20statement_timeout%3D5s": (
        "postgresql+asyncpg://u:p@h:5432/d",
        {"server_settings": {"options": "-c search_path=blog -c statement_timeout=5s"}},
    ),
    "postgresql://u:p@h/d?keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3": (
        "postgresql+asyncpg://u:p@h:5432/d",
        {},
    ),
    "postgresql+asyncpg://u:p@h/d?prepared_statement_cache_size=0": ("postgresql+asyncpg://u:p@h:5432/d", POOLED),
    "postgresql://u:p@h/d?pgbouncer=false": ("postgresql+asyncpg://u:p@h:5432/d", {"statement_cache_size": 100}),
    "postgresql://u:p@h/d?ssl=true": ("postgresql+asyncpg://u:p@h:5432/d", {"ssl": "require"}),
    "postgresql://u:p@h/d?sslmode=require&sslcert=/c.pem&sslkey=/k%2B1.pem": (
        "postgresql+asyncpg://u:p@h:5432/d",
        {"dsn": "postgresql://?sslmode=require&sslcert=/c.pem&sslkey=/k%2B1.pem"},
    ),
    # Odd, but sound
    "postgresql://u:a@b@h/d": ("postgresql+asyncpg://u:a%40b@h:5432/d", {}),
    "postgresql://u:50%25@[2001:db8::1]:6543/d": ("postgresql+asyncpg://u:50%25@[2001:db8::1]:6543/d", {}),
    "SQLite:////site.db": ("sqlite+aiosqlite:////site.db", {}),
    "postgres://u:p@h:6543/d?sslmode=require&supa=base-pooler.x": (
        "postgresql+asyncpg://u:p@h:6543/d",
        {"ssl": "require"},
    ),
    "postgresql://u:p@h/d?options=&application_name=&sslmode=&connect_timeout=&pgbouncer=&channel_binding=&host=&": (
        "postgresql+asyncpg://u:p@h:5432/d",
        {},
    ),
    "postgresql://u:p@[::1]:6000,[2001:db8::2]/d": (
        "postgresql+asyncpg://u:p@/d",
        {"host": ["::1", "2001:db8::2"], "port": [6000, 5432]},
    ),
    "POSTGRES://u:p@h/d": ("postgresql+asyncpg://u:p@h:5432/d", {}),
    " postgresql://u:p@h/d\n": ("postgresql+asyncpg://u:p@h:5432/d", {}),
}

REFUSED = {
    "": "must begin with",
    "mysql://u:p@h/d": "must begin with",
    "psql 'postgresql://u:p@h/d'": "must begin with",
    "postgresql:/u:p@h/d": "must begin with",
    "postgresql:///d": "needs a host",
    "postgresql://u:p@h:port/d": "needs a host",
    "postgresql://u:p@h..example/d": "needs a host",
    f"postgresql://u:p@{'h' * 64}.example/d": "needs a host",
    "postgresql://u:p%00@h/d": "a space or a line break",
    "postgresql://u:p@h/d?sslmode": "sslmode must be one of",
    "postgresql://u:a/b@h/d": "needs a host",
    "postgresql://u:p@h:99999/d": "a port must be",
    "postgresql://u:p@a,b,c/d?port=1,2": "one port, or as many as hosts",
    "postgresql://u:p@h/d e": "a space or a line break",
    "postgresql://postgres:[YOUR-PASSWORD]@h/d": "placeholder",
    "postgresql://postgres:<password>@h/d": "placeholder",
    "postgresql://u:p@h/d?sslmode=please": "sslmode must be one of",
    "postgresql://u:p@h/d?ssl=please": "sslmode must be one of",
    "postgresql://u:p@h/d?sslmode=require&sslmode=disable": "says 'sslmode' twice",
    "postgresql://u:p@h/d?sslmode=require&ssl=true": "says 'sslmode' twice",
    "postgresql://u:p@h/d?sslmode=verify-ca": "go together",
    "postgresql://u:p@h/d?sslmode=require&sslrootcert=system": "go together",
    "postgresql://u:p@h/d?sslmode=verify-full&sslcert=/c.pem": "go together",
    "postgresql://u:p@h/d?sslrootcert=/root.pem": "go together",
    "postgresql://u:p@h/d?channel_binding=require&sslmode=disable": "used together",
    "postgresql://u:p@h/d?channel_binding=yes": "channel_binding must be one of",
    "postgresql://u:p@h/d?target_session_attrs=standby": "target_session_attrs must be one of",
    "postgresql://u:p@h/d?connect_timeout=soon": "connect_timeout must be a whole number",
    "postgresql://u:p@h/d?connect_timeout=3600": "connect_timeout must be a whole number",
    "postgresql://u:p@h/d?pgbouncer=perhaps": "pgbouncer must be one of",
    "postgresql://u:p@h/d?schema=blog": "says 'schema', which is not understood",
    "postgresql://u:p@h/d?statement_timeout=5s": "says 'statement_timeout'",
    "postgresql://u:p@h/d?hostaddr=10.0.0.1": "says 'hostaddr'",
    "postgresql://u:p@h/d?service=blog": "says 'service'",
    "sqlite:////site.db?mode=ro": "says 'mode'",
}


@pytest.mark.parametrize("url", UNDERSTOOD)
def test_what_platforms_print_is_understood(url: str) -> None:
    assert read(url) == UNDERSTOOD[url]


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_not_understood_is_said_in_one_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[url]) as refused:
        read(url)
    assert str(refused.value).startswith("DATABASE_URL")
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize("url", [url for url in UNDERSTOOD if not url.lower().startswith("sqlite")])
def test_the_driver_takes_what_is_made_of_it(url: str) -> None:
    """SQLAlchemy adds nothing that asyncpg does not know, and reads login, place and name as they were meant."""
    sqlalchemy_url, arguments = read(url)
    _positional, given = PGDialect_asyncpg().create_connect_args(make_url(sqlalchemy_url))  # type: ignore[no-untyped-call]

    assert given.keys() <= {"user", "password", "database", "host", "port"}
    assert not given.keys() & arguments.keys()
    assert ("host" in given) != ("host" in arguments)


@pytest.mark.parametrize("password", ["a b", "p%", "ü", "a+b", "a:b", "a/b", "a?b#c", "[x", "a&b=c", "%2F", "'\"\\"])
def test_every_password_comes_through(password: str) -> None:
    sqlalchemy_url, _arguments = read(f"postgres://u:{quote(password, safe='')}@h/d")

    assert make_url(sqlalchemy_url).password == password


def test_an_address_is_read_twice_alike() -> None:
    for url in UNDERSTOOD:
        first, arguments = read(url)
        if "host" not in arguments:
            assert read(first)[0] == first


def test_the_files_are_named() -> None:
    _url, arguments = read("postgresql://u:p@h/d?sslmode=verify-full&sslrootcert=/etc/my%20root.pem&sslcert=c.pem")

    assert files(arguments) == ["/etc/my root.pem", "c.pem"]
    assert files({}) == []

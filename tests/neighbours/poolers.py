"""PgBouncer before a PostgreSQL server, started with a configuration of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from sqlalchemy import URL, make_url

from tests.neighbours.neighbours import program, running, wait_for_port
from tests.processes import free_port

CONFIGURATION = """
[databases]
* = host={host} port={server_port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
"""
NOBODY = 65534


@contextmanager
def pgbouncer(server_url: str, mode: str, size: int, *, certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """Lends `size` connections of the server for a `transaction` or a `session`; gives the URL of the pooler.

    With a certificate it speaks TLS alone.
    """
    url, port = make_url(server_url), free_port()
    with tempfile.TemporaryDirectory(prefix="microblog-pooler-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "pgbouncer.ini"
        file.write_text(_configuration(url, port, mode, size) + _tls(folder, certificate))
        command = [*_as_owner_of(url), program("pgbouncer"), str(file)]
        with running(command, {}, folder / "pgbouncer.log") as process:
            wait_for_port(port, process)
            yield url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)


def _configuration(url: URL, port: int, mode: str, size: int) -> str:
    """As a platform has it, but without passwords: whoever reaches the port of this test may come in."""
    return CONFIGURATION.format(
        host=_socket_folder(url) or url.host,
        server_port=url.port or 5432,
        user=url.username,
        password=url.password or "none",
        port=port,
        mode=mode,
        size=size,
    )


def _tls(folder: Path, certificate: trustme.LeafCert | None) -> str:
    if certificate is None:
        return ""
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    return (
        "client_tls_sslmode = require\n"
        f"client_tls_key_file = {folder / 'key.pem'}\n"
        f"client_tls_cert_file = {folder / 'certificate.pem'}\n"
    )


def _as_owner_of(url: URL) -> list[str]:
    """PgBouncer refuses to be root; only its owner reaches into the folder of the server's socket."""
    if os.getuid():
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv, "setpriv, of util-linux, is not here"
    user = Path(_socket_folder(url)).stat().st_uid if _socket_folder(url) else NOBODY
    return [setpriv, f"--reuid={user}", f"--regid={NOBODY}", "--clear-groups"]


def _socket_folder(url: URL) -> str:
    folder = url.query.get("host", "")
    return folder if isinstance(folder, str) else folder[0]

"""A site started as its Procfile says, and the proxies before it as docs/deploy/ has them.

Each shipped configuration is used as it is, but for the names, ports and files that a test must choose: an exact
line that is to be replaced and is not there is a failure.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import trustme

from tests.mailserver import Certificates, MailServer
from tests.neighbours.neighbours import procfile, program, running, wait_for_port
from tests.processes import PYTHON, SECRET_KEY, Process, free_port, wait_for_page
from webapp.database import migrations
from webapp.settings import ROOT

DEPLOY = ROOT / "docs" / "deploy"
NGINX_AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log crit;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    gzip on;
    include {folder}/microblog.conf;
}}
"""


@dataclass(frozen=True)
class Ground:
    """Where a proxy is started: its folder, its ports, the site's, and a file with certificate and key."""

    folder: Path
    port: int
    plain_port: int
    site_port: int
    certificate: Path
    buffers: bool = True
    is_told: bool = False  # by the PROXY protocol, where each connection comes from
    behind: Mapping[str, str] | None = None  # another proxy: what nginx is told then, and in place of what


class Neighbourhood:
    """A site in production mode with a proxy before it, and browsers that come from different addresses."""

    def __init__(self, name: str, ground: Ground, mail: MailServer) -> None:
        self.name = name
        self.ground = ground
        self.mail = mail
        self.base_url = f"https://localhost:{ground.port}"
        self.site: Process | None = None

    def browser(self, number: int = 1, **headers: str) -> httpx2.Client:
        """A browser on 127.0.0.`number`: to the proxy each is another visitor."""
        transport = httpx2.HTTPTransport(local_address=f"127.0.0.{number}", verify=False)
        return httpx2.Client(
            transport=transport,
            base_url=self.base_url,
            follow_redirects=True,
            timeout=30,
            headers={"user-agent": "a browser", **headers},
        )

    def link(self, recipient: str, kind: str, count: int = 1) -> str:
        """The path behind the newest link of a kind in the emails to an address, once there are as many."""
        found: list[str] = []
        for total in range(count, count + 20):
            mine = [email for email in self.mail.wait_for(total) if email.recipients == (recipient,)]
            found = [link for email in mine for link in re.findall(rf"{self.base_url}(/{kind}/\S+)", email.text)]
            if len(found) >= count:
                break
        return found[-1]

    def written_by_the_proxy(self) -> str:
        files = [file for file in self.ground.folder.rglob("*.log") if "site" not in file.name]
        return "\n".join(file.read_text(errors="replace") for file in files)


@contextmanager
def neighbourhood(
    name: str,
    folder: Path,
    database_url: str,
    certificates: Certificates,
    buffers: bool = True,
    is_told: bool = False,
) -> Iterator[Neighbourhood]:
    """Starts mail server, site and proxy; ends all of them."""
    ground = Ground(folder, free_port(), free_port(), free_port(), _certificate(folder), buffers, is_told)
    with MailServer(certificates) as mail:
        around = Neighbourhood(name, ground, mail)
        with _site(around, database_url, certificates), _started(name, around):
            yield around


@contextmanager
def chain(
    outer: str, told: Mapping[str, str], trusted: int, folder: Path, database_url: str, certificates: Certificates
) -> Iterator[Neighbourhood]:
    """The site behind nginx, and that behind another proxy, of which nginx is `told`."""
    certificate, site_port, between = _certificate(folder), free_port(), free_port()
    inner = Ground(folder / "inner", between, free_port(), site_port, certificate, behind=told)
    inner.folder.mkdir()
    with MailServer(certificates) as mail:
        within = Neighbourhood("nginx", inner, mail)
        around = Neighbourhood(outer, Ground(folder, free_port(), free_port(), between, certificate), mail)
        within.base_url = around.base_url
        with _site(within, database_url, certificates, trusted):
            around.site = within.site
            with running(_nginx(inner), {}, inner.folder / "nginx.log") as nginx:
                wait_for_port(between, nginx)
                with _started(outer, around):
                    yield around


@contextmanager
def _site(around: Neighbourhood, database_url: str, certificates: Certificates, trusted: int = 1) -> Iterator[None]:
    environment = {
        "BASE_URL": around.base_url,
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": database_url,
        "TRUSTED_PROXIES": str(trusted),
        "PORT": str(around.ground.site_port),
        "SSL_CERT_FILE": str(certificates.authority),
        **around.mail.environment,
    }
    with running(procfile("web"), environment, around.ground.folder / "site.log") as process:
        around.site = process
        address = f"http://127.0.0.1:{around.ground.site_port}/health"
        wait_for_page(address, process, lambda page: page.status_code == 200)
        yield


@contextmanager
def _started(name: str, around: Neighbourhood) -> Iterator[None]:
    folder = around.ground.folder
    homes = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    with running(PROXIES[name](around.ground), homes, folder / "proxy.log") as process:
        if around.ground.is_told:
            wait_for_port(around.ground.port, process)
        else:
            wait_for_page(f"{around.base_url}/health", process, lambda page: page.status_code == 200)
        yield


def migrated(folder: Path) -> str:
    """The URL of a fresh SQLite database."""
    url = f"sqlite+aiosqlite:///{folder / 'site.db'}"
    migrations.upgrade(url)
    return url


def _certificate(folder: Path) -> Path:
    file = folder / "certificate.pem"
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    file.write_bytes(b"".join(part.bytes() for part in (issued.private_key_pem, *issued.cert_chain_pems)))
    return file


def _shipped(name: str, changes: Mapping[str, str]) -> str:
    """A configuration of docs/deploy/ with what a test must choose."""
    text = (DEPLOY / name).read_text()
    for was, becomes in changes.items():
        assert was in text, f"docs/deploy/{name} has no {was!r}"
        text = text.replace(was, becomes)
    return text


def _nginx(ground: Ground) -> list[str]:
    changes = {
        "listen 80;": f"listen 127.0.0.1:{ground.plain_port};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{ground.port} ssl http2;",
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl http2;\n": "",
        "https://blog.example.com$": f"https://localhost:{ground.port}$",
        "server_name blog.example.com;": "server_name localhost;",
        "/etc/letsencrypt/live/blog.example.com/fullchain.pem": str(ground.certificate),
        "/etc/letsencrypt/live/blog.example.com/privkey.pem": str(ground.certificate),
        "/var/log/nginx/": f"{ground.folder}/",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{ground.site_port};",
    }
    if not ground.buffers:
        changes["proxy_request_buffering on;"] = "proxy_request_buffering off;"
    if ground.behind is not None:
        changes |= {"listen 443 ssl http2;": f"listen 127.0.0.1:{ground.port};", **ground.behind}
    if ground.is_told:
        told = "ssl http2 proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"
        changes |= {"ssl http2;": told, "visitors 100;": "visitors 20;", "networks 400;": "networks 60;"}
    (ground.folder / "microblog.conf").write_text(_shipped("nginx.conf", changes))
    file = ground.folder / "nginx.conf"
    file.write_text(NGINX_AROUND.format(folder=ground.folder))
    return [program("nginx"), "-c", str(file), "-p", str(ground.folder), "-e", str(ground.folder / "nginx.error.log")]


def _caddy(ground: Ground) -> list[str]:
    options = (
        f"{{\n\tadmin off\n\thttp_port {ground.plain_port}\n\thttps_port {ground.port}\n\tdefault_bind 127.0.0.1\n"
    )
    changes = {
        "{\n\tservers {": f"{options}\tservers {{",
        "\nblog.example.com {": f"\nlocalhost {{\n\ttls {ground.certificate} {ground.certificate}",
        "127.0.0.1:8000": f"127.0.0.1:{ground.site_port}",
    }
    if not ground.buffers:
        changes |= {"\t\tbuffer_requests\n": "", "\t\tmax_buffer_size 128KB\n": ""}
    file = ground.folder / "Caddyfile"
    file.write_text(_shipped("Caddyfile", changes))
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


def _haproxy(ground: Ground) -> list[str]:
    changes = {
        "log /dev/log local0": "log stdout format raw local0",
        "    chroot /var/lib/haproxy\n    user haproxy\n    group haproxy\n": "",
        "bind :80\n": f"bind 127.0.0.1:{ground.plain_port}\n",
        "bind :443": f"bind 127.0.0.1:{ground.port}",
        "/etc/haproxy/blog.example.com.pem": str(ground.certificate),
        "127.0.0.1:8000": f"127.0.0.1:{ground.site_port}",
    }
    if not ground.buffers:
        changes["    option http-buffer-request"] = "    # option http-buffer-request"
    if ground.is_told:  # which HAProxy reads after the rules of a connection, and before those of a session
        changes |= {" alpn h2,": " accept-proxy alpn h2,", "tcp-request connection": "tcp-request session"}
        changes |= {"sc0_conn_cur gt 100": "sc0_conn_cur gt 20", "sc1_conn_cur gt 400": "sc1_conn_cur gt 60"}
    file = ground.folder / "haproxy.cfg"
    file.write_text(_shipped("haproxy.cfg", changes))
    return [program("haproxy"), "-db", "-f", str(file)]


def _router(ground: Ground) -> list[str]:
    numbers = str(ground.port), str(ground.site_port)
    return [PYTHON, "-m", "tests.neighbours.router", *numbers, str(ground.certificate)]


PROXIES: dict[str, Callable[[Ground], list[str]]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "haproxy": _haproxy,
    "router": _router,
}

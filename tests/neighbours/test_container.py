"""The Containerfile: built by buildah on a base made here, and run with nothing to write to and no rights."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.missing import unavailable
from tests.neighbours.neighbours import program
from tests.processes import SECRET_KEY
from webapp.settings import ROOT

pytestmark = [pytest.mark.neighbours, pytest.mark.soak]  # it fetches a Debian: minutes
BASE = "localhost/microblog-test-base"
IMAGE = "localhost/microblog-test"
# What `podman run --read-only --tmpfs /tmp --cap-drop all` does, in as few words as can be.
RUN = """
set -e
mount --bind "$ROOT" "$ROOT"; mount --bind "$DATA" "$ROOT/data"; mount -t tmpfs tmpfs "$ROOT/tmp"
mount --bind /dev "$ROOT/dev"; mount -t proc proc "$ROOT/proc"; mount -o remount,bind,ro "$ROOT"
ip link set lo up
as="env -i $ENVIRONMENT unshare --root=$ROOT --wd=/app setpriv --reuid $USER_ID --regid $USER_ID
  --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs --"
inside() { $as "$@"; }
inside touch /app/a-file 2>/dev/null && echo "WRITABLE ROOT"
inside /bin/sh -c 'command -v gcc cc make pip pip3' && echo "BUILD TOOLS"
inside python3 -c 'import pip' 2>/dev/null && echo "PIP"
inside python3 -m webapp migrate
$as /bin/sh -c "$SERVE" &
for second in $(seq 60); do inside python3 -c "$HEALTH" 2>/dev/null && echo HEALTHY && break; sleep 0.5; done
inside python3 -c "import urllib.request as r; print('LOGIN', r.urlopen('http://127.0.0.1:8000/login').status)"
inside /bin/sh -c "kill -TERM $!"
wait $! || echo "ENDED WITH $?"
"""


def buildah(*arguments: str, seconds: int = 600) -> str:
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
    done = subprocess.run(
        [program("buildah"), *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, on a small Debian; both are gone afterwards."""
    if os.getuid():
        unavailable("a base for containers is made by root")
    folder, programs = tmp_path_factory.mktemp("base"), "ca-certificates,python3-venv"
    command = [program("debootstrap"), "--variant=minbase", f"--include={programs}", "bookworm", str(folder)]
    program("buildah")
    made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if made.returncode:
        unavailable(f"no Debian could be fetched: {made.stdout.splitlines()[-1]}")
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(authorities, folder / authorities.relative_to("/"))  # whom this machine trusts, its image shall
    base = buildah("from", "scratch")
    buildah("add", "--quiet", base, str(folder), "/")
    buildah("commit", "--quiet", "--rm", base, BASE)
    containerfile = str(ROOT / "docs" / "deploy" / "Containerfile")
    buildah(
        "build", "--quiet", "--format=docker", f"--build-arg=BASE={BASE}", f"--tag={IMAGE}", "-f", containerfile, "."
    )
    yield IMAGE
    buildah("rmi", "--force", IMAGE, BASE)


def test_it_serves_with_a_read_only_root_and_no_rights(image: str, tmp_path: Path) -> None:
    config = json.loads(buildah("inspect", "--type=image", "--format={{.Config}}", image))["config"]
    environment = {"BASE_URL": "http://127.0.0.1:8000", "SECRET_KEY": SECRET_KEY.replace(" ", "-"), "MAILER": "off"}
    container = buildah("from", image)
    tmp_path.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, int(config["User"]), int(config["User"]))
    variables = {
        "ROOT": buildah("mount", container),
        "DATA": str(data),
        "USER_ID": config["User"],
        "ENVIRONMENT": " ".join([*config["Env"], *(f"{name}={value}" for name, value in environment.items())]),
        "SERVE": config["Cmd"][2],
        "HEALTH": config["Healthcheck"]["Test"][3],
    }
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "/bin/bash", "-c", RUN]

    try:
        done = subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, timeout=180, check=False
        )
    finally:
        buildah("rm", container)

    said = [line for line in done.stdout.splitlines() if not line.startswith("{")]
    assert said == ["apply 0001: initial.", "HEALTHY", "LOGIN 200", "ENDED WITH 143"], done.stdout + done.stderr
    assert "Finished server process" in done.stderr, "it had time to end what it was doing"
    assert config["User"] not in {"", "0", "root"}
    assert (data / "microblog.db").stat().st_mode & 0o777 == 0o600

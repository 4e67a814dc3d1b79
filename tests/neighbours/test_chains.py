"""The site behind two proxies: nginx as docs/deploy/ has it, and before it another one."""

import json
from pathlib import Path

import pytest

from tests.mailserver import Certificates
from tests.neighbours.proxies import Neighbourhood, chain, migrated
from tests.neighbours.test_proxies import FORGED, guess

pytestmark = pytest.mark.neighbours
ALONE: dict[str, str] = {}
KNOWS = {
    "# set_real_ip_from 192.0.2.1;": "set_real_ip_from 127.0.0.1;",
    "# real_ip_header   X-Forwarded-For;": "real_ip_header   X-Forwarded-For;",
}
ADDS = {"X-Forwarded-For   $remote_addr;": "X-Forwarded-For   $proxy_add_x_forwarded_for;"}
SAID = {"forwarded_headers_ignored", "too_few_proxies", "too_many_proxies"}


@pytest.mark.parametrize("outer", ["haproxy", "caddy"])
@pytest.mark.parametrize(
    ("told", "trusted", "tells_visitors_apart", "warnings"),
    [
        pytest.param(KNOWS, 1, True, set(), id="as the file says"),
        pytest.param(ADDS, 2, True, set(), id="adding"),
        pytest.param(ALONE, 1, False, set(), id="of which nginx knows nothing"),
        pytest.param(ADDS, 0, False, {"forwarded_headers_ignored"}, id="trusting none"),
        pytest.param(ADDS, 1, False, {"too_many_proxies"}, id="trusting one"),
        pytest.param(ADDS, 3, False, {"too_few_proxies"}, id="trusting three"),
    ],
)
def test_behind_two_proxies_nobody_escapes_a_limit(
    outer: str,
    told: dict[str, str],
    trusted: int,
    tells_visitors_apart: bool,
    warnings: set[str],
    tmp_path: Path,
    certificates: Certificates,
) -> None:
    """C69: a wrong number makes all visitors look like one, and is said; forged headers never win."""
    with chain(outer, told, trusted, tmp_path, migrated(tmp_path), certificates) as around:
        with around.browser(4) as guesser, around.browser(5) as other:
            answers = [guess(guesser, number, FORGED[number % len(FORGED)]) for number in range(34)]
            for_another = guess(other, 99, "127.0.0.4")
            page = other.get("/login", headers={"x-forwarded-host": "evil.example", "forwarded": "host=evil.example"})

        assert 429 in answers
        assert for_another == (422 if tells_visitors_apart else 429)
        assert (page.status_code, "evil.example" in page.text) == (200, False)
        assert said_by(around) & SAID == warnings


def said_by(around: Neighbourhood) -> set[str]:
    assert around.site
    lines = [json.loads(line) for line in around.site.output.splitlines() if line.startswith("{")]
    return {str(line.get("event", "")) for line in lines}

"""A line in the log, and a count, for each request that was answered."""

import logging
from collections import Counter

from starlette.types import Scope

log = logging.getLogger("webapp.requests")
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Requests:
    """How many answers this process gave, by route, method and status, and how many seconds they took in total."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, int]] = Counter()
        self.seconds = 0.0

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts an answer, under names of our own alone, so that no visitor's words make it grow."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.counts[getattr(scope.get("route"), "path", "none"), method, status] += 1
        self.seconds += seconds


def note(scope: Scope, status: int, seconds: float) -> None:
    """Counts a request that was answered, and logs a line."""
    scope["app"].state.requests.note(scope, status, seconds)
    if not scope["path"].startswith("/static/"):
        route = getattr(scope.get("route"), "path", None)
        fields = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        log.info("request", extra={"fields": fields})

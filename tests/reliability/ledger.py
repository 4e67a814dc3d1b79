"""The books of a run: what was promised against what arrived, as sets."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import quantiles

from tests.reliability.stage import Arrived, Stage
from tests.reliability.visitors import Crowd


@dataclass(frozen=True)
class Ledger:
    """`lost` were promised and never arrived; `duplicates` counts every arrival of a Message-ID but its first;
    `rewritten` arrived under two Message-IDs, which no mail program could tell for one email.
    """

    promised: set[str]
    lost: set[str]
    stuck: int
    duplicates: int
    rewritten: set[str]
    latencies: list[float]
    most_connections: int

    def __str__(self) -> str:
        words = (
            f"{len(self.promised)} promised, {len(self.lost)} lost, {self.stuck} stuck, {self.duplicates} duplicates"
        )
        return f"{words}, at most {self.most_connections} connections"

    def percentile(self, percent: int) -> float:
        """Seconds from the promise to the arrival."""
        return quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


async def closed(site: Stage, crowd: Crowd) -> Ledger:
    """The books as they stand now."""
    counted = site.mail_server.order()
    emails = site.mail_server.emails()
    first = {email.to: email.at for email in reversed(emails)}
    return Ledger(
        promised=set(crowd.accepted),
        lost=set(crowd.accepted) - set(first),
        stuck=await site.waiting(),
        duplicates=sum(count - 1 for count in Counter(email.id for email in emails).values()),
        rewritten=_rewritten(emails),
        latencies=[first[address] - at for address, at in crowd.accepted.items() if address in first],
        most_connections=counted["most"],
    )


def _rewritten(emails: Iterable[Arrived]) -> set[str]:
    ids = Counter(address for address, _id in {(email.to, email.id) for email in emails})
    return {address for address, count in ids.items() if count > 1}

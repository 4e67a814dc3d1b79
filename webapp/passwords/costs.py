"""What hashes from other software cost to check, so that every log-in takes as long as the slowest of them."""

from collections.abc import Iterable

from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database.hot import Prepared
from webapp.i18n import gettext as _
from webapp.passwords import hashes
from webapp.passwords.hasher import ARGON2, cost_of

# How many kinds of hashes from elsewhere there may be. Every log-in pays for all of them while there is one such hash.
MOST_COSTS = 3


class HashCost(SQLModel, table=True):
    """What some imported passwords cost to check. Every log-in pays all of these, so that its time tells nothing."""

    __tablename__ = "hash_cost"

    cost: str = Field(primary_key=True, max_length=60)  # the beginning of a hash: $argon2id$v=19$m=65536,t=3,p=4$


async def other_costs(db: AsyncSession) -> list[str]:
    """The costs of the site's imported hashes, besides today's."""
    return [cost for (cost,) in await _OTHER_COSTS.rows(db, {})]


async def remember_costs(db: AsyncSession, imported: Iterable[str]) -> None:
    """Records the costs of imported hashes, in the transaction that imports them. Raises ValueError for too many."""
    known = set(await other_costs(db))
    new = {hashes.cost_of(each) for each in imported} - known - {cost_of(ARGON2)}
    kinds = {hashes.share(cost)[0] for cost in known | new}
    if len(kinds) > MOST_COSTS:
        words = _(
            "the hashes have more than %(most)s different costs, and every log-in would pay all of them: %(costs)s"
        )
        raise ValueError(words % {"most": MOST_COSTS, "costs": ", ".join(sorted(kinds))})
    db.add_all(HashCost(cost=cost) for cost in sorted(new))
    await db.flush()


_OTHER_COSTS = Prepared(select(col(HashCost.cost)).order_by(col(HashCost.cost)))

"""Background work: the clock of the waiting room, and the change of keys."""

from webapp.database import Database
from webapp.factors import methods, removal
from webapp.settings import Settings


class PendingRemovals:
    """Reminds waiting people once a day, and removes their factors when the time comes."""

    name = "factor_removal"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def run_batch(self, database: Database) -> bool:
        """Ends and reminds a few, in its own transaction; returns whether there is more to do now."""
        async with database.session(is_writing=True) as db:
            done = await removal.remove_due(db, self.settings) + await removal.tell_waiting(db, self.settings)
            await db.commit()
        return done >= removal.BATCH


class Resealing:
    """After a change of SECRET_KEY: encrypts anew what the old key encrypted, as long as it is a fallback."""

    name = "reseal"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._after = 0

    async def run_batch(self, database: Database) -> bool:
        """Does a batch in its own transaction; returns whether there is more."""
        async with database.session(is_writing=True) as db:
            self._after = await methods.reseal(db, self.settings, self._after)
            await db.commit()
        return self._after > 0

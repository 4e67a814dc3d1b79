"""What is done in the background: the clock of the waiting room, and the change of keys."""

from webapp.database import Database
from webapp.factors import methods, removal
from webapp.settings import Settings


class Waiting:
    """Reminds the people who wait once a day, and removes their factors when the time comes."""

    name = "factor_removal"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def do(self, database: Database) -> bool:
        """Ends and tells a few, in a transaction of its own; whether there is more to do now."""
        async with database.session(is_writing=True) as db:
            done = await removal.remove_due(db, self.settings) + await removal.tell_waiting(db, self.settings)
            await db.commit()
        return done >= removal.BATCH


class Resealing:
    """After a change of SECRET_KEY: seals anew what the older key has sealed, as long as that is a fallback."""

    name = "reseal"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._after = 0

    async def do(self, database: Database) -> bool:
        """A batch in a transaction of its own; whether there is more."""
        async with database.session(is_writing=True) as db:
            self._after = await methods.reseal(db, self.settings, self._after)
            await db.commit()
        return self._after > 0

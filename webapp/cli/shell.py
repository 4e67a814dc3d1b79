"""`python -m webapp shell`: a Python prompt that can `await`, with the site at hand."""

import argparse
import ast
import asyncio
import code
import inspect
import sys
from types import CodeType, FunctionType
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import mail
from webapp.accounts import users
from webapp.cli import serving
from webapp.database import Database, release
from webapp.i18n import N_
from webapp.i18n import gettext as _

AT_HAND = N_("%(site)s. At hand: db, settings, mail, users. `await` works as it does in the code.")
HOW = N_("Each line is a transaction of its own: committed when it ends, undone if it fails. Ctrl-D leaves.")


def run(options: argparse.Namespace) -> None:
    """Reads lines until the input ends."""
    settings = serving.settings(options.command)
    with asyncio.Runner() as runner:
        database = Database(settings.database_url, is_patient=True)
        db = database.open(is_writing=True)
        names = {"db": db, "settings": settings, "mail": mail, "users": users}
        try:
            _complete(names)
            Console(runner, db, names).interact(f"{_(AT_HAND) % {'site': settings.base_url}}\n{_(HOW)}", exitmsg="")
        finally:
            runner.run(release(db))
            runner.run(database.aclose())


class Console(code.InteractiveConsole):
    """Runs what is typed on one event loop.

    No transaction stays open between lines: on SQLite it would hold the lock, and every visitor would wait.
    """

    def __init__(self, runner: asyncio.Runner, db: AsyncSession, names: dict[str, Any]) -> None:
        super().__init__(names)
        self._runner = runner
        self._db = db
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def runcode(self, code: CodeType) -> None:
        try:
            self._runner.run(self._line(code))
        except SystemExit:
            raise
        except KeyboardInterrupt:
            self.write("\nKeyboardInterrupt\n")
        except BaseException:
            self.showtraceback()

    async def _line(self, code: CodeType) -> None:
        try:
            result = FunctionType(code, self.locals)()
            if inspect.iscoroutine(result):
                await result
            await self._db.commit()
        finally:
            await release(self._db)


def _complete(names: dict[str, Any]) -> None:
    """Lets Tab complete names, where Python has readline."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    if sys.stdin.isatty():
        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")

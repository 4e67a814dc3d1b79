"""A post as a piece of a page, rendered once for all pages that show it the same way.

Two thirds of a timeline's cost were its posts, rendered anew for each reader; docs/speed.md has the figures.
"""

import contextlib
from collections.abc import Container

from cachetools import LRUCache
from jinja2 import Environment
from markupsafe import Markup

from webapp import i18n
from webapp.accounts.sessions import SessionUser
from webapp.database import is_recent
from webapp.posts.posts import EDITABLE
from webapp.posts.timeline import Card
from webapp.web.templating import ago

MOST_CHARACTERS = 8_000_000  # in each process: some 8,000 posts
_TIME = "\0"  # stands in for the time, which changes every minute; no post can contain it

Piece = tuple[str, str]


class Pieces:
    """Keeps posts as HTML under all that goes into them: the post as a whole, the reader's part, the language.

    A post that was edited, an author who was renamed, a mention of somebody who hides meanwhile: each is another
    key. So nothing has to be thrown away, and what nobody asks for makes room.
    """

    def __init__(self, templates: Environment, admins: Container[str]) -> None:
        self._templates = templates
        self._admins = admins
        # While templates may change, as in development, nothing is kept.
        most = 0 if templates.auto_reload else MOST_CHARACTERS
        self._kept: LRUCache[tuple[Card, str, str], Piece] = LRUCache(most, getsizeof=_size)

    def show(self, card: Card, user: SessionUser | None) -> Markup:
        """The post, as this reader sees it; for templates."""
        key = (card, self.part_of(user, card), i18n.current())
        piece = self._kept.get(key)
        if piece is None:
            piece = self._rendered(*key[:2])
            with contextlib.suppress(ValueError):  # larger than the whole cache
                self._kept[key] = piece
        before, after = piece
        return Markup(f"{before}{ago(card.created_at)}{after}")  # noqa: S704  (what templates have made)

    def part_of(self, user: SessionUser | None, card: Card) -> str:
        """What a reader may do with a post: they are a "stranger", its "editor" or later its "author", an "admin" or a
        "member".
        """
        if user is None:
            return "stranger"
        if user.id == card.author_id:
            return "editor" if is_recent(card.created_at, EDITABLE) else "author"
        return "admin" if user.email in self._admins else "member"

    def _rendered(self, card: Card, part: str) -> Piece:
        page = self._templates.get_template("posts/_piece.html").render(card=card, part=part, time=_TIME)
        before, _time, after = page.partition(_TIME)
        return before, after


def _size(piece: Piece) -> int:
    return len(piece[0]) + len(piece[1])

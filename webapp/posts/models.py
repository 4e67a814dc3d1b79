"""The tables of posts."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary
from sqlmodel import Field, SQLModel

from webapp.database import now, partial_index

_Number = BigInteger().with_variant(Integer, "sqlite")


class Post(SQLModel, table=True):
    """A post: plain text. Later posts have higher ids, and pages of posts are cut by id.

    One that was imported has an id below zero: it stands on its author's pages, by its date, and is no news to anybody.
    All that gathers what is new asks for ids above zero.

    A deleted post waits a while in case its author regrets it. A removed one was taken down by the admin.
    """

    __tablename__ = "post"
    # Otherwise SQLite would give a deleted post's number, and so its address, to the next one.
    __table_args__ = (
        # Everything a timeline asks before it takes a post, so it never reads a post it doesn't show.
        Index("ix_post_author_id_id_deleted_at_removed_at", "author_id", "id", "deleted_at", "removed_at"),
        Index("ix_post_author_id_created_at_id", "author_id", "created_at", "id"),
        # Only of the few deleted posts: with all posts in it, a planner would use it for "not deleted".
        partial_index("ix_post_deleted_at", "deleted_at", where="deleted_at IS NOT NULL"),
        partial_index("ix_post_reply_to_id_id", "reply_to_id", "id", where="reply_to_id IS NOT NULL"),
        partial_index("ix_post_import_digest", "import_digest", where="import_digest IS NOT NULL"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, sa_column=Column(_Number, primary_key=True, autoincrement=True))
    author_id: int = Field(foreign_key="user_account.id", ondelete="CASCADE")
    # The post that it stands under, which isn't a reply itself.
    reply_to_id: int | None = Field(default=None, sa_column=Column(_Number, ForeignKey("post.id", ondelete="SET NULL")))
    body: str = Field(max_length=4000)  # 280 characters as people count them; a flag or a family is several code points
    created_at: datetime = Field(default_factory=now)
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    removed_at: datetime | None = None
    removed_because: str = Field(default="", max_length=300)
    # Finds an imported post again, however many were brought of its moment. None for all others.
    import_digest: bytes | None = Field(default=None, sa_type=LargeBinary)


class Mention(SQLModel, table=True):
    """A post mentions a person, since it was written or edited; as a reply it does so whatever it says.

    It counts until an edit takes the name out, and stays, because whoever was told of a post is never told again.
    """

    __tablename__ = "mention"
    __table_args__ = (
        Index("ix_mention_user_id_created_at", "user_id", "created_at"),
        Index("ix_mention_user_id_post_id", "user_id", "post_id"),
    )

    post_id: int = Field(sa_column=Column(_Number, ForeignKey("post.id", ondelete="CASCADE"), primary_key=True))
    user_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    is_reply: bool = False
    created_at: datetime = Field(default_factory=now)
    ended_at: datetime | None = None

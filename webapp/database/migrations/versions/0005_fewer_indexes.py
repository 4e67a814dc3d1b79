"""fewer indexes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # The windows of the last day begin anew: their keys are written another way round from now on.
    op.drop_table("limit_window")
    op.create_table("limit_window", *_columns(), sqlite_with_rowid=False)
    _remake_index("ix_letter_finished", "finished", where="finished IS NOT NULL")
    _remake_index("ix_letter_user_id_created", "user_id", "created", where="user_id IS NOT NULL")


def downgrade() -> None:
    op.drop_table("limit_window")
    op.create_table("limit_window", *_columns())
    op.create_index("ix_limit_window_ends", "limit_window", ["ends"])
    _remake_index("ix_letter_finished", "finished")
    _remake_index("ix_letter_user_id_created", "user_id", "created")


def _columns() -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("ends", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_limit_window")),
    ]


def _remake_index(name: str, *columns: str, where: str | None = None) -> None:
    condition = sa.text(where) if where else None
    op.drop_index(name, "letter")
    op.create_index(name, "letter", list(columns), postgresql_where=condition, sqlite_where=condition)

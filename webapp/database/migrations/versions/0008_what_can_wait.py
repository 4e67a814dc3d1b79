"""what can wait."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

UNFINISHED = sa.text("finished IS NULL")


def upgrade() -> None:
    op.add_column("letter", sa.Column("can_wait", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("ix_letter_due", "letter")
    op.create_index(
        "ix_letter_can_wait_due",
        "letter",
        ["can_wait", "due"],
        postgresql_where=UNFINISHED,
        sqlite_where=UNFINISHED,
    )


def downgrade() -> None:
    op.drop_index("ix_letter_can_wait_due", "letter")
    op.create_index("ix_letter_due", "letter", ["due"], postgresql_where=UNFINISHED, sqlite_where=UNFINISHED)
    op.drop_column("letter", "can_wait")

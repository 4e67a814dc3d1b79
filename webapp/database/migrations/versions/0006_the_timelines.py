"""the timelines."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    of_the_deleted = sa.text("deleted IS NOT NULL")
    with op.batch_alter_table("post", schema=None) as batch_op:
        batch_op.drop_index("ix_post_author_id_id")
        batch_op.drop_index("ix_post_deleted")
        batch_op.create_index(
            "ix_post_author_id_id_deleted_removed", ["author_id", "id", "deleted", "removed"], unique=False
        )
        batch_op.create_index(
            "ix_post_deleted",
            ["deleted"],
            unique=False,
            postgresql_where=of_the_deleted,
            sqlite_where=of_the_deleted,
        )


def downgrade() -> None:
    with op.batch_alter_table("post", schema=None) as batch_op:
        batch_op.drop_index("ix_post_deleted")
        batch_op.drop_index("ix_post_author_id_id_deleted_removed")
        batch_op.create_index("ix_post_deleted", ["deleted"], unique=False)
        batch_op.create_index("ix_post_author_id_id", ["author_id", "id"], unique=False)

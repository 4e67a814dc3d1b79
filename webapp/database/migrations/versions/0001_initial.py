"""initial."""

import string
import unicodedata
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Keys that have no name here are named by the convention of the models' metadata (webapp/database/engine.py).

# No model knows of any of this: SQLite has tables of words beside the tables, which triggers keep in step, and
# PostgreSQL columns of words in them. A migration that makes "post" or "user_account" anew on SQLite, as
# batch_alter_table does for a column, loses the triggers with the old table and must bring them back.
# Both databases index plain words only: without accents on Latin letters, and in Russian without the dots on ё.
INDEXED = {"post": ("post_words", "body"), "user_account": ("person_words", "username, about_me")}


def upgrade() -> None:
    op.create_table(
        "error_report",
        sa.Column("fingerprint", sa.String(length=32), primary_key=True),
        sa.Column("count", sa.Integer(), nullable=False),
    )
    op.create_table(
        "form_answer",
        sa.Column("key", sa.String(length=64), primary_key=True),
        sa.Column("began", sa.Float(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hash_cost",
        sa.Column("cost", sa.String(length=60), primary_key=True),
    )
    op.create_table(
        "decided_report",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("decision", sa.String(length=300), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_decided_report_decided_at", "decided_report", ["decided_at"])
    op.create_table(
        "retired_username",
        sa.Column("name_hash", sa.String(length=64), primary_key=True),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_retired_username_kept_until", "retired_username", ["kept_until"])
    op.create_table(
        "registration_request",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("email", sa.String(length=254), nullable=False, unique=True),
        sa.Column("username", sa.String(length=30), nullable=False),
        sa.Column("username_key", sa.String(length=30), nullable=True, unique=True),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("why", sa.String(length=500), nullable=False),
        sa.Column("language", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_registration_request_expires_at", "registration_request", ["expires_at"])
    op.create_table(
        "limit_window",
        sa.Column("key", sa.String(length=80), primary_key=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("ends", sa.Float(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mail_status",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble_code", sa.Integer(), nullable=True),
        sa.Column("trouble_reason", sa.String(length=300), nullable=True),
    )
    op.create_table(
        "outbox_email",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("language", sa.String(length=12), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("message_id", sa.String(length=320), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.String(length=60), nullable=True),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
    )
    _partial_index("ix_outbox_email_priority_due_at", "outbox_email", ["priority", "due_at"], "finished_at IS NULL")
    _partial_index("ix_outbox_email_finished_at", "outbox_email", ["finished_at"], "finished_at IS NOT NULL")
    _partial_index(
        "ix_outbox_email_of_strangers_finished_at",
        "outbox_email",
        ["finished_at"],
        "finished_at IS NOT NULL AND state <> 'sent' AND priority IN (3, 4)",
    )
    _partial_index(
        "ix_outbox_email_given_up_finished_at",
        "outbox_email",
        ["finished_at"],
        "state IN ('dead', 'expired', 'suppressed')",
    )
    _partial_index(
        "ix_outbox_email_user_id_created_at", "outbox_email", ["user_id", "created_at"], "user_id IS NOT NULL"
    )

    op.create_table(
        "refused_address",
        sa.Column("address", sa.String(length=320), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(length=12), server_default="smtp", nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
    )
    op.create_index("ix_refused_address_since", "refused_address", ["since"])
    op.create_table(
        "security_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("client_ip", sa.String(length=60), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
    )
    op.create_index("ix_security_event_created_at", "security_event", ["created_at"])
    op.create_index("ix_security_event_user_id_created_at", "security_event", ["user_id", "created_at"])
    _partial_index("ix_security_event_user_agent", "security_event", ["user_agent"], "client_ip = ''")

    op.create_table(
        "user_account",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("username", sa.String(length=30), nullable=False),
        sa.Column("username_key", sa.String(length=30), nullable=False, unique=True),
        sa.Column("email", sa.String(length=254), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=12), nullable=False),
        sa.Column("former_language", sa.String(length=12), nullable=True),
        sa.Column("former_language_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reset_paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("password_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("password_locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("email_checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("codes_checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checkup_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checkup_opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checkup_opened_ip", sa.String(length=60), nullable=True),
        sa.Column("checkup_opened_agent", sa.String(length=300), nullable=True),
        sa.Column("checkup_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("passkey_declined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("about_me", sa.String(length=140), nullable=False),
        sa.Column("picture", sa.Integer(), nullable=False),
        sa.Column("mentions_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("factor_removal_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("factor_removal_told_at", sa.DateTime(timezone=True), nullable=True),
        sqlite_autoincrement=True,
    )
    _partial_index(
        "ix_user_account_factor_removal_due_at",
        "user_account",
        ["factor_removal_due_at"],
        "factor_removal_due_at IS NOT NULL",
    )
    op.create_table(
        "address_change",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("old_email", sa.String(length=254), nullable=False),
        sa.Column("new_email", sa.String(length=254), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_address_change_created_at", "address_change", ["created_at"])
    op.create_index("ix_address_change_user_id", "address_change", ["user_id"])

    op.create_table(
        "account_deletion",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, unique=True
        ),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_account_deletion_due_at", "account_deletion", ["due_at"])

    op.create_table(
        "account_export",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_account_export_expires_at", "account_export", ["expires_at"])
    op.create_index("ix_account_export_user_id", "account_export", ["user_id"])
    op.create_table(
        "export_chunk",
        sa.Column("export_id", sa.Integer(), sa.ForeignKey("account_export.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )

    op.create_table(
        "email_switch",
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.String(length=40), primary_key=True),
        sa.Column("is_wanted", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "follow",
        sa.Column("follower_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("followed_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_follow_followed_id_created_at", "follow", ["followed_id", "created_at"])

    op.create_table(
        "archive_import",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("report", sa.String(length=4000), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_archive_import_user_id", "archive_import", ["user_id"])
    op.create_index("ix_archive_import_expires_at", "archive_import", ["expires_at"])
    op.create_table(
        "import_chunk",
        sa.Column("import_id", sa.Integer(), sa.ForeignKey("archive_import.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "invite",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_invite_expires_at", "invite", ["expires_at"])
    op.create_index("ix_invite_user_id", "invite", ["user_id"])
    op.create_table(
        "invite_use",
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("invite_id", sa.Integer(), sa.ForeignKey("invite.id", ondelete="CASCADE"), nullable=False),
        sa.Column("inviter_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_invite_use_invite_id", "invite_use", ["invite_id"])
    op.create_index("ix_invite_use_inviter_id", "invite_use", ["inviter_id"])
    op.create_table(
        "mute",
        sa.Column("muter_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("muted_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_mute_muted_id", "mute", ["muted_id"])

    op.create_table(
        "block",
        sa.Column("blocker_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("blocked_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_block_blocked_id", "block", ["blocked_id"])

    op.create_table(
        "kept_username",
        sa.Column("username_key", sa.String(length=30), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_kept_username_kept_until", "kept_username", ["kept_until"])
    op.create_index("ix_kept_username_user_id", "kept_username", ["user_id"])

    op.create_table(
        "factor",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("secret", sa.String(length=300), nullable=False),
        sa.Column("sealed_with", sa.String(length=16), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("spent_ahead", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_factor_user_id", "factor", ["user_id"])
    _partial_index("uq_factor_app", "factor", ["user_id"], "kind = 'app'", unique=True)

    op.create_table(
        "pending_log_in",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("token_hash", sa.String(length=64), nullable=False, unique=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("is_remembered", sa.Boolean(), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("client_ip", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pending_log_in_created_at", "pending_log_in", ["created_at"])
    op.create_index("ix_pending_log_in_user_id", "pending_log_in", ["user_id"])

    op.create_table(
        "known_browser",
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("secret_hash", sa.String(length=64), primary_key=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("counted_as", sa.String(length=32), nullable=False),
        sa.Column("known_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trusted_until", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_known_browser_last_seen_at", "known_browser", ["last_seen_at"])
    op.create_index("ix_known_browser_secret_hash", "known_browser", ["secret_hash"])

    op.create_table(
        "post",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("author_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column(
            "reply_to_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("post.id", ondelete="SET NULL"),
            nullable=True,
        ),
        sa.Column("body", sa.String(length=4000), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_because", sa.String(length=300), nullable=False),
        sa.Column("import_digest", sa.LargeBinary(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_post_author_id_id_deleted_at_removed_at", "post", ["author_id", "id", "deleted_at", "removed_at"]
    )
    op.create_index("ix_post_author_id_created_at_id", "post", ["author_id", "created_at", "id"])
    _partial_index("ix_post_deleted_at", "post", ["deleted_at"], "deleted_at IS NOT NULL")
    _partial_index("ix_post_import_digest", "post", ["import_digest"], "import_digest IS NOT NULL")
    _partial_index("ix_post_reply_to_id_id", "post", ["reply_to_id", "id"], "reply_to_id IS NOT NULL")

    op.create_table(
        "passkey",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.String(length=1400), nullable=False, unique=True),
        sa.Column("public_key", sa.String(length=4000), nullable=False),
        sa.Column("handle", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("is_synced", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_passkey_user_id", "passkey", ["user_id"])
    op.create_table(
        "recovery_code",
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("label", sa.String(length=8), primary_key=True),
        sa.Column("code_hash", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("token_hash", sa.String(length=64), nullable=False, unique=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("is_remembered", sa.Boolean(), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("client_ip", sa.String(length=60), nullable=False),
        sa.Column("browser_mark", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("second_proved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("passkey_id", sa.Integer(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_session_expires_at", "session", ["expires_at"])
    op.create_index("ix_session_user_id", "session", ["user_id"])

    op.create_table(
        "mention",
        sa.Column(
            "post_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("post.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("is_reply", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_mention_user_id_created_at", "mention", ["user_id", "created_at"])
    op.create_index("ix_mention_user_id_post_id", "mention", ["user_id", "post_id"])

    op.create_table(
        "report",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "post_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("post.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("reporter_id", sa.Integer(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("body", sa.String(length=4000), nullable=False),
        sa.UniqueConstraint("post_id", "reporter_id", name=op.f("uq_report_post_id_reporter_id")),
    )
    op.create_index("ix_report_settled_at", "report", ["settled_at"])

    _index_words()


def downgrade() -> None:
    _forget_words()
    # Those that refer to others come first.
    for table in (
        "import_chunk",
        "archive_import",
        "invite_use",
        "invite",
        "report",
        "mention",
        "session",
        "recovery_code",
        "passkey",
        "post",
        "pending_log_in",
        "factor",
        "known_browser",
        "kept_username",
        "block",
        "mute",
        "follow",
        "email_switch",
        "export_chunk",
        "account_export",
        "account_deletion",
        "address_change",
        "user_account",
        "security_event",
        "refused_address",
        "outbox_email",
        "mail_status",
        "limit_window",
        "registration_request",
        "retired_username",
        "decided_report",
        "hash_cost",
        "form_answer",
        "error_report",
    ):
        op.drop_table(table)


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def _index_words() -> None:
    if op.get_context().dialect.name == "sqlite":
        _to_sqlite("post", _plain_in_sqlite("{row}body"))
        # A name is one word, with its underscores; what somebody says of themselves is not.
        about = _plain_in_sqlite("replace({row}about_me, '_', ' ')")
        _to_sqlite("user_account", f"{{row}}username, {about}", tokens="tokenchars '_'")
    else:
        _to_postgresql("post", _plain_in_postgresql("body"))
        name = r"(username_key || '\:1A')::tsvector"
        _to_postgresql("user_account", f"{name} || setweight({_plain_in_postgresql('about_me')}, 'B')")


def _forget_words() -> None:
    for table, (words, _columns) in INDEXED.items():
        if op.get_context().dialect.name == "sqlite":
            for event in ("added", "gone", "changed"):
                op.execute(f"DROP TRIGGER {words}_{event}")
            op.execute(f"DROP TABLE {words}")
        else:
            op.drop_column(table, "words")  # and its index


def _to_sqlite(table: str, plain: str, tokens: str = "") -> None:
    words, columns = INDEXED[table]
    # It keeps the words only, not the texts they stand in (content=''), nor how many they are, for nothing is ranked.
    op.execute(
        f"CREATE VIRTUAL TABLE {words} USING fts5({columns}, content='', columnsize=0,"
        f' tokenize="unicode61 remove_diacritics 2 {tokens}")'
    )
    add = f"INSERT INTO {words} (rowid, {columns}) VALUES (new.id, {plain.format(row='new.')});"
    # Without the texts, the index has to be told what it forgets.
    remove = f"INSERT INTO {words} ({words}, rowid, {columns}) VALUES ('delete', old.id, {plain.format(row='old.')});"
    op.execute(f"CREATE TRIGGER {words}_added AFTER INSERT ON {table} BEGIN {add} END")
    op.execute(f"CREATE TRIGGER {words}_gone AFTER DELETE ON {table} BEGIN {remove} END")
    op.execute(f"CREATE TRIGGER {words}_changed AFTER UPDATE OF id, {columns} ON {table} BEGIN {remove} {add} END")


def _plain_in_sqlite(text: str) -> str:
    """Its tokenizer leaves out accents, but knows nothing of Russian."""
    return f"replace(replace({text}, 'ё', 'е'), 'Ё', 'Е')"


def _to_postgresql(table: str, words: str) -> None:
    op.execute(f"ALTER TABLE {table} ADD COLUMN words tsvector GENERATED ALWAYS AS ({words}) STORED NOT NULL")
    op.execute(f"CREATE INDEX ix_{table}_words ON {table} USING gin (words)")


def _plain_in_postgresql(text: str) -> str:
    """Its parser would keep addresses, hyphenated words and numbers whole, and leave out what looks like a tag."""
    latin = [chr(code) for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))]
    plain = {letter: base for letter in latin if (base := unicodedata.normalize("NFD", letter)[0]).isascii()}
    plain |= {"ё": "е", "Ё": "Е"} | dict.fromkeys(string.punctuation, " ")
    before, after = (some.replace("'", "''") for some in ("".join(plain), "".join(plain.values())))
    return f"to_tsvector('simple'::regconfig, translate({text}, '{before}', '{after}'))"

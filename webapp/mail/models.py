"""The outbox: rows that say what to write to whom, but never the email itself; and the outcomes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Integer, text
from sqlmodel import Field, SQLModel

from webapp.database import now, partial_index

READY, LEASED, SENT, DEAD, EXPIRED, SUPPRESSED = "ready", "leased", "sent", "dead", "expired", "suppressed"


class Priority(IntEnum):
    """Which emails leave first. Only those that somebody is surely waiting for may use the hour's whole budget.

    Emails that strangers can have sent to an account, or to any address, are kept apart, so that they can't use up the
    others' share.
    """

    WAITED_FOR = 0
    ASKED_BY_ANYBODY = 4  # waited for, if it was the owner who asked
    NEWCOMER = 3  # before the notices
    NOTICE = 1
    CAN_WAIT = 2


# What strangers may have asked for and was given up: the priorities ASKED_BY_ANYBODY and NEWCOMER. In numbers, as
# databases use an index over some rows only for the condition that it was made with.
OF_STRANGERS = "finished_at IS NOT NULL AND state <> 'sent' AND priority IN (3, 4)"
GIVEN_UP = "state IN ('dead', 'expired', 'suppressed')"


class MailStatus(SQLModel, table=True):
    """What all processes know about the mail: whether it is paused, and what is wrong with the server. One row."""

    __tablename__ = "mail_status"

    id: int = Field(default=1, primary_key=True)
    paused_at: datetime | None = None
    trouble_since: datetime | None = None
    trouble_seen_at: datetime | None = None
    trouble_code: int | None = None
    trouble_reason: str | None = Field(default=None, max_length=300)


class RefusedAddress(SQLModel, table=True):
    """An address that doesn't accept our emails; what can wait isn't sent to it.

    `source` is who told us: "smtp", the mail server at once, or a "bounce" or "complaint" that came later.
    """

    __tablename__ = "refused_address"

    address: str = Field(primary_key=True, max_length=320)
    since: datetime = Field(default_factory=now, index=True)
    source: str = Field(default="smtp", max_length=12, sa_column_kwargs={"server_default": "smtp"})
    code: int | None = None
    reason: str | None = Field(default=None, max_length=300)


class OutboxEmail(SQLModel, table=True):
    """One email to write and send: its kind, its recipient, and how far it has got.

    `recipient` is what a visitor typed, or an address; `parameters` hold no secret. Both are deleted once the email is
    sent. An email that was given up keeps them until it is sent again or cleared away. `verdict`, `code` and `reason`
    come from the last attempt.

    A claim is a lease: it moves `due_at` to the lease's end, so an email whose mailer died is simply due again. `fence`
    goes up with each claim, so a worker whose lease has run out can't change anything.
    """

    __tablename__ = "outbox_email"
    __table_args__ = (  # a new email is in just one of these
        partial_index("ix_outbox_email_priority_due_at", "priority", "due_at", where="finished_at IS NULL"),
        partial_index("ix_outbox_email_finished_at", "finished_at", where="finished_at IS NOT NULL"),
        partial_index("ix_outbox_email_of_strangers_finished_at", "finished_at", where=OF_STRANGERS),
        partial_index("ix_outbox_email_given_up_finished_at", "finished_at", where=GIVEN_UP),
        partial_index("ix_outbox_email_user_id_created_at", "user_id", "created_at", where="user_id IS NOT NULL"),
    )

    id: int = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    kind: str = Field(max_length=40)
    recipient: str | None = Field(default=None, max_length=320)
    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    language: str = Field(max_length=12)
    user_id: int | None = None
    message_id: str = Field(max_length=320)
    priority: int = Field(default=Priority.NOTICE, sa_column_kwargs={"server_default": text("1")})
    state: str = Field(default=READY, max_length=12)
    created_at: datetime = Field(default_factory=now)
    due_at: datetime = Field(default_factory=now)
    expires_at: datetime
    attempts: int = 0
    fence: int = 0
    crashes: int = 0
    leased_by: str | None = Field(default=None, max_length=60)
    verdict: str | None = Field(default=None, max_length=12)
    code: int | None = None
    reason: str | None = Field(default=None, max_length=300)
    finished_at: datetime | None = None


class Verdict(Enum):
    """The result of an attempt."""

    SENT = "sent"
    LATER = "later"  # the server asked to try again
    NEVER = "never"  # the server refused for good
    UNAVAILABLE = "unavailable"  # not the email's fault: no server, no TLS, no log-in
    NOBODY = "nobody"  # nobody here to send it to
    SUPPRESSED = "suppressed"  # its address was refused for good not long ago


@dataclass(frozen=True)
class Outcome:
    """`refused` is an address that the server refused for good, `accepted` one that it takes again.

    Refusals for several people that are `alike` are our fault. What `backs_off` counts as an attempt, and waits. Of an
    unexpected `error` of the site's own, ADMINS are told.
    """

    verdict: Verdict
    code: int | None = None
    reason: str = ""
    refused: str | None = None
    accepted: str | None = None
    alike: str = ""
    backs_off: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class Claimed:
    """An email that one worker holds until `due_at`."""

    id: int
    kind: str
    recipient: str
    parameters: dict[str, Any]
    language: str
    user_id: int | None
    message_id: str
    priority: int
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    attempts: int
    crashes: int
    fence: int
    code: int | None
    reason: str | None

    @property
    def owner_id(self) -> int:
        """The account that the email is about, for the kinds that are always posted with one."""
        assert self.user_id is not None, f"{self.kind} is posted with an account"
        return self.user_id

    @property
    def must_arrive(self) -> bool:
        """Whether to try again though it was refused for good: a warning, or what is waited for and lasts for days."""
        lasts = self.expires_at - self.created_at > timedelta(days=1) and self.priority == Priority.WAITED_FOR
        return lasts or self.priority == Priority.NOTICE

    def is_overtaken(self, epoch: int) -> bool:
        """Whether it was asked for in an epoch that the account has left since."""
        return bool(self.parameters.get("epoch", epoch) != epoch)

"""Decided reports, in words: they outlive the accounts that they were about, or that made them."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, Table, insert, select
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import execute, table
from webapp.logs import mask_all
from webapp.moderation.models import DecidedReport, Report
from webapp.posts.models import Post

KEPT = timedelta(days=365)
MOST_SHOWN = 20

_reports, _posts = table(Report), table(Post)


async def keep(db: AsyncSession, rows: Table, which: ColumnElement[bool], addresses: Iterable[str]) -> None:
    """Keeps the decisions about reports, or about posts, that are about to be deleted with an account."""
    if rows not in {_reports, _posts}:
        return
    query = (
        select(_reports.c.reason, _reports.c.outcome, _posts.c.removed_because, _reports.c.settled_at)
        .join_from(_reports, _posts, _reports.c.post_id == _posts.c.id)
        .where(which, _reports.c.settled_at.is_not(None))
    )
    kept = [
        {
            "reason": mask_all(reason, *addresses),
            "outcome": outcome,
            "decision": mask_all(decision, *addresses),
            "decided_at": decided_at,
        }
        for reason, outcome, decision, decided_at in await execute(db, query)
    ]
    if kept:
        await execute(db, insert(table(DecidedReport)), kept)


async def latest(db: AsyncSession) -> Sequence[DecidedReport]:
    """The newest decisions, for the admin's page."""
    newest_first = col(DecidedReport.decided_at).desc(), col(DecidedReport.id).desc()
    return (await db.exec(select_rows(DecidedReport).order_by(*newest_first).limit(MOST_SHOWN))).all()

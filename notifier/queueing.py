"""What an operator asks of the queue of mails, and does with it; the service may run meanwhile."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, or_, select, update

from importer.database import mails, notices

UNSENT = ("queued", "dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMail:
    """A mail as the table has it, without its bodies.

    Attributes:
        state: queued, sent or dead.
        is_being_sent: whether a node has it now.
        attachments: file names of reports; where there are more than ten, they travel merged.
    """

    id: int
    state: str
    recipient: str
    client: str | None
    subject: str
    message_id: str
    created_at: datetime
    tries: int
    next_try_at: datetime
    ended_at: datetime | None
    last_error: str | None
    is_being_sent: bool
    attachments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailCounts:
    """How many mails are in each state; those that are being sent are queued as well."""

    queued: int
    sending: int
    dead: int
    sent: int


def counted(connection: Connection, *, now: datetime) -> MailCounts:
    """All mails, by state."""
    is_leased = and_(mails.c.state == "queued", mails.c.leased_until > now)
    query = select(mails.c.state, func.count(), func.count().filter(is_leased)).group_by(mails.c.state)
    found = {state: (number, leased) for state, number, leased in connection.execute(query)}
    queued, sending = found.get("queued", (0, 0))
    return MailCounts(
        queued=queued, sending=sending, dead=found.get("dead", (0, 0))[0], sent=found.get("sent", (0, 0))[0]
    )


def unsent(connection: Connection, *, at_most: int) -> dict[str, int]:
    """How many mails wait or are given up, by state; of each only so many are counted."""
    numbers = {}
    for state in UNSENT:
        some = select(mails.c.id).where(mails.c.state == state).limit(at_most).subquery()
        numbers[state] = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return numbers


def listed(connection: Connection, *, states: Collection[str], limit: int, now: datetime) -> list[QueuedMail]:
    """Mails in these states, the newest first."""
    query = _listing().where(mails.c.state.in_(states)).order_by(mails.c.id.desc()).limit(limit)
    return [_mail(row, now) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailsAbout:
    """What was told of an import.

    Attributes:
        is_to_be_formed: whether a mail about it is still to be written.
        mails: those that were written.
    """

    is_to_be_formed: bool
    mails: tuple[QueuedMail, ...]


def about(connection: Connection, client: str, claim_id: str, committed_at: datetime, *, now: datetime) -> MailsAbout:
    """The mails about an import, whose notices were stored with it; a mail has the time at which they were formed."""
    stored = select(notices.c.facts, notices.c.formed_at).where(
        notices.c.client == client, notices.c.created_at == committed_at
    )
    formed = {row.formed_at for row in connection.execute(stored) if row.facts["claim_id"] == claim_id}
    query = _listing().where(mails.c.client == client, mails.c.created_at.in_(formed - {None})).order_by(mails.c.id)
    written = tuple(_mail(row, now) for row in connection.execute(query))
    return MailsAbout(is_to_be_formed=None in formed, mails=written)


def found(connection: Connection, number: int, *, now: datetime) -> tuple[QueuedMail, str] | None:
    """A mail and its plain text; None where there is no such mail."""
    row = connection.execute(select(mails).where(mails.c.id == number)).first()
    return None if row is None else (_mail(row, now), row.text)


def retry(connection: Connection, numbers: Sequence[int], *, now: datetime) -> list[int]:
    """Have mails tried at once, dead ones too, and their five days begin anew; returns those of which that is true.

    Mails that were sent, or are being sent, stay as they are.
    """
    chosen = _chosen(connection, numbers, now)
    again = {"state": "queued", "tries": 0, "next_try_at": now, "ended_at": None}
    connection.execute(update(mails).where(mails.c.id.in_(chosen)).values(again))
    return chosen


def drop(connection: Connection, numbers: Sequence[int], *, now: datetime) -> list[int]:
    """Forget mails that were not sent; returns those of which that is true. What is being sent now stays."""
    chosen = _chosen(connection, numbers, now)
    connection.execute(delete(mails).where(mails.c.id.in_(chosen)))
    return chosen


def _listing() -> Select[tuple[Any, ...]]:
    return select(*(column for column in mails.c if column.name not in {"text", "html", "unattached"}))


def _chosen(connection: Connection, numbers: Sequence[int], now: datetime) -> list[int]:
    is_free = or_(mails.c.state == "dead", mails.c.leased_until.is_(None), mails.c.leased_until <= now)
    query = select(mails.c.id).where(mails.c.id.in_(numbers), mails.c.state.in_(UNSENT), is_free)
    return list(connection.execute(query.order_by(mails.c.id).with_for_update(skip_locked=True)).scalars())


def _mail(row: Row[*tuple[Any, ...]], now: datetime) -> QueuedMail:
    return QueuedMail(
        id=row.id,
        state=row.state,
        recipient=row.recipient,
        client=row.client,
        subject=row.subject,
        message_id=row.message_id,
        created_at=row.created_at,
        tries=row.tries,
        next_try_at=row.next_try_at,
        ended_at=row.ended_at,
        last_error=row.last_error,
        is_being_sent=row.state == "queued" and row.leased_until is not None and row.leased_until > now,
        attachments=tuple(attachment["filename"] for attachment in row.attachments),
    )

"""What an operator asks of the queue of mails, and does with it; the service may run meanwhile."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, or_, select, update

from importer.database.tables import mails, notices
from notifier.model import MailState

UNSENT = (MailState.QUEUED, MailState.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMail:
    """A mail as the table has it, without its bodies.

    Attributes:
        is_being_sent: whether a node has it now.
        refused_since: since when the mail server refuses it, perhaps for our sake; None where it does not.
        attachments: file names of reports; where there are more than ten, they travel merged.
    """

    id: int
    state: MailState
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
    refused_since: datetime | None
    attachments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailCounts:
    """How many mails are in each state; those that are being sent are queued as well.

    So are the refused ones, which wait because the mail server refuses us, or may do so.
    """

    queued: int
    sending: int
    refused: int
    dead: int
    sent: int


def counted(connection: Connection, *, now: datetime) -> MailCounts:
    """All mails, by state."""
    is_leased = and_(mails.c.state == MailState.QUEUED, mails.c.leased_until > now)
    of_those = (func.count().filter(is_leased), func.count(mails.c.refused_since))
    query = select(mails.c.state, func.count(), *of_those).group_by(mails.c.state)
    found = {state: numbers for state, *numbers in connection.execute(query)}
    queued, sending, refused = found.get(MailState.QUEUED, (0, 0, 0))
    dead, sent = (found.get(state, (0,))[0] for state in (MailState.DEAD, MailState.SENT))
    return MailCounts(queued=queued, sending=sending, refused=refused, dead=dead, sent=sent)


def unsent(connection: Connection, *, at_most: int) -> dict[str, int]:
    """How many mails wait or are given up, by state; of each only so many are counted."""
    numbers: dict[str, int] = {}
    for state in UNSENT:
        some = select(mails.c.id).where(mails.c.state == state).limit(at_most).subquery()
        numbers[state] = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return numbers


def listed(connection: Connection, *, states: Collection[MailState], limit: int, now: datetime) -> list[ListedMail]:
    """Mails in these states, the newest first."""
    query = _listing().where(mails.c.state.in_(states)).order_by(mails.c.id.desc()).limit(limit)
    return [_mail(row, now) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailsAbout:
    """What was told of an import.

    Attributes:
        is_to_be_formed: whether a mail about it is still to be written.
        mails: those that were written.
        held_until: until when that waits for others like it; None where it does not.
    """

    is_to_be_formed: bool
    mails: tuple[ListedMail, ...]
    held_until: datetime | None = None


def about(connection: Connection, client: str, claim_id: str, committed_at: datetime, *, now: datetime) -> MailsAbout:
    """The mails about an import, whose notices were stored with it; a mail has the time at which they were formed."""
    stored = select(notices.c.facts, notices.c.formed_at, notices.c.held_until).where(
        notices.c.client == client, notices.c.created_at == committed_at
    )
    told = [row for row in connection.execute(stored) if row.facts["claim_id"] == claim_id]
    formed = {row.formed_at for row in told}
    held = max((row.held_until for row in told if row.formed_at is None and row.held_until), default=None)
    query = _listing().where(mails.c.client == client, mails.c.created_at.in_(formed - {None})).order_by(mails.c.id)
    written = tuple(_mail(row, now) for row in connection.execute(query))
    return MailsAbout(is_to_be_formed=None in formed, mails=written, held_until=held)


def found(connection: Connection, number: int, *, now: datetime) -> tuple[ListedMail, str] | None:
    """A mail and its plain text; None where there is no such mail."""
    row = connection.execute(select(mails).where(mails.c.id == number)).first()
    return None if row is None else (_mail(row, now), row.text)


def retry(connection: Connection, numbers: Sequence[int], *, now: datetime) -> list[int]:
    """Have mails tried at once, dead ones too, and their five days begin anew; returns those of which that is true.

    Mails that were sent, or are being sent, stay as they are.
    """
    chosen = _chosen(connection, numbers, now)
    connection.execute(update(mails).where(mails.c.id.in_(chosen)).values(_again(now)))
    return chosen


def retry_all(connection: Connection, *, now: datetime) -> int:
    """Have every mail that was given up, or that the mail server refuses, tried at once; returns how many there are."""
    ended_or_refused = or_(mails.c.state == MailState.DEAD, mails.c.refused_since.is_not(None))
    query = select(mails.c.id).where(mails.c.state.in_(UNSENT), ended_or_refused, _is_free(now))
    chosen = query.with_for_update(skip_locked=True)
    return connection.execute(update(mails).where(mails.c.id.in_(chosen)).values(_again(now))).rowcount


def _again(now: datetime) -> dict[str, object]:
    return {"state": MailState.QUEUED, "tries": 0, "next_try_at": now, "ended_at": None, "refused_since": None}


def drop(connection: Connection, numbers: Sequence[int], *, now: datetime) -> list[int]:
    """Forget mails that were not sent; returns those of which that is true. What is being sent now stays."""
    chosen = _chosen(connection, numbers, now)
    connection.execute(delete(mails).where(mails.c.id.in_(chosen)))
    return chosen


def _listing() -> Select[tuple[Any, ...]]:
    return select(*(column for column in mails.c if column.name not in {"text", "html", "unattached"}))


def _is_free(now: datetime) -> ColumnElement[bool]:
    """Whether nobody sends it now."""
    return or_(mails.c.state == MailState.DEAD, mails.c.leased_until.is_(None), mails.c.leased_until <= now)


def _chosen(connection: Connection, numbers: Sequence[int], now: datetime) -> list[int]:
    query = select(mails.c.id).where(mails.c.id.in_(numbers), mails.c.state.in_(UNSENT), _is_free(now))
    return list(connection.execute(query.order_by(mails.c.id).with_for_update(skip_locked=True)).scalars())


def _mail(row: Row[*tuple[Any, ...]], now: datetime) -> ListedMail:
    return ListedMail(
        id=row.id,
        state=MailState(row.state),
        recipient=row.recipient,
        client=row.client,
        subject=row.subject,
        message_id=row.message_id,
        created_at=row.created_at,
        tries=row.tries,
        next_try_at=row.next_try_at,
        ended_at=row.ended_at,
        last_error=row.last_error,
        refused_since=row.refused_since if row.state == MailState.QUEUED else None,
        is_being_sent=row.state == MailState.QUEUED and row.leased_until is not None and row.leased_until > now,
        attachments=tuple(attachment["filename"] for attachment in row.attachments),
    )

"""The queue of mails, as tables: notices become mails, mails are leased, and every end is written down.

A function that takes an engine makes one transaction and blocks; the loop calls it in a thread. One that takes a
connection works within its caller's transaction. `now` is always UTC.
"""

import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Table,
    and_,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import reading_engine, take_turns
from importer.database.tables import HELD, imports, mails, notices, tellings
from importer.model import Audience, Claim, Counts, Notice, NoticeKind, ReasonCount, Refusal, Remark
from notifier.letters import Letters
from notifier.model import (
    Addresses,
    Attachment,
    Bodies,
    LeasedMail,
    Letter,
    Mail,
    MailState,
    Queued,
    Report,
)
from notifier.retrying import LONGEST_WAIT
from notifier.spacing import LONGEST_HOLD, REMEMBERED, ToldReason, code_of, news_first, told_from

AnyRow = Row[*tuple[Any, ...]]

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error)
"""What an outage of the database raises; the second while a SQLite connection is prepared."""

LEASE = timedelta(minutes=15)
"""Outlasts one session (`smtp.SESSION_SECONDS`) and the longest wait for SQLite's write lock together."""

MOST_NOTICES = 20_000
"""Notices that one transaction turns into mails."""

UNREAD = "its report cannot be read: "
"""How the last error of a mail begins that waits for a report."""

_CLOCK_STEP = timedelta(minutes=5)


def notice_from(facts: dict[str, Any]) -> Notice:
    """The notice that `dataclasses.asdict` made `facts` from; keys of a later version are ignored."""
    return Notice(
        client=facts["client"],
        audience=Audience(facts["audience"]),
        kind=NoticeKind(facts["kind"]),
        file=facts["file"],
        claim_id=facts.get("claim_id"),
        counts=Counts(**(facts.get("counts") or {})),
        reasons=tuple(ReasonCount(**reason) for reason in facts.get("reasons") or ()),
        warnings=tuple(Remark(**warning) for warning in facts.get("warnings") or ()),
        refusal=Refusal(**facts["refusal"]) if facts.get("refusal") else None,
        archive=facts.get("archive"),
        report=facts.get("report"),
    )


def new_message_id(addresses: Addresses) -> str:
    """A Message-ID in the administrator's domain."""
    domain = addresses.admin.rpartition("@")[2].encode("idna").decode("ascii")
    return f"<{uuid.uuid4().hex}@{domain or 'localhost'}>"


def to_admin(addresses: Addresses, letter: Letter, client: str | None, now: datetime) -> Mail:
    """A mail to the administrator."""
    return Mail(
        message_id=new_message_id(addresses),
        recipient=addresses.admin_of(client),
        audience=Audience.ADMIN,
        client=client,
        letter=letter,
        created_at=now,
    )


def form(
    engine: Engine,
    letters: Letters,
    addresses: Addresses,
    *,
    now: datetime,
    next_run: datetime | None,
    gather: timedelta = timedelta(0),
    gather_at_most: timedelta = timedelta(minutes=5),
) -> list[Queued]:
    """Turn pending notices into mails: one for each recipient and client, in the transaction that ends the notices.

    A client's notices wait until none was added for `gather`, so that a window becomes one mail, but never longer than
    `gather_at_most`; those of files that are refused again and again wait for one another (`notifier.spacing`).
    """
    if not _anything_pending(engine, now):
        return []
    with engine.begin() as connection:
        take_turns(connection, "forming of mails")
        formed: list[Queued] = []
        for group in _pending(connection, now):
            if not _is_gathered([row.created_at for row in group], now, gather, gather_at_most):
                continue
            formed += _form_group(connection, group, letters, addresses, now=now, next_run=next_run)
        return formed


def _form_group(
    connection: Connection,
    group: Sequence[AnyRow],
    letters: Letters,
    addresses: Addresses,
    *,
    now: datetime,
    next_run: datetime | None,
) -> list[Queued]:
    """Tell a client or the administrator of these and of what was held back, or hold these back as well."""
    facts = [notice_from(row.facts) for row in group]
    audience, told = facts[0].audience, _told_reasons(connection, facts[0])
    held_until = told_from({*map(code_of, facts)}, told, audience, now)
    if held_until > now:
        _update_notices(connection, [row.id for row in group], held_until=held_until)
        return []
    every = [*_held_with(connection, group), *group]
    facts = [notice_from(row.facts) for row in every]
    have_waited = any(row.held_until is not None for row in every)
    write = letters.to_admin if audience is Audience.ADMIN else letters.to_client
    letter = write(news_first(facts), next_run, have_waited=have_waited)
    queued = [insert_mail(connection, mail) for mail in _mails(letter, facts[0], addresses, now)]
    _update_notices(connection, [row.id for row in every], formed_at=now)
    _remember(connection, facts, now)
    return queued


def _told_reasons(connection: Connection, notice: Notice) -> list[ToldReason]:
    query = select(tellings).where(_is_of(tellings, notice.client, notice.audience))
    return [ToldReason(code=row.code, at=row.told_at) for row in connection.execute(query)]


def _remember(connection: Connection, told: Sequence[Notice], now: datetime) -> None:
    """Which reasons were told now; what was told more than a day ago is forgotten."""
    client, audience = told[0].client, told[0].audience
    codes = sorted({code for notice in told if (code := code_of(notice)) is not None})
    if not codes:
        return
    is_old = or_(tellings.c.told_at <= now - REMEMBERED, tellings.c.told_at > now)
    connection.execute(delete(tellings).where(_is_of(tellings, client, audience), is_old))
    values = [{"client": client, "audience": audience, "code": code, "told_at": now} for code in codes]
    connection.execute(insert(tellings), values)


def _is_of(table: Table, client: str, audience: str) -> ColumnElement[bool]:
    return and_(table.c.client == client, table.c.audience == audience)


def _is_pending(now: datetime) -> ColumnElement[bool]:
    """Not told yet, and not held back; a time further ahead than that was written under another clock."""
    until = notices.c.held_until
    is_free = or_(until.is_(None), until <= now, until > now + LONGEST_HOLD + _CLOCK_STEP)
    return and_(notices.c.formed_at.is_(None), is_free)


def _anything_pending(engine: Engine, now: datetime) -> bool:
    query = select(notices.c.id).where(_is_pending(now)).limit(1)
    with reading_engine(engine).connect() as connection:
        return connection.execute(query).first() is not None


def _held_with(connection: Connection, group: Sequence[AnyRow]) -> Sequence[AnyRow]:
    """What was held back of the same client and audience, the oldest first."""
    query = select(notices).where(_is_of(notices, group[0].client, group[0].audience), HELD)
    known = {row.id for row in group}
    rows = connection.execute(query.order_by(notices.c.id).limit(MOST_NOTICES))
    return [row for row in rows if row.id not in known]


def _pending(connection: Connection, now: datetime) -> list[list[AnyRow]]:
    query = select(notices).where(_is_pending(now)).order_by(notices.c.id).limit(MOST_NOTICES)
    rows = sorted(connection.execute(query), key=_group)
    return [list(group) for _, group in groupby(rows, key=_group)]


def _group(row: AnyRow) -> tuple[str, str]:
    return row.client, row.audience


def _is_gathered(created: Sequence[datetime], now: datetime, gather: timedelta, at_most: timedelta) -> bool:
    return now - max(created) >= gather or now - min(created) >= at_most or max(created) > now


def _mails(letter: Letter, notice: Notice, addresses: Addresses, now: datetime) -> list[Mail]:
    """The letter to each of those who are told of such a notice."""
    client, audience = notice.client, notice.audience
    return [
        Mail(
            message_id=new_message_id(addresses),
            recipient=recipient,
            audience=audience,
            client=client,
            letter=letter,
            created_at=now,
        )
        for recipient in dict.fromkeys(addresses.of(audience, client))
    ]


def _update_notices(connection: Connection, ids: Sequence[int], **values: datetime) -> None:
    for start in range(0, len(ids), 500):
        chosen = notices.c.id.in_(ids[start : start + 500])
        connection.execute(update(notices).where(chosen).values(values))


def insert_mail(connection: Connection, mail: Mail) -> Queued:
    """Store a mail, due at once."""
    values = {
        "message_id": mail.message_id,
        "recipient": mail.recipient,
        "client": mail.client,
        "subject": mail.letter.subject,
        "text": mail.letter.text,
        "html": mail.letter.html,
        "attachments": [asdict(attachment) for attachment in mail.letter.attachments],
        "unattached": None if mail.letter.unattached is None else asdict(mail.letter.unattached),
        "language": mail.letter.language,
        "state": MailState.QUEUED,
        "tries": 0,
        "created_at": mail.created_at,
        "next_try_at": mail.created_at,
    }
    (key,) = connection.execute(insert(mails).values(values)).inserted_primary_key or (0,)
    return Queued(id=key, audience=mail.audience, client=mail.client)


def lease(
    engine: Engine, *, node: str, now: datetime, limit: int, early: bool = False, database_now: datetime | None = None
) -> list[LeasedMail]:
    """Take up to `limit` mails that are due, the longest due and least tried first; nobody else gets them for LEASE.

    Mails that wait for a report are never taken early: they say nothing of the mail server.

    A time further ahead than any wait or lease reaches was written under another clock, and counts as passed.

    Args:
        engine: the database.
        node: who takes them.
        now: by which mails are due.
        limit: the most to take.
        early: take also mails that are not due yet, to find out whether a server is back.
        database_now: by which leases begin and end, the same for all nodes; `now` where there is only one.
    """
    leasing = database_now or now
    has_its_turn = or_(_is_due(now), not_(_waits_for_report())) if early else _is_due(now)
    wanted = and_(mails.c.state == MailState.QUEUED, _is_free(leasing), has_its_turn)
    if not _any(engine, wanted):
        return []
    until = leasing + LEASE
    query = select(mails).where(wanted).order_by(mails.c.next_try_at, mails.c.tries, mails.c.id).limit(limit)
    with engine.begin() as connection:
        rows = connection.execute(query.with_for_update(skip_locked=True)).all()
        taken = mails.c.id.in_([row.id for row in rows])
        connection.execute(update(mails).where(taken).values(leased_until=until, leased_by=node))
        return [_stored(row) for row in rows]


def _any(engine: Engine, wanted: ColumnElement[bool]) -> bool:
    with reading_engine(engine).connect() as connection:
        return connection.execute(select(mails.c.id).where(wanted).limit(1)).first() is not None


def _is_free(now: datetime) -> ColumnElement[bool]:
    until = mails.c.leased_until
    return or_(until.is_(None), until <= now, until > now + LEASE + _CLOCK_STEP)


def _is_due(now: datetime) -> ColumnElement[bool]:
    at = mails.c.next_try_at
    return or_(at <= now, at > now + LONGEST_WAIT + _CLOCK_STEP)


def _waits_for_report() -> ColumnElement[bool]:
    return func.coalesce(mails.c.last_error, "").startswith(UNREAD)


def hurry(engine: Engine, *, now: datetime) -> None:
    """Make all queued mails due, except those that wait for a report."""
    waiting = and_(mails.c.state == MailState.QUEUED, mails.c.next_try_at > now, not_(_waits_for_report()))
    with engine.begin() as connection:
        connection.execute(update(mails).where(waiting).values(next_try_at=now))


def _stored(row: AnyRow) -> LeasedMail:
    attachments = tuple(Attachment(**attachment) for attachment in row.attachments)
    return LeasedMail(
        id=row.id,
        message_id=row.message_id,
        recipient=row.recipient,
        client=row.client,
        letter=Letter(
            subject=row.subject,
            text=row.text,
            html=row.html,
            attachments=attachments,
            unattached=None if row.unattached is None else Bodies(**row.unattached),
            language=row.language or "en",
        ),
        created_at=row.created_at,
        tries=row.tries,
        next_try_at=row.next_try_at,
        refused_since=row.refused_since,
    )


def release(engine: Engine, node: str, ids: Sequence[int] | None = None) -> None:
    """Give a node's leases back untried: of these mails, or all of them when it starts, but never another node's."""
    chosen = mails.c.leased_until.is_not(None) if ids is None else mails.c.id.in_(ids)
    with engine.begin() as connection:
        own = and_(mails.c.leased_by == node, chosen)
        connection.execute(update(mails).where(own).values(leased_until=None, leased_by=None))


def mark_sent(engine: Engine, mail: LeasedMail, *, now: datetime) -> None:
    """Mark a mail as sent."""
    with engine.begin() as connection:
        _mark(
            connection,
            mail,
            state=MailState.SENT,
            tries=mail.tries + 1,
            ended_at=now,
            last_error=None,
            refused_since=None,
        )


def mark_later(engine: Engine, mail: LeasedMail, *, next_try_at: datetime, error: str) -> None:
    """Mark a mail to be tried again at `next_try_at`."""
    with engine.begin() as connection:
        _mark(connection, mail, tries=mail.tries + 1, next_try_at=next_try_at, last_error=error)


def mark_refused(engine: Engine, mail: LeasedMail, *, now: datetime, next_try_at: datetime, error: str) -> None:
    """The server refused it for what may be our sake, and it is tried again."""
    since = mail.refused_since or now
    with engine.begin() as connection:
        _mark(connection, mail, tries=mail.tries + 1, next_try_at=next_try_at, last_error=error, refused_since=since)


def mark_held(engine: Engine, mail: LeasedMail, *, now: datetime, next_try_at: datetime) -> None:
    """It waits with others that the server refuses; it was not asked, so that was no try."""
    with engine.begin() as connection:
        _mark(connection, mail, next_try_at=next_try_at, refused_since=mail.refused_since or now)


def refused_recipients(engine: Engine) -> list[tuple[str | None, str]]:
    """The client and the recipient of each mail that waits because the server refuses it."""
    query = select(mails.c.client, mails.c.recipient).where(
        mails.c.state == MailState.QUEUED, mails.c.refused_since.is_not(None)
    )
    with reading_engine(engine).connect() as connection:
        return [(row.client, row.recipient) for row in connection.execute(query.distinct())]


def mark_unread(engine: Engine, mail: LeasedMail, *, next_try_at: datetime, error: str) -> None:
    """Note that a mail's report could not be read; the server was not asked, so this is no try."""
    with engine.begin() as connection:
        _mark(connection, mail, next_try_at=next_try_at, last_error=f"{UNREAD}{error}")


def waiting_for_reports(engine: Engine) -> set[str]:
    """The clients about whom mails wait for a report that cannot be read."""
    query = select(mails.c.client).where(mails.c.state == MailState.QUEUED, _waits_for_report()).distinct()
    with reading_engine(engine).connect() as connection:
        return {client or "" for client in connection.execute(query).scalars()}


def mark_dead(engine: Engine, mail: LeasedMail, *, now: datetime, error: str, instead: Mail) -> Queued:
    """Give a mail up, and queue one that says so, in one transaction."""
    with engine.begin() as connection:
        _mark(connection, mail, state=MailState.DEAD, tries=mail.tries + 1, ended_at=now, last_error=error)
        return insert_mail(connection, instead)


def _mark(connection: Connection, mail: LeasedMail, **values: object) -> None:
    """Change a mail if it is still queued: what an operator did meanwhile stands."""
    mine = and_(mails.c.id == mail.id, mails.c.state == MailState.QUEUED)
    connection.execute(update(mails).where(mine).values(leased_until=None, leased_by=None, **values))


def reports(engine: Engine, attachments: Sequence[Attachment]) -> list[Report]:
    """Where the reports of a mail are to be looked for, by the ledger; without those it does not know."""
    columns = (imports.c.claim_id, imports.c.client, imports.c.directory, imports.c.report, imports.c.archived_at)
    ids = [attachment.claim_id for attachment in attachments]
    rows: dict[str, AnyRow] = {}
    with reading_engine(engine).connect() as connection:
        for start in range(0, len(ids), 500):
            query = select(*columns).where(imports.c.claim_id.in_(ids[start : start + 500]))
            rows |= {row.claim_id: row for row in connection.execute(query)}
    known = [(attachment, rows[attachment.claim_id]) for attachment in attachments if attachment.claim_id in rows]
    return [_report(attachment, row) for attachment, row in known if row.report is not None]


def _report(attachment: Attachment, row: AnyRow) -> Report:
    directory = Path(row.directory)
    archived = directory / "bak" / row.report
    work = Claim(id=row.claim_id, client=row.client, directory=directory, name="").report
    # Between the two looks it may move from work to bak, hence bak is always looked into after work.
    places = (work, archived) if row.archived_at is None else (archived, work, archived)
    return Report(attachment=attachment, directory=directory, places=places, in_bak=row.report)

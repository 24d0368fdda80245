"""The queue of mails, as tables: notices become mails, mails are leased, and every end is written down.

Every function is one transaction and blocks; the loop calls them in threads. `now` is always UTC.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, false, insert, or_, select, true, update
from sqlalchemy.exc import SQLAlchemyError

from importer.database import alerts, imports, mails, notices
from importer.engines import reading_engine, take_turns
from importer.model import Audience, Claim, Counts, Finding, Notice, NoticeKind, ReasonCount, Refusal
from notifier.alerting import is_told, shared, told
from notifier.letters import Letters
from notifier.model import (
    Addresses,
    Alert,
    AlertKind,
    AlertMail,
    Attachment,
    Bodies,
    Letter,
    Mail,
    Queued,
    Report,
    StoredMail,
)
from notifier.retrying import LONGEST_WAIT

AnyRow = Row[*tuple[Any, ...]]

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error)
"""What an outage of the database raises; the second while a SQLite connection is prepared."""

LEASE = timedelta(minutes=15)
"""Outlasts one session (`smtp.SESSION_SECONDS`) and the longest wait for SQLite's write lock together."""

MOST_NOTICES = 20_000
"""Notices that one transaction turns into mails."""

_REMEMBERED = timedelta(days=1)
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
        warnings=tuple(Finding(**warning) for warning in facts.get("warnings") or ()),
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
    `gather_at_most`.
    """
    if not _anything_pending(engine):
        return []
    with engine.begin() as connection:
        take_turns(connection, "forming of mails")
        formed: list[Queued] = []
        for group in _pending(connection):
            if not _is_gathered([row.created_at for row in group], now, gather, gather_at_most):
                continue
            facts = [notice_from(row.facts) for row in group]
            made = _mails_about(facts, letters, addresses, now, next_run)
            formed += [_insert(connection, mail) for mail in made]
            _end_notices(connection, [row.id for row in group], now)
        return formed


def _anything_pending(engine: Engine) -> bool:
    query = select(notices.c.id).where(notices.c.formed_at.is_(None)).limit(1)
    with reading_engine(engine).connect() as connection:
        return connection.execute(query).first() is not None


def _pending(connection: Connection) -> list[list[AnyRow]]:
    query = select(notices).where(notices.c.formed_at.is_(None)).order_by(notices.c.id).limit(MOST_NOTICES)
    rows = sorted(connection.execute(query), key=_group)
    return [list(group) for _, group in groupby(rows, key=_group)]


def _group(row: AnyRow) -> tuple[str, str]:
    return row.client, row.audience


def _is_gathered(created: Sequence[datetime], now: datetime, gather: timedelta, at_most: timedelta) -> bool:
    return now - max(created) >= gather or now - min(created) >= at_most or max(created) > now


def _mails_about(
    group: Sequence[Notice], letters: Letters, addresses: Addresses, now: datetime, next_run: datetime | None
) -> list[Mail]:
    client, audience = group[0].client, group[0].audience
    write = letters.to_admin if audience is Audience.ADMIN else letters.to_client
    letter = write(group, next_run)
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


def _end_notices(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    for start in range(0, len(ids), 500):
        chosen = notices.c.id.in_(ids[start : start + 500])
        connection.execute(update(notices).where(chosen).values(formed_at=now))


def _insert(connection: Connection, mail: Mail) -> Queued:
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
        "state": "queued",
        "tries": 0,
        "created_at": mail.created_at,
        "next_try_at": mail.created_at,
    }
    (key,) = connection.execute(insert(mails).values(values)).inserted_primary_key or (0,)
    return Queued(id=key, audience=mail.audience, client=mail.client)


def lease(
    engine: Engine, *, node: str, now: datetime, limit: int, early: bool = False, database_now: datetime | None = None
) -> list[StoredMail]:
    """Take up to `limit` mails that are due, the longest due first; nobody else gets them for LEASE.

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
    wanted = and_(mails.c.state == "queued", _is_free(leasing), true() if early else _is_due(now))
    if not _any(engine, wanted):
        return []
    until = leasing + LEASE
    query = select(mails).where(wanted).order_by(mails.c.next_try_at, mails.c.id).limit(limit)
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


def hurry(engine: Engine, *, now: datetime) -> None:
    """The server is back: every queued mail is due."""
    waiting = and_(mails.c.state == "queued", mails.c.next_try_at > now)
    with engine.begin() as connection:
        connection.execute(update(mails).where(waiting).values(next_try_at=now))


def _stored(row: AnyRow) -> StoredMail:
    attachments = tuple(Attachment(**attachment) for attachment in row.attachments)
    return StoredMail(
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
    )


def release(engine: Engine, node: str, ids: Sequence[int] | None = None) -> None:
    """Give a node's leases back untried: of these mails, or all of them when it starts, but never another node's."""
    chosen = mails.c.leased_until.is_not(None) if ids is None else mails.c.id.in_(ids)
    with engine.begin() as connection:
        own = and_(mails.c.leased_by == node, chosen)
        connection.execute(update(mails).where(own).values(leased_until=None, leased_by=None))


def mark_sent(engine: Engine, mail: StoredMail, *, now: datetime) -> None:
    """The server has taken it."""
    with engine.begin() as connection:
        _mark(connection, mail, state="sent", tries=mail.tries + 1, ended_at=now, last_error=None)


def mark_later(engine: Engine, mail: StoredMail, *, next_try_at: datetime, error: str) -> None:
    """It failed and is tried again."""
    with engine.begin() as connection:
        _mark(connection, mail, tries=mail.tries + 1, next_try_at=next_try_at, last_error=error)


def mark_dead(engine: Engine, mail: StoredMail, *, now: datetime, error: str, instead: Mail) -> Queued:
    """It is given up; in the same transaction a mail that says so is queued."""
    with engine.begin() as connection:
        _mark(connection, mail, state="dead", tries=mail.tries + 1, ended_at=now, last_error=error)
        return _insert(connection, instead)


def _mark(connection: Connection, mail: StoredMail, **values: object) -> None:
    """Only a queued mail changes: what an operator did meanwhile stands."""
    mine = and_(mails.c.id == mail.id, mails.c.state == "queued")
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
    return Report(attachment=attachment, places=places, in_bak=row.report)


def record_alerts(engine: Engine, changed: Iterable[Alert], about: Iterable[tuple[AlertMail, Mail]]) -> list[Queued]:
    """Store alerts as they are now, and the mails that tell of them, in one transaction.

    Nodes that meet the same condition share its alert: it is opened, mailed and ended by whoever comes first.
    """
    with engine.begin() as connection:
        take_turns(connection, "alerts")
        for alert in changed:
            _store_alert(connection, alert)
        queued = []
        for alert_mail, mail in about:
            known = _shared(connection, alert_mail.alert)
            if known is None or not is_told(_alert(known), alert_mail, mail.created_at):
                _store_alert(connection, told(alert_mail.alert, alert_mail.occasion, mail.created_at))
                queued.append(_insert(connection, mail))
        return queued


def _store_alert(connection: Connection, alert: Alert) -> None:
    known = _shared(connection, alert)
    stored = alert if known is None else shared(_alert(known), alert)
    values = {
        "kind": stored.kind.value,
        "client": stored.client,
        # What is not told yet is not stored either, so that it is new again after a crash.
        "detail": stored.detail if stored.changed_at is None else stored.told[-1],
        "opened_at": stored.opened_at,
        "mailed_at": stored.mailed_at,
        "resolved_at": stored.resolved_at,
    }
    if known is None:
        connection.execute(insert(alerts).values(values))
    else:
        connection.execute(update(alerts).where(alerts.c.id == known.id).values(values))


def _shared(connection: Connection, alert: Alert) -> AnyRow | None:
    """The stored alert of the same condition: the open one, or the same, or one whose end this one has seen as well."""
    seen_too = alerts.c.resolved_at >= alert.opened_at if alert.resolved_at is not None else false()
    same = or_(alerts.c.resolved_at.is_(None), alerts.c.opened_at == alert.opened_at, seen_too)
    query = select(alerts).where(alerts.c.kind == alert.kind.value, alerts.c.client == alert.client, same)
    return connection.execute(query.order_by(alerts.c.resolved_at.is_(None).desc(), alerts.c.id.desc())).first()


def known_alerts(engine: Engine, *, now: datetime) -> list[Alert]:
    """The alerts that are open or ended within the last day; kinds of a later version are left out."""
    query = select(alerts).where(or_(alerts.c.resolved_at.is_(None), alerts.c.resolved_at > now - _REMEMBERED))
    with reading_engine(engine).connect() as connection:
        rows = connection.execute(query.order_by(alerts.c.id)).all()
    return [_alert(row) for row in rows if row.kind in set(AlertKind)]


def _alert(row: AnyRow) -> Alert:
    return Alert(
        kind=AlertKind(row.kind),
        client=row.client,
        detail=row.detail,
        opened_at=row.opened_at,
        mailed_at=row.mailed_at,
        resolved_at=row.resolved_at,
        told=() if row.mailed_at is None else (row.detail,),
    )

"""Alerts as the nodes' table has them, stored together with the mails that tell of them.

Every function is one transaction and blocks; the loop calls them in threads. `now` is always UTC.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, false, insert, or_, select, update

from importer.database.engines import reading_engine, take_turns
from importer.database.tables import alerts
from importer.model import Detail
from notifier.alerting import is_told, shared, told, told_by
from notifier.model import Alert, AlertKind, AlertNotice, Mail, Queued
from notifier.outbox import AnyRow, insert_mail

_REMEMBERED = timedelta(days=1)


def record_alerts(engine: Engine, changed: Iterable[Alert], about: Iterable[tuple[AlertNotice, Mail]]) -> list[Queued]:
    """Store alerts as they are now, and the mails that tell of them, in one transaction.

    Nodes that meet the same condition share its alert: it is opened, mailed and ended by whoever comes first.
    """
    with engine.begin() as connection:
        take_turns(connection, "alerts")
        for alert in changed:
            _store_alert(connection, alert)
        queued = []
        for notice, mail in about:
            untold = [each for each in told_by([notice]) if not _is_told(connection, each, mail.created_at)]
            for each in untold:
                _store_alert(connection, told(each.alert, each.occasion, mail.created_at))
            if untold:
                queued.append(insert_mail(connection, mail))
        return queued


def _is_told(connection: Connection, notice: AlertNotice, now: datetime) -> bool:
    known = _shared(connection, notice.alert)
    return known is not None and is_told(_alert(known), notice, now)


def _store_alert(connection: Connection, alert: Alert) -> None:
    known = _shared(connection, alert)
    stored = alert if known is None else shared(_alert(known), alert)
    # What is not told yet is not stored either, so that it is new again after a crash.
    detail = stored.detail if stored.changed_at is None else stored.told[-1]
    values = {
        "kind": stored.kind.value,
        "client": stored.client,
        "detail": str(detail),
        "detail_facts": asdict(detail) if isinstance(detail, Detail) else None,
        "opened_at": stored.opened_at,
        "mailed_at": stored.mailed_at,
        "resolved_at": stored.resolved_at,
        "held": stored.held,
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


def _detail(row: AnyRow) -> Detail | str:
    """What failed; of a row that a version without the column of facts has stored or changed, the text alone."""
    is_of_text = row.detail_facts is not None and row.detail_facts["text"] == row.detail
    return _detail_from(row.detail_facts) if is_of_text else str(row.detail)


def _detail_from(stored: dict[str, Any]) -> Detail:
    """What `dataclasses.asdict` made `stored` from."""
    facts = ((name, _detail_from(fact) if isinstance(fact, dict) else fact) for name, fact in stored["facts"])
    return Detail(text=stored["text"], code=stored["code"], facts=tuple(facts))


def _alert(row: AnyRow) -> Alert:
    detail = _detail(row)
    return Alert(
        kind=AlertKind(row.kind),
        client=row.client,
        detail=detail,
        opened_at=row.opened_at,
        mailed_at=row.mailed_at,
        resolved_at=row.resolved_at,
        told=() if row.mailed_at is None else (detail,),
        held=row.held,
    )

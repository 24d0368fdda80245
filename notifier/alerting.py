"""When an alert is mailed: pure decisions over the alerts that are known.

Rules: the first mail 30 s after the opening (none, if it was resolved before), one 30 s after the detail named
something new, again every 4 h while open (but lists of files name each file once), the end once; at most 20 mails an
hour, those over the limit wait and are counted in the mail that goes out last. SMTP is told only afterwards, since no
mail goes out before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from notifier.alert_texts import ALERT_TEXTS
from notifier.model import Alert, AlertKind, AlertMail, Occasion, Severity

FIRST_AFTER = timedelta(seconds=30)
REPEATED_AFTER = timedelta(hours=4)
LIMIT = 20
LIMIT_PERIOD = timedelta(hours=1)
TICK = timedelta(microseconds=1)

_URGENCY = list(Severity)
_ORDER = (Occasion.OPENED, Occasion.RESOLVED, Occasion.CHANGED, Occasion.REPEATED)


@dataclass(frozen=True, slots=True)
class Board:
    """The alerts that are open or whose end is not told yet, and when alert mails went out within the last hour."""

    alerts: tuple[Alert, ...] = ()
    mailed: tuple[datetime, ...] = ()

    def find(self, kind: AlertKind, client: str) -> Alert | None:
        """The alert of this kind and client, open or about to be told resolved."""
        return next((alert for alert in self.alerts if (alert.kind, alert.client) == (kind, client)), None)


def is_open(alert: Alert) -> bool:
    """Whether the condition lasts."""
    return alert.resolved_at is None


def is_over(alert: Alert) -> bool:
    """Whether nothing more will ever be said about it."""
    return alert.resolved_at is not None and due(alert, alert.resolved_at) is None


def opened(board: Board, kind: AlertKind, client: str, detail: str, now: datetime) -> Board:
    """The board after the condition was seen; an open one gets the detail, one that came back is open again."""
    known = board.find(kind, client)
    if known is None or is_over(known):
        alert = Alert(kind=kind, client=client, detail=detail, opened_at=now)
        return _put(board, alert)
    if is_open(known) and known.detail == detail:
        return board
    return _put(board, _with_news(replace(known, detail=detail, resolved_at=None), now))


def _with_news(alert: Alert, since: datetime) -> Alert:
    """The open alert, due for a mail if its detail names what no mail has named; the first mail is due anyway."""
    has_news = alert.mailed_at is not None and _named(alert.detail) - _named(*alert.told)
    return replace(alert, changed_at=since if has_news else None)


def _named(*details: str) -> set[str]:
    """What details name, each file of a list by itself, so that what went or came back is not told as new."""
    return {name for detail in details for name in detail.split(", ")}


def resolved(board: Board, kind: AlertKind, client: str, now: datetime) -> Board:
    """The board after the condition was seen to be over."""
    known = board.find(kind, client)
    if known is None or not is_open(known):
        return board
    end = now if known.mailed_at is None else max(now, known.mailed_at + TICK)
    return _put(board, replace(known, resolved_at=end, changed_at=None))


def due(alert: Alert, now: datetime) -> Occasion | None:
    """The mail that this alert asks for now, whatever the hourly limit says."""
    if alert.kind is AlertKind.SMTP:
        return _due_afterwards(alert)
    if alert.resolved_at is not None:
        told_open = alert.mailed_at is not None and alert.mailed_at < alert.resolved_at
        return Occasion.RESOLVED if told_open else None
    if alert.mailed_at is None:
        return Occasion.OPENED if _passed(alert.opened_at, FIRST_AFTER, now) else None
    if alert.changed_at is not None and _passed(alert.changed_at, FIRST_AFTER, now):
        return Occasion.CHANGED
    is_repeated = ALERT_TEXTS[alert.kind].repeated and _passed(alert.mailed_at, REPEATED_AFTER, now)
    return Occasion.REPEATED if is_repeated else None


def _due_afterwards(alert: Alert) -> Occasion | None:
    if alert.resolved_at is None or (alert.mailed_at is not None and alert.mailed_at >= alert.resolved_at):
        return None
    return Occasion.RESOLVED if alert.resolved_at - alert.opened_at >= FIRST_AFTER else None


def _passed(since: datetime, wait: timedelta, now: datetime) -> bool:
    """A time in the future comes from a clock that was set back; nobody waits for it."""
    return not since <= now < since + wait


def decide(board: Board, now: datetime) -> tuple[AlertMail, ...]:
    """The mails to send now, the most urgent first, within the hourly limit."""
    asked = [(occasion, alert) for alert in board.alerts if (occasion := due(alert, now)) is not None]
    asked.sort(key=_rank)
    allowed = max(0, LIMIT - len(_recent(board.mailed, now)))
    mails = [AlertMail(alert=alert, occasion=occasion) for occasion, alert in asked[:allowed]]
    if mails:
        mails[-1] = replace(mails[-1], suppressed=len(asked) - len(mails))
    return tuple(mails)


def _rank(asked: tuple[Occasion, Alert]) -> tuple[int, int, datetime]:
    occasion, alert = asked
    return _ORDER.index(occasion), _URGENCY.index(ALERT_TEXTS[alert.kind].severity), alert.opened_at


def told(alert: Alert, occasion: Occasion, now: datetime) -> Alert:
    """The alert after that mail, in the form in which the end is told exactly if `mailed_at >= resolved_at`."""
    alert = replace(
        alert, changed_at=None, told=(*(known for known in alert.told if known != alert.detail), alert.detail)
    )
    if alert.resolved_at is None:
        return replace(alert, mailed_at=now)
    if occasion is Occasion.RESOLVED:
        return replace(alert, mailed_at=max(now, alert.resolved_at))
    return replace(alert, mailed_at=min(now, alert.resolved_at - TICK))


def is_told(known: Alert, mail: AlertMail, now: datetime) -> bool:
    """Whether another node has told already what the mail would tell, by the alert as the nodes' table has it."""
    match mail.occasion:
        case Occasion.OPENED:
            return is_open(known) and known.mailed_at is not None
        case Occasion.CHANGED:
            return is_open(known) and _named(mail.alert.detail) <= _named(known.detail)
        case Occasion.REPEATED:
            return is_open(known) and due(known, now) is not Occasion.REPEATED
        case Occasion.RESOLVED:
            return known.resolved_at is not None and (known.mailed_at or known.opened_at) >= known.resolved_at
        case _:
            assert_never(mail.occasion)


def shared(known: Alert, alert: Alert) -> Alert:
    """What the nodes' table says of a `known` alert once a node has stored its own; no mail is forgotten by it."""
    detail = alert.detail if alert.changed_at is None else known.detail
    mailed_at = max((at for at in (known.mailed_at, alert.mailed_at) if at is not None), default=None)
    end = alert.resolved_at
    if end is not None and known.resolved_at is not None:
        end = min(end, known.resolved_at)
    elif end is not None and mailed_at is not None and (alert.mailed_at is None or alert.mailed_at < end):
        mailed_at = min(mailed_at, end - TICK)  # the other's mail was none about the end
    return replace(known, detail=detail, mailed_at=mailed_at, resolved_at=end)


def after(board: Board, mails: Iterable[AlertMail], now: datetime) -> Board:
    """The board once these mails are on their way; alerts that are over leave it."""
    mails = tuple(mails)
    for mail in mails:
        known = board.find(mail.alert.kind, mail.alert.client)
        if known is not None:
            board = _put(board, _merged(known, mail, now))
    mailed = (*_recent(board.mailed, now), *(now for _ in mails))
    return Board(alerts=tuple(alert for alert in board.alerts if not is_over(alert)), mailed=mailed)


def _merged(known: Alert, mail: AlertMail, now: datetime) -> Alert:
    """`known` may have ended, come back, or got another detail while the mail was stored."""
    if mail.occasion is Occasion.RESOLVED and is_open(known):
        return replace(known, opened_at=now, mailed_at=None, changed_at=None, told=())
    merged = replace(told(replace(known, detail=mail.alert.detail), mail.occasion, now), detail=known.detail)
    return _with_news(merged, known.changed_at or now) if is_open(merged) else merged


def restored(alerts: Iterable[Alert], now: datetime) -> Board:
    """The board after a restart, from the alerts as they were stored."""
    alerts = tuple({(alert.kind, alert.client): alert for alert in alerts}.values())
    mailed = tuple(alert.mailed_at for alert in alerts if alert.mailed_at is not None)
    return Board(alerts=tuple(alert for alert in alerts if not is_over(alert)), mailed=_recent(mailed, now))


def joined(stored: Board, met: Board) -> Board:
    """The stored board with what was met while it could not be read: how an alert stands now, and what was mailed."""
    board = Board(alerts=stored.alerts, mailed=tuple(sorted({*stored.mailed, *met.mailed})))
    for alert in met.alerts:
        known = board.find(alert.kind, alert.client)
        board = _put(board, alert if known is None else _continued(known, alert))
    return board


def _continued(known: Alert, met: Alert) -> Alert:
    mailed_at = met.mailed_at or known.mailed_at
    told = tuple(dict.fromkeys((*known.told, *met.told)))
    alert = replace(met, opened_at=known.opened_at, mailed_at=mailed_at, told=told)
    return _with_news(alert, met.changed_at or met.opened_at) if is_open(alert) else alert


def _recent(mailed: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    return tuple(at for at in mailed if now - LIMIT_PERIOD < at <= now)


def _put(board: Board, changed: Alert) -> Board:
    others = (alert for alert in board.alerts if (alert.kind, alert.client) != (changed.kind, changed.client))
    return replace(board, alerts=(*others, changed))

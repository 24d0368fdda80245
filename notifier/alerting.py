"""When an alert is mailed: pure decisions over the alerts that are known.

Rules: the first mail 30 s after the opening (none, if it was resolved before), one 30 s after the detail named
something new, again every 4 h while open (but lists of files name each file once), the end once. SMTP is told only
afterwards, since no mail goes out before.

Bounds, so that no mailbox is flooded and no noise is anybody else's silence: about one kind of a client (or of the
service) at most 3 mails an hour, 6 where it is critical; about one client at most 6, so that whatever one client does
leaves more than half of what all clients have, which is 20; about the service as a whole 20. Critical alerts have
bounds of their own, of clients as large, of the service none but that of a kind, so that they wait for no others. What
is held back is told in brief by the next mail to the same reader, at the latest 15 minutes later by a mail of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from importer.model import Detail
from importer.words.details import LIST
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import Alert, AlertKind, AlertNotice, Occasion, Severity

FIRST_AFTER = timedelta(seconds=30)
REPEATED_AFTER = timedelta(hours=4)
MOST_OF_A_KIND = {Severity.CRITICAL: 6, Severity.ERROR: 3, Severity.WARNING: 3}
"""Mails an hour about one kind of one client, or of the service as a whole."""
MOST_OF_A_CLIENT = 6
MOST_OF_ALL = 20
"""Mails an hour to one reader about all clients; as many about the service."""
LIMIT_PERIOD = timedelta(hours=1)
SUMMED_AFTER = timedelta(minutes=15)
"""How long what is held back waits for a mail that tells of it."""
TICK = timedelta(microseconds=1)

_LISTS = {LIST, "held_files", "draft_files"}
"""The details that hold others, or names."""
_URGENCY = list(Severity)
_ORDER = (Occasion.OPENED, Occasion.RESOLVED, Occasion.CHANGED, Occasion.REPEATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailed:
    """An alert mail that went out."""

    kind: AlertKind
    client: str
    at: datetime


AlertKey = tuple[AlertKind, str]
"""The kind of an alert and its client; there is one alert of each."""

Reader = Callable[[str], str]
"""The mailbox in which mails about a client are read, or with an empty name those about the service."""


def one_reader(_: str) -> str:
    """All mails are read in one mailbox."""
    return ""


@dataclass(frozen=True, slots=True)
class Board:
    """The alerts that are open or whose end is not told yet, by kind and client, and the alert mails of the last hour.

    The alert that has changed last is the last one.
    """

    known: Mapping[AlertKey, Alert] = field(default_factory=dict)
    mailed: tuple[Mailed, ...] = ()

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All of them."""
        return tuple(self.known.values())

    def find(self, kind: AlertKind, client: str) -> Alert | None:
        """The alert of this kind and client, open or about to be told resolved."""
        return self.known.get((kind, client))


def is_open(alert: Alert) -> bool:
    """Whether the condition lasts."""
    return alert.resolved_at is None


def is_over(alert: Alert) -> bool:
    """Whether nothing more will ever be said about it."""
    return alert.resolved_at is not None and due(alert, alert.resolved_at) is None


def opened(board: Board, kind: AlertKind, client: str, detail: Detail | str, now: datetime) -> Board:
    """The board after the condition was seen; an open one gets the detail, one that came back is open again."""
    known = board.find(kind, client)
    if known is None or is_over(known):
        alert = Alert(kind=kind, client=client, detail=detail, opened_at=now)
        return _put(board, alert)
    if is_open(known) and known.detail == detail:
        return board
    return _put(board, _with_news(replace(known, detail=detail, resolved_at=None), now))


def _with_news(alert: Alert, since: datetime) -> Alert:
    """The open alert, due for a mail if its detail names what no mail has named; the first mail is due anyway.

    What is new every few seconds puts that mail off no further, or it would never come.
    """
    has_news = alert.mailed_at is not None and _named(alert.detail) - _named(*alert.told)
    return replace(alert, changed_at=(alert.changed_at or since) if has_news else None)


def _named(*details: Detail | str) -> set[str]:
    """What details name, each file of a list by itself, so that what went or came back is not told as new."""
    return {name for detail in details for name in _names(detail)}


def _names(detail: Detail | str) -> Iterator[str]:
    """What a detail names; how many files there are is told with other news, and is none by itself."""
    if isinstance(detail, str) or detail.code not in _LISTS:
        yield from str(detail).split(", ")
        return
    for _, part in detail.facts:
        if isinstance(part, str) or part.code != "in_all":
            yield from _names(part)


def resolved(board: Board, kind: AlertKind, client: str, now: datetime) -> Board:
    """The board after the condition was seen to be over."""
    known = board.find(kind, client)
    if known is None or not is_open(known):
        return board
    # A clock that was set back must not put the end before the beginning, or before the last mail.
    end = max(now, known.opened_at if known.mailed_at is None else known.mailed_at + TICK)
    return _put(board, replace(known, resolved_at=end, changed_at=None))


def due(alert: Alert, now: datetime) -> Occasion | None:
    """The mail that this alert asks for now, whatever the hourly limit says."""
    if alert.kind is AlertKind.SMTP:
        return _due_afterwards(alert)
    if alert.resolved_at is not None:
        told_open = alert.held > 0 if alert.mailed_at is None else alert.mailed_at < alert.resolved_at
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


def decide(board: Board, now: datetime, reader: Reader = one_reader) -> tuple[AlertNotice, ...]:
    """What to tell now, the most urgent first: what is due within the bounds, and sums of what is held back."""
    notices, others = _chosen(board, now, reader)
    for mailbox in dict.fromkeys(reader(held.alert.client) for held in others):
        summed = tuple(held for held in others if reader(held.alert.client) == mailbox)
        carrier = next((notice for notice in reversed(notices) if reader(notice.alert.client) == mailbox), None)
        if carrier is not None:
            notices[notices.index(carrier)] = replace(carrier, summed=summed)
        elif any(_has_waited(held.alert, now) for held in summed):
            notices.append(replace(summed[0], summed=summed))
    return tuple(notices)


def held_back(board: Board, now: datetime, reader: Reader = one_reader) -> Board:
    """The board with what is due now and goes out with none of the mails that are decided, counted once each."""
    told_now = {_key(told) for told in told_by(decide(board, now, reader))}
    for held in _chosen(board, now, reader)[1]:
        if _key(held) not in told_now:
            board = _put(board, held.alert)
    return board


def _held(alert: Alert, occasion: Occasion, now: datetime) -> Alert:
    news = f"{occasion.value} {alert.resolved_at or ''} {alert.detail}"
    if news == alert.held_news or due(alert, now) is None:
        return alert
    return replace(alert, held=alert.held + 1, held_at=alert.held_at or now, held_news=news)


def _has_waited(alert: Alert, now: datetime) -> bool:
    return alert.held_at is not None and _passed(alert.held_at, SUMMED_AFTER, now)


def _chosen(board: Board, now: datetime, reader: Reader) -> tuple[list[AlertNotice], list[AlertNotice]]:
    """What is due within the bounds, and what else is due or held back; the most urgent first."""
    asked = [(occasion, alert) for alert in board.alerts if (occasion := _asked(alert, now)) is not None]
    asked.sort(key=_rank)
    spent = Counter(use for mailed in _recent(board.mailed, now) for use in _uses(mailed.kind, mailed.client, reader))
    notices: list[AlertNotice] = []
    others: list[AlertNotice] = []
    for occasion, alert in asked:
        uses = _uses(alert.kind, alert.client, reader)
        if due(alert, now) is None or any(spent[use] >= most for use, most in uses.items()):
            others.append(AlertNotice(alert=_held(alert, occasion, now), occasion=occasion))
            continue
        spent.update(uses.keys())
        notices.append(AlertNotice(alert=alert, occasion=occasion))
        others += notices[-1:] if alert.held else []
    return notices, others


def _asked(alert: Alert, now: datetime) -> Occasion | None:
    """What is due, or was, and is no longer though nobody was told."""
    if (occasion := due(alert, now)) is not None or not alert.held:
        return occasion
    return Occasion.CHANGED if alert.resolved_at is None else Occasion.RESOLVED


def _uses(kind: AlertKind, client: str, reader: Reader) -> dict[tuple[object, ...], int]:
    """What a mail is counted for → how many there may be of that in an hour."""
    severity = ALERT_TEXTS[kind].severity
    is_critical = severity is Severity.CRITICAL
    uses: dict[tuple[object, ...], int] = {(kind, client): MOST_OF_A_KIND[severity]}
    if client:
        uses[is_critical, client] = MOST_OF_A_CLIENT
    if client or not is_critical:
        uses[is_critical, bool(client), reader(client)] = MOST_OF_ALL
    return uses


def _key(notice: AlertNotice) -> AlertKey:
    return notice.alert.kind, notice.alert.client


def _rank(asked: tuple[Occasion, Alert]) -> tuple[int, int, datetime]:
    occasion, alert = asked
    return _ORDER.index(occasion), _URGENCY.index(ALERT_TEXTS[alert.kind].severity), alert.opened_at


def told(alert: Alert, occasion: Occasion, now: datetime) -> Alert:
    """The alert after that mail, in the form in which the end is told exactly if `mailed_at >= resolved_at`."""
    details = (*(known for known in alert.told if known != alert.detail), alert.detail)
    alert = replace(alert, changed_at=None, told=details, held=0, held_at=None, held_news="")
    if alert.resolved_at is None:
        return replace(alert, mailed_at=now)
    if occasion is Occasion.RESOLVED:
        return replace(alert, mailed_at=max(now, alert.resolved_at))
    return replace(alert, mailed_at=min(now, alert.resolved_at - TICK))


def is_told(known: Alert, notice: AlertNotice, now: datetime) -> bool:
    """Whether another node has told already what the mail would tell, by the alert as the nodes' table has it."""
    if known.held:
        return False
    match notice.occasion:
        case Occasion.OPENED:
            return is_open(known) and known.mailed_at is not None
        case Occasion.CHANGED:
            return is_open(known) and _named(notice.alert.detail) <= _named(known.detail)
        case Occasion.REPEATED:
            return is_open(known) and due(known, now) is not Occasion.REPEATED
        case Occasion.RESOLVED:
            return None not in {known.resolved_at, known.mailed_at} and due(known, now) is None
        case _:
            assert_never(notice.occasion)


def shared(known: Alert, alert: Alert) -> Alert:
    """What the nodes' table says of a `known` alert once a node has stored its own; no mail is forgotten by it."""
    detail = alert.detail if alert.changed_at is None else known.detail
    mailed_at = max((at for at in (known.mailed_at, alert.mailed_at) if at is not None), default=None)
    end = alert.resolved_at
    if end is not None and known.resolved_at is not None:
        end = min(end, known.resolved_at)
    elif end is not None and mailed_at is not None and (alert.mailed_at is None or alert.mailed_at < end):
        mailed_at = min(mailed_at, end - TICK)  # the other's mail was none about the end
    return replace(known, detail=detail, mailed_at=mailed_at, resolved_at=end, held=alert.held)


def after(board: Board, notices: Iterable[AlertNotice], now: datetime) -> Board:
    """The board once these mails are on their way; alerts that are over leave it."""
    notices = tuple(notices)
    for notice in told_by(notices):
        known = board.find(notice.alert.kind, notice.alert.client)
        if known is not None:
            board = _put(board, _merged(known, notice, now))
    sent = (Mailed(kind=notice.alert.kind, client=notice.alert.client, at=now) for notice in notices)
    mailed = (*_recent(board.mailed, now), *sent)
    return Board(known=_by_key(alert for alert in board.alerts if not is_over(alert)), mailed=mailed)


def told_by(notices: Iterable[AlertNotice]) -> Sequence[AlertNotice]:
    """What mails tell of, each alert once: what each is about, and what it sums up."""
    return [*{_key(told): told for notice in notices for told in (*notice.summed, notice)}.values()]


def _merged(known: Alert, notice: AlertNotice, now: datetime) -> Alert:
    """`known` may have ended, come back, or got another detail while the mail was stored."""
    if notice.occasion is Occasion.RESOLVED and is_open(known):
        return replace(
            known, opened_at=now, mailed_at=None, changed_at=None, told=(), held=0, held_at=None, held_news=""
        )
    merged = replace(told(replace(known, detail=notice.alert.detail), notice.occasion, now), detail=known.detail)
    return _with_news(merged, known.changed_at or now) if is_open(merged) else merged


def restored(alerts: Iterable[Alert], now: datetime) -> Board:
    """The board after a restart, from the alerts as they were stored."""
    known = tuple(alerts)
    mailed = tuple(
        Mailed(kind=alert.kind, client=alert.client, at=alert.mailed_at)
        for alert in known
        if alert.mailed_at is not None
    )
    last = _by_key(known).values()
    lasting = (replace(alert, held_at=now) if alert.held else alert for alert in last if not is_over(alert))
    return Board(known=_by_key(lasting), mailed=_recent(mailed, now))


def joined(stored: Board, met: Board) -> Board:
    """The stored board with what was met while it could not be read: how an alert stands now, and what was mailed."""
    board = Board(known=stored.known, mailed=tuple({*stored.mailed, *met.mailed}))
    for alert in met.alerts:
        known = board.find(alert.kind, alert.client)
        board = _put(board, alert if known is None else _continued(known, alert))
    return board


def _continued(known: Alert, met: Alert) -> Alert:
    mailed_at = met.mailed_at or known.mailed_at
    told = tuple(dict.fromkeys((*known.told, *met.told)))
    alert = replace(met, opened_at=known.opened_at, mailed_at=mailed_at, told=told, held=known.held + met.held)
    return _with_news(alert, met.changed_at or met.opened_at) if is_open(alert) else alert


def _recent(mailed: tuple[Mailed, ...], now: datetime) -> tuple[Mailed, ...]:
    return tuple(mail for mail in mailed if now - LIMIT_PERIOD < mail.at <= now)


def _put(board: Board, changed: Alert) -> Board:
    known = dict(board.known)
    known.pop((changed.kind, changed.client), None)
    return replace(board, known=known | _by_key([changed]))


def _by_key(alerts: Iterable[Alert]) -> dict[AlertKey, Alert]:
    return {(alert.kind, alert.client): alert for alert in alerts}

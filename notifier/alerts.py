"""The alerts of this run: opened and resolved by whoever meets a condition, mailed by `notifier.delivering`."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from importer.model import Detail
from notifier import alerting
from notifier.alert_texts import ALERT_TEXTS, text_of
from notifier.model import Alert, AlertKind, AlertNotice
from notifier.safety import safe_detail

log = structlog.get_logger()

MUTING = (AlertKind.SMTP, AlertKind.SMTP_REFUSES, AlertKind.DATABASE)
"""What keeps mails from being sent, as these may be, or from being written down."""


class Alerts:
    """The conditions that the administrator is told about. Call it from the event loop only."""

    def __init__(self, clock: Callable[[], datetime], elapsed: Callable[[], float]) -> None:
        """Times that people read come from `clock`, durations from `elapsed`, in seconds, which never jumps."""
        self.board = alerting.Board()
        self._clock = clock
        self._elapsed = elapsed
        self._since: dict[tuple[AlertKind, str], float] = {}
        self._stored: frozenset[Alert] = frozenset()

    def open(self, kind: AlertKind, client: str = "", detail: Detail | str = "") -> None:
        """Open an alert; nothing happens while it is open already with the same detail.

        Args:
            kind: what is wrong.
            client: empty for the service as a whole.
            detail: what is in the way, in a sentence of ours or in words of others, as names of files; no cell values
                and no addresses. Another one is logged again, and mailed if it names something new (in a list,
                separated by a comma and a blank).
        """
        before, detail = self.board, safe_detail(detail, 500)
        was_open = self.is_open(kind, client)
        self.board = alerting.opened(before, kind, client, detail, self._clock())
        if self.board is before:
            return
        if not was_open:
            self._since[kind, client] = self._elapsed()
        severity = ALERT_TEXTS[kind].severity.value
        log.warning("alert_opened", kind=kind.value, client=client, severity=severity, detail=str(detail))

    def resolve(self, kind: AlertKind, client: str = "") -> None:
        """Resolve an alert; nothing happens where none is open, so call it after each success."""
        if not self.is_open(kind, client):
            return
        self.board = alerting.resolved(self.board, kind, client, self._clock())
        seconds = self._elapsed() - self._since.pop((kind, client))
        log.info("alert_resolved", kind=kind.value, client=client, seconds=round(seconds, 3))

    def is_open(self, kind: AlertKind, client: str = "") -> bool:
        """Whether the condition lasts, as far as is known."""
        known = self.board.find(kind, client)
        return known is not None and alerting.is_open(known)

    def unmailed(self) -> list[str]:
        """A line for each lasting condition that keeps alerts from being mailed, the oldest first."""
        lasting = [alert for alert in self.board.alerts if alert.kind in MUTING and alerting.is_open(alert)]
        return [_line(alert) for alert in sorted(lasting, key=lambda alert: alert.opened_at)]

    def unstored(self) -> frozenset[Alert]:
        """What the table does not know yet."""
        return frozenset(self.board.alerts) - self._stored

    def hold_back(self, now: datetime, reader: alerting.Reader) -> None:
        """Count and log the alerts that the bounds hold back, until a mail sums them up."""
        before = {(alert.kind, alert.client): alert.held for alert in self.board.alerts}
        self.board = alerting.held_back(self.board, now, reader)
        for alert in self.board.alerts:
            if alert.held != before[alert.kind, alert.client]:
                log.info("alert_held", kind=alert.kind.value, client=alert.client, number=alert.held)

    def told(self, stored: frozenset[Alert], notices: Sequence[AlertNotice], now: datetime) -> None:
        """Note which alerts are stored as they are here, and which mails are on their way."""
        self.board = alerting.after(self.board, notices, now)
        self._stored = (self._stored | stored) & frozenset(self.board.alerts)

    def restore(self, alerts: Sequence[Alert], now: datetime) -> None:
        """Go on where an earlier run, or an outage of the database, interrupted; what was met meanwhile stays."""
        earlier = alerting.restored(alerts, now)
        self._stored = frozenset(earlier.alerts)
        self.board = alerting.joined(earlier, self.board)
        elapsed = self._elapsed()
        for alert in filter(alerting.is_open, earlier.alerts):
            seconds = max(0.0, (now - alert.opened_at).total_seconds())
            self._since[alert.kind, alert.client] = elapsed - seconds


def _line(alert: Alert) -> str:
    text = text_of(alert.kind, alert.detail)
    return f"{text.title}: {str(alert.detail).rstrip('.')}. {text.meanwhile}"

"""The alerts of this run: opened and resolved by whoever meets a condition, mailed by `notifier.delivering`."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from notifier import alerting
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import Alert, AlertKind, AlertMail
from notifier.safety import safe_text

log = structlog.get_logger()

MUTING = (AlertKind.SMTP, AlertKind.DATABASE)
"""What keeps mails from being sent, or from being written down."""


class Alerts:
    """The conditions that the administrator is told about. Call it from the event loop only."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.board = alerting.Board()
        self._clock = clock
        self._stored: frozenset[Alert] = frozenset()

    def open(self, kind: AlertKind, client: str = "", detail: str = "") -> None:
        """The condition was seen. While it is open already with the same detail, nothing happens.

        Args:
            kind: what is wrong.
            client: empty for the service as a whole.
            detail: one line for the administrator; no cell values and no addresses. Another one is logged again, and
                mailed if it names something new (in a list, separated by a comma and a blank).
        """
        before, detail = self.board, safe_text(detail, 500)
        self.board = alerting.opened(before, kind, client, detail, self._clock())
        if self.board is before:
            return
        severity = ALERT_TEXTS[kind].severity.value
        log.warning("alert_opened", kind=kind.value, client=client, severity=severity, detail=detail)

    def resolve(self, kind: AlertKind, client: str = "") -> None:
        """The condition was seen to be over. Without an open alert nothing happens, so call it after each success."""
        known = self.board.find(kind, client)
        if known is None or not alerting.is_open(known):
            return
        now = self._clock()
        self.board = alerting.resolved(self.board, kind, client, now)
        log.info("alert_resolved", kind=kind.value, client=client, seconds=(now - known.opened_at).total_seconds())

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

    def told(self, stored: frozenset[Alert], mails: Sequence[AlertMail], now: datetime) -> None:
        """These alerts are stored as they are here, and these mails are on their way."""
        self.board = alerting.after(self.board, mails, now)
        self._stored = (self._stored | stored) & frozenset(self.board.alerts)

    def restore(self, alerts: Sequence[Alert], now: datetime) -> None:
        """Go on where an earlier run, or an outage of the database, interrupted; what was met meanwhile stays."""
        earlier = alerting.restored(alerts, now)
        self._stored = frozenset(earlier.alerts)
        self.board = alerting.joined(earlier, self.board)


def _line(alert: Alert) -> str:
    text = ALERT_TEXTS[alert.kind]
    return f"{text.title}: {alert.detail.rstrip('.')}. {text.meanwhile}"

"""The page about what is going on: facts become HTML. It works without JavaScript and asks for nothing else.

Every text of others is escaped by the template. There is no cell and no address in any fact.
"""

import datetime as dt
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from importer.history import DayCounts, FailureCount, PastImport
from notifier.alert_texts import ALERT_TEXTS
from watcher.snapshot import ClientSnapshot, ServiceSnapshot, WaitingFile, WaitReason
from watcher.web.plotting import DAYS, HEIGHT, WIDTH, figures
from watcher.web.readiness import Readiness

MOST_FILES = 50
MOST_CLIENTS = 50
OTHERS = "All other clients"
_UNITS = ("bytes", "kB", "MB", "GB", "TB")

REASONS = {
    WaitReason.QUIET: "its quiet time is not over",
    WaitReason.LOCKED: "it is being written",
    WaitReason.LOG_SAID_FAIL: "the upload was cut off; its sender is told",
    WaitReason.LOG_IS_SILENT: "the server's log does not tell its end; its sender is told",
    WaitReason.UNREADABLE: "the service may not read it",
    WaitReason.NOT_A_PLAIN_FILE: "it is no plain file",
    WaitReason.COMPLETE: "it is complete and waits for the next run",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the database adds.

    Attributes:
        database: the product and its version.
        imports: the last ones, the newest first.
        days: since the first day that is plotted.
        failures: since then, the most frequent first.
    """

    database: str
    imports: tuple[PastImport, ...]
    days: tuple[DayCounts, ...]
    failures: tuple[FailureCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Html:
    """The page, and the Content-Security-Policy that allows its style sheet and nothing else."""

    text: str
    policy: str


class Page:
    """Its template and its style sheet."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("watcher.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= {"number": _number, "moment": _moment, "size": _size, "words": _words}
        self._template = environment.get_template("status.html.j2")
        self._style = (files("watcher.web") / "templates" / "status.css").read_text(encoding="utf-8")
        digest = b64encode(sha256(self._style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )

    def html(self, service: ServiceSnapshot, ready: Readiness, ledger: LedgerFacts | None, now: dt.datetime) -> Html:
        """The page.

        Args:
            service: as it is now.
            ready: whether it does its work.
            ledger: None where the database does not answer.
            now: UTC.
        """
        waiting = _waiting(service.clients)
        text = self._template.render(
            service=service,
            ready=ready,
            ledger=ledger,
            database=None if ledger is None else ledger.database,
            now=now,
            waiting=waiting[:MOST_FILES],
            unlisted=sum(each.waiting.files for each in service.clients) - len(waiting[:MOST_FILES]),
            figures=() if ledger is None else figures(ledger.days, today=now.date(), others=OTHERS),
            titles={kind: text.title for kind, text in ALERT_TEXTS.items()},
            reasons=REASONS,
            style=self._style,
            width=WIDTH,
            height=HEIGHT,
            days=DAYS,
            most_clients=MOST_CLIENTS,
        )
        return Html(text=text, policy=self._policy)


def first_day(now: dt.datetime) -> dt.datetime:
    """When the first day begins that is plotted."""
    return dt.datetime.combine(now.date() - dt.timedelta(days=DAYS - 1), dt.time(), dt.UTC)


def _waiting(clients: Iterable[ClientSnapshot]) -> list[tuple[str, WaitingFile]]:
    """The files that wait the longest first, those without a time last."""
    found = [(each.client, file) for each in clients for file in each.waiting.shown]
    latest = dt.datetime.max.replace(tzinfo=dt.UTC)
    return sorted(found, key=lambda pair: (pair[1].since or latest, pair[0], pair[1].file))


def _number(value: int) -> str:
    return f"{value:,}"


def _moment(at: dt.datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def _size(value: int | None) -> str:
    if value is None:
        return ""
    size, unit = float(value), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 10 else f"{size:.1f} {_UNITS[unit]}"


def _words(code: str) -> str:
    return code.replace("_", " ")

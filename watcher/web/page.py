"""The page about what is going on: facts become HTML. It works without JavaScript and asks for nothing else.

Every text of others is escaped by the template. There is no cell and no address in any fact.
"""

import datetime as dt
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from importer.database.history import DayCounts, FailureCount, PastImport
from importer.model import Detail, Status, shown_name
from importer.words.details import detail_in
from importer.words.translating import LANGUAGES, catalogue
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import AlertKind, AlertText, MailState, Severity
from notifier.sentences import REASONS as FAILURES
from watcher.stories.story import Happened
from watcher.uploads.snapshot import ClientSnapshot, OpenAlert, ServiceSnapshot, WaitingFile, WaitReason
from watcher.uploads.supervision import WatchState
from watcher.web.plotting import DAYS, HEIGHT, WIDTH, figures
from watcher.web.readiness import Readiness

MOST_FILES = 50
MOST_CLIENTS = 50
OTHERS = "All other clients"
REFRESH_SECONDS = 30
"""Seconds after which a browser asks for the page again."""
_UNITS = {"en": ("bytes", "kB", "MB", "GB", "TB"), "fr": ("octets", "ko", "Mo", "Go", "To")}

REASONS = {
    WaitReason.QUIET: "its quiet time is not over",
    WaitReason.LOCKED: "it is being written",
    WaitReason.LOG_SAID_FAIL: "the upload was cut off; its sender is told",
    WaitReason.LOG_IS_SILENT: "the server's log does not tell its end; its sender is told",
    WaitReason.UNREADABLE: "the service may not read it",
    WaitReason.NOT_A_PLAIN_FILE: "it is no plain file",
    WaitReason.HARD_LINKED: "it has other names (hard links), and waits until it has this one only",
    WaitReason.COMPLETE: "it is complete and waits for the next run",
    WaitReason.TEMPORARY_NAME: "its name is one under which clients still write",
    WaitReason.OTHER_NAME: "files of such names are not imported",
    WaitReason.IN_A_FOLDER: "nothing is imported from folders",
}


WATCHES = {
    WatchState.STARTING: "it is being started",
    WatchState.LIVE: "it tells of new files at once",
    WatchState.DEAF: "it tells of nothing any more",
    WatchState.REBUILDING: "it is being made anew",
    WatchState.SCANNING_ONLY: "new files are looked for every few seconds",
}
STATUSES = {
    Status.IMPORTED: "imported",
    Status.REFUSED: "refused",
    Status.SUPERSEDED: "superseded by a newer file of its name",
    Status.QUARANTINED: "set aside",
}
TEXTS = (OTHERS, *REASONS.values(), *WATCHES.values(), *STATUSES.values(), *MailState)
"""The texts that are translated where the template shows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """The facts of the page that come from the database.

    Attributes:
        database: the product and its version.
        imports: the last imports, the newest first.
        days: counts of each day since the first one that is plotted.
        failures: why rows failed since that day, the most frequent first.
    """

    database: str
    imports: tuple[PastImport, ...]
    days: tuple[DayCounts, ...]
    failures: tuple[FailureCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """The mails: how many were sent since the service began, and how many are not sent, by state."""

    sent: int
    unsent: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of which the page is made.

    Attributes:
        service: the service as it is now.
        ready: whether the service does its work.
        ledger: the facts from the database; None where it does not answer.
        mails: the mails; None where the database does not answer.
        details: what exactly each open alert is about, by its kind and its client.
        now: the time of day, UTC.
    """

    service: ServiceSnapshot
    ready: Readiness
    ledger: LedgerFacts | None
    mails: MailFacts | None
    details: Mapping[tuple[AlertKind, str], Detail | str]
    now: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryFacts:
    """The facts of a file's story: what happened, and how things are now.

    Attributes:
        client: the client whose file it is.
        name: the file's name.
        told: what happened, in order.
        lines: how things are, a sentence each.
        database_answers: whether the ledger could be asked.
        now: the time of day, UTC.
    """

    client: str
    name: str
    told: Sequence[Happened]
    lines: Sequence[str]
    database_answers: bool
    now: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAlert:
    """An open alert in the reader's language, with the texts of its kind, which are translated where they are shown."""

    text: AlertText
    client: str
    severity: Severity
    since: dt.datetime
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Html:
    """The page as HTML, and the Content-Security-Policy that allows its style sheet and nothing else."""

    text: str
    policy: str


class Page:
    """The template and the style sheet of the page."""

    def __init__(self) -> None:
        self._templates = {language: _template("status", language) for language in LANGUAGES}
        self._stories = {language: _template("story", language) for language in LANGUAGES}
        self._style = (files("watcher.web") / "templates" / "status.css").read_text(encoding="utf-8")
        digest = b64encode(sha256(self._style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )

    def html(self, facts: Facts, language: str = "en") -> Html:
        """Make the page of some facts, in a language of `LANGUAGES`."""
        service, ledger = facts.service, facts.ledger
        waiting = _waiting(service.clients)
        say = catalogue(language).gettext
        text = self._templates[language].render(
            language=language,
            refresh=REFRESH_SECONDS,
            service=service,
            complaints=[detail_in(each, language) for each in facts.ready.complaints],
            worst=_worst(facts, language),
            alerts=[_shown(each, facts, language) for each in service.alerts],
            mails=facts.mails,
            ledger=ledger,
            now=facts.now,
            waiting=waiting[:MOST_FILES],
            unlisted=sum(each.waiting.files for each in service.clients) - len(waiting[:MOST_FILES]),
            figures=() if ledger is None else figures(ledger.days, today=facts.now.date(), others=say(OTHERS)),
            reasons=REASONS,
            watches=WATCHES,
            statuses=STATUSES,
            failures=FAILURES,
            style=self._style,
            width=WIDTH,
            height=HEIGHT,
            days=DAYS,
            most_clients=MOST_CLIENTS,
        )
        return Html(text=text, policy=self._policy)

    def story(self, facts: StoryFacts, language: str = "en") -> Html:
        """Make the page of a file's story; its sentences are English in every language."""
        text = self._stories[language].render(
            language=language,
            style=self._style,
            client=shown_name(facts.client),
            file=shown_name(facts.name),
            told=facts.told,
            lines=facts.lines,
            database_answers=facts.database_answers,
            now=facts.now,
        )
        return Html(text=text, policy=self._policy)


def first_day(now: dt.datetime) -> dt.datetime:
    """The time, UTC, at which the first day begins that is plotted."""
    return dt.datetime.combine(now.date() - dt.timedelta(days=DAYS - 1), dt.time(), dt.UTC)


def _template(name: str, language: str) -> Template:
    environment = Environment(
        loader=PackageLoader("watcher.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined] # i18n
    environment.filters |= {"number": _number, "moment": _moment, "size": partial(_size, units=_UNITS[language])}
    return environment.get_template(f"{name}.html.j2")


def _worst(facts: Facts, language: str) -> ShownAlert | None:
    """The alert that needs somebody first: of the most severe ones the one that is open for longest."""
    order = [*Severity]
    found = min(facts.service.alerts, key=lambda each: (order.index(each.severity), each.since), default=None)
    return None if found is None else _shown(found, facts, language)


def _shown(alert: OpenAlert, facts: Facts, language: str) -> ShownAlert:
    said = facts.details.get((alert.kind, alert.client), alert.detail)
    return ShownAlert(
        text=ALERT_TEXTS[alert.kind],
        client=alert.client,
        severity=alert.severity,
        since=alert.since,
        detail=detail_in(said, language),
    )


def _waiting(clients: Iterable[ClientSnapshot]) -> list[tuple[str, WaitingFile]]:
    """The files that wait, the longest first, those without a time last."""
    found = [(each.client, file) for each in clients for file in each.waiting.shown]
    latest = dt.datetime.max.replace(tzinfo=dt.UTC)
    return sorted(found, key=lambda pair: (pair[1].since or latest, pair[0], pair[1].file))


def _number(value: int) -> str:
    return f"{value:,}"


def _moment(at: dt.datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def _size(value: int | None, units: Sequence[str]) -> str:
    if value is None:
        return ""
    size, unit = float(value), 0
    while size >= 1000 and unit < len(units) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {units[unit]}" if unit == 0 or size >= 10 else f"{size:.1f} {units[unit]}"

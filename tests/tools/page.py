"""The page with invented facts, as the tests and the samples show it."""

import datetime as dt

from importer.database.history import DayCounts, FailureCount, PastImport
from importer.model import Counts, Status
from importer.words.details import detail
from notifier.model import AlertKind, Severity
from watcher.uploads.snapshot import (
    ClientSnapshot,
    OpenAlert,
    RunningImport,
    ServiceSnapshot,
    WaitingFile,
    WaitReason,
    Watch,
    waiting_files,
)
from watcher.uploads.supervision import WatchState
from watcher.web.page import Facts, LedgerFacts, MailFacts, Page
from watcher.web.readiness import Readiness

NOW = dt.datetime(2030, 3, 1, 14, 33, tzinfo=dt.UTC)
READY = Readiness(complaints=())
EMPTY = LedgerFacts(database="SQLite 3", imports=(), days=(), failures=())


def before(**parts: float) -> dt.datetime:
    return NOW - dt.timedelta(**parts)


def client(name: str, *files: WaitingFile, state: WatchState = WatchState.LIVE) -> ClientSnapshot:
    return ClientSnapshot(
        client=name,
        directory=f"/srv/upload/{name}",
        watch=Watch(state=state, since=before(hours=2), why=None),
        next_tick=before(minutes=-2),
        waiting=waiting_files(files),
    )


def waiting(name: str, reason: WaitReason, **parts: float) -> WaitingFile:
    until = before(seconds=-20) if reason is WaitReason.QUIET else None
    return WaitingFile(file=name, bytes=1_234_567, reason=reason, since=before(**parts), until=until)


def service(*clients: ClientSnapshot, alerts: tuple[OpenAlert, ...] = ()) -> ServiceSnapshot:
    running = RunningImport(
        client="north-shore-college",
        files=1,
        since=before(seconds=8),
        file="students.csv",
        claim="c1",
        rows=120_400,
        percent=61,
        seconds_left=5,
    )
    return ServiceSnapshot(
        version="0.1.0",
        pid=4242,
        node="n1",
        started_at=before(days=12),
        running=running,
        clients=clients,
        alerts=alerts,
    )


def past_import(number: int, *, name: str = "north-shore-college", status: Status = Status.IMPORTED) -> PastImport:
    failed = number % 3 * 7
    counts = Counts(
        records=1204, accepted=1204 - failed, failed=failed, inserted=40, updated=3, unchanged=1161 - failed
    )
    return PastImport(
        claim_id=f"c{number}",
        client=name,
        file=f"students-{number}.csv",
        status=status,
        size=98_000,
        same_as=None,
        counts=counts if status is Status.IMPORTED else Counts(),
        reasons=(),
        refusal_code=None if status is Status.IMPORTED else "missing_column",
        refusal_message=None,
        seconds=0.41,
        committed_at=before(minutes=5 * number),
        archive="",
        report=None,
        archived_at=None,
    )


def days(name: str, rows: int) -> list[DayCounts]:
    """Weekdays of the last weeks, with the same ups and downs each time."""
    found = []
    for back in range(30):
        day = before(days=back).date()
        if day.weekday() < 5:
            some = rows * (3 + back * 7 % 5) // 7
            failed = some * (back % 4) // 50
            found.append(
                DayCounts(client=name, day=day, files=3 + back % 4, refused=back % 9 // 8, rows=some, failed=failed)
            )
    return found


def facts(
    shown: ServiceSnapshot,
    *,
    ready: Readiness = READY,
    ledger: LedgerFacts | None = EMPTY,
    mails: MailFacts | None = None,
) -> Facts:
    """The facts of a page about a service."""
    return Facts(service=shown, ready=ready, ledger=ledger, mails=mails, details={}, now=NOW)


def full_page(language: str = "en") -> str:
    """Something of everything."""
    alert = OpenAlert(
        kind=AlertKind.ODD_FILE,
        client="acme",
        severity=Severity.WARNING,
        since=before(hours=3),
        detail="students.xlsx",
    )
    clients = (
        client("acme", waiting("students.xlsx.csv", WaitReason.QUIET, seconds=10)),
        client(
            "north-shore-college",
            waiting("a-very-long-name-of-a-file-" + "x" * 60 + ".csv", WaitReason.LOCKED, minutes=4),
        ),
        client("south", state=WatchState.SCANNING_ONLY),
    )
    ledger = LedgerFacts(
        database="SQLite 3.45.1",
        imports=(past_import(0), past_import(1, status=Status.REFUSED, name="acme"), *map(past_import, range(2, 10))),
        days=(*days("acme", 90), *days("north-shore-college", 24_000)),
        failures=(
            FailureCount(code="invalid", column="email", count=1_204),
            FailureCount(code="duplicate_in_file", column="unique_id", count=37),
            FailureCount(code="too_few_cells", column=None, count=2),
        ),
    )
    mails = MailFacts(sent=1_204, unsent={"queued": 3, "dead": 1})
    return Page().html(facts(service(*clients, alerts=(alert,)), ledger=ledger, mails=mails), language).text


def bare_page(language: str = "en") -> str:
    """A service that has just begun, without its database."""
    ready = Readiness(complaints=(detail("database_is_silent"),))
    return Page().html(facts(service(), ready=ready, ledger=None, mails=None), language).text

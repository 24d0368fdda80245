"""Jobs done by the worker, one at a time: what comes of each is logged, counted, and told by alerts."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import assert_never

import structlog
import tenacity

from importer.client_lock import LockedElsewhereError
from importer.model import (
    Archived,
    Claim,
    Imported,
    NotTaken,
    NotTakenWhy,
    Outcome,
    Purged,
    Quarantined,
    Refused,
    Returned,
    Superseded,
    Suspected,
    Unarchived,
    shown_name,
)
from importer.words.details import detail
from notifier.alert_texts import is_full
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.snapshot import Clocks, RunningImport, running_import
from watcher.work.counting import Counting
from watcher.work.jobs import ImportFiles, Job, OutageError, OutageKind, Prepare, Recover, WorkerDiedError
from watcher.work.worker import Worker

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0
PURGE_SECONDS = 24 * 60 * 60.0
"""Seconds from one purge of a client's bak to the next."""
DISK_KINDS = (AlertKind.DISK_FULL, AlertKind.DISK)
"""The alerts that tell of a client's disk."""
_OUTAGES = {
    OutageKind.DATABASE: AlertKind.DATABASE,
    OutageKind.DISK: AlertKind.DISK,
    OutageKind.WORKER: AlertKind.WORKER,
}

log = structlog.get_logger()


@dataclass(slots=True)
class Desk:
    """The knowledge about one client.

    Attributes:
        directory: the directory in which its uploads appear.
        language: the language of the reasons in its reports.
        must_recover: whether something may be half done.
        is_held_elsewhere: whether another node imports its files.
        outage: what stopped its last job; None where that ended well.
        wants_disk: whether a file waits that the disk has kept from being imported.
        has_no_room: whether files of that batch were not taken because the client has too much in work.
        deaths: how often in a row the worker ended in its recovery.
        suspects: claims of files during whose import the service ended; they are tried alone and last.
        suspected: claim → since when this is known, monotonic seconds.
        has_ticked: whether a tick has come since then, at which others' files had their turn.
        began_at: when its batch in hand was begun, monotonic seconds.
        files: how many files that batch has.
        done: how many of them have reached their end.
        purged_at: when its bak was purged last, monotonic seconds.
        has_more_to_purge: whether the last part of a purge has left something.
        pace: seconds that a byte took of the last file that took long; None where there was none.
    """

    directory: Path
    language: str = "en"
    must_recover: bool = True
    is_held_elsewhere: bool = False
    outage: OutageError | None = None
    wants_disk: bool = False
    has_no_room: bool = False
    deaths: int = 0
    suspects: set[str] = field(default_factory=set)
    suspected: dict[str, float] = field(default_factory=dict)
    has_ticked: bool = False
    began_at: float = 0.0
    files: int = 0
    done: int = 0
    purged_at: float = -PURGE_SECONDS
    has_more_to_purge: bool = False
    pace: float | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    """The job in hand, and when it was begun, in monotonic seconds."""

    job: ImportFiles | Recover
    began: float


class JobRunner:
    """Has jobs done, and keeps what is known of each client.

    Args:
        worker: the worker that does the jobs.
        alerts: the administrator's alerts.
        elapsed: the monotonic clock, in seconds.
        now: the wall clock, UTC.

    Attributes:
        desks: what is known of each client.
        counting: counts of what has become of files.
        owed_since: since when the worker owes the next outcome, monotonic seconds; None while it owes none, or may take
            as long as it needs.
        met_database: set when the first job has ended, well or not: then the tables are there, or an alert is open.
    """

    def __init__(
        self, *, worker: Worker, alerts: Alerts, elapsed: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self.desks: dict[str, Desk] = {}
        self.counting = Counting()
        self.owed_since: float | None = None
        self.met_database = asyncio.Event()
        self._worker = worker
        self._alerts = alerts
        self._elapsed = elapsed
        self._now = now
        self._outage: OutageError | None = None
        self._running: _Running | None = None

    def running(self, clocks: Clocks) -> RunningImport | None:
        """The import that runs now."""
        if self._running is None:
            return None
        job = self._running.job
        return running_import(
            client=job.client,
            files=len(job.uploads) if isinstance(job, ImportFiles) else 0,
            began=self._running.began,
            in_hand=self._worker.in_hand,
            pace=self.desks[job.client].pace,
            clocks=clocks,
        )

    async def do(self, job: Job) -> int | None:
        """Do a job; returns how many files reached their end, None where the job did not come to its own end."""
        desk = self.desks[job.client] if isinstance(job, ImportFiles | Recover) else None
        if desk is not None and isinstance(job, Recover):
            desk.must_recover = False
            desk.suspects.clear()
        done = 0
        self._running = _Running(job, self._elapsed()) if isinstance(job, ImportFiles | Recover) else None
        try:
            self.owed_since = None if isinstance(job, Prepare) else self._elapsed()
            async for outcome in self._worker.run(job):
                self.owed_since = self._elapsed()
                self.counting.heard(outcome, self._now(), self._elapsed())
                done += self._tell(outcome)
                self._note_pace(outcome)
        except (LockedElsewhereError, OutageError, WorkerDiedError) as hindrance:
            self._hindered(job, desk, hindrance)
            self.met_database.set()
            return None
        finally:
            self.owed_since = self._running = None
        self._went_well(job, desk, done)
        self.met_database.set()
        return done

    def _note_pace(self, outcome: Outcome) -> None:
        in_hand = self._worker.in_hand
        if isinstance(outcome, Imported) and in_hand is not None and in_hand.claim == outcome.claim:
            self.desks[outcome.claim.client].pace = outcome.seconds / in_hand.progress.total

    async def patiently(self, job: Job, patience: float | None = None) -> None:
        """Do a job again and again until it succeeds.

        Args:
            job: the job to do.
            patience: how many seconds to try; None for ever.

        Raises:
            OutageError: patience has ended.
        """
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_result(lambda done: done is None),
            wait=tenacity.wait_random_exponential(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS),
            stop=tenacity.stop_never if patience is None else tenacity.stop_after_delay(patience),
            retry_error_callback=lambda _: None,
        )
        if await retrying(self.do, job) is None:
            raise self._outage or OutageError(OutageKind.WORKER, "it keeps ending in mid-work")

    def _went_well(self, job: Job, desk: Desk | None, done: int) -> None:
        self._outage = None
        for kind in (AlertKind.DATABASE, AlertKind.WORKER):
            self._alerts.resolve(kind)
        if desk is not None and isinstance(job, ImportFiles | Recover):
            desk.outage, desk.deaths = None, 0
            desk.wants_disk &= isinstance(job, Recover) and not done
            # Neither to leave suspects nor to find nothing half done shows that the disk is well.
            if isinstance(job, ImportFiles) or not (desk.suspects or desk.wants_disk):
                for kind in DISK_KINDS:
                    self._alerts.resolve(kind, job.client)
            self._note_lock(job.client, desk, elsewhere=False)
            if desk.has_no_room:
                self._alerts.open(AlertKind.CLIENT_WORK, job.client, detail("no_room"))

    def _hindered(
        self, job: Job, desk: Desk | None, hindrance: LockedElsewhereError | OutageError | WorkerDiedError
    ) -> None:
        """Tell of an outage; a disk that fails is told of the client, whose directory may be all that fails."""
        client = "" if desk is None or not isinstance(job, ImportFiles | Recover) else job.client
        self._outage = hindrance if isinstance(hindrance, OutageError) else None
        if desk is not None:
            desk.must_recover, desk.outage = True, self._outage
            is_disks = self._outage is not None and self._outage.kind is OutageKind.DISK
            desk.wants_disk |= is_disks and isinstance(job, ImportFiles)
            has_died = isinstance(hindrance, WorkerDiedError) and isinstance(job, Recover)
            desk.deaths = desk.deaths + 1 if has_died else 0
        match hindrance:
            case LockedElsewhereError():
                if desk is not None:
                    self._note_lock(client, desk, elsewhere=True)
            case OutageError():
                log.error("import_interrupted", kind=hindrance.kind.value, error=str(hindrance.detail))
                is_disk = hindrance.kind is OutageKind.DISK
                kind = AlertKind.DISK_FULL if is_disk and is_full(hindrance.detail) else _OUTAGES[hindrance.kind]
                self._alerts.open(kind, client if is_disk else "", hindrance.detail)
            case WorkerDiedError():
                log.error("worker_died", exit_code=hindrance.exit_code, where=str(hindrance.where))
                self._alerts.open(AlertKind.WORKER, detail=hindrance.detail)
            case _:
                assert_never(hindrance)

    def _note_lock(self, client: str, desk: Desk, *, elsewhere: bool) -> None:
        """Note whether another node holds the client; a change is logged, and is no alert, as all is well."""
        if elsewhere and not desk.is_held_elsewhere:
            log.info("client_held_elsewhere", client=client)
        elif desk.is_held_elsewhere and not elsewhere:
            log.info("client_taken_over", client=client)
        desk.is_held_elsewhere = elsewhere

    def _tell(self, outcome: Outcome) -> int:
        """Log an outcome; 1 where a file has reached its end."""
        match outcome:
            case Imported() | Refused():
                _tell_end(outcome)
                return 1
            case Returned():
                log.info("import_returned", **_claimed(outcome))
            case Superseded():
                log.warning("import_superseded", **_claimed(outcome))
            case Quarantined():
                log.error("file_quarantined", **_claimed(outcome), attempts=outcome.attempts)
            case NotTaken():
                self.desks[outcome.client].has_no_room |= outcome.why is NotTakenWhy.NO_ROOM
                log.warning(
                    "file_not_taken", client=outcome.client, file=shown_name(outcome.name), why=outcome.why.value
                )
            case Archived():
                log.info("file_archived", **_claimed(outcome), archive=outcome.archive, report=outcome.report)
            case Purged() | Suspected():
                self._note(outcome)
            case Unarchived():
                self.desks[outcome.claim.client].must_recover = True
                self._alerts.open(AlertKind.ARCHIVE, outcome.claim.client, outcome.why)
                log.error("file_not_archived", **_claimed(outcome), error=str(outcome.why))
            case _:
                assert_never(outcome)
        return 0

    def _note(self, outcome: Purged | Suspected) -> None:
        """Note what is still to be done for a client."""
        if isinstance(outcome, Suspected):
            self._suspect(outcome.claim)
            return
        self.desks[outcome.client].has_more_to_purge = outcome.is_more
        if outcome.archives or outcome.reports:
            log.info("bak_purged", client=outcome.client, files=outcome.archives, reports=outcome.reports)

    def _suspect(self, claim: Claim) -> None:
        desk = self.desks[claim.client]
        desk.suspects.add(claim.id)
        if claim.id not in desk.suspected:
            desk.suspected[claim.id], desk.has_ticked = self._elapsed(), False
            log.warning("file_suspected", claim=claim.id, client=claim.client, file=shown_name(claim.name))


def _tell_end(outcome: Imported | Refused) -> None:
    if isinstance(outcome, Imported):
        log.info("import_finished", **_about(outcome))
    else:
        code = outcome.refusal.code
        log.warning("import_refused", **_claimed(outcome), code=code, seconds=round(outcome.seconds, 3))


def _claimed(
    outcome: Imported | Refused | Returned | Superseded | Quarantined | Archived | Unarchived,
) -> dict[str, str]:
    claim = outcome.claim
    return {"claim": claim.id, "client": claim.client, "file": shown_name(claim.name)}


def _about(done: Imported) -> dict[str, object]:
    return {
        **_claimed(done),
        **{"rows" if name == "records" else name: count for name, count in asdict(done.counts).items()},
        "seconds": round(done.seconds, 3),
        "same_as": done.same_as,
    }

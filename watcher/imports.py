"""The task that has files imported, one client's turn after the other, and tells what became of each file."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import assert_never

import structlog
import tenacity

from importer.holding import HeldElsewhereError
from importer.model import (
    Archived,
    Audience,
    Imported,
    Notice,
    NoticeKind,
    NotTaken,
    Outcome,
    Purged,
    Quarantined,
    Refused,
    Returned,
    Superseded,
    Unarchived,
    shown_name,
)
from importer.reasons import refusal
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.counting import Counting
from watcher.model import Sighting, Upload
from watcher.snapshot import Clocks, RunningImport, running_import
from watcher.turns import Turn, Turns
from watcher.worker import (
    ImportFiles,
    Job,
    OutageError,
    OutageKind,
    Prepare,
    Purge,
    Recover,
    Tell,
    Worker,
    WorkerDiedError,
)

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0
PURGE_SECONDS = 24 * 60 * 60.0
"""From one purge of a client's bak to the next."""
MOST_DEATHS_IN_A_ROW = 20
"""A file may end the worker three times; more files in a row than this allows for point at the machine."""
_OUTAGES = {
    OutageKind.DATABASE: AlertKind.DATABASE,
    OutageKind.DISK: AlertKind.DISK_FULL,
    OutageKind.WORKER: AlertKind.WORKER,
}

log = structlog.get_logger()


@dataclass(slots=True)
class _Desk:
    """What is known of a client.

    Attributes:
        directory: where its uploads appear.
        language: of the reasons in its reports.
        must_recover: whether something may be half done.
        is_held_elsewhere: whether another node imports its files.
        outage: what stopped its last job; None where that ended well.
        deaths: how often in a row the worker ended in its recovery.
        began_at: when its batch in hand was begun, monotonic seconds.
        files: how many files that batch has.
        done: how many of them have reached their end.
        pace: seconds that a byte took of the last file that took long; None where there was none.
    """

    directory: Path
    language: str = "en"
    must_recover: bool = True
    is_held_elsewhere: bool = False
    outage: OutageError | None = None
    deaths: int = 0
    began_at: float = 0.0
    files: int = 0
    done: int = 0
    purged_at: float = -PURGE_SECONDS
    pace: float | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    """The job in hand, and when it was begun, in monotonic seconds."""

    job: ImportFiles | Recover
    began: float


class Imports:
    """Feeds the worker.

    Args:
        worker: does the work.
        alerts: the administrator's.
        elapsed: monotonic seconds.
        told: called when there may be mail to form.
        released: called with a client and the names of files that were dealt with, one way or another.
        purges: whether the site does not keep files in bak for ever.
        now: the wall clock, UTC.

    Attributes:
        counting: of what has become of files.
        owed_since: since when the worker owes the next outcome, monotonic seconds; None while it owes none, or may take
            as long as it needs.
        met_database: set when the first job has ended, well or not: then the tables are there, or an alert is open.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        alerts: Alerts,
        elapsed: Callable[[], float],
        told: Callable[[], None],
        released: Callable[[str, list[str]], None],
        purges: bool,
        now: Callable[[], datetime],
    ) -> None:
        self.counting = Counting()
        self.owed_since: float | None = None
        self._purges = purges
        self._now = now
        self._worker = worker
        self._alerts = alerts
        self._elapsed = elapsed
        self._told = told
        self._released = released
        self._desks: dict[str, _Desk] = {}
        self._turns = Turns()
        self._outage: OutageError | None = None
        self._running: _Running | None = None
        self._has_work = asyncio.Event()
        self.met_database = asyncio.Event()

    def serve(self, client: str, directory: Path, *, language: str = "en") -> None:
        """Take a client on, or back; what an earlier run left half done is finished, with reasons in that language."""
        desk = self._desks.setdefault(client, _Desk(directory=directory))
        desk.directory, desk.language = directory, language
        desk.must_recover = True
        self._ask(client)

    def add(self, client: str, uploads: Sequence[Upload]) -> None:
        """Have a tick's files imported after those of the client that wait already, oldest first.

        Without any, what is half done is finished.
        """
        if uploads:
            self._turns.add(client, uploads)
            self._has_work.set()
        else:
            self._ask(client)

    def report_incomplete(self, client: str, seen: Sighting) -> None:
        """Have the sender told that an upload was cut off, once for each content."""
        self._turns.tell(client, seen)
        self._has_work.set()

    def running(self, clocks: Clocks) -> RunningImport | None:
        """What is imported now."""
        if self._running is None:
            return None
        job = self._running.job
        return running_import(
            client=job.client,
            files=len(job.uploads) if isinstance(job, ImportFiles) else 0,
            began=self._running.began,
            in_hand=self._worker.in_hand,
            pace=self._desks[job.client].pace,
            clocks=clocks,
        )

    async def prepare(self, *, patience: float | None = None) -> None:
        """Bring the database up to date.

        Args:
            patience: how many seconds to wait for a database that is out; None for ever.

        Raises:
            UnusableSetupError: format file or database cannot be used as they are.
            OutageError: patience has ended.
        """
        await self._patiently(Prepare(), patience)

    async def run(self, stopping: asyncio.Event) -> None:
        """Import until `stopping`; the file in hand is finished."""
        while not stopping.is_set():
            self._has_work.clear()
            turn = self._turns.take()
            if turn is not None:
                await self._have(turn, stopping)
                continue
            work = asyncio.ensure_future(self._has_work.wait())
            stop = asyncio.ensure_future(stopping.wait())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            stop.cancel()

    async def work_off(self, stopping: asyncio.Event) -> None:
        """Have every turn that waits now."""
        while not stopping.is_set() and (turn := self._turns.take()) is not None:
            await self._have(turn, stopping)

    async def drain(self, stopping: asyncio.Event) -> None:
        """Import everything that waits now.

        Raises:
            HeldElsewhereError: another node imports a client's files, and these were left to it.
            OutageError: something was left half done, to be finished by the next run.
        """
        await self.work_off(stopping)
        for client, desk in self._desks.items():
            if desk.is_held_elsewhere:
                raise HeldElsewhereError(client)
        for desk in self._desks.values():
            if desk.must_recover and not stopping.is_set():
                raise desk.outage or OutageError(OutageKind.DISK, "not every file reached its end")

    def _ask(self, client: str) -> None:
        self._turns.ask(client)
        self._has_work.set()

    async def _have(self, turn: Turn, stopping: asyncio.Event) -> None:
        """One job for what is half done, and one for the group; more than that is for the client's next turn."""
        desk = self._desks[turn.client]
        await self._tell_incomplete(turn.client, turn.cut_off)
        if desk.must_recover and not stopping.is_set() and not await self._recover(turn.client, desk):
            if 0 < desk.deaths < MOST_DEATHS_IN_A_ROW:
                self._turns.give_back(replace(turn, cut_off=()))
            else:
                desk.deaths = 0
                self._drop(turn, desk)
            return
        if turn.uploads and not stopping.is_set():
            self._begin(turn, desk)
            desk.done += await self._import(turn, desk)
        self._release(turn.client, turn.uploads)
        if turn.ends and desk.files:
            self._end(turn.client, desk)
        if self._purges and not turn.uploads and self._elapsed() - desk.purged_at >= PURGE_SECONDS:
            await self._purge(turn.client, desk)

    async def _purge(self, client: str, desk: _Desk) -> None:
        if await self._do(Purge(client=client, directory=desk.directory, language=desk.language)) is not None:
            desk.purged_at = self._elapsed()

    async def _tell_incomplete(self, client: str, cut_off: Iterable[Sighting]) -> None:
        for seen in cut_off:
            await self._patiently(_told_incomplete(client, seen))
        if cut_off:
            self._told()

    async def _recover(self, client: str, desk: _Desk) -> bool:
        """Finish what is half done; False while that is not possible."""
        if await self._do(Recover(client=client, directory=desk.directory, language=desk.language)) is None:
            return False
        if not desk.must_recover:
            self._alerts.resolve(AlertKind.ARCHIVE, client)
        self._told()
        return True

    async def _import(self, turn: Turn, desk: _Desk) -> int:
        """How many files of the group have reached their end."""
        self.counting.begun(turn.uploads, self._now())
        uploads = tuple((upload.name, upload.sighting.content) for upload in turn.uploads)
        job = ImportFiles(client=turn.client, directory=desk.directory, uploads=uploads, language=desk.language)
        done = await self._do(job)
        if done is None:
            self._turns.ask(turn.client)
        self._told()
        return done or 0

    def _drop(self, turn: Turn, desk: _Desk) -> None:
        """Leave the client's batch in hand to a later tick, at which it is found again."""
        rest = () if turn.ends or not turn.uploads else self._turns.abandon(turn.client)
        self._release(turn.client, (*turn.uploads, *rest))
        if desk.files:
            self._end(turn.client, desk)

    def _release(self, client: str, uploads: Sequence[Upload]) -> None:
        if uploads:
            self._released(client, [upload.name for upload in uploads])

    def _begin(self, turn: Turn, desk: _Desk) -> None:
        if turn.begins is not None:
            batch = turn.begins
            desk.began_at, desk.files, desk.done = self._elapsed(), batch.files, 0
            log.info("batch_started", client=turn.client, files=batch.files, bytes=batch.bytes)

    def _end(self, client: str, desk: _Desk) -> None:
        seconds = round(self._elapsed() - desk.began_at, 3)
        log.info("batch_finished", client=client, files=desk.files, done=desk.done, seconds=seconds)
        desk.files = 0

    async def _do(self, job: Job) -> int | None:
        """Do a job; returns how many files reached their end, None where the job did not end itself."""
        desk = self._desks[job.client] if isinstance(job, ImportFiles | Recover) else None
        if desk is not None and isinstance(job, Recover):
            desk.must_recover = False
        done = 0
        self._running = _Running(job, self._elapsed()) if isinstance(job, ImportFiles | Recover) else None
        try:
            self.owed_since = None if isinstance(job, Prepare) else self._elapsed()
            async for outcome in self._worker.run(job):
                self.owed_since = self._elapsed()
                self.counting.heard(outcome, self._now())
                done += self._tell(outcome)
                self._note_pace(outcome)
        except (HeldElsewhereError, OutageError, WorkerDiedError) as hindrance:
            self._hindered(job, desk, hindrance)
            return None
        finally:
            self.owed_since = self._running = None
            self.met_database.set()
        self._went_well(job, desk)
        return done

    def _note_pace(self, outcome: Outcome) -> None:
        in_hand = self._worker.in_hand
        if isinstance(outcome, Imported) and in_hand is not None and in_hand.claim == outcome.claim:
            self._desks[outcome.claim.client].pace = outcome.seconds / in_hand.progress.total

    def _went_well(self, job: Job, desk: _Desk | None) -> None:
        self._outage = None
        for kind in (AlertKind.DATABASE, AlertKind.WORKER):
            self._alerts.resolve(kind)
        if desk is not None and isinstance(job, ImportFiles | Recover):
            desk.outage, desk.deaths = None, 0
            self._alerts.resolve(AlertKind.DISK_FULL, job.client)
            self._held(job.client, desk, elsewhere=False)

    def _hindered(
        self, job: Job, desk: _Desk | None, hindrance: HeldElsewhereError | OutageError | WorkerDiedError
    ) -> None:
        """A disk that fails is told of the client, whose directory may be all that fails."""
        client = "" if desk is None or not isinstance(job, ImportFiles | Recover) else job.client
        self._outage = hindrance if isinstance(hindrance, OutageError) else None
        if desk is not None:
            desk.must_recover, desk.outage = True, self._outage
            has_died = isinstance(hindrance, WorkerDiedError) and isinstance(job, Recover)
            desk.deaths = desk.deaths + 1 if has_died else 0
        match hindrance:
            case HeldElsewhereError():
                if desk is not None:
                    self._held(client, desk, elsewhere=True)
            case OutageError():
                log.error("import_interrupted", kind=hindrance.kind.value, error=hindrance.detail)
                is_disk = hindrance.kind is OutageKind.DISK
                self._alerts.open(_OUTAGES[hindrance.kind], client if is_disk else "", hindrance.detail)
            case WorkerDiedError():
                log.error("worker_died", exit_code=hindrance.exit_code, where=hindrance.where)
                self._alerts.open(AlertKind.WORKER, detail=str(hindrance))
            case _:
                assert_never(hindrance)

    def _held(self, client: str, desk: _Desk, *, elsewhere: bool) -> None:
        """Another node holds the client, or this one does; that it changed is logged, and no alert: all is well."""
        if elsewhere and not desk.is_held_elsewhere:
            log.info("client_held_elsewhere", client=client)
        elif desk.is_held_elsewhere and not elsewhere:
            log.info("client_taken_over", client=client)
        desk.is_held_elsewhere = elsewhere

    async def _patiently(self, job: Job, patience: float | None = None) -> None:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_result(lambda done: done is None),
            wait=tenacity.wait_random_exponential(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS),
            stop=tenacity.stop_never if patience is None else tenacity.stop_after_delay(patience),
            retry_error_callback=lambda _: None,
        )
        if await retrying(self._do, job) is None:
            raise self._outage or OutageError(OutageKind.WORKER, "it keeps ending in mid-work")

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
                log.warning(
                    "file_not_taken", client=outcome.client, file=shown_name(outcome.name), why=outcome.why.value
                )
            case Archived():
                log.info("file_archived", **_claimed(outcome), archive=outcome.archive, report=outcome.report)
            case Purged():
                if outcome.archives or outcome.reports:
                    log.info("bak_purged", client=outcome.client, files=outcome.archives, reports=outcome.reports)
            case Unarchived():
                self._desks[outcome.claim.client].must_recover = True
                self._alerts.open(AlertKind.ARCHIVE, outcome.claim.client, outcome.why)
                log.error("file_not_archived", **_claimed(outcome), error=outcome.why)
            case _:
                assert_never(outcome)
        return 0


def _told_incomplete(client: str, seen: Sighting) -> Tell:
    content = seen.content
    notice = Notice(
        client=client,
        audience=Audience.CLIENT,
        kind=NoticeKind.INCOMPLETE,
        file=shown_name(seen.name),
        refusal=refusal("incomplete", size=f"{content.size:,}"),
    )
    # Without the device, whose number differs between the machines on which a directory is mounted.
    return Tell(notice=notice, once=f"incomplete {client} {content.inode} {content.size} {content.modified_ns}")


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

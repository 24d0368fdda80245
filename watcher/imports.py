"""The task that has batches imported, one group after the other, and tells what became of each file."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
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
from watcher.model import Group, Sighting
from watcher.worker import ImportFiles, Job, OutageError, OutageKind, Prepare, Recover, Tell, Worker, WorkerDiedError

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0
MOST_DEATHS_IN_A_ROW = 20
"""A file may end the worker three times; more files in a row than this allows for point at the machine."""
_OUTAGES = {
    OutageKind.DATABASE: AlertKind.DATABASE,
    OutageKind.DISK: AlertKind.DISK_FULL,
    OutageKind.WORKER: AlertKind.WORKER,
}

log = structlog.get_logger()


class Imports:
    """Feeds the worker.

    Args:
        client: whose files they are.
        directory: where uploads appear.
        worker: does the work.
        alerts: the administrator's.
        elapsed: monotonic seconds.
        told: called when there may be mail to form.
        released: called with the names of a group that was dealt with, one way or another.

    Attributes:
        met_database: set when the first job has ended, well or not: then the tables are there, or an alert is open.
    """

    def __init__(
        self,
        *,
        client: str,
        directory: Path,
        worker: Worker,
        alerts: Alerts,
        elapsed: Callable[[], float],
        told: Callable[[], None],
        released: Callable[[list[str]], None],
    ) -> None:
        self._client = client
        self._directory = directory
        self._worker = worker
        self._alerts = alerts
        self._elapsed = elapsed
        self._told = told
        self._released = released
        self._queue: asyncio.Queue[list[Group] | Tell] = asyncio.Queue()
        self._must_recover = True
        self._outage: OutageError | None = None
        self._is_held_elsewhere = False
        self.met_database = asyncio.Event()

    def add(self, batch: list[Group]) -> None:
        """Have a batch imported after those that wait already; an empty one finishes what is half done."""
        self._queue.put_nowait(batch)

    def report_incomplete(self, seen: Sighting) -> None:
        """Have the sender told that an upload was cut off, once for each content."""
        content = seen.content
        notice = Notice(
            client=self._client,
            audience=Audience.CLIENT,
            kind=NoticeKind.INCOMPLETE,
            file=shown_name(seen.name),
            refusal=refusal("incomplete", size=f"{content.size:,}"),
        )
        # Without the device, whose number differs between the machines on which a directory is mounted.
        once = f"incomplete {self._client} {content.inode} {content.size} {content.modified_ns}"
        self._queue.put_nowait(Tell(notice=notice, once=once))

    async def prepare(self, *, patience: float | None = None) -> None:
        """Bring the database up to date and finish what an earlier run left.

        Args:
            patience: how many seconds to wait for a database that is out; None for ever.

        Raises:
            UnusableSetupError: format file or database cannot be used as they are.
            OutageError: patience has ended.
        """
        await self._patiently(Prepare(), patience)
        if not await self._recover() and patience is not None and not self._is_held_elsewhere:
            raise self._outage or OutageError(OutageKind.DISK, "recovery did not end")

    async def run(self, stopping: asyncio.Event) -> None:
        """Import batches until `stopping`; the file in hand is finished."""
        while not stopping.is_set():
            work = asyncio.ensure_future(self._queue.get())
            stop = asyncio.ensure_future(stopping.wait())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not work.done():
                work.cancel()
                return
            await self._handle(work.result(), stopping)

    async def drain(self, stopping: asyncio.Event) -> None:
        """Import everything that waits now.

        Raises:
            HeldElsewhereError: another node imports the client's files, and these were left to it.
            OutageError: something was left half done, to be finished by the next run.
        """
        while not self._queue.empty() and not stopping.is_set():
            await self._handle(self._queue.get_nowait(), stopping)
        if self._is_held_elsewhere:
            raise HeldElsewhereError(self._client)
        if self._must_recover:
            raise self._outage or OutageError(OutageKind.DISK, "not every file reached its end")

    async def _handle(self, work: list[Group] | Tell, stopping: asyncio.Event) -> None:
        if isinstance(work, Tell):
            await self._patiently(work)
            self._told()
        else:
            await self._import_batch(work, stopping)

    async def _import_batch(self, batch: list[Group], stopping: asyncio.Event) -> None:
        if self._must_recover and (not batch or self._is_held_elsewhere):
            await self._recover()
        if not batch or self._is_held_elsewhere:
            self._released([upload.name for group in batch for upload in group.uploads])
            return
        started = self._elapsed()
        files = sum(len(group.uploads) for group in batch)
        log.info("batch_started", files=files, bytes=sum(each.size for group in batch for each in group.uploads))
        done = 0
        for group in batch:
            if not stopping.is_set():
                done += await self._import_group(group, stopping)
            self._released([upload.name for upload in group.uploads])
        log.info("batch_finished", files=files, done=done, seconds=round(self._elapsed() - started, 3))

    async def _import_group(self, group: Group, stopping: asyncio.Event) -> int:
        """How many files of the group reached their end."""
        if self._must_recover and not await self._recover():
            return 0
        if stopping.is_set():
            return 0
        uploads = tuple((upload.name, upload.sighting.content) for upload in group.uploads)
        done = await self._do(ImportFiles(client=group.client, directory=self._directory, uploads=uploads))
        if done is None:
            await self._recover()
        self._told()
        return done or 0

    async def _recover(self) -> bool:
        """Finish what is half done; False while that is not possible."""
        for _ in range(MOST_DEATHS_IN_A_ROW):
            if await self._do(Recover(client=self._client, directory=self._directory)) is not None:
                if not self._must_recover:
                    self._alerts.resolve(AlertKind.ARCHIVE, self._client)
                self._told()
                return True
            if self._outage is not None or self._is_held_elsewhere:
                return False
        return False

    async def _do(self, job: Job) -> int | None:
        """Do a job; returns how many files reached their end, None where the job did not end itself."""
        done = 0
        self._must_recover = self._must_recover and not isinstance(job, Recover)
        try:
            async for outcome in self._worker.run(job):
                done += self._tell(outcome)
        except HeldElsewhereError:
            self._held(elsewhere=True)
            return None
        except OutageError as outage:
            self._must_recover = True
            self._outage = outage
            log.error("import_interrupted", kind=outage.kind.value, error=outage.detail)
            self._alerts.open(_OUTAGES[outage.kind], detail=outage.detail)
            return None
        except WorkerDiedError as death:
            self._must_recover = True
            log.error("worker_died", exit_code=death.exit_code, where=death.where)
            self._alerts.open(AlertKind.WORKER, detail=str(death))
            return None
        finally:
            self.met_database.set()
        if isinstance(job, ImportFiles | Recover):
            self._held(elsewhere=False)
        self._outage = None
        for kind in (AlertKind.DATABASE, AlertKind.DISK_FULL, AlertKind.WORKER):
            self._alerts.resolve(kind)
        return done

    def _held(self, *, elsewhere: bool) -> None:
        """Another node holds the client, or this one does; that it changed is logged, and no alert: all is well."""
        if elsewhere:
            self._must_recover = True  # whoever takes over finishes what the holder leaves
            self._outage = None
        if elsewhere and not self._is_held_elsewhere:
            log.info("client_held_elsewhere", client=self._client)
        elif self._is_held_elsewhere and not elsewhere:
            log.info("client_taken_over", client=self._client)
        self._is_held_elsewhere = elsewhere

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
            case Imported():
                log.info("import_finished", **_about(outcome))
                return 1
            case Refused():
                code = outcome.refusal.code
                log.warning("import_refused", **_claimed(outcome), code=code, seconds=round(outcome.seconds, 3))
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
            case Unarchived():
                self._must_recover = True
                self._alerts.open(AlertKind.ARCHIVE, self._client, outcome.why)
                log.error("file_not_archived", **_claimed(outcome), error=outcome.why)
            case _:
                assert_never(outcome)
        return 0


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

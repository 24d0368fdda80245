"""The task that feeds the importing process, with one that does as the test says."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from importer.holding import HeldElsewhereError
from importer.model import Archived, Claim, Counts, Fingerprint, Imported, Outcome, Unarchived
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.imports import Imports
from watcher.model import Evidence, Group, Sighting, Upload
from watcher.worker import ImportFiles, Job, OutageError, OutageKind, Prepare, Recover, Tell, Worker

DIRECTORY = Path("/upload")
CLAIM = Claim(id="c1", client="default", directory=DIRECTORY, name="a.csv")
IMPORTED = Imported(
    claim=CLAIM,
    counts=Counts(),
    reasons=(),
    warnings=(),
    sha256="",
    same_as=None,
    seconds=0.0,
    archive="a.1.csv",
    report=None,
)
ARCHIVED = Archived(claim=CLAIM, archive="a.1.csv", report=None)
UNARCHIVED = Unarchived(claim=CLAIM, why="bak is full")
DISK = OutageError(OutageKind.DISK, "No space left on device")

Answer = Callable[[Job], list[Outcome | Exception]]


class ScriptedWorker(Worker):
    """Answers jobs as it is told, in this process."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.jobs: list[Job] = []

    async def run(self, job: Job) -> AsyncIterator[Outcome]:
        self.jobs.append(job)
        for outcome in self.answer(job):
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


class Desk:
    """Imports with a scripted worker, its alerts, and the names that were released."""

    def __init__(self, answer: Answer) -> None:
        self.worker = ScriptedWorker(answer)
        self.alerts = Alerts(lambda: dt.datetime(2026, 7, 1, tzinfo=dt.UTC))
        self.released: list[str] = []
        self.stopping = asyncio.Event()
        self.imports = Imports(
            client="default",
            directory=DIRECTORY,
            worker=self.worker,
            alerts=self.alerts,
            elapsed=lambda: 0.0,
            told=lambda: None,
            released=self.released.extend,
        )

    def kinds(self) -> list[type[Job]]:
        return [type(job) for job in self.worker.jobs]


def group(*names: str) -> Group:
    return Group(client="default", uploads=tuple(_upload(name) for name in names))


def _upload(name: str) -> Upload:
    return Upload(client="default", sighting=sighting(name), evidence=Evidence.RENAME)


def sighting(name: str, *, modified_ns: int = 0) -> Sighting:
    content = Fingerprint(device=1, inode=2, size=3, modified_ns=modified_ns)
    return Sighting(name=name, content=content, changed_ns=0, is_locked=False)


def fine(job: Job) -> list[Outcome | Exception]:
    return [IMPORTED, ARCHIVED] if isinstance(job, ImportFiles) else []


async def test_a_batch_is_imported_after_recovery_and_its_names_are_released() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    desk.imports.add([group("a.csv"), group("b.csv")])
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover, ImportFiles, ImportFiles]
    assert desk.released == ["a.csv", "b.csv"]


async def test_what_an_outage_left_half_done_is_no_success() -> None:
    desk = Desk(lambda job: [DISK] if isinstance(job, ImportFiles) else [])
    await desk.imports.prepare()
    desk.imports.add([group("a.csv")])
    await desk.imports.drain(desk.stopping)  # recovery has finished it
    desk.worker.answer = lambda job: [] if isinstance(job, Prepare) else [DISK]
    desk.imports.add([group("b.csv")])
    with pytest.raises(OutageError, match="No space left"):
        await desk.imports.drain(desk.stopping)
    assert desk.alerts.is_open(AlertKind.DISK_FULL)
    assert desk.released == ["a.csv", "b.csv"]


async def test_an_empty_batch_finishes_what_is_half_done_and_nothing_else() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    desk.imports.add([])
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover]
    desk.worker.answer = lambda job: [IMPORTED, UNARCHIVED] if isinstance(job, ImportFiles) else []
    desk.imports.add([group("a.csv")])
    desk.imports.add([])
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover, ImportFiles, Recover]


async def test_bak_is_well_again_only_when_every_file_lies_in_it() -> None:
    desk = Desk(lambda job: [IMPORTED, UNARCHIVED] if isinstance(job, ImportFiles) else [])
    await desk.imports.prepare()
    desk.worker.answer = lambda job: [IMPORTED, UNARCHIVED, IMPORTED, ARCHIVED] if isinstance(job, ImportFiles) else []
    desk.imports.add([group("a.csv", "b.csv")])
    with pytest.raises(OutageError):
        await desk.imports.drain(desk.stopping)
    assert desk.alerts.is_open(AlertKind.ARCHIVE, "default")
    desk.worker.answer = lambda job: [UNARCHIVED] if isinstance(job, Recover) else []
    desk.imports.add([])
    with pytest.raises(OutageError):
        await desk.imports.drain(desk.stopping)
    assert desk.alerts.is_open(AlertKind.ARCHIVE, "default")
    desk.worker.answer = lambda job: [ARCHIVED] if isinstance(job, Recover) else []
    desk.imports.add([])
    await desk.imports.drain(desk.stopping)
    assert not desk.alerts.is_open(AlertKind.ARCHIVE, "default")


async def test_a_stop_during_recovery_claims_no_more_files() -> None:
    desk = Desk(fine)

    def stop(job: Job) -> list[Outcome | Exception]:
        if isinstance(job, Recover):
            desk.stopping.set()
        return fine(job)

    desk.worker.answer = stop
    desk.imports.add([group("a.csv")])
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Recover]
    assert desk.released == ["a.csv"]


async def test_an_upload_that_was_cut_off_again_is_told_again() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    for modified_ns in (1, 1, 2):
        desk.imports.report_incomplete(sighting("a.csv", modified_ns=modified_ns))
    await desk.imports.drain(desk.stopping)
    once = [job.once for job in desk.worker.jobs if isinstance(job, Tell)]
    assert len(once) == 3
    assert len(set(once)) == 2


async def test_a_client_that_another_node_holds_is_left_to_it_and_asked_for_again_at_each_tick() -> None:
    desk = Desk(lambda job: [] if isinstance(job, Prepare) else [HeldElsewhereError("default")])
    with capture_logs() as logs:
        await desk.imports.prepare(patience=1)
        for batch in ([], [group("a.csv"), group("b.csv")]):
            desk.imports.add(batch)
            with pytest.raises(HeldElsewhereError):
                await desk.imports.drain(desk.stopping)
        assert desk.kinds() == [Prepare, Recover, Recover, Recover]
        desk.worker.answer = fine
        desk.imports.add([group("a.csv")])
        await desk.imports.drain(desk.stopping)
    assert desk.kinds()[4:] == [Recover, ImportFiles]
    assert desk.released == ["a.csv", "b.csv", "a.csv"]
    told = [entry["event"] for entry in logs if entry["event"].startswith("client_")]
    assert told == ["client_held_elsewhere", "client_taken_over"]
    assert not any(desk.alerts.is_open(kind) for kind in AlertKind)


async def test_a_client_that_was_lost_to_another_node_in_mid_work_is_recovered_before_the_next_import() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    desk.worker.answer = lambda _: [HeldElsewhereError("default")]
    desk.imports.add([group("a.csv")])
    with pytest.raises(HeldElsewhereError):
        await desk.imports.drain(desk.stopping)
    desk.worker.answer = fine
    desk.imports.add([group("a.csv")])
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover, ImportFiles, Recover, Recover, ImportFiles]

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
from watcher.imports import MOST_DEATHS_IN_A_ROW, PURGE_SECONDS, Imports
from watcher.model import Evidence, Sighting, Upload
from watcher.turns import IN_COMPANY
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

NOW = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
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
        self.in_hand = None
        self.jobs: list[Job] = []

    async def run(self, job: Job) -> AsyncIterator[Outcome]:
        self.jobs.append(job)
        for outcome in self.answer(job):
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


class Desk:
    """Imports with a scripted worker, its alerts, and the names that were released."""

    def __init__(self, answer: Answer, *, purges: bool = False) -> None:
        self.worker = ScriptedWorker(answer)
        self.now = 0.0
        self.alerts = Alerts(lambda: NOW)
        self.released: list[str] = []
        self.stopping = asyncio.Event()
        self.imports = Imports(
            worker=self.worker,
            alerts=self.alerts,
            elapsed=lambda: self.now,
            told=lambda: None,
            released=self.release,
            purges=purges,
            now=lambda: NOW,
        )
        self.imports.serve("default", DIRECTORY)

    def release(self, client: str, names: list[str]) -> None:
        assert all(client in {"default", name.partition("-")[0]} for name in names)
        self.released += names

    def add(self, *names: str) -> None:
        self.imports.add("default", uploads(*names))

    def kinds(self) -> list[type[Job]]:
        return [type(job) for job in self.worker.jobs]


def uploads(*names: str) -> list[Upload]:
    return [Upload(client="default", sighting=sighting(name), evidence=Evidence.RENAME) for name in names]


def sighting(name: str, *, modified_ns: int = 0) -> Sighting:
    content = Fingerprint(device=1, inode=2, size=3, modified_ns=modified_ns)
    return Sighting(name=name, content=content, changed_ns=0, is_locked=False)


def fine(job: Job) -> list[Outcome | Exception]:
    return [IMPORTED, ARCHIVED] if isinstance(job, ImportFiles) else []


async def test_a_batch_is_imported_after_recovery_and_its_names_are_released() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)
    desk.add("b.csv")
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover, ImportFiles, ImportFiles]
    assert desk.released == ["a.csv", "b.csv"]


async def test_the_worker_owes_an_outcome_while_it_works_but_not_while_it_prepares_the_database() -> None:
    owed: list[float | None] = []

    def answer(job: Job) -> list[Outcome | Exception]:
        owed.append(desk.imports.owed_since)
        return fine(job) if desk.now < 9.0 else [DISK]

    desk = Desk(answer)
    desk.now = 7.0
    await desk.imports.prepare()
    desk.add("a.csv")
    await desk.imports.work_off(desk.stopping)
    desk.now = 9.0
    desk.add("b.csv")
    await desk.imports.work_off(desk.stopping)
    assert (owed, desk.imports.owed_since) == ([None, 7.0, 7.0, 9.0, 9.0], None)


async def test_what_has_become_of_files_is_counted() -> None:
    desk = Desk(fine)
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)
    assert desk.imports.counting.files == {("default", "imported"): 1, ("default", "archived"): 1}
    assert sum(desk.imports.counting.latency.counts) == 1


async def test_bak_is_purged_once_a_day_at_a_tick_without_files() -> None:
    desk = Desk(fine, purges=True)
    for desk.now in (0, 60, PURGE_SECONDS - 60, PURGE_SECONDS, PURGE_SECONDS + 60):
        desk.imports.add("default", [])
        await desk.imports.drain(desk.stopping)
        desk.add("a.csv")
        await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Recover, Purge, ImportFiles, ImportFiles, ImportFiles, Purge, ImportFiles, ImportFiles]


async def test_a_purge_that_meets_an_outage_is_had_again_at_the_next_tick() -> None:
    desk = Desk(lambda job: [DISK] if isinstance(job, Purge) else [], purges=True)
    for _ in range(2):
        desk.imports.add("default", [])
        await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Recover, Purge, Purge]


async def test_what_an_outage_left_half_done_is_no_success() -> None:
    desk = Desk(lambda job: [DISK] if isinstance(job, ImportFiles) else [])
    await desk.imports.prepare()
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)  # recovery has finished it
    desk.worker.answer = lambda job: [] if isinstance(job, Prepare) else [DISK]
    desk.add("b.csv")
    with pytest.raises(OutageError, match="No space left"):
        await desk.imports.drain(desk.stopping)
    assert desk.alerts.is_open(AlertKind.DISK_FULL, "default")
    assert desk.released == ["a.csv", "b.csv"]


async def test_an_empty_batch_finishes_what_is_half_done_and_nothing_else() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    desk.add()
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover]
    desk.worker.answer = lambda job: [IMPORTED, UNARCHIVED] if isinstance(job, ImportFiles) else []
    desk.add("a.csv")
    with pytest.raises(OutageError):
        await desk.imports.drain(desk.stopping)
    desk.add()
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover, ImportFiles, Recover]


async def test_bak_is_well_again_only_when_every_file_lies_in_it() -> None:
    desk = Desk(lambda job: [IMPORTED, UNARCHIVED] if isinstance(job, ImportFiles) else [])
    await desk.imports.prepare()
    desk.worker.answer = lambda job: [IMPORTED, UNARCHIVED, IMPORTED, ARCHIVED] if isinstance(job, ImportFiles) else []
    desk.add("a.csv", "b.csv")
    with pytest.raises(OutageError):
        await desk.imports.drain(desk.stopping)
    assert desk.alerts.is_open(AlertKind.ARCHIVE, "default")
    desk.worker.answer = lambda job: [UNARCHIVED] if isinstance(job, Recover) else []
    desk.add()
    with pytest.raises(OutageError):
        await desk.imports.drain(desk.stopping)
    assert desk.alerts.is_open(AlertKind.ARCHIVE, "default")
    desk.worker.answer = lambda job: [ARCHIVED] if isinstance(job, Recover) else []
    desk.add()
    await desk.imports.drain(desk.stopping)
    assert not desk.alerts.is_open(AlertKind.ARCHIVE, "default")


async def test_a_stop_during_recovery_claims_no_more_files() -> None:
    desk = Desk(fine)

    def stop(job: Job) -> list[Outcome | Exception]:
        if isinstance(job, Recover):
            desk.stopping.set()
        return fine(job)

    desk.worker.answer = stop
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Recover]
    assert desk.released == ["a.csv"]


async def test_an_upload_that_was_cut_off_again_is_told_again() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    for modified_ns in (1, 1, 2):
        desk.imports.report_incomplete("default", sighting("a.csv", modified_ns=modified_ns))
    await desk.imports.drain(desk.stopping)
    once = [job.once for job in desk.worker.jobs if isinstance(job, Tell)]
    assert len(once) == 3
    assert len(set(once)) == 2


async def test_a_client_that_another_node_holds_is_left_to_it_and_asked_for_again_at_each_tick() -> None:
    desk = Desk(lambda job: [] if isinstance(job, Prepare) else [HeldElsewhereError("default")])
    with capture_logs() as logs:
        await desk.imports.prepare(patience=1)
        for batch in ([], ["a.csv", "b.csv"]):
            desk.add(*batch)
            with pytest.raises(HeldElsewhereError):
                await desk.imports.drain(desk.stopping)
        assert desk.kinds() == [Prepare, Recover, Recover]
        desk.worker.answer = fine
        desk.add("a.csv")
        await desk.imports.drain(desk.stopping)
    assert desk.kinds()[3:] == [Recover, ImportFiles]
    assert desk.released == ["a.csv", "b.csv", "a.csv"]
    told = [entry["event"] for entry in logs if entry["event"].startswith("client_")]
    assert told == ["client_held_elsewhere", "client_taken_over"]
    assert not any(desk.alerts.is_open(kind) for kind in AlertKind)


async def test_a_client_that_was_lost_to_another_node_in_mid_work_is_recovered_before_the_next_import() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    await desk.imports.drain(desk.stopping)
    desk.worker.answer = lambda _: [HeldElsewhereError("default")]
    desk.add("a.csv")
    with pytest.raises(HeldElsewhereError):
        await desk.imports.drain(desk.stopping)
    desk.worker.answer = fine
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Prepare, Recover, ImportFiles, Recover, Recover, ImportFiles]


async def test_a_client_whose_directory_fails_holds_up_no_other_and_its_alert_stays() -> None:
    desk = Desk(lambda job: [DISK] if getattr(job, "client", "") == "default" else fine(job))
    desk.imports.serve("other", Path("/other"))
    desk.add("a.csv")
    desk.imports.add("other", uploads("other-1.csv"))
    with pytest.raises(OutageError, match="No space left"):
        await desk.imports.drain(desk.stopping)
    done = [job.client for job in desk.worker.jobs if isinstance(job, ImportFiles)]
    assert done == ["other"]
    assert desk.alerts.is_open(AlertKind.DISK_FULL, "default")
    assert not desk.alerts.is_open(AlertKind.DISK_FULL, "other")
    assert sorted(desk.released) == ["a.csv", "other-1.csv"]


async def test_a_client_whose_files_end_the_worker_has_one_try_before_the_next_client_has_its_turn() -> None:
    desk = Desk(fine)
    desk.imports.serve("other", Path("/other"))
    await desk.imports.drain(desk.stopping)
    deaths = iter(range(4))
    order = []

    def answer(job: Job) -> list[Outcome | Exception]:
        order.append((type(job).__name__, getattr(job, "client", "")))
        poisonous = getattr(job, "client", "") == "default"
        return [WorkerDiedError(-9, "")] if poisonous and next(deaths, None) is not None else fine(job)

    desk.worker.answer = answer
    desk.add("poison.csv")
    names = [f"other-{number}.csv" for number in range(5 * IN_COMPANY.files)]
    desk.imports.add("other", uploads(*names))
    await desk.imports.drain(desk.stopping)
    one, other = ("Recover", "default"), ("ImportFiles", "other")
    assert order == [("ImportFiles", "default"), other, one, other, one, other, one, other, one, other]
    assert sorted(desk.released) == sorted(["poison.csv", *names])


async def test_a_client_whose_recovery_never_ends_is_left_to_the_next_tick() -> None:
    desk = Desk(lambda job: [WorkerDiedError(-9, "")] if isinstance(job, Recover) else fine(job))
    desk.add("a.csv")
    with pytest.raises(OutageError):
        await desk.imports.drain(desk.stopping)
    assert desk.kinds() == [Recover] * MOST_DEATHS_IN_A_ROW
    assert desk.released == ["a.csv"]

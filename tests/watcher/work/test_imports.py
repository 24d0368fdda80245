"""The task that feeds the importing process, with one that does as the test says."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from importer.client_lock import LockedElsewhereError
from importer.model import (
    Archived,
    Claim,
    Counts,
    Fingerprint,
    Imported,
    NotTaken,
    NotTakenWhy,
    Outcome,
    Purged,
    Suspected,
    Unarchived,
)
from importer.words.details import detail
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.model import Evidence, Sighting, Upload
from watcher.work.doing import PURGE_SECONDS
from watcher.work.imports import MOST_DEATHS_IN_A_ROW, SUSPECT_SECONDS, Imports
from watcher.work.jobs import (
    ImportFiles,
    Job,
    OutageError,
    OutageKind,
    Prepare,
    Purge,
    Recover,
    Supersede,
    Tell,
    WorkerDiedError,
)
from watcher.work.turns import ALONE, IN_COMPANY
from watcher.work.worker import Worker

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
BIG = Fingerprint(device=1, inode=3, size=1 << 40, modified_ns=0)
DISK = OutageError(OutageKind.DISK, detail("ENOSPC"))

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
        self.alerts = Alerts(lambda: NOW, lambda: 0.0)
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


async def test_bak_of_a_client_that_has_a_file_at_every_tick_is_purged_as_well() -> None:
    desk = Desk(fine, purges=True)
    for desk.now in (0, 60, PURGE_SECONDS, PURGE_SECONDS + 60):
        desk.add("a.csv")
        await desk.imports.drain(desk.stopping)
    one = ImportFiles
    assert desk.kinds() == [Recover, one, Purge, one, one, Purge, one]
    assert desk.released == ["a.csv"] * 4


async def test_a_large_bak_is_purged_part_by_part_and_files_are_imported_between() -> None:
    more = iter([True, False])

    def answer(job: Job) -> list[Outcome | Exception]:
        if isinstance(job, Purge):
            is_more = job.client == "default" and next(more)
            return [Purged(client=job.client, archives=9, reports=0, is_more=is_more)]
        return fine(job)

    desk = Desk(answer, purges=True)
    desk.imports.serve("other", Path("/other"))
    names = [f"{number}.csv" for number in range(2 * IN_COMPANY.files)]
    desk.add(*names)
    desk.imports.add("other", uploads("other-1.csv"))
    await desk.imports.drain(desk.stopping)
    done = [
        (type(job).__name__, getattr(job, "client", "")) for job in desk.worker.jobs if not isinstance(job, Recover)
    ]
    files, other_files = ("ImportFiles", "default"), ("ImportFiles", "other")
    purge, other_purge = ("Purge", "default"), ("Purge", "other")
    assert done == [files, other_files, purge, other_purge, files, purge]


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


async def test_an_alert_of_a_disk_that_an_earlier_run_has_left_ends_at_a_tick() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    desk.add()
    await desk.imports.drain(desk.stopping)
    for kind in (AlertKind.DISK, AlertKind.DISK_FULL):
        desk.alerts.open(kind, "default")
        desk.add()
        await desk.imports.drain(desk.stopping)
        assert not desk.alerts.is_open(kind, "default")
    assert desk.kinds() == [Prepare, Recover, Recover, Recover]


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


async def test_a_client_that_has_too_much_in_work_is_told_of_until_files_of_it_are_taken_again() -> None:
    no_room = NotTaken(client="default", name="a.csv", why=NotTakenWhy.NO_ROOM)
    desk = Desk(lambda job: [no_room] if isinstance(job, ImportFiles) else [])
    await desk.imports.prepare()
    for _ in range(2):
        desk.add("a.csv")
        await desk.imports.drain(desk.stopping)
        assert desk.alerts.is_open(AlertKind.CLIENT_WORK, "default")
    assert desk.released == ["a.csv", "a.csv"], "it is found again"
    desk.worker.answer = fine
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)
    assert not desk.alerts.is_open(AlertKind.CLIENT_WORK, "default")


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


async def test_an_upload_that_was_replaced_before_it_was_taken_is_recorded_unless_another_node_may_have_it() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    desk.imports.report_replaced("default", sighting("a.csv"))
    await desk.imports.drain(desk.stopping)
    (job,) = [job for job in desk.worker.jobs if isinstance(job, Supersede)]
    assert (job.name, job.size) == ("a.csv", sighting("a.csv").content.size)
    desk.worker.answer = lambda _: [LockedElsewhereError("default")]
    desk.add("a.csv")
    with pytest.raises(LockedElsewhereError):
        await desk.imports.drain(desk.stopping)
    desk.imports.report_replaced("default", sighting("a.csv"))
    assert len([job for job in desk.worker.jobs if isinstance(job, Supersede)]) == 1


async def test_a_full_disk_is_told_until_a_file_was_imported_though_there_is_nothing_half_done() -> None:
    desk = Desk(lambda job: [DISK] if isinstance(job, ImportFiles) else fine(job))
    await desk.imports.prepare()
    with capture_logs() as logs:
        for _ in range(3):
            desk.add("a.csv")
            await desk.imports.drain(desk.stopping)
        assert [log["event"] for log in logs if log["event"].startswith("alert_")] == ["alert_opened"]
        desk.worker.answer = fine
        desk.add("a.csv")
        await desk.imports.drain(desk.stopping)
    assert [log["event"] for log in logs if log["event"].startswith("alert_")] == ["alert_opened", "alert_resolved"]


async def test_an_upload_whose_end_was_not_seen_is_imported_as_such() -> None:
    desk = Desk(fine)
    await desk.imports.prepare()
    whole, unseen = uploads("a.csv", "b.csv")
    desk.imports.add("default", [whole, replace(unseen, is_end_unseen=True)])
    await desk.imports.drain(desk.stopping)
    (job,) = [job for job in desk.worker.jobs if isinstance(job, ImportFiles)]
    assert job.unseen_ends == {"b.csv"}


async def test_a_client_that_another_node_holds_is_left_to_it_and_asked_for_again_at_each_tick() -> None:
    desk = Desk(lambda job: [] if isinstance(job, Prepare) else [LockedElsewhereError("default")])
    with capture_logs() as logs:
        await desk.imports.prepare(patience=1)
        for batch in ([], ["a.csv", "b.csv"]):
            desk.add(*batch)
            with pytest.raises(LockedElsewhereError):
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
    desk.worker.answer = lambda _: [LockedElsewhereError("default")]
    desk.add("a.csv")
    with pytest.raises(LockedElsewhereError):
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


SUSPECTED = Suspected(claim=CLAIM)


class Suspicious:
    """A worker of whose first client a file is suspected, until it was tried alone; it notes what it does for whom."""

    def __init__(self, alone: Answer = lambda _: [IMPORTED, ARCHIVED]) -> None:
        self.order: list[tuple[str, str]] = []
        self.is_left = True
        self.alone = alone

    def __call__(self, job: Job) -> list[Outcome | Exception]:
        client = getattr(job, "client", "")
        if not (isinstance(job, Recover) and client == "default" and self.is_left):
            self.order.append((type(job).__name__, client))
            return fine(job)
        if not job.alone:
            return [SUSPECTED]
        self.order.append(("alone", client))
        done = self.alone(job)
        self.is_left = any(isinstance(outcome, Exception) for outcome in done)
        return done


async def idle(desk: Desk) -> None:
    """Let the imports run until they wait for work."""
    running = asyncio.create_task(desk.imports.run(desk.stopping))
    for _ in range(100):
        await asyncio.sleep(0)
    desk.stopping.set()
    await running
    desk.stopping.clear()


async def test_a_suspect_is_tried_after_all_files_of_all_clients_that_a_tick_has_found() -> None:
    answer = Suspicious()
    desk = Desk(answer)
    desk.imports.serve("other", Path("/other"))
    await idle(desk)
    assert ("alone", "default") not in answer.order, "the files that lie there were not yet looked at"
    desk.add("a.csv")
    desk.imports.add("other", uploads(*(f"other-{number}.csv" for number in range(3 * ALONE.files))))
    await idle(desk)
    assert answer.order.index(("alone", "default")) == len(answer.order) - 1
    assert answer.order.count(("ImportFiles", "other")) >= 2
    desk.add()
    await idle(desk)
    assert answer.order.count(("alone", "default")) == 1


async def test_a_suspect_is_told_once_by_the_log() -> None:
    desk = Desk(Suspicious())
    with capture_logs() as logs:
        for _ in range(3):
            desk.imports.serve("default", DIRECTORY)
            await idle(desk)
        desk.add()
        await idle(desk)
    assert [entry["claim"] for entry in logs if entry["event"] == "file_suspected"] == ["c1"]


async def test_a_suspect_does_not_wait_for_ever_for_a_client_that_always_has_files() -> None:
    answer = Suspicious()
    desk = Desk(answer)

    def endless(job: Job) -> list[Outcome | Exception]:
        if isinstance(job, ImportFiles) and len(desk.worker.jobs) < 200:
            desk.now += 60.0
            desk.add("a.csv")
        return answer(job)

    desk.worker.answer = endless
    desk.add("a.csv")
    await idle(desk)
    before = answer.order.index(("alone", "default"))
    assert before == SUSPECT_SECONDS / 60.0
    assert answer.order[before + 1] == ("ImportFiles", "default")


async def test_a_single_run_tries_a_suspect_when_everything_else_is_done() -> None:
    answer = Suspicious()
    desk = Desk(answer)
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)
    assert answer.order == [("ImportFiles", "default"), ("alone", "default")]


async def test_a_suspect_that_ends_the_worker_is_tried_again_after_the_others() -> None:
    deaths = iter([True, True])
    answer = Suspicious(lambda _: [WorkerDiedError(-9, "")] if next(deaths, False) else [IMPORTED, ARCHIVED])
    desk = Desk(answer)
    desk.add("a.csv")
    await desk.imports.drain(desk.stopping)
    assert answer.order == [("ImportFiles", "default"), *[("alone", "default")] * 3]


async def test_a_suspect_that_meets_an_outage_is_tried_again_at_the_next_tick_and_not_at_once() -> None:
    answer = Suspicious(lambda _: [DISK])
    desk = Desk(answer)
    await idle(desk)
    for ticks in range(1, 4):
        desk.now += SUSPECT_SECONDS
        desk.add()
        await idle(desk)
        assert answer.order.count(("alone", "default")) == ticks
        assert desk.alerts.is_open(AlertKind.DISK_FULL, "default"), "nothing has shown that there is room"


async def test_files_that_wait_for_room_are_told_of_whatever_else_of_the_client_has_room() -> None:
    no_room = NotTaken(client="default", name="large.csv", why=NotTakenWhy.NO_ROOM)

    def answer(job: Job) -> list[Outcome | Exception]:
        if not isinstance(job, ImportFiles):
            return []
        return [no_room] if job.uploads[0][0] == "large.csv" else [IMPORTED, ARCHIVED]

    desk = Desk(answer)
    await desk.imports.prepare()
    for _ in range(2):
        large, small = uploads("large.csv", "small.csv")
        large = replace(large, sighting=replace(large.sighting, content=BIG))
        desk.imports.add("default", [large, small])
        with capture_logs() as logs:
            await desk.imports.drain(desk.stopping)
        assert desk.alerts.is_open(AlertKind.CLIENT_WORK, "default")
        assert "alert_resolved" not in [entry["event"] for entry in logs]
    desk.add()
    await desk.imports.drain(desk.stopping)
    assert not desk.alerts.is_open(AlertKind.CLIENT_WORK, "default"), "the file is gone"

"""The intake on a real directory, with clocks that the tests move: what settles, what a tick hands on, what alerts."""

import asyncio
import datetime as dt
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from notifier.alerting import is_open
from notifier.alerts import Alerts
from notifier.model import AlertKind
from tests.rights import DEVICES, make_device, obeying_file_modes
from tests.servers.tools import wait_until
from watcher.uploads.complaining import STUCK_SECONDS
from watcher.uploads.doubts import SELF_RETRY_SECONDS
from watcher.uploads.gauging import IMPORTING
from watcher.uploads.intake import Intake
from watcher.uploads.model import Evidence, LogState, Sighting, Upload
from watcher.uploads.server_log import ServerLog
from watcher.uploads.settling import Patience
from watcher.uploads.snapshot import MOST_FILES_SHOWN, WaitReason
from watcher.uploads.verdicts import SharedLog
from watcher.uploads.watching import Supervisor

CONTENT = b"unique_id\nU1\n"
FIVE_MINUTES = dt.timedelta(minutes=5)
PATIENCE = Patience(proven=3, quiet=30, long_quiet=601)


class Desk:
    """An intake with its directory, its clock, and what came out of it.

    Its own steps are called instead of `run`, so that no test waits for a clock.
    """

    def __init__(
        self,
        directory: Path,
        *,
        log: Path | None = None,
        shared_log: SharedLog | None = None,
        quiet: float = PATIENCE.quiet,
        serves_sftp: bool = False,
        hand_on: Callable[[list[Upload]], None] | None = None,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self.directory = directory
        self.log = log
        self.seconds = 1000.0
        self.batches: list[list[Upload]] = []
        self.in_doubt: list[Sighting] = []
        self.replaced: list[Sighting] = []
        self.alerts = Alerts(self.now, lambda: 0.0)
        self.shared_log = shared_log
        if log is not None and shared_log is None:
            self.shared_log = SharedLog(ServerLog(log), directory, elapsed=lambda: self.seconds)
        self.intake = Intake(
            client="default",
            directory=directory,
            interval=FIVE_MINUTES,
            patience=replace(PATIENCE, quiet=quiet, reads_log=log is not None, serves_sftp=serves_sftp),
            verdicts=None if self.shared_log is None else self.shared_log.of(directory),
            now=self.now,
            elapsed=elapsed or (lambda: self.seconds),
            alerts=self.alerts,
            hand_on=hand_on or self.batches.append,
            tell_doubt=self.in_doubt.append,
            tell_replaced=self.replaced.append,
        )

    async def close(self) -> None:
        await self.intake.close()
        if self.shared_log is not None:
            self.shared_log.close()

    def now(self) -> dt.datetime:
        return dt.datetime(2026, 7, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=self.seconds)

    def put(self, name: str, content: bytes = CONTENT) -> Path:
        (self.directory / name).write_bytes(content)
        return self.directory / name

    def logs(self, result: str, path: str, size: int = len(CONTENT)) -> None:
        assert self.log is not None
        head = f"Wed Jul  1 12:00:00 2026 [pid 7] [ftp] {result} UPLOAD: "
        with self.log.open("a", encoding="ascii") as file:
            file.write(f'{head}Client "127.0.0.1", "{path}", {size} bytes, 1.00Kbyte/sec\n')

    @property
    def watch(self) -> Supervisor:
        return self.intake.watch

    async def scan(self) -> None:
        await self.watch.step()
        await self.intake.rescan()

    async def live(self) -> None:
        """Look after the watch until its events can be relied on and all is scanned."""
        async with asyncio.timeout(20):
            await self.watch.step()
            while not self.watch.is_live:
                await self.watch.wait()
                await self.watch.step()
        await self.look()

    async def tick(self) -> list[str]:
        """Have a tick; returns the names that it handed on."""
        before = len(self.batches)
        await self.watch.step()
        await self.intake.have_tick()
        return [each.name for batch in self.batches[before:] for each in batch]

    async def hear(self, condition: Callable[[], bool]) -> None:
        """Look at what events mark until the condition holds."""
        for _ in range(1000):
            if condition():
                return
            await self.intake.wait()
            await self.intake.look_again()
        pytest.fail("it was never heard of")

    async def look(self) -> None:
        if self.shared_log is not None:
            await self.shared_log.refresh()
        await self.intake.look_again()

    async def settle(self) -> None:
        """Scan, let the quiet time pass, and scan again."""
        await self.scan()
        self.seconds += PATIENCE.long_quiet
        await self.scan()

    def alert(self, kind: AlertKind) -> str | None:
        """The detail of an open alert."""
        found = [str(alert.detail) for alert in self.alerts.board.alerts if alert.kind is kind and is_open(alert)]
        return found[0] if found else None


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    directory = tmp_path / "upload"
    directory.mkdir()
    return directory


@pytest.fixture
async def desk(upload: Path) -> AsyncIterator[Desk]:
    made = Desk(upload)
    yield made
    await made.intake.close()


@pytest.fixture
async def logged(upload: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(upload, log=tmp_path / "vsftpd.log")
    yield made
    await made.close()


# Settling


async def test_a_file_settles_when_it_was_left_alone_for_the_quiet_time(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.scan()
    assert (desk.intake.unsettled, desk.intake.settled) == (1, 0)
    desk.seconds += 29
    await desk.look()
    assert desk.intake.settled == 0
    desk.seconds += 1
    await desk.look()
    assert (desk.intake.unsettled, desk.intake.settled) == (0, 1)


async def test_a_file_that_changes_is_not_settled_and_waits_anew(desk: Desk) -> None:
    file = desk.put("a.csv")
    await desk.scan()
    desk.seconds += 29
    file.write_bytes(CONTENT * 2)
    await desk.scan()
    desk.seconds += 29
    await desk.scan()
    assert desk.intake.settled == 0
    desk.seconds += 1
    await desk.scan()
    assert desk.intake.settled == 1


async def test_a_settled_file_that_changes_before_the_tick_is_not_handed_on(desk: Desk) -> None:
    file = desk.put("a.csv")
    await desk.settle()
    file.write_bytes(CONTENT * 2)
    with capture_logs() as logs:
        assert await desk.tick() == []
    assert [each["event"] for each in logs] == ["upload_resumed"]
    await desk.settle()
    assert await desk.tick() == ["a.csv"]


async def test_a_settled_file_that_is_removed_before_the_tick_is_not_handed_on(desk: Desk) -> None:
    file = desk.put("a.csv")
    await desk.settle()
    file.unlink()
    assert await desk.tick() == []
    assert (desk.intake.unsettled, desk.intake.settled) == (0, 0)


async def test_temporary_names_are_passed_over_until_they_are_renamed(desk: Desk) -> None:
    file = desk.put("a.csv.filepart")
    await desk.settle()
    assert desk.intake.settled == 0
    file.rename(desk.directory / "a.csv")
    await desk.settle()
    assert await desk.tick() == ["a.csv"]


async def test_a_file_renamed_into_place_settles_after_the_short_time(desk: Desk) -> None:
    await desk.live()
    desk.put(".in.a.csv").rename(desk.directory / "a.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)
    desk.seconds += PATIENCE.proven
    await desk.look()
    assert await desk.tick() == ["a.csv"]
    ((upload,),) = desk.batches
    assert upload.evidence is Evidence.RENAME


async def test_a_rename_says_nothing_of_a_later_file_of_that_name(desk: Desk) -> None:
    await desk.live()
    desk.put(".in.a.csv").rename(desk.directory / "a.csv")
    (desk.directory / "a.csv").unlink()
    desk.put("last.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)
    desk.put("a.csv")
    await desk.hear(lambda: desk.intake.unsettled == 2)
    desk.seconds += PATIENCE.proven
    await desk.scan()
    assert desk.intake.settled == 0


async def test_an_event_is_enough_to_see_a_file(desk: Desk) -> None:
    await desk.scan()
    desk.put("a.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)


# Ticks


async def test_a_tick_hands_a_file_on_once(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.settle()
    assert await desk.tick() == ["a.csv"]
    await desk.settle()
    assert await desk.tick() == []


async def test_what_was_released_and_still_lies_there_settles_again(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.settle()
    await desk.tick()
    desk.intake.release(["a.csv"])
    await desk.look()
    assert (desk.intake.unsettled, desk.intake.settled) == (1, 0)
    desk.seconds += PATIENCE.quiet
    await desk.look()
    assert await desk.tick() == ["a.csv"]


async def test_what_was_released_and_is_gone_is_forgotten(desk: Desk) -> None:
    file = desk.put("a.csv")
    await desk.settle()
    await desk.tick()
    file.unlink()
    desk.intake.release(["a.csv"])
    await desk.look()
    assert (desk.intake.unsettled, desk.intake.settled) == (0, 0)


async def test_an_upload_that_came_while_its_name_was_handed_on_is_seen_at_the_release(desk: Desk) -> None:
    file = desk.put("a.csv")
    await desk.settle()
    await desk.tick()
    file.unlink()
    desk.put("a.csv", CONTENT * 2)
    desk.put("other.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)
    desk.intake.release(["a.csv"])
    await desk.look()
    assert desk.intake.unsettled == 2


async def test_a_file_that_is_not_settled_waits_for_a_later_tick(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.settle()
    desk.put("b.csv")
    assert await desk.tick() == ["a.csv"]
    await desk.settle()
    assert await desk.tick() == ["b.csv"]


async def test_the_oldest_file_is_handed_on_first(desk: Desk) -> None:
    for name in ("c.csv", "a.csv", "b.csv"):
        file = desk.put(name)
        before = file.stat().st_ctime_ns
        wait_until(lambda file=file, before=before: _touched(file) > before, "a clock tick of the file system")  # type: ignore[misc]
    await desk.settle()
    assert await desk.tick() == ["c.csv", "a.csv", "b.csv"]


def _touched(file: Path) -> int:
    os.utime(file)
    return file.stat().st_ctime_ns


async def test_one_settling_waits_out_the_quiet_time_and_has_one_tick(upload: Path) -> None:
    seconds = count(1000.0, 0.07)
    desk = Desk(upload, quiet=0.3, elapsed=lambda: next(seconds))
    desk.put("a.csv")
    desk.put("b.xlsx")
    await desk.intake.settle(asyncio.Event())
    await desk.close()
    assert [each.name for batch in desk.batches for each in batch] == ["a.csv"]


async def test_a_run_has_its_tick_when_it_is_asked_for_and_ends_when_it_is_to_stop(upload: Path) -> None:
    stopping, ticked = asyncio.Event(), asyncio.Event()

    batches: list[list[Upload]] = []

    def hand_on(batch: list[Upload]) -> None:
        batches.append(batch)
        ticked.set()

    desk = Desk(upload, hand_on=hand_on)
    desk.intake.tick()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.intake.run(stopping))
        await ticked.wait()
        stopping.set()
        desk.intake.wake()
    assert batches == [[]]


# The server's log


async def test_an_ok_in_the_log_settles_a_file_after_the_short_time(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    await logged.scan()
    logged.logs("OK", "/a.csv")
    logged.seconds += PATIENCE.proven
    await logged.look()
    assert await logged.tick() == ["a.csv"]
    ((upload,),) = logged.batches
    assert upload.evidence is Evidence.SERVER_LOG


async def test_an_upload_that_was_cut_off_is_held_and_told_once(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("FAIL", "/a.csv")
    for _ in range(3):
        await logged.settle()
        assert await logged.tick() == []
    assert [seen.name for seen in logged.in_doubt] == ["a.csv"]
    assert (logged.intake.unsettled, logged.intake.settled) == (0, 0)


async def test_an_upload_that_was_cut_off_again_elsewhere_is_told_again(logged: Desk) -> None:
    await logged.scan()
    for size in (5, 9):
        logged.put("a.csv", b"x" * size)
        logged.logs("FAIL", "/a.csv", size)
        await logged.scan()
        logged.seconds += SELF_RETRY_SECONDS
        await logged.scan()
        await logged.scan()
    assert [seen.content.size for seen in logged.in_doubt] == [5, 9]


async def test_an_upload_that_was_cut_off_is_taken_when_it_is_sent_again(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv", b"x")
    logged.logs("FAIL", "/a.csv", 1)
    await logged.scan()
    logged.put("a.csv")
    logged.logs("OK", "/a.csv")
    await logged.scan()
    logged.seconds += PATIENCE.proven
    assert await logged.tick() == ["a.csv"]
    logged.seconds += SELF_RETRY_SECONDS
    await logged.look()
    assert logged.in_doubt == [], "nobody is told of what its client has put right by itself"


async def test_whose_upload_was_cut_off_is_told_when_there_was_time_to_try_again(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("FAIL", "/a.csv")
    await logged.scan()
    logged.seconds += SELF_RETRY_SECONDS - 1
    await logged.look()
    assert logged.in_doubt == []
    logged.seconds += 1
    await logged.intake.wait()  # which ends at once
    await logged.look()
    assert [seen.name for seen in logged.in_doubt] == ["a.csv"]


async def test_a_single_run_waits_for_no_client_to_try_again(logged: Desk) -> None:
    logged.put("a.csv")
    logged.logs("FAIL", "/a.csv")
    await logged.intake.settle(asyncio.Event())
    assert [seen.name for seen in logged.in_doubt] == ["a.csv"]


async def test_a_log_that_calls_files_by_other_paths_is_told_until_it_calls_one_by_its_own(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("OK", "/srv/upload/b.csv")
    await logged.scan()
    assert not logged.alerts.is_open(AlertKind.SERVER_LOG, "default")
    logged.logs("OK", "/srv/upload/a.csv")
    await logged.scan()
    (alert,) = logged.alerts.board.alerts
    assert (alert.kind, str(alert.detail)) == (
        AlertKind.SERVER_LOG,
        "a.csv lies here, and the log calls it /srv/upload/a.csv",
    )
    logged.put("c.csv")
    logged.logs("OK", "/c.csv")
    await logged.scan()
    assert not logged.alerts.is_open(AlertKind.SERVER_LOG, "default")


async def test_a_verdict_is_not_given_to_another_file_that_is_logged_alike(logged: Desk) -> None:
    await logged.scan()
    logged.put("é.csv", b"cut off")
    await logged.scan()
    logged.put("è.csv")
    logged.logs("OK", "/??.csv")
    await logged.scan()
    logged.seconds += PATIENCE.quiet
    assert await logged.tick() == []


async def test_a_verdict_is_not_given_to_another_file_when_one_of_them_is_being_imported(logged: Desk) -> None:
    logged.put("é.csv")
    await logged.settle()
    assert await logged.tick() == ["é.csv"]
    logged.put("è.csv")
    logged.logs("OK", "/??.csv")
    await logged.scan()
    logged.seconds += PATIENCE.quiet
    assert await logged.tick() == []


async def test_an_upload_whose_end_is_not_in_a_log_that_tells_of_others_is_held_and_told_once(logged: Desk) -> None:
    logged.logs("OK", "/earlier.csv")
    await logged.scan()
    logged.put("a.csv")
    for _ in range(3):
        await logged.settle()
        assert await logged.tick() == []
    assert [seen.name for seen in logged.in_doubt] == ["a.csv"]
    logged.logs("OK", "/a.csv")
    await logged.look()
    assert await logged.tick() == ["a.csv"], "the line came late"


async def test_another_accounts_refused_upload_of_the_same_name_leaves_a_complete_file_complete(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("OK", "/a.csv")
    await logged.scan()
    logged.logs("FAIL", "/a.csv", 0)
    await logged.look()
    logged.seconds += PATIENCE.proven
    await logged.look()
    logged.logs("FAIL", "/a.csv", 0)
    logged.logs("FAIL", "/a.csv", 7)
    await logged.look()
    assert await logged.tick() == ["a.csv"]
    assert logged.in_doubt == []


async def test_an_upload_that_was_resumed_while_the_service_was_down_is_complete(logged: Desk) -> None:
    logged.put("a.csv", b"x" * 15_720)
    logged.logs("FAIL", "/a.csv", 5_000)
    logged.logs("OK", "/a.csv", 10_720)
    await logged.scan()
    logged.seconds += PATIENCE.proven
    assert await logged.tick() == ["a.csv"]
    assert [upload.evidence for (upload,) in logged.batches] == [Evidence.SERVER_LOG]


async def test_files_that_were_put_back_while_the_service_was_down_are_not_called_cut(logged: Desk) -> None:
    """As by rsync from a backup: the log has never told of them."""
    logged.logs("OK", "/earlier.csv")
    logged.put("a.csv")
    await logged.scan()
    logged.seconds += PATIENCE.quiet
    assert await logged.tick() == [], "nothing says that they are complete either"
    await logged.settle()
    assert await logged.tick() == ["a.csv"]
    assert logged.in_doubt == []
    (*_, (upload,)) = logged.batches
    assert (upload.evidence, upload.is_end_unseen) == (Evidence.LONG_QUIET, True)


async def test_files_that_came_while_their_directory_was_away_are_not_called_cut(logged: Desk, tmp_path: Path) -> None:
    logged.logs("OK", "/earlier.csv")
    await logged.scan()
    away = logged.directory.rename(tmp_path / "away")
    await logged.scan()
    (away / "a.csv").write_bytes(CONTENT)
    away.rename(logged.directory)
    await logged.settle()
    assert await logged.tick() == ["a.csv"]


async def test_an_empty_upload_from_while_the_service_was_down_is_handed_on_to_be_refused(logged: Desk) -> None:
    logged.logs("OK", "/earlier.csv")
    logged.put("a.csv", b"")
    await logged.settle()
    assert await logged.tick() == ["a.csv"]
    ((upload,),) = logged.batches
    assert not upload.is_end_unseen


async def test_in_a_log_that_has_told_of_no_upload_here_silence_means_nothing(logged: Desk) -> None:
    logged.logs("OK", "/elsewhere/earlier.csv")
    logged.put("a.csv")
    await logged.settle()
    assert await logged.tick() == ["a.csv"]


async def test_silence_means_nothing_where_lines_may_have_been_lost_since_the_file_came(logged: Desk) -> None:
    assert logged.log is not None
    for _ in range(3):
        logged.logs("OK", "/earlier.csv")
    await logged.scan()
    logged.put("a.csv")
    await logged.scan()
    logged.log.write_bytes(b"")
    await logged.scan()
    await logged.settle()
    assert await logged.tick() == ["a.csv"]
    logged.put("b.csv")
    logged.seconds += 1
    await logged.settle()
    assert await logged.tick() == []


async def test_what_was_released_untouched_keeps_what_the_log_said_of_it(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("OK", "/a.csv")
    await logged.scan()
    logged.seconds += PATIENCE.proven
    for _ in range(3):
        assert await logged.tick() == ["a.csv"]
        logged.intake.release(["a.csv"])
        await logged.look()
        logged.seconds += PATIENCE.proven
    assert logged.in_doubt == []


@pytest.mark.parametrize("looks", [True, False], ids=["looked for while it is away", "found gone by a scan"])
async def test_what_the_log_said_of_files_outlasts_a_directory_that_is_away(
    logged: Desk, tmp_path: Path, *, looks: bool
) -> None:
    """A whole upload is not called cut because the log says nothing of it again, and a cut one not whole."""
    await logged.scan()
    for result, name in (("OK", "whole.csv"), ("FAIL", "cut.csv")):
        logged.put(name)
        logged.logs(result, f"/{name}")
    await logged.scan()
    logged.seconds += SELF_RETRY_SECONDS
    await logged.look()
    assert [seen.name for seen in logged.in_doubt] == ["cut.csv"]
    away = logged.directory.rename(tmp_path / "away")
    if looks:
        await logged.intake.look_at(["whole.csv", "cut.csv"])
    await logged.settle()
    away.rename(logged.directory)
    await logged.settle()
    assert await logged.tick() == ["whole.csv"]
    assert {seen.name for seen in logged.in_doubt} == {"cut.csv"}


async def test_what_the_log_said_of_files_outlasts_a_client_that_is_gone_and_is_found_again(
    logged: Desk, tmp_path: Path
) -> None:
    await logged.scan()
    for result, name in (("OK", "whole.csv"), ("FAIL", "cut.csv")):
        logged.put(name)
        logged.logs(result, f"/{name}")
    await logged.settle()
    away = logged.directory.rename(tmp_path / "away")
    await logged.scan()
    await logged.intake.close()
    away.rename(logged.directory)
    found_again = Desk(logged.directory, log=logged.log, shared_log=logged.shared_log)
    found_again.put("another.csv")
    found_again.logs("OK", "/another.csv")
    await found_again.settle()
    assert {*await found_again.tick()} == {"whole.csv", "another.csv"}
    assert [seen.name for seen in found_again.in_doubt] == ["cut.csv"]
    await found_again.intake.close()


async def test_what_was_taken_while_its_directory_went_away_keeps_what_the_log_said_of_it(
    logged: Desk, tmp_path: Path
) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("OK", "/a.csv")
    await logged.scan()
    logged.seconds += PATIENCE.proven
    assert await logged.tick() == ["a.csv"]
    away = logged.directory.rename(tmp_path / "away")
    logged.intake.release(["a.csv"])
    await logged.look()
    await logged.settle()
    away.rename(logged.directory)
    await logged.settle()
    assert logged.in_doubt == []
    assert await logged.tick() == ["a.csv"]


async def test_a_log_that_cannot_be_read_costs_only_time(upload: Path, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    desk = Desk(upload, log=tmp_path / "log")
    desk.put("a.csv")
    await desk.settle()
    assert await desk.tick() == ["a.csv"]
    await desk.close()


# Alerts


async def test_odd_files_alert_until_they_are_gone(desk: Desk) -> None:
    file = desk.put("students\u202e.xlsx")
    await desk.scan()
    assert desk.alert(AlertKind.ODD_FILE) == r"students\u202e.xlsx"
    file.unlink()
    await desk.scan()
    assert desk.alert(AlertKind.ODD_FILE) is None


@pytest.mark.parametrize("kind", ["fifo", "symlink", "hard link", "directory", *DEVICES])
async def test_what_is_no_plain_file_alerts_and_is_left_alone(desk: Desk, tmp_path: Path, kind: str) -> None:
    path = desk.directory / "x.csv"
    (tmp_path / "target").write_bytes(CONTENT)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "symlink":
            path.symlink_to(tmp_path / "target")
        case "hard link":
            path.hardlink_to(tmp_path / "target")
        case "directory":
            path.mkdir()
        case _:
            make_device(path, kind)
    with capture_logs() as logged:
        for _ in range(2):  # told once, however often it is seen
            await desk.settle()
            assert await desk.tick() == []
            cure = (
                " has other names as well (hard links); it is imported once this one is its only name"
                if kind == "hard link"
                else ""
            )
            assert desk.alert(AlertKind.ODD_FILE) == f"x.csv{cure}"
    assert [each["event"] for each in logged if each.get("kind") == "odd_file"] == ["alert_opened"]
    if kind == "directory":
        path.rmdir()
    else:
        path.unlink()
    await desk.scan()
    assert desk.alert(AlertKind.ODD_FILE) is None


async def test_of_many_odd_files_some_of_each_kind_are_named_and_all_are_counted(desk: Desk) -> None:
    for number in range(12):
        desk.put(f"{number:02}.done")
    desk.put("users.xlsx")
    await desk.scan()
    told = desk.alert(AlertKind.ODD_FILE)
    assert told is not None
    assert told.startswith("13 in all, 00.done, ")
    assert told.endswith(", users.xlsx")
    left = desk.intake.snapshot().left_alone
    assert (left.files, {each.file for each in left.shown} >= {"users.xlsx", "11.done"}) == (13, True)


async def test_what_nothing_will_be_done_with_is_told_after_an_hour_in_one_alert(logged: Desk) -> None:
    await logged.scan()
    draft = logged.put("b.csv.part")
    for number in range(11):
        logged.put(f"cut-{number:02}.csv")
        logged.logs("FAIL", f"/cut-{number:02}.csv")
    await logged.scan()
    logged.seconds += STUCK_SECONDS - 1
    await logged.scan()
    assert logged.alert(AlertKind.STUCK_FILES) is None
    logged.seconds += 1
    await logged.scan()
    names = ", ".join(f"cut-{number:02}.csv" for number in range(10))
    assert logged.alert(AlertKind.STUCK_FILES) == (
        f"cut off, or not known to be whole: 11 in all, {names}, under a temporary name: b.csv.part"
    )
    draft.unlink()
    for number in range(11):
        (logged.directory / f"cut-{number:02}.csv").unlink()
    await logged.scan()
    assert logged.alert(AlertKind.STUCK_FILES) is None


async def test_what_is_left_alone_is_shown_with_its_reason(desk: Desk) -> None:
    desk.put("a.csv.part")
    desk.put("b.xlsx")
    (desk.directory / "2026" / "07").mkdir(parents=True)
    desk.put("2026/07/c.csv")
    await desk.scan()
    snapshot = desk.intake.snapshot()
    assert (snapshot.waiting.files, snapshot.left_alone.files) == (0, 3)
    assert {each.file: each.reason for each in snapshot.left_alone.shown} == {
        "a.csv.part": WaitReason.TEMPORARY_NAME,
        "b.xlsx": WaitReason.OTHER_NAME,
        "2026/07/c.csv": WaitReason.IN_A_FOLDER,
    }


async def test_a_log_that_tells_of_no_upload_though_files_come_is_told_after_an_hour(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    await logged.scan()
    assert logged.intake.snapshot().server_log is LogState.HAS_TOLD_NOTHING
    logged.seconds += STUCK_SECONDS
    await logged.scan()
    assert "has told of no upload" in str(logged.alert(AlertKind.SERVER_LOG))
    logged.put("b.csv")
    logged.logs("OK", "/b.csv")
    await logged.scan()
    assert logged.alert(AlertKind.SERVER_LOG) is None
    assert logged.intake.file("b.csv").server_log is LogState.TELLS


async def test_where_files_come_by_sftp_too_a_log_that_tells_of_no_upload_is_no_fault(
    upload: Path, tmp_path: Path
) -> None:
    desk = Desk(upload, log=tmp_path / "vsftpd.log", serves_sftp=True)
    await desk.scan()
    desk.put("a.csv")
    await desk.scan()
    desk.seconds += STUCK_SECONDS
    await desk.scan()
    assert desk.alert(AlertKind.SERVER_LOG) is None
    await desk.close()


async def test_a_log_that_cannot_be_read_for_an_hour_is_told_of_the_service_as_a_whole(
    upload: Path, tmp_path: Path
) -> None:
    (tmp_path / "log").mkdir()
    desk = Desk(upload, log=tmp_path / "log")
    await desk.scan()
    await desk.look()
    assert desk.intake.snapshot().server_log is LogState.UNREADABLE
    assert not desk.alerts.is_open(AlertKind.SERVER_LOG)
    desk.seconds += STUCK_SECONDS
    await desk.scan()
    assert desk.alert(AlertKind.SERVER_LOG) == "the log cannot be read: Is a directory"
    assert desk.alerts.is_open(AlertKind.SERVER_LOG, "")
    (tmp_path / "log").rmdir()
    (tmp_path / "log").touch()
    await desk.look()
    await desk.scan()
    assert not desk.alerts.is_open(AlertKind.SERVER_LOG)
    await desk.close()


async def test_a_complete_file_that_is_replaced_before_its_tick_is_told(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("OK", "/a.csv")
    await logged.scan()
    logged.seconds += PATIENCE.proven
    await logged.look()
    newer = CONTENT + b"U2\n"
    logged.put("a.csv", newer)
    logged.logs("OK", "/a.csv", len(newer))
    await logged.scan()
    logged.seconds += PATIENCE.proven
    assert await logged.tick() == ["a.csv"]
    assert [seen.content.size for seen in logged.replaced] == [len(CONTENT)]


async def test_a_complete_file_that_is_gone_on_with_is_not_replaced(logged: Desk) -> None:
    await logged.scan()
    logged.put("a.csv")
    logged.logs("OK", "/a.csv")
    await logged.scan()
    logged.seconds += PATIENCE.proven
    await logged.look()
    logged.put("a.csv", CONTENT + b"U2\n")
    logged.logs("OK", "/a.csv", 3)
    await logged.scan()
    logged.seconds += PATIENCE.proven
    assert await logged.tick() == ["a.csv"]
    assert logged.replaced == []


async def test_a_file_that_was_imported_while_a_newer_one_of_its_name_came_is_not_called_replaced(desk: Desk) -> None:
    await desk.scan()
    desk.put("a.csv")
    await desk.settle()
    assert await desk.tick() == ["a.csv"]
    (desk.directory / "a.csv").unlink()  # as the import does
    desk.put("a.csv", CONTENT + b"U2\n")
    desk.intake.release(["a.csv"])
    await desk.look()
    await desk.settle()
    assert await desk.tick() == ["a.csv"]
    assert desk.replaced == []


async def test_a_file_that_goes_before_its_tick_is_logged_and_one_that_was_imported_is_not(desk: Desk) -> None:
    await desk.scan()
    for name in ("a.csv", "b.csv"):
        desk.put(name)
    await desk.settle()
    (desk.directory / "b.csv").unlink()
    with capture_logs() as logged:
        assert await desk.tick() == ["a.csv"]
        (desk.directory / "a.csv").unlink()  # as the import does
        desk.intake.release(["a.csv"])
        await desk.look()
        await desk.scan()
    assert [each["file"] for each in logged if each["event"] == "upload_gone"] == ["b.csv"]


async def test_a_plain_file_in_place_of_an_odd_one_is_taken(desk: Desk) -> None:
    (desk.directory / "x.csv").symlink_to("nowhere")
    await desk.scan()
    (desk.directory / "x.csv").unlink()
    desk.put("x.csv")
    await desk.settle()
    assert desk.alert(AlertKind.ODD_FILE) is None
    assert await desk.tick() == ["x.csv"]


@pytest.mark.parametrize("mend", [lambda file: file.chmod(0o600), Path.unlink], ids=["readable", "gone"])
async def test_a_file_that_cannot_be_read_alerts_until_it_can_be_or_is_gone(
    desk: Desk, mend: Callable[[Path], None]
) -> None:
    file = desk.put("a.csv")
    file.chmod(0)
    with obeying_file_modes():
        await desk.scan()
        assert desk.alert(AlertKind.UNREADABLE_FILE) == "a.csv"
        desk.put("b.csv")
        await desk.intake.look_at(["b.csv"])
        assert desk.alert(AlertKind.UNREADABLE_FILE) == "a.csv", "another file says nothing of it"
        mend(file)
        await desk.scan()
        assert desk.alert(AlertKind.UNREADABLE_FILE) is None


async def test_a_directory_that_vanishes_alerts_and_is_watched_again_when_it_is_back(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.scan()
    shutil.rmtree(desk.directory)
    await desk.tick()
    assert desk.alert(AlertKind.UPLOAD_DIRECTORY) is not None
    assert desk.alert(AlertKind.WATCH) is None, "one alert will do"
    assert (desk.intake.unsettled, desk.intake.settled) == (0, 0), "nothing is due that cannot be looked at"
    desk.directory.mkdir()
    desk.put("b.csv")
    await desk.settle()
    assert desk.alert(AlertKind.UPLOAD_DIRECTORY) is None
    assert desk.alert(AlertKind.WATCH) is None
    assert await desk.tick() == ["b.csv"]
    desk.put("c.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)


async def test_a_directory_that_became_a_file_alerts(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.settle()
    shutil.rmtree(desk.directory)
    desk.directory.touch()
    await desk.intake.look_at(["a.csv"])
    assert await desk.tick() == []
    assert desk.alert(AlertKind.UPLOAD_DIRECTORY) is not None
    desk.directory.unlink()


async def test_a_directory_that_was_replaced_is_watched_anew(desk: Desk, tmp_path: Path) -> None:
    await desk.live()
    desk.directory.rename(tmp_path / "away")
    desk.directory.mkdir()
    desk.seconds += FIVE_MINUTES.total_seconds()
    await desk.tick()
    await desk.live()
    desk.put("a.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)


@pytest.mark.timeout(20)
async def test_a_tick_comes_at_the_wall_clocks_multiple_and_not_an_interval_after_the_start(tmp_path: Path) -> None:
    ticks: list[float] = []
    ticked = asyncio.Event()

    desk = Desk(tmp_path, hand_on=lambda _: note())  # it opens at 00:16:40

    def note() -> None:
        ticks.append(desk.seconds)
        ticked.set()

    async def look_at(seconds: float) -> None:
        """Return when it has woken at that time, and waits again."""
        desk.seconds = seconds
        desk.intake.wake()
        while desk.intake.got_on < seconds:  # noqa: ASYNC110 - nothing else tells of a look at nothing
            await asyncio.sleep(0)

    stopping = asyncio.Event()
    running = asyncio.create_task(desk.intake.run(stopping))
    await look_at(1001)
    for early, due in ((1199, 1200), (1499, 1500)):
        await look_at(early)
        await look_at(due)
        await ticked.wait()
        ticked.clear()
    assert ticks == [1200, 1500]
    stopping.set()
    desk.intake.wake()
    await running


async def test_the_snapshot_says_why_each_file_waits_and_until_when(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.scan()
    (shown,) = desk.intake.snapshot().waiting.shown
    assert (shown.file, shown.bytes, shown.reason) == ("a.csv", len(CONTENT), WaitReason.QUIET)
    assert shown.since == desk.now()
    assert shown.until == desk.now() + dt.timedelta(seconds=PATIENCE.quiet)


async def test_the_snapshot_shows_a_complete_file_until_a_tick_hands_it_on(desk: Desk) -> None:
    desk.put("a.csv")
    await desk.scan()
    desk.seconds += PATIENCE.quiet
    await desk.scan()
    assert [each.reason for each in desk.intake.snapshot().waiting.shown] == [WaitReason.COMPLETE]
    await desk.intake.have_tick()
    assert desk.intake.snapshot().waiting.files == 0


async def test_what_is_known_of_one_file_follows_it_from_its_first_sight_until_it_is_dealt_with(desk: Desk) -> None:
    assert desk.intake.file("a.csv").waiting is None
    desk.put("a.csv")
    await desk.settle()
    known = desk.intake.file("a.csv")
    assert known.waiting is not None
    assert (known.waiting.reason, known.is_handed_on) == (WaitReason.COMPLETE, False)
    await desk.tick()
    assert (desk.intake.file("a.csv").waiting, desk.intake.file("a.csv").is_handed_on) == (None, True)
    desk.intake.release(["a.csv"])
    assert not desk.intake.file("a.csv").is_handed_on


async def test_a_link_is_known_to_be_no_plain_file(desk: Desk) -> None:
    (desk.directory / "a.csv").symlink_to("/nowhere")
    await desk.scan()
    known = desk.intake.file("a.csv").waiting
    assert known is not None
    assert known.reason is WaitReason.NOT_A_PLAIN_FILE


async def test_the_snapshot_shows_a_link_that_is_no_plain_file(desk: Desk) -> None:
    (desk.directory / "a.csv").symlink_to("/nowhere")
    await desk.intake.look_at(["a.csv"])
    assert [each.reason for each in desk.intake.snapshot().waiting.shown] == [WaitReason.NOT_A_PLAIN_FILE]


async def test_files_are_counted_by_their_states_until_they_are_dealt_with(desk: Desk) -> None:
    desk.put("a.csv")
    (desk.directory / "b.csv").symlink_to("/nowhere")
    await desk.scan()
    assert desk.intake.gauges().files == {WaitReason.QUIET: 1, WaitReason.NOT_A_PLAIN_FILE: 1}
    await desk.settle()
    found = desk.intake.gauges()
    assert (found.files[WaitReason.COMPLETE], found.bytes[WaitReason.COMPLETE]) == (1, len(CONTENT))
    assert found.oldest_seconds == PATIENCE.long_quiet
    await desk.tick()
    desk.seconds += 7
    found = desk.intake.gauges()
    assert (found.files[IMPORTING], found.files[WaitReason.COMPLETE], found.tick_seconds) == (1, 0, 7.0)
    (desk.directory / "a.csv").unlink()
    desk.intake.release(["a.csv"])
    await desk.scan()
    assert desk.intake.gauges().files.total() == 1


async def test_a_look_at_many_files_gets_on_again_and_again(desk: Desk) -> None:
    desk.put("a.csv")
    desk.seconds += 9
    assert desk.intake.got_on < desk.seconds
    await desk.scan()
    assert desk.intake.got_on == desk.seconds


async def test_the_numbers_are_those_of_the_snapshot_which_shows_some_of_many_files(upload: Path) -> None:
    log = upload.parent / "vsftpd.log"
    log.touch()
    desk = Desk(upload, log=log)
    for number in range(MOST_FILES_SHOWN):
        desk.put(f"{number}.csv")
    for name in ("cut.csv", "silent.csv", "done.csv"):
        desk.put(name)
    (upload / "link.csv").symlink_to("/nowhere")
    await desk.scan()
    desk.logs("FAIL", str(upload / "cut.csv"))
    desk.logs("OK", str(upload / "done.csv"))
    desk.seconds += PATIENCE.proven
    await desk.scan()
    shown, found = desk.intake.snapshot().waiting, desk.intake.gauges()
    assert len(shown.shown) == MOST_FILES_SHOWN
    assert shown.files == desk.intake.outstanding == found.files.total() == MOST_FILES_SHOWN + 4
    assert shown.bytes == found.bytes.total() == (MOST_FILES_SHOWN + 3) * len(CONTENT)
    for name in ("cut.csv", "silent.csv", "done.csv", "link.csv"):
        known = desk.intake.file(name).waiting
        assert known is not None
        assert found.files[known.reason] >= 1
    await desk.close()

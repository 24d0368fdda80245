"""Disasters that befall the watch on a real directory: imports go on within two ticks, one alert, one resolution."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from watchdog.observers.inotify_c import InotifyConstants, inotify_rm_watch

from notifier.model import AlertKind
from tests.rights import mode, obeying_file_modes
from tests.servers.tools import needs, unavailable
from tests.watcher.uploads.test_intake import FIVE_MINUTES, Desk
from watcher.uploads.model import Evidence
from watcher.uploads.observing import Observer
from watcher.uploads.supervision import CHECK_SECONDS, HEARING_SECONDS

Logged = list[structlog.typing.EventDict]

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    directory = tmp_path / "upload"
    directory.mkdir()
    return directory


@pytest.fixture
async def desk(upload: Path) -> AsyncIterator[Desk]:
    made = Desk(upload)
    await made.live()
    yield made
    await made.intake.close()


@pytest.fixture
def logged() -> Iterator[Logged]:
    with structlog.testing.capture_logs() as events:
        yield events


def observer_of(desk: Desk) -> Observer:
    watch = desk.watch._watch  # noqa: SLF001
    assert watch is not None
    assert watch._joined is not None  # noqa: SLF001
    return watch._joined.observer  # noqa: SLF001


async def pass_time(desk: Desk, seconds: float, *, hearing: float = 5) -> None:
    """Let time pass for the supervisor, in steps in which a canary may be heard within so many real seconds."""
    until = desk.seconds + seconds
    while desk.seconds < until:
        desk.seconds = min(until, desk.seconds + CHECK_SECONDS)
        await desk.watch.step()
        with contextlib.suppress(TimeoutError):
            while desk.watch._known.heard_by is not None:  # noqa: SLF001
                await asyncio.wait_for(desk.watch._awake.wait(), hearing)  # noqa: SLF001
                desk.watch._awake.clear()  # noqa: SLF001
                await desk.watch.step()


async def window(desk: Desk) -> list[str]:
    """Let an interval pass, with the scans that are due in it; returns what the tick at its end handed on."""
    until = desk.seconds + FIVE_MINUTES.total_seconds()
    while desk.seconds < until:
        await pass_time(desk, FIVE_MINUTES.total_seconds() / 5)
        await desk.look()
    return await desk.tick()


def changes(logged: Logged) -> list[tuple[str, str]]:
    return [(event["from"], event["to"]) for event in logged if event["event"] == "watch_changed"]


def alerts(logged: Logged) -> list[tuple[str, str]]:
    return [(event["event"], event["kind"]) for event in logged if event["event"].startswith("alert_")]


def told_once(kind: AlertKind) -> list[tuple[str, str]]:
    return [("alert_opened", kind.value), ("alert_resolved", kind.value)]


def the_reading_thread_ends(desk: Desk) -> None:
    observer = observer_of(desk)
    observer.stop()
    observer.join()


def the_reading_thread_fails(desk: Desk) -> None:
    observer = observer_of(desk)
    observer.handle_event = lambda _: 1 / 0  # type: ignore[assignment]
    desk.put("unheard.csv")
    observer.join()


def the_kernel_lets_go_of_the_watch(desk: Desk) -> None:
    """As where the file system is unmounted."""
    watch = desk.watch._watch  # noqa: SLF001
    assert watch is not None
    assert watch._joined is not None  # noqa: SLF001
    inotify_rm_watch(observer_of(desk)._inotify_fd, watch._joined.watch)  # noqa: SLF001


def the_root_is_deleted_and_made_again(desk: Desk) -> None:
    shutil.rmtree(desk.directory)
    desk.directory.mkdir()


def the_root_is_renamed_and_made_again(desk: Desk) -> None:
    desk.directory.rename(desk.directory.with_name("away"))
    desk.directory.mkdir()


@pytest.mark.parametrize(
    "strike",
    [
        the_reading_thread_ends,
        the_reading_thread_fails,
        the_kernel_lets_go_of_the_watch,
        the_root_is_deleted_and_made_again,
        the_root_is_renamed_and_made_again,
    ],
)
async def test_a_watch_that_was_struck_is_replaced_and_imports_go_on(
    desk: Desk, logged: Logged, strike: Callable[[Desk], None]
) -> None:
    strike(desk)
    desk.put("a.csv")
    assert "a.csv" in await window(desk) + await window(desk)
    assert alerts(logged) == told_once(AlertKind.WATCH)
    assert changes(logged) == [("live", "deaf"), ("deaf", "rebuilding"), ("rebuilding", "live")]
    desk.put("b.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)


async def test_a_link_in_place_of_the_root_is_as_if_the_root_were_away(desk: Desk, logged: Logged) -> None:
    """Whoever may write beside a client's folder may put one there."""
    away, other = desk.directory.with_name("away"), desk.directory.with_name("other")
    other.mkdir()
    (other / "others.csv").write_bytes(b"unique_id\nU1\n")
    before = other.stat()
    desk.put("a.csv")
    await desk.hear(lambda: desk.intake.unsettled == 1)
    desk.directory.rename(away)
    desk.directory.symlink_to(other)
    assert await window(desk) + await window(desk) == []
    assert desk.intake.outstanding == 0
    assert other.stat().st_mtime_ns == before.st_mtime_ns
    desk.directory.unlink()
    away.rename(desk.directory)
    assert await window(desk) + await window(desk) == ["a.csv"]
    assert alerts(logged) == told_once(AlertKind.UPLOAD_DIRECTORY)
    assert changes(logged)[-1] == ("scanning_only", "live")


async def test_a_root_that_is_away_for_a_while_is_watched_again_when_it_is_back(desk: Desk, logged: Logged) -> None:
    shutil.rmtree(desk.directory)
    assert await window(desk) == []
    desk.directory.mkdir()
    desk.put("a.csv")
    assert "a.csv" in await window(desk) + await window(desk)
    assert alerts(logged) == told_once(AlertKind.UPLOAD_DIRECTORY)
    assert changes(logged)[-1] == ("scanning_only", "live")


@contextlib.contextmanager
def threads_anew() -> Iterator[None]:
    """Other threads for the event loop's work meanwhile: those that are there have kept root's rights."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor() as executor:
        loop.set_default_executor(executor)
        yield
    loop.set_default_executor(ThreadPoolExecutor())


@pytest.mark.parametrize("mode_", [0, 0o500], ids=["of no use", "read-only"])
async def test_a_root_whose_mode_is_wrong_alerts_until_it_is_right(desk: Desk, logged: Logged, mode_: int) -> None:
    desk.put("a.csv")
    with mode(desk.directory, mode_), obeying_file_modes(), threads_anew():
        assert await window(desk) + await window(desk) == [], "what cannot be claimed is not handed on"
    assert alerts(logged) == told_once(AlertKind.UPLOAD_DIRECTORY)[:1]
    assert "a.csv" in await window(desk) + await window(desk)
    assert alerts(logged) == told_once(AlertKind.UPLOAD_DIRECTORY)
    assert changes(logged) == [], "whoever heard before still hears"


async def test_a_root_that_may_not_be_written_at_the_start_is_scanned_and_alerts(upload: Path, logged: Logged) -> None:
    desk = Desk(upload)
    desk.put("a.csv")
    with mode(upload, 0o500), obeying_file_modes(), threads_anew():
        await window(desk)
        assert desk.alert(AlertKind.UPLOAD_DIRECTORY) == f"{upload}: not writable: Permission denied"
    assert "a.csv" in await window(desk) + await window(desk)
    assert alerts(logged) == told_once(AlertKind.UPLOAD_DIRECTORY)
    assert changes(logged) == [("starting", "scanning_only"), ("scanning_only", "live")]
    await desk.intake.close()


@contextlib.contextmanager
def mounted_over(directory: Path) -> Iterator[None]:
    done = subprocess.run([needs("mount"), "-t", "tmpfs", "none", directory], check=False, capture_output=True)
    if done.returncode != 0:
        unavailable("only root may mount")
    try:
        yield
    finally:
        subprocess.run([needs("umount"), "--lazy", directory], check=True)


async def test_a_file_system_that_is_mounted_over_the_root_is_watched_and_so_is_the_root_afterwards(
    desk: Desk, logged: Logged
) -> None:
    with mounted_over(desk.directory):
        desk.put("over.csv")
        assert "over.csv" in await window(desk) + await window(desk)
        assert alerts(logged) == told_once(AlertKind.WATCH)
    logged.clear()
    desk.put("under.csv")
    assert "under.csv" in await window(desk) + await window(desk)
    assert alerts(logged) == told_once(AlertKind.WATCH)


async def test_where_events_of_other_hosts_are_not_heard_files_are_found_by_scans_and_their_locks_prove_nothing(
    upload: Path, tmp_path: Path, logged: Logged
) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("30 22 0:26 / / rw - nfs4 server:/export rw\n")
    desk = Desk(upload)
    desk.watch._mountinfo = mountinfo  # noqa: SLF001
    await desk.watch.step()
    desk.put("a.csv")
    await pass_time(desk, CHECK_SECONDS)
    await desk.look()
    assert desk.intake.unsettled == 1
    names = [name for _ in range(3) for name in await window(desk)]
    assert names == ["a.csv"]
    ((taken,),) = [batch for batch in desk.batches if batch]
    assert taken.evidence is Evidence.LONG_QUIET
    (change,) = [event for event in logged if event["event"] == "watch_changed"]
    assert (change["to"], change["why"]) == ("scanning_only", "on nfs4 nothing is heard of other hosts")
    assert alerts(logged) == []
    mountinfo.write_text("30 22 0:26 / / rw - ext4 /dev/vda1 rw\n")
    await window(desk)
    assert desk.watch.is_live, "something else is mounted there now"
    await desk.intake.close()


async def test_a_watch_that_is_deaf_for_good_is_scanned_for_and_alerts_once(
    desk: Desk, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        changed.setattr("watcher.uploads.observing._EVENTS", InotifyConstants.IN_MOVE_SELF)
        observer_of(desk).handle_event = lambda _: None  # type: ignore[assignment]
        desk.put("a.csv")
        await pass_time(desk, 60 + HEARING_SECONDS + 4 * CHECK_SECONDS, hearing=0.5)
        await desk.look()
        assert desk.intake.unsettled == 1
        assert alerts(logged) == told_once(AlertKind.WATCH)[:1]
        assert changes(logged) == [("live", "deaf"), ("deaf", "rebuilding"), ("rebuilding", "scanning_only")]
    await window(desk)
    assert alerts(logged) == told_once(AlertKind.WATCH)


async def test_a_supervisor_runs_until_it_is_to_end_and_leaves_no_thread(upload: Path) -> None:
    desk = Desk(upload)
    ending = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.watch.run(ending))
        await desk.intake._awake.wait()  # noqa: SLF001
        observer = observer_of(desk)
        ending.set()
        desk.watch.wake()
    assert not observer.is_alive()
    assert os.listdir(upload) == []  # noqa: PTH208 - a short look

"""Events of a real directory: everything that happens is marked, bursts cost little, and a dead watch shows."""

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask, WatchDescriptor

from importer.words.details import detail
from tests.rights import mode, obeying_file_modes
from watcher.uploads.observing import MOST_MARKS, ChangedNames, DirectoryWatch, Observer, Observers, _Marker
from watcher.uploads.supervision import Faulted

BOUND = 20


def event(name: str, mask: Mask = InotifyConstants.IN_CREATE) -> InotifyEvent:
    return InotifyEvent(WatchDescriptor(1), mask, 0, os.fsencode(name))


class Watching:
    """A watch, and what it has marked so far."""

    def __init__(self, directory: Path) -> None:
        self.changed = asyncio.Event()
        self.wakes = 0
        self.marks = ChangedNames()
        self.told = asyncio.Event()
        self.watch = DirectoryWatch(directory, self._wake, self.told.set)

    def _wake(self) -> None:
        self.wakes += 1
        self.changed.set()

    async def until(self, condition: Callable[[ChangedNames], bool]) -> ChangedNames:
        async with asyncio.timeout(BOUND):
            while not condition(self._drained()):
                await self.changed.wait()
                self.changed.clear()
        return self.marks

    def _drained(self) -> ChangedNames:
        fresh = self.watch.drain()
        self.marks.names |= fresh.names
        self.marks.renamed |= fresh.renamed
        self.marks.everything |= fresh.everything
        return self.marks


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    directory = tmp_path / "upload"
    directory.mkdir()
    return directory


@pytest.fixture
async def watching(upload: Path) -> AsyncIterator[Watching]:
    made = Watching(upload)
    made.watch.start()
    yield made
    await made.watch.stop()


async def test_a_file_is_marked_when_it_is_created_and_again_when_it_is_closed(
    upload: Path, watching: Watching
) -> None:
    with (upload / "a.csv").open("wb") as file:
        await watching.until(lambda marks: "a.csv" in marks.names)
        watching.marks.names.clear()
        file.write(b"x")
    await watching.until(lambda marks: "a.csv" in marks.names)
    assert not watching.marks.renamed


async def test_a_rename_marks_both_names_and_says_which_is_new(upload: Path, watching: Watching) -> None:
    (upload / ".in.a.csv").touch()
    (upload / ".in.a.csv").rename(upload / "a.csv")
    marks = await watching.until(lambda marks: "a.csv" in marks.names)
    assert ".in.a.csv" in marks.names
    assert marks.renamed == {"a.csv"}


async def test_a_file_that_is_linked_to_its_name_and_loses_the_temporary_one_is_marked_as_renamed(
    upload: Path, watching: Watching
) -> None:
    (upload / ".in.a.csv").write_bytes(b"x")
    (upload / "a.csv").hardlink_to(upload / ".in.a.csv")
    (upload / ".in.a.csv").unlink()
    (upload / "last").touch()
    marks = await watching.until(lambda marks: "last" in marks.names)
    assert marks.renamed == {"a.csv"}


async def test_other_files_that_come_and_go_are_not_marked_as_renamed(upload: Path, watching: Watching) -> None:
    (upload / ".in.b.csv").touch()
    (upload / "a.csv").touch()  # closed, before the other one goes
    (upload / ".in.b.csv").unlink()
    (upload / "c.csv").hardlink_to(upload / "a.csv")
    (upload / "a.csv").unlink()
    (upload / "last").touch()
    marks = await watching.until(lambda marks: "last" in marks.names)
    assert not marks.renamed


async def test_a_file_moved_in_from_outside_is_marked_as_renamed(
    tmp_path: Path, upload: Path, watching: Watching
) -> None:
    (tmp_path / "outside").touch()
    (tmp_path / "outside").rename(upload / "a.csv")
    marks = await watching.until(lambda marks: "a.csv" in marks.names)
    assert marks.renamed == {"a.csv"}
    assert marks.names == {"a.csv"}


async def test_a_file_moved_out_or_removed_is_marked(tmp_path: Path, upload: Path, watching: Watching) -> None:
    for name in ("a.csv", "b.csv"):
        (upload / name).touch()
    await watching.until(lambda marks: {"a.csv", "b.csv"} <= marks.names)
    watching.marks.names.clear()
    (upload / "a.csv").unlink()
    (upload / "b.csv").rename(tmp_path / "b.csv")
    await watching.until(lambda marks: {"a.csv", "b.csv"} <= marks.names)


async def test_a_name_that_is_not_utf_8_is_marked_by_the_name_that_leads_to_it(
    upload: Path, watching: Watching
) -> None:
    raw = os.fsencode(upload) + b"/\xff\n.csv"
    os.close(os.open(raw, os.O_CREAT | os.O_WRONLY, 0o600))
    await watching.until(lambda marks: os.fsdecode(b"\xff\n.csv") in marks.names)


async def test_a_burst_marks_every_file_and_wakes_the_loop_a_few_times(upload: Path, watching: Watching) -> None:
    names = {f"{number}.csv" for number in range(2000)}
    for name in names:
        (upload / name).touch()
    await watching.until(lambda marks: names <= marks.names or marks.everything)
    assert watching.wakes < 1000, "one wake-up until the marks are drained, not one for each event"


async def test_a_directory_behind_a_link_is_watched(tmp_path: Path, upload: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    watching = Watching(tmp_path / "link" / upload.name)
    watching.watch.start()
    (upload / "a.csv").touch()
    await watching.until(lambda marks: "a.csv" in marks.names)
    assert watching.watch.fault() is None
    await watching.watch.stop()


def move_and_link(directory: Path, other: Path) -> None:
    directory.rename(directory.with_name("away"))
    directory.symlink_to(other)


async def test_a_link_in_the_place_of_the_directory_is_not_followed(
    watching: Watching, tmp_path: Path, upload: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    before = other.stat()
    move_and_link(upload, other)
    assert watching.watch.fault() == Faulted(detail("no_directory"), is_told=True)
    with pytest.raises(NotADirectoryError):
        watching.watch.send_canary()
    await watching.watch.stop()
    with pytest.raises(NotADirectoryError):
        watching.watch.start()
    assert other.stat().st_mtime_ns == before.st_mtime_ns


async def test_a_missing_directory_cannot_be_watched(tmp_path: Path) -> None:
    watching = Watching(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        watching.watch.start()
    await watching.watch.stop()


async def test_a_directory_that_may_not_be_read_cannot_be_watched(upload: Path) -> None:
    watching = Watching(upload)
    with mode(upload, 0), obeying_file_modes(), pytest.raises(PermissionError):
        watching.watch.start()


async def test_a_canary_is_heard_once_and_marks_nothing(upload: Path, watching: Watching) -> None:
    assert not watching.watch.has_heard()
    watching.watch.send_canary()
    await asyncio.wait_for(watching.told.wait(), BOUND)
    assert watching.watch.has_heard()
    assert not watching.watch.has_heard()
    (upload / "a.csv").touch()
    marks = await watching.until(lambda marks: "a.csv" in marks.names)
    assert marks.names == {"a.csv"}
    assert os.listdir(upload) == ["a.csv"]  # noqa: PTH208 - a short look


async def test_a_canary_in_a_directory_that_may_not_be_written_is_an_error(upload: Path, watching: Watching) -> None:
    with mode(upload, 0o500), obeying_file_modes(), pytest.raises(PermissionError):
        watching.watch.send_canary()


async def test_a_queue_of_the_kernel_that_was_full_is_a_fault_until_the_next_start(watching: Watching) -> None:
    joined = watching.watch._joined  # noqa: SLF001
    assert joined is not None
    joined.observer.handle_event(InotifyEvent(WatchDescriptor(-1), InotifyConstants.IN_Q_OVERFLOW, 0, b""))
    await asyncio.wait_for(watching.told.wait(), BOUND)
    assert watching.watch.fault() == Faulted(detail("events_lost"))
    await watching.watch.stop()
    watching.watch.start()
    assert watching.watch.fault() is None


async def test_a_watch_has_a_fault_when_its_directory_is_removed(upload: Path, watching: Watching) -> None:
    shutil.rmtree(upload)
    assert watching.watch.fault() == Faulted(detail("ENOENT"), is_told=True)


def _replace(directory: Path, away: Path) -> None:
    directory.rename(away)
    directory.mkdir()


async def test_a_watch_has_a_fault_when_its_directory_is_replaced(
    tmp_path: Path, upload: Path, watching: Watching
) -> None:
    _replace(upload, tmp_path / "away")
    assert watching.watch.fault() == Faulted(detail("another_directory"))


async def test_a_watch_can_be_started_anew(tmp_path: Path, upload: Path, watching: Watching) -> None:
    _replace(upload, tmp_path / "away")
    await watching.watch.stop()
    watching.watch.start()
    assert watching.watch.fault() is None
    (upload / "a.csv").touch()
    await watching.until(lambda marks: "a.csv" in marks.names)


def test_too_many_marks_become_the_wish_for_a_scan() -> None:
    marker = _Marker(lambda: None, lambda: None)
    for number in range(MOST_MARKS + 10):
        marker.on_event(event(f"{number}.csv"))
    marks = marker.drain()
    assert marks.everything
    assert len(marks.names) <= 10
    assert marker.drain() == ChangedNames()


def test_the_loop_is_woken_once_until_the_marks_are_drained() -> None:
    wakes: list[None] = []
    marker = _Marker(lambda: wakes.append(None), lambda: None)
    for number in range(100):
        marker.on_event(event(f"{number}.csv", InotifyConstants.IN_MOVED_TO))
    assert len(wakes) == 1
    assert len(marker.drain().renamed) == 100
    marker.on_event(event("a.csv"))
    assert len(wakes) == 2


def test_an_event_that_cannot_be_noted_asks_for_a_scan_and_does_not_end_the_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = InotifyEvent(WatchDescriptor(1), InotifyConstants.IN_CREATE, 0, 7)  # type: ignore[arg-type]
    marker = _Marker(lambda: None, lambda: None)
    with caplog.at_level(logging.ERROR):
        marker.on_event(broken)
    assert marker.drain().everything
    assert "an event could not be noted" in caplog.text


class Two:
    """Two directories that share an observer."""

    def __init__(self, root: Path) -> None:
        self.observers = Observers()
        self.told = [asyncio.Event(), asyncio.Event()]
        self.watches = [
            DirectoryWatch(directory, lambda: None, told.set, self.observers)
            for directory, told in zip((root / "a", root / "b"), self.told, strict=True)
        ]

    async def hears(self, number: int) -> bool:
        """Whether a watch hears its canary, and the other one does not."""
        self.watches[number].send_canary()
        async with asyncio.timeout(BOUND):
            while not self.watches[number].has_heard():
                await self.told[number].wait()
                self.told[number].clear()
        return not self.watches[1 - number].has_heard()

    def observer(self, number: int) -> Observer | None:
        joined = self.watches[number]._joined  # noqa: SLF001
        return None if joined is None else joined.observer


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    made = Two(tmp_path)
    for watch in made.watches:
        watch.start()
    yield made
    for watch in made.watches:
        await watch.stop()


async def test_the_watches_of_several_directories_share_an_observer_and_each_hears_its_own(two: Two) -> None:
    assert two.observer(0) is two.observer(1)
    assert await two.hears(0)
    assert await two.hears(1)


async def test_a_watch_that_is_made_anew_has_another_observer_and_the_others_stay_where_they_are(two: Two) -> None:
    shared = two.observer(0)
    await two.watches[0].stop()
    two.watches[0].start()
    assert two.observer(0) is not shared
    assert two.observer(1) is shared
    assert await two.hears(0)
    assert await two.hears(1)
    await two.watches[1].stop()
    assert shared is not None
    assert not shared.is_alive(), "nobody needs it any more"
    two.watches[1].start()
    assert two.observer(1) is two.observer(0)


async def test_an_observer_that_has_died_shows_in_all_its_watches_and_is_not_joined_again(two: Two) -> None:
    shared = two.observer(0)
    assert shared is not None
    shared.stop()
    shared.join()
    assert all(watch.fault() is not None for watch in two.watches)
    for watch in two.watches:
        await watch.stop()
    for watch in two.watches:
        watch.start()
    assert two.observer(0) is two.observer(1) is not shared
    assert await two.hears(0)
    assert await two.hears(1)


async def test_one_thread_and_one_instance_of_inotify_watch_as_many_directories_as_there_are(tmp_path: Path) -> None:
    observers = Observers()
    threads, instances = threading.active_count(), _instances()
    told = [asyncio.Event() for _ in range(300)]
    watches = []
    for number, each in enumerate(told):
        (tmp_path / f"{number}").mkdir()
        watches.append(DirectoryWatch(tmp_path / f"{number}", lambda: None, each.set, observers))
        watches[-1].start()
    assert threading.active_count() == threads + 1
    assert _instances() == instances + 1
    for watch in watches:
        watch.send_canary()
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in told)), BOUND)
    assert all(watch.has_heard() for watch in watches)
    for watch in watches:
        await watch.stop()
    assert threading.active_count() <= threads + 6, "just the event loop's own"
    assert _instances() == instances


def _instances() -> int:
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - a short look
    return sum(link.is_symlink() and str(link.readlink()) == "anon_inode:inotify" for link in links)


async def test_a_queue_that_overflows_is_a_fault_of_every_directory(two: Two) -> None:
    observer = two.observer(0)
    assert observer is not None
    observer.handle_event(InotifyEvent(WatchDescriptor(-1), InotifyConstants.IN_Q_OVERFLOW, 0, b""))
    for told in two.told:
        await asyncio.wait_for(told.wait(), BOUND)
    assert [watch.fault() for watch in two.watches] == [Faulted(detail("events_lost"))] * 2


async def test_a_directory_that_is_made_anew_with_the_number_of_the_one_before_is_a_fault(
    upload: Path, watching: Watching
) -> None:
    """Its inode may be used again at once; what was watched has gone all the same."""
    shutil.rmtree(upload)
    await asyncio.wait_for(watching.told.wait(), BOUND)
    os.mkdir(upload)  # noqa: PTH102 - a short call
    assert watching.watch.fault() in {
        Faulted(detail("watch_ended")),
        Faulted(detail("another_directory")),
    }


def test_an_observer_whose_thread_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a short look

    def no_more_threads(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", no_more_threads)
    with pytest.raises(RuntimeError):
        Observers().join(_Marker(lambda: None, lambda: None), Path("/"), None)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a short look


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_observer_whose_thread_has_failed_leaves_nothing_open_and_is_a_fault_of_every_directory(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = _instances()
    observer = two.observer(0)
    assert observer is not None

    def failing(_: InotifyEvent) -> None:
        raise MemoryError

    monkeypatch.setattr(observer, "handle_event", failing)
    two.watches[0].send_canary()
    for told in two.told:
        await asyncio.wait_for(told.wait(), BOUND)
    observer.join(BOUND)
    assert all(watch.fault() is not None for watch in two.watches)
    assert _instances() == instances - 1

"""Events of a real directory: everything that happens is marked, bursts cost little, and a dead watch shows."""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from watchdog.events import FileCreatedEvent, FileMovedEvent, FileSystemEvent

from watcher.observing import MOST_MARKS, DirectoryWatch, Marks, _Marker

BOUND = 20


class Watching:
    """A watch, and what it has marked so far."""

    def __init__(self, directory: Path) -> None:
        self.changed = asyncio.Event()
        self.wakes = 0
        self.marks = Marks()
        self.watch = DirectoryWatch(directory, self._wake)

    def _wake(self) -> None:
        self.wakes += 1
        self.changed.set()

    async def until(self, condition: Callable[[Marks], bool]) -> Marks:
        async with asyncio.timeout(BOUND):
            while not condition(self._drained()):
                await self.changed.wait()
                self.changed.clear()
        return self.marks

    def _drained(self) -> Marks:
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


async def test_a_file_moved_in_from_outside_is_marked(tmp_path: Path, upload: Path, watching: Watching) -> None:
    (tmp_path / "outside").touch()
    (tmp_path / "outside").rename(upload / "a.csv")
    await watching.until(lambda marks: "a.csv" in marks.names)


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
    (tmp_path / "link").symlink_to(upload)
    watching = Watching(tmp_path / "link")
    watching.watch.start()
    (upload / "a.csv").touch()
    await watching.until(lambda marks: "a.csv" in marks.names)
    assert watching.watch.is_healthy()
    await watching.watch.stop()


async def test_a_missing_directory_cannot_be_watched(tmp_path: Path) -> None:
    watching = Watching(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        watching.watch.start()
    assert not watching.watch.is_healthy()
    await watching.watch.stop()


async def test_a_watch_is_healthy_from_its_start_to_its_end(upload: Path) -> None:
    watch = Watching(upload).watch
    assert not watch.is_healthy()
    watch.start()
    assert watch.is_healthy()
    await watch.stop()
    assert not watch.is_healthy()


async def test_a_watch_is_unhealthy_when_its_directory_is_removed(upload: Path, watching: Watching) -> None:
    shutil.rmtree(upload)
    assert not watching.watch.is_healthy()


def _replace(directory: Path, away: Path) -> None:
    directory.rename(away)
    directory.mkdir()


async def test_a_watch_is_unhealthy_when_its_directory_is_replaced(
    tmp_path: Path, upload: Path, watching: Watching
) -> None:
    _replace(upload, tmp_path / "away")
    assert not watching.watch.is_healthy()


async def test_a_watch_can_be_started_anew(tmp_path: Path, upload: Path, watching: Watching) -> None:
    _replace(upload, tmp_path / "away")
    await watching.watch.stop()
    watching.watch.start()
    assert watching.watch.is_healthy()
    (upload / "a.csv").touch()
    await watching.until(lambda marks: "a.csv" in marks.names)


def test_too_many_marks_become_the_wish_for_a_scan() -> None:
    marker = _Marker(lambda: None)
    for number in range(MOST_MARKS + 10):
        marker.dispatch(FileCreatedEvent(f"/upload/{number}.csv"))
    marks = marker.drain()
    assert marks.everything
    assert len(marks.names) <= 10
    assert marker.drain() == Marks()


def test_the_loop_is_woken_once_until_the_marks_are_drained() -> None:
    wakes: list[None] = []
    marker = _Marker(lambda: wakes.append(None))
    for number in range(100):
        marker.dispatch(FileMovedEvent(f"/upload/{number}.tmp", f"/upload/{number}.csv"))
    assert len(wakes) == 1
    assert len(marker.drain().renamed) == 100
    marker.dispatch(FileCreatedEvent("/upload/a.csv"))
    assert len(wakes) == 2


def test_an_event_that_cannot_be_noted_asks_for_a_scan_and_does_not_end_the_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(FileSystemEvent):
        pass

    broken = Broken("")
    broken.src_path = 7  # type: ignore[assignment]
    marker = _Marker(lambda: None)
    with caplog.at_level(logging.ERROR):
        marker.dispatch(broken)
    assert marker.drain().everything
    assert "an event could not be noted" in caplog.text

"""Events of the upload directory, from watchdog's thread to the event loop.

The thread only marks names and wakes the loop once until they are drained: a burst of 200,000 events then costs a
fraction of a second and bounded memory (measured; a wake-up for each event costs 3 s and an unbounded queue).
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

MOST_MARKS = 50_000
"""Above this many names a scan is cheaper than a list."""

_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
]


@dataclass(slots=True)
class Marks:
    """What has changed since the last drain.

    Attributes:
        names: files to look at again.
        renamed: those of them that were given their name by a rename.
        everything: whether some were not noted, so that only a scan will do.
    """

    names: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    everything: bool = False


class _Marker(FileSystemEventHandler):
    """Runs in watchdog's thread, where an exception would end all watching in silence."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._marks = Marks()
        self._is_awake = False

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._mark(event)
        except Exception:
            logging.getLogger(__name__).exception("an event could not be noted")
            self._mark_everything()

    def drain(self) -> Marks:
        with self._lock:
            marks, self._marks, self._is_awake = self._marks, Marks(), False
        return marks

    def _mark(self, event: FileSystemEvent) -> None:
        renamed = _name(event.dest_path) if isinstance(event, FileMovedEvent) else ""
        with self._lock:
            if len(self._marks.names) >= MOST_MARKS:
                self._marks = Marks(everything=True)
            else:
                self._marks.names.add(_name(event.src_path))
                self._marks.names |= {renamed} if renamed else set()
                self._marks.renamed |= {renamed} if renamed else set()
            must_wake, self._is_awake = not self._is_awake, True
        if must_wake:
            self._wake()

    def _mark_everything(self) -> None:
        with self._lock:
            self._marks = Marks(everything=True)
        self._wake()


class DirectoryWatch:
    """A watch on one directory, on a thread of its own.

    Args:
        directory: what to watch; links are resolved, because watchdog is deaf on them.
        changed: called in the event loop when there is something to drain.
    """

    def __init__(self, directory: Path, changed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._directory = directory
        self._marker = _Marker(partial(loop.call_soon_threadsafe, changed))
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None

    def start(self) -> None:
        """Begin to watch.

        Raises:
            OSError: the directory is missing, may not be read, or the inotify limits are used up.
        """
        real = self._directory.resolve(strict=True)
        self._identity = _identity(real)
        observer = Observer()
        observer.schedule(self._marker, str(real), recursive=False, event_filter=_EVENTS)
        observer.start()
        self._observer = observer

    def drain(self) -> Marks:
        """What has changed since the last call."""
        return self._marker.drain()

    def is_healthy(self) -> bool:
        """Whether all threads live and the directory is still the one that is watched."""
        observer = self._observer
        if observer is None or not observer.is_alive() or not all(each.is_alive() for each in observer.emitters):
            return False
        try:
            return _identity(self._directory.resolve(strict=True)) == self._identity
        except OSError:
            return False

    async def stop(self) -> None:
        """End the watch; it can be started anew."""
        observer, self._observer = self._observer, None
        if observer is not None:
            await asyncio.to_thread(_end, observer)


def _end(observer: BaseObserver) -> None:
    observer.stop()
    observer.join(timeout=10)


def _name(path: bytes | str) -> str:
    return Path(os.fsdecode(path)).name


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino

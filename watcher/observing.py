"""Events of the upload directory, from watchdog's thread to the event loop.

The thread only marks names and wakes the loop once until they are drained: a burst of 200,000 events then costs a
fraction of a second and bounded memory (measured; a wake-up for each event costs 3 s and an unbounded queue).
"""

import asyncio
import contextlib
import logging
import os
import secrets
import stat
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
from watchdog.observers.api import ObservedWatch
from watchdog.observers.inotify import InotifyObserver

from importer.anchoring import anchored
from watcher.supervision import Faulted

MOST_MARKS = 50_000
"""Above this many names a scan is cheaper than a list."""

CANARY = ".userdrop-canary-"
"""How the names of files begin that are made just to hear of them; other nodes' canaries are not heeded either."""

_OVERFLOWS = logging.getLogger("watchdog.observers.inotify_c")
"""Where watchdog says that the kernel's queue was full; it tells nobody else."""

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

    def __init__(self, wake: Callable[[], object], heard: Callable[[], object]) -> None:
        self._wake = wake
        self._heard = heard
        self._lock = threading.Lock()
        self._marks = Marks()
        self._is_awake = False
        self._created = ""
        self.canary = ""

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._mark(event)
        except Exception:
            logging.getLogger(__name__).exception("an event could not be noted")
            self.mark_everything()

    def drain(self) -> Marks:
        with self._lock:
            marks, self._marks, self._is_awake = self._marks, Marks(), False
        return marks

    def mark_everything(self) -> None:
        with self._lock:
            self._marks = Marks(everything=True)
        self._wake()

    def _mark(self, event: FileSystemEvent) -> None:
        name = _name(event.src_path)
        if name.startswith(CANARY):
            self._hear(name)
            return
        renamed = self._given_name(event, name)
        names = {name, renamed} - {""}  # from or to outside
        with self._lock:
            if len(self._marks.names) >= MOST_MARKS:
                self._marks = Marks(everything=True)
            else:
                self._marks.names |= names
                self._marks.renamed |= {renamed} if renamed else set()
            must_wake, self._is_awake = not self._is_awake, True
        if must_wake:
            self._wake()

    def _given_name(self, event: FileSystemEvent, name: str) -> str:
        """The name that a file has now, if it had another one before.

        OpenSSH renames by a link and an unlink right after it where the client does not use its extension
        (sftp-server.c, process_rename), as lftp; the name that goes is then the one that comes with something added.
        """
        created, self._created = self._created, name if isinstance(event, FileCreatedEvent) else ""
        if isinstance(event, FileMovedEvent):
            return _name(event.dest_path)
        is_moved = isinstance(event, FileDeletedEvent) and created in name and created != name
        return created if is_moved else ""

    def _hear(self, name: str) -> None:
        if name == self.canary:
            self.canary = ""
            self._heard()


class _OverflowHandler(logging.Handler):
    """Runs in watchdog's thread, when it logs."""

    def __init__(self, noted: Callable[[], object]) -> None:
        super().__init__(logging.WARNING)
        self._noted = noted

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self._noted()


class Observers:
    """Observers for the watches of all directories: one, unless it had to be replaced for some of them.

    Each is an inotify instance, of which a user has 128 by default, and two threads; each watch is one thread more.
    Called from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: InotifyObserver | None = None
        self._watches: dict[InotifyObserver, set[ObservedWatch]] = {}

    def join(
        self, handler: FileSystemEventHandler, directory: Path, left: InotifyObserver | None
    ) -> tuple[InotifyObserver, ObservedWatch]:
        """Have a directory watched; by another observer than the one that was `left` for its faults.

        Raises:
            OSError: the directory cannot be watched, or the inotify limits are used up.
            RuntimeError: there can be no more threads.
        """
        with self._lock:
            observer = self._current
            if observer is None or observer is left or not observer.is_alive():
                # With full events a move from outside is a move, not a creation.
                observer = InotifyObserver(generate_full_events=True)
                self._watches[observer] = set()
            try:
                if not observer.is_alive():
                    observer.start()
                watch = observer.schedule(handler, str(directory), recursive=False, event_filter=_EVENTS)
            except (OSError, RuntimeError):
                self._end_unused(observer)
                raise
            self._watches[observer].add(watch)
            self._current = observer
            return observer, watch

    def leave(self, observer: InotifyObserver, watch: ObservedWatch) -> None:
        """End a watch, and its observer if that has no other."""
        with self._lock:
            with contextlib.suppress(KeyError):  # an observer that was stopped knows none any more
                observer.unschedule(watch)
            self._watches[observer].discard(watch)
            self._end_unused(observer)

    def _end_unused(self, observer: InotifyObserver) -> None:
        if self._watches[observer]:
            return
        del self._watches[observer]
        if self._current is observer:
            self._current = None
        with contextlib.suppress(RuntimeError):  # a thread that never started cannot be waited for
            observer.stop()
            observer.join(timeout=10)


class DirectoryWatch:
    """A watch on one directory.

    Args:
        directory: what to watch, no link; links on the way are resolved, because watchdog is deaf on them.
        changed: called in the event loop when there is something to drain.
        told: called in the event loop when a canary was heard, or events were lost.
        observers: shared with the watches on other directories.
    """

    def __init__(
        self, directory: Path, changed: Callable[[], None], told: Callable[[], None], observers: Observers | None = None
    ) -> None:
        self._directory = directory
        self._call = asyncio.get_running_loop().call_soon_threadsafe
        self._told = told
        self._observers = observers or Observers()
        self._marker = _Marker(partial(self._call, changed), partial(self._call, self._hear))
        self._overflows = _OverflowHandler(partial(self._call, self._overflow))
        self._watch: tuple[InotifyObserver, ObservedWatch] | None = None
        self._left: InotifyObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._has_overflowed = False
        self._has_heard = False

    def start(self) -> None:
        """Begin to watch.

        Raises:
            OSError: the directory is missing, a link, may not be read, or the inotify limits are used up.
            RuntimeError: there can be no more threads.
        """
        with anchored(self._directory) as anchor:  # watchdog passes over EACCES in silence
            self._identity = _identity(anchor.stat())
            real = self._directory.resolve(strict=True)
        self._has_overflowed = False
        self._watch = self._observers.join(self._marker, real, self._left)
        _OVERFLOWS.addHandler(self._overflows)

    def drain(self) -> Marks:
        """What has changed since the last call."""
        return self._marker.drain()

    def mark_everything(self) -> None:
        """Have the whole directory looked at."""
        self._marker.mark_everything()

    def fault(self) -> Faulted | None:
        """Why events of the directory cannot come, or some were lost; None while there is no watch either."""
        if self._watch is None:
            return None
        observer, watch = self._watch
        try:
            status = self._directory.lstat()
        except OSError as error:
            return Faulted(error.strerror or type(error).__name__, is_told=True)
        if not stat.S_ISDIR(status.st_mode):
            return Faulted("it is no directory any more", is_told=True)
        if _identity(status) != self._identity:
            return Faulted("the directory is another one than before")
        if not observer.is_alive() or not all(each.is_alive() for each in observer.emitters if each.watch is watch):
            return Faulted("one of its threads has ended")
        return Faulted("there were more events than the kernel keeps") if self._has_overflowed else None

    def send_canary(self) -> None:
        """Make and remove a hidden file, for `has_heard` to tell.

        Raises:
            OSError: that is not possible.
        """
        self._has_heard = False
        name = f"{CANARY}{secrets.token_hex(8)}"
        self._marker.canary = name
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with anchored(self._directory) as anchor:
            os.close(os.open(anchor / name, flags, 0o600))
            (anchor / name).unlink()

    def has_heard(self) -> bool:
        """Whether the last canary was heard; told once."""
        heard, self._has_heard = self._has_heard, False
        return heard

    async def stop(self) -> None:
        """End the watch; it can be started anew."""
        watch, self._watch = self._watch, None
        _OVERFLOWS.removeHandler(self._overflows)
        if watch is not None:
            self._left = watch[0]
            await asyncio.to_thread(self._observers.leave, *watch)

    def _hear(self) -> None:
        self._has_heard = True
        self._told()

    def _overflow(self) -> None:
        self._has_overflowed = True
        self._told()


def _name(path: bytes | str) -> str:
    return os.path.basename(os.fsdecode(path))  # noqa: PTH119 - a Path costs as much as the rest of a mark


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

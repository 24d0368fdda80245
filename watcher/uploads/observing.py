"""Events of the upload directory, from watchdog's thread to the event loop.

The thread only marks names and wakes the loop once until they are drained: a burst of 200,000 events then costs a
fraction of a second and bounded memory (measured; a wake-up for each event costs 3 s and an unbounded queue).
"""

import asyncio
import errno
import logging
import os
import secrets
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from importer.files.anchoring import anchored
from importer.model import Detail
from importer.words.details import detail, os_error_detail
from watcher.uploads.supervision import Faulted

MOST_MARKS = 50_000
"""The number of names above which a scan is cheaper than a list."""

CANARY = ".userdrop-canary-"
"""The beginning of the names of files made just to hear of them; other nodes' canaries are not heeded either."""

_LOSSES_APART = 10
"""The factor by which watches are made anew further apart than clients' ticks are, as that is more work."""

_EVENTS = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
)
"""The events that are listened to; those of our own reading are not, or each packet of a slow sender would be told."""


@dataclass(slots=True)
class ChangedNames:
    """The names that have changed since the last drain.

    Attributes:
        names: files to look at again.
        renamed: the files that were given their name by a rename.
        everything: whether some were not noted, so that only a scan will do.
    """

    names: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    everything: bool = False


class _Marker(WatchCallback):
    """Marks names in watchdog's thread, where an exception would end all watching."""

    def __init__(
        self, wake: Callable[[], object], heard: Callable[[], object], lost: Callable[[Detail], object] = lambda _: None
    ) -> None:
        self._wake = wake
        self._heard = heard
        self._lost = lost
        self._lock = threading.Lock()
        self._marks = ChangedNames()
        self._is_awake = False
        self._created = ""
        self.canary = ""

    def on_event(self, event: InotifyEvent) -> None:
        try:
            self._mark(event)
        except Exception:
            logging.getLogger(__name__).exception("an event could not be noted")
            self.mark_everything()

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Note that the directory was removed, its file system unmounted, or its observer has ended."""
        del wd
        self._lost(detail("watch_ended"))

    def on_queue_overflow(self) -> None:
        self._lost(detail("events_lost"))

    def drain(self) -> ChangedNames:
        with self._lock:
            marks, self._marks, self._is_awake = self._marks, ChangedNames(), False
        return marks

    def mark_everything(self) -> None:
        with self._lock:
            self._marks = ChangedNames(everything=True)
        self._wake()

    def _mark(self, event: InotifyEvent) -> None:
        name = os.fsdecode(event.name)
        if name.startswith(CANARY):
            self._hear(name)
            return
        renamed = self._given_name(event, name)
        with self._lock:
            if len(self._marks.names) >= MOST_MARKS:
                self._marks = ChangedNames(everything=True)
            else:
                self._marks.names |= {name, renamed} - {""}  # one of the directory itself has no name
                self._marks.renamed |= {renamed} - {""}
            must_wake, self._is_awake = not self._is_awake, True
        if must_wake:
            self._wake()

    def _given_name(self, event: InotifyEvent, name: str) -> str:
        """The name that a file has now, if it had another one before.

        OpenSSH renames by a link and an unlink right after it where the client does not use its extension
        (sftp-server.c, process_rename), as lftp; the name that goes is then the one that comes with something added.
        """
        is_file = not event.is_directory
        created, self._created = self._created, name if is_file and event.is_create else ""
        if is_file and event.is_moved_to:
            return name
        is_moved = is_file and event.is_delete and created in name and created != name
        return created if is_moved else ""

    def _hear(self, name: str) -> None:
        if name == self.canary:
            self.canary = ""
            self._heard()


_NONE = -1
"""The value in place of a watch descriptor where there is none."""


class Observer(InotifyFD):
    """An inotify instance and the one thread that reads its events, for any number of directories.

    watchdog's own observers have a thread for each directory besides, and hold back what they have heard of a file that
    was moved away. What ends the thread closes the instance, which every directory's callback is told.
    """

    def start(self) -> None:
        """Begin to read events.

        Raises:
            RuntimeError: there can be no more threads.
        """
        try:
            super().start()
        except RuntimeError:
            self._let_go()
            raise

    def run(self) -> None:
        """Read events until the observer is stopped."""
        try:
            super().run()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            self._is_reading = False  # or closing would be left to a thread that does not read
        self.close()


@dataclass(frozen=True, slots=True)
class ObserverPlace:
    """The place that a directory has with an observer."""

    observer: Observer
    watch: WatchDescriptor
    callback: CallbackId


class Observers:
    """The observers for the watches of all directories: one, unless it had to be replaced for some of them.

    Each is an inotify instance, of which a user has 128 by default, and one thread. Called from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Observer | None = None
        self._joined: dict[Observer, set[ObserverPlace]] = {}

    def join(self, callback: WatchCallback, directory: Path, left: Observer | None) -> ObserverPlace:
        """Have a directory watched, by another observer than the one that was `left` for its faults.

        Raises:
            OSError: the directory cannot be watched, or the inotify limits are used up.
            RuntimeError: there can be no more threads.
        """
        with self._lock:
            observer = self._current
            if observer is None or observer is left or not observer.is_alive():
                observer = Observer()
                observer.start()
                self._joined[observer] = set()
            try:
                joined = _join(observer, callback, directory)
            except OSError:
                self._end_unused(observer)
                raise
            self._joined[observer].add(joined)
            self._current = observer
            return joined

    def leave(self, joined: ObserverPlace) -> None:
        """End a watch, and its observer if that has no other."""
        with self._lock:
            joined.observer.remove_callbacks([(joined.watch, joined.callback)])
            self._joined[joined.observer].discard(joined)
            self._end_unused(joined.observer)

    def _end_unused(self, observer: Observer) -> None:
        if self._joined[observer]:
            return
        del self._joined[observer]
        if self._current is observer:
            self._current = None
        observer.stop()
        observer.join(timeout=10)


def _join(observer: Observer, callback: WatchCallback, directory: Path) -> ObserverPlace:
    id_ = CallbackId(id(callback))
    watch = observer.add_callback(os.fsencode(directory), _EVENTS, callback, id_)
    if watch == _NONE:  # watchdog passes over EACCES in silence
        observer.remove_callbacks([(watch, id_)])
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
    return ObserverPlace(observer, watch, id_)


class DirectoryWatch:
    """A watch on one directory.

    Args:
        directory: what to watch, no link; links on the way are resolved, because watchdog is deaf on them.
        changed: called in the event loop when there is something to drain.
        told: called in the event loop when a canary was heard, or events were lost.
        observers: shared with the watches on other directories.
        stagger: seconds by which it tells later that events were lost, as all watches of an observer lose them at once.
    """

    def __init__(
        self,
        directory: Path,
        changed: Callable[[], None],
        told: Callable[[], None],
        observers: Observers | None = None,
        *,
        stagger: float = 0.0,
    ) -> None:
        self._directory = directory
        self._stagger = stagger
        self._loop = asyncio.get_running_loop()
        self._call = self._loop.call_soon_threadsafe
        self._told = told
        self._observers = observers or Observers()
        self._marker = _Marker(
            partial(self._call, changed), partial(self._call, self._hear), lambda why: self._call(self._lose, why)
        )
        self._joined: ObserverPlace | None = None
        self._left: Observer | None = None
        self._identity: tuple[int, int] | None = None
        self._lost: Detail | None = None
        self._has_heard = False

    def start(self) -> None:
        """Begin to watch the directory.

        Raises:
            OSError: the directory is missing, a link, may not be read, or the inotify limits are used up.
            RuntimeError: there can be no more threads.
        """
        with anchored(self._directory) as anchor:
            self._identity = _identity(anchor.stat())
            real = self._directory.resolve(strict=True)
        self._lost = None
        self._joined = self._observers.join(self._marker, real, self._left)

    def drain(self) -> ChangedNames:
        """The changes since the last call."""
        return self._marker.drain()

    def mark_everything(self) -> None:
        """Have the whole directory looked at."""
        self._marker.mark_everything()

    def fault(self) -> Faulted | None:
        """The reason why events cannot come, or some were lost; None while there is no watch either."""
        if self._joined is None:
            return None
        try:
            status = self._directory.lstat()
        except OSError as error:
            return Faulted(os_error_detail(error), is_told=True)
        if not stat.S_ISDIR(status.st_mode):
            return Faulted(detail("no_directory"), is_told=True)
        if _identity(status) != self._identity:
            return Faulted(detail("another_directory"))
        if not self._joined.observer.is_alive():
            return Faulted(detail("watching_thread_ended"))
        return None if self._lost is None else Faulted(self._lost)

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
        joined, self._joined = self._joined, None
        if joined is not None:
            self._left = joined.observer
            await asyncio.to_thread(self._observers.leave, joined)

    def _hear(self) -> None:
        self._has_heard = True
        self._told()

    def _lose(self, why: Detail) -> None:
        self._lost = why
        self._loop.call_later(_LOSSES_APART * self._stagger, self._told)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

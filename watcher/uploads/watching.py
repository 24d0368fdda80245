"""The one coroutine that owns the watch on a directory, and does what `watcher.uploads.supervision` decides."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import structlog

from importer.model import Detail
from importer.words.details import detail, os_error_detail
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.mounts import file_system, hears_other_hosts
from watcher.uploads.observing import ChangedNames, DirectoryWatch, Observers
from watcher.uploads.snapshot import Clocks, Watch
from watcher.uploads.supervision import (
    Build,
    Built,
    Heard,
    Mute,
    NotBuilt,
    Order,
    Passed,
    Publish,
    RaiseAlert,
    ResolveAlert,
    ScanAll,
    SendCanary,
    Supervision,
    Unhearable,
    WatchEvent,
    WatchState,
    advance,
    is_live,
    next_look,
)

MOUNTINFO = Path("/proc/self/mountinfo")

INOTIFY_CURES = {
    errno.EMFILE: detail("inotify_instances"),
    errno.ENOSPC: detail("inotify_watches"),
    errno.ENOMEM: detail("inotify_watches"),
}
"""The cures where inotify cannot be had, by errno."""
_OF_THE_DIRECTORY = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ESTALE, errno.EIO}
"""The errors by which a scan of the directory fails as well."""
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}

log = structlog.get_logger()


class Supervisor:
    """Keeps a watch on a client's directory.

    Args:
        client: the client to whom the directory belongs.
        directory: the directory in which uploads appear.
        elapsed: the monotonic clock, in seconds.
        alerts: the administrator's alerts.
        changed: called in the event loop when there is something to drain, or the state has changed.
        observers: shared with the supervisors of other directories.
        mountinfo: tells the type of the directory's file system.
        stagger: seconds by which it acts later on what befalls all watches at once.

    Attributes:
        is_remote: whether other hosts may write to the directory, whose events and locks do not show here.
        unwritable: why nothing can be made in the directory; None where that is possible, or was not tried.
    """

    def __init__(
        self,
        *,
        client: str,
        directory: Path,
        elapsed: Callable[[], float],
        alerts: Alerts,
        changed: Callable[[], None],
        observers: Observers | None = None,
        mountinfo: Path = MOUNTINFO,
        stagger: float = 0.0,
    ) -> None:
        self._client = client
        self._directory = directory
        self._elapsed = elapsed
        self._alerts = alerts
        self._changed = changed
        self._observers = observers
        self._mountinfo = mountinfo
        self._stagger = stagger
        self._awake = asyncio.Event()
        self._known = Supervision(build_at=elapsed())
        self._state_since = elapsed()
        self._state_why: str | None = None
        self._watch: DirectoryWatch | None = None
        self.is_remote = False
        self.unwritable: Detail | str | None = None

    @property
    def is_live(self) -> bool:
        """Whether events tell of every change."""
        return is_live(self._known)

    @property
    def state(self) -> WatchState:
        """The state of the watch: how new files are found."""
        return self._known.state

    def snapshot(self, clocks: Clocks) -> Watch:
        """The watch as it is shown."""
        return Watch(state=self._known.state, since=clocks.utc(self._state_since), why=self._state_why)

    def wake(self) -> None:
        """Have the task look at the watch now, or see that it is to end."""
        self._awake.set()

    def drain(self) -> ChangedNames:
        """The changes in the directory since the last call."""
        return ChangedNames() if self._watch is None else self._watch.drain()

    async def run(self, ending: asyncio.Event) -> None:
        """Keep the watch until `ending` is set and `wake` was called."""
        try:
            while not ending.is_set():
                await self.step()
                await self.wait()
        finally:
            await self.close()

    async def wait(self) -> None:
        """Return when there is something to do."""
        now = self._elapsed()
        try:
            async with asyncio.timeout(max(0.0, next_look(self._known, now) - now)):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()

    async def step(self) -> None:
        """Do what is to be done now."""
        events: list[WatchEvent] = [self._observed(), Passed()]
        while events:
            self._known, orders = advance(self._known, events.pop(0), self._elapsed())
            for order in orders:
                answer = await self._obey(order)
                if answer is not None:
                    events.insert(0, answer)

    async def close(self) -> None:
        """End the watch on the directory."""
        if self._watch is not None:
            await self._watch.stop()

    def _observed(self) -> WatchEvent:
        if self._watch is None:
            return Passed()
        return self._watch.fault() or (Heard() if self._watch.has_heard() else Passed())

    async def _obey(self, order: Order) -> WatchEvent | None:
        match order:
            case Build():
                return await self._build()
            case SendCanary():
                return await self._send_canary()
            case ScanAll():
                if self._watch is not None:
                    self._watch.mark_everything()
            case Publish(before, after, why):
                self._state_since, self._state_why = self._elapsed(), why
                log.info("watch_changed", client=self._client, why=why, **{"from": before.value, "to": after.value})
                self._changed()
            case RaiseAlert(why):
                self._alerts.open(AlertKind.WATCH, self._client, why)
            case ResolveAlert():
                self._alerts.resolve(AlertKind.WATCH, self._client)
            case _:
                assert_never(order)
        return None

    async def _build(self) -> Built | NotBuilt | Unhearable:
        await self.close()
        self._watch = self._watch or DirectoryWatch(
            self._directory, self._changed, self.wake, self._observers, stagger=self._stagger
        )
        try:
            type_ = await asyncio.to_thread(self._file_system)
            self.is_remote = not hears_other_hosts(type_)
            if self.is_remote:
                await self._send_canary()  # nobody listens, but it shows whether files can be made
                return Unhearable(detail("other_hosts_unheard", type=type_))
            await asyncio.to_thread(self._watch.start)
        except (OSError, RuntimeError) as error:  # RuntimeError: there can be no more threads
            return _not_built(error)
        return Built()

    def _file_system(self) -> str:
        real = self._directory.resolve(strict=True)
        return file_system(os.fsdecode(self._mountinfo.read_bytes()), real)

    async def _send_canary(self) -> Mute | None:
        if self._watch is None:
            return None
        try:
            await asyncio.to_thread(self._watch.send_canary)
        except OSError as error:
            why = os_error_detail(error)
            self.unwritable = why if error.errno in _NOT_WRITABLE else None
            return Mute(why)
        self.unwritable = None
        return None


def _not_built(error: OSError | RuntimeError) -> NotBuilt:
    if isinstance(error, RuntimeError):
        return NotBuilt(detail("threads"))
    why = INOTIFY_CURES.get(error.errno or 0) or os_error_detail(error)
    return NotBuilt(why, is_told=error.errno in _OF_THE_DIRECTORY)

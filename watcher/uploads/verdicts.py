"""The verdicts of the FTP server's log on the files of all clients: one reader, whatever the number of clients.

Each line is read and understood once, and kept for the directory in which its file lies. All of it is called from the
event loop; just the file is read in a thread.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import structlog

from importer.model import Detail, shown_name
from importer.words.details import os_error_detail
from watcher.uploads.model import LogState, ServerVerdict, Transfer
from watcher.uploads.server_log import LogEntry, Renamed, ServerLog, logged_path
from watcher.uploads.transfers import Transfers, kept, verdict_on

LOG_POLL_SECONDS = 1.0
_MOST_PENDING = 200_000
"""The number of transfers, of all directories, that are kept until a file makes use of them."""
_MOST_OTHERS = 20_000
"""The number of transfers that are kept of files in no client's directory."""
_MOST_ELSEWHERE = 10_000
_MOST_EARLIER = 20_000
"""The number of files of a directory of which the transfers are kept that were made use of."""
_NOTED_AT_ONCE = 1_000
"""The number of entries that are noted before others have their turn in the event loop."""

log = structlog.get_logger()


class SharedLog:
    """The log that is read for all directories.

    Args:
        log: vsftpd's log.
        root: the directory that sessions see as `/`.
        elapsed: the monotonic clock, in seconds.

    Attributes:
        unreadable: since when the log cannot be read, in monotonic seconds, and why; None while it can be.
    """

    def __init__(self, log: ServerLog, root: Path, *, elapsed: Callable[[], float]) -> None:
        self._log = log
        self._root = root
        self._elapsed = elapsed
        self._directories: defaultdict[bytes, list[ServerVerdicts]] = defaultdict(list)
        self._others: OrderedDict[bytes, Transfers] = OrderedDict()
        self._elsewhere: OrderedDict[tuple[bytes, int], Transfer] = OrderedDict()
        self._reading: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._has_begun = asyncio.Event()
        self.unreadable: tuple[float, Detail | str] | None = None

    def of(self, directory: Path) -> "ServerVerdicts":
        """The verdicts on a directory's files; what the log said of them before counts as said before our time."""
        verdicts = ServerVerdicts(self, directory, self._root)
        self._directories[verdicts.parent].append(verdicts)
        for path in [path for path in self._others if path.startswith(verdicts.parent)]:
            for transfer in self._others.pop(path):
                verdicts.note(replace(transfer, is_live=False))
        return verdicts

    def leave(self, verdicts: "ServerVerdicts") -> None:
        """Let go of a directory; what is known of its files is kept for when it is asked for again."""
        with suppress(ValueError):
            self._directories[verdicts.parent].remove(verdicts)
        if not self._directories[verdicts.parent]:
            del self._directories[verdicts.parent]
            for transfers in verdicts.pending.values():
                for transfer in transfers:
                    self._note_other(transfer)

    def called_like(self, verdicts: "ServerVerdicts") -> bool:
        """Whether another directory's files are logged by the same paths."""
        there = self._directories.get(verdicts.parent, [])
        return any(other.directory != verdicts.directory for other in there)

    def elsewhere(self, name: bytes, size: int) -> Transfer | None:
        """The last upload of a file of that name and size that is in no client's directory."""
        return self._elsewhere.get((name, size))

    async def run(self, stopping: asyncio.Event) -> None:
        """Read the log every second until `stopping` is set, from when somebody first asked for a directory."""
        begun, stop = asyncio.ensure_future(self._has_begun.wait()), asyncio.ensure_future(stopping.wait())
        await asyncio.wait({begun, stop}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        while not stop.done():
            await self.refresh()
            await asyncio.wait({stop}, timeout=LOG_POLL_SECONDS)

    async def refresh(self) -> None:
        """Return when all that was logged before the call is known; callers at the same time share a reading."""
        self._has_begun.set()
        if self._next is None:
            self._next = asyncio.create_task(self._read(self._reading))
        await asyncio.shield(self._next)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    async def _read(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._reading, self._next = self._next, None
        try:
            entries = await asyncio.to_thread(self._log.poll)
        except OSError as error:
            if self.unreadable is None:
                log.warning("server_log_unreadable", error=error.strerror)
                self.unreadable = self._elapsed(), os_error_detail(error)
            self._lose(self._all())
            return
        self.unreadable = None
        for first in range(0, len(entries), _NOTED_AT_ONCE):
            self._note(entries[first : first + _NOTED_AT_ONCE])
            await asyncio.sleep(0)
        if self._log.was_cut:
            self._lose(self._all())

    def _note(self, entries: Iterable[LogEntry]) -> None:
        told: set[ServerVerdicts] = set()
        for entry in entries:
            about = self._note_transfer(entry) if isinstance(entry, Transfer) else self._rename(entry)
            told |= (
                about if entry.is_live else set()
            )  # what was said before our time waits for a first look at the file
        for verdicts in told:
            verdicts.tell()
        pending = {verdicts: len(verdicts.pending) for verdicts in self._all()}
        if sum(pending.values()) > _MOST_PENDING:
            most = fair_share(pending.values(), _MOST_PENDING)
            self._lose(verdicts for verdicts in pending if verdicts.keep(most))

    def _lose(self, some: Iterable["ServerVerdicts"]) -> None:
        now = self._elapsed()
        for verdicts in some:
            verdicts.lost_at = now

    def _all(self) -> list["ServerVerdicts"]:
        return [verdicts for there in self._directories.values() for verdicts in there]

    def _owners(self, path: bytes) -> list["ServerVerdicts"]:
        """The verdicts of the directory in which, or in a sub-folder of which, a path lies."""
        while path:
            path = path.rpartition(b"/")[0]
            owners = self._directories.get(path + b"/")
            if owners:
                return owners
        return []

    def _note_transfer(self, transfer: Transfer) -> set["ServerVerdicts"]:
        owners = self._owners(transfer.path)
        for owner in owners:
            owner.note(transfer)
        if not owners:
            self._note_other(transfer)
        if transfer.is_live and transfer.size is not None and not any(owner.has(transfer.path) for owner in owners):
            self._elsewhere[_last(transfer.path), transfer.size] = transfer
            if len(self._elsewhere) > _MOST_ELSEWHERE:
                self._elsewhere.popitem(last=False)
        return {*owners}

    def _note_other(self, transfer: Transfer) -> None:
        before = self._others.pop(transfer.path, ())
        self._others[transfer.path] = kept((*before, transfer))
        if len(self._others) > _MOST_OTHERS:
            self._others.popitem(last=False)

    def _rename(self, renamed: Renamed) -> set["ServerVerdicts"]:
        """Note a rename: what is known of a file goes with it, and any other file is complete, as its sender says."""
        told: set[ServerVerdicts] = set()
        readings = [reading for reading in renamed.readings if self._known(reading[0])] or renamed.readings
        for old, new in readings:
            by_rename = Transfer(path=new, verdict=ServerVerdict.OK, size=None, is_live=renamed.is_live)
            moved = tuple(replace(each, path=new) for each in self._known(old) or (by_rename,))
            for pending in self._pending(old):
                pending.pop(old, None)
            for pending in self._pending(new):
                pending.pop(new, None)
                pending[new] = moved
            told |= {*self._owners(new)}
        return told

    def _pending(self, path: bytes) -> list[dict[bytes, Transfers]]:
        return [owner.pending for owner in self._owners(path)] or [self._others]

    def _known(self, path: bytes) -> Transfers:
        return next((pending[path] for pending in self._pending(path) if path in pending), ())


class ServerVerdicts:
    """The log's verdicts, by the names of files in one directory; `SharedLog.of` makes them.

    Attributes:
        directory: where the files lie.
        parent: what the path of each of its files begins with in the log.
        pending: the transfers of its files, and of those in its sub-folders, that nothing has used yet, by path.
        is_proven: whether the log has told of a transfer into the directory: it is the right log, and tells of uploads.
        lost_at: when lines were lost or forgotten last, in monotonic seconds, so that silence says nothing of files
            from before.
        astray: a file that lies in the directory, and the path elsewhere by which the log calls it, as it seems; None
            once the log has told of a transfer into the directory.
    """

    def __init__(self, shared: SharedLog, directory: Path, root: Path) -> None:
        self._shared = shared
        self.directory = directory.absolute()
        self._prefix = str(PurePosixPath("/") / self.directory.relative_to(root.absolute())).rstrip("/") + "/"
        self.parent = logged_path(self._prefix)
        self.pending: dict[bytes, Transfers] = {}
        self._earlier: dict[bytes, Transfers] = {}
        self._swept: Mapping[bytes, Transfers] = {}
        self._has_news = False
        self._listener: Callable[[], None] = _nobody
        self.lost_at = float("-inf")
        self.is_proven = False
        self.astray: tuple[str, str] | None = None

    @property
    def state(self) -> LogState:
        """What the log is good for."""
        if self.unreadable is not None:
            return LogState.UNREADABLE
        return LogState.TELLS if self.is_proven else LogState.HAS_TOLD_NOTHING

    @property
    def unreadable(self) -> tuple[float, Detail | str] | None:
        """See `SharedLog.unreadable`."""
        return self._shared.unreadable

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a function called when the log has told something."""
        self._listener = listener

    async def refresh(self) -> None:
        """Return when all that was logged before the call is known."""
        await self._shared.refresh()

    async def told_of(self, names: list[str]) -> list[str]:
        """The names of which the log has something to say, told once after it has said something."""
        if not self._has_news:
            return []
        self._has_news = False
        return await asyncio.to_thread(lambda: [name for name in names if self._path(name) in self.pending])

    def tells_all_of(self, name: str) -> bool:
        """Whether the log would have told of an upload of some name, had it ended well."""
        return self.is_proven and b"?" not in self._path(name)

    def take(self, name: str, size: int, names: Iterable[str]) -> ServerVerdict | None:
        """The verdict on a file by its transfers, told once; None where there is none, or it may mean another file.

        Args:
            name: the file's name.
            size: the file's size now; a line from before our time counts only where it agrees.
            names: the other names in the directory, of which several may be logged alike.
        """
        path = self._path(name)
        if path not in self.pending:
            self._wonder(name, path, size)
            return None
        may_be_other = b"?" in path
        if may_be_other and self._is_ambiguous(path, name, names):
            return None
        earlier, new = self._earlier.pop(path, ()), self.pending.pop(path)
        self._earlier[path] = kept((*earlier, *new))
        if len(self._earlier) > _MOST_EARLIER:
            del self._earlier[next(iter(self._earlier))]
        return verdict_on(earlier, new, size, must_agree=may_be_other)

    def last_bytes(self, name: str) -> int | None:
        """The bytes of the last transfer of a name that was made use of; None where none is known."""
        told = self._earlier.get(self._path(name), ())
        return told[-1].size if told else None

    def take_back(self, name: str, verdict: ServerVerdict, size: int) -> None:
        """Tell a verdict again, of a file of the same size, unless the log has said more meanwhile."""
        if verdict is not ServerVerdict.UNCLEAR:
            path = self._path(name)
            self.pending.setdefault(path, (Transfer(path=path, verdict=verdict, size=size, is_live=False),))

    async def sweep(self, names: Iterable[str]) -> None:
        """Forget what is said of files that this sweep and the last miss among `names`, all files of the directory."""
        if not self.pending and not self._earlier:
            self._swept = {}
            return
        transfers = {**self._earlier, **self.pending}
        others = await asyncio.to_thread(self._others, transfers, names)
        known, self._swept = self._swept, others
        for path, transfer in others.items():
            for kept_there in (self.pending, self._earlier):
                if known.get(path) is transfer and kept_there.get(path) is transfer:
                    del kept_there[path]

    def close(self) -> None:
        """Stop keeping verdicts: nobody asks for them any more."""
        self._listener = _nobody
        self._shared.leave(self)

    def note(self, transfer: Transfer) -> None:
        """Note what the log tells of a file in the directory, or in a sub-folder."""
        if self.has(transfer.path):
            self.is_proven, self.astray = True, None
        before = self.pending.pop(transfer.path, ())
        self.pending[transfer.path] = kept((*before, transfer))

    def tell(self) -> None:
        """Call the listener, as something was noted."""
        self._has_news = True
        self._listener()

    def keep(self, most: int) -> bool:
        """Forget the oldest entries above a number; returns whether there were more."""
        excess = len(self.pending) - most
        for path in [*self.pending][: max(0, excess)]:
            del self.pending[path]
        return excess > 0

    def has(self, path: bytes) -> bool:
        """Whether a path is that of a file in the directory itself."""
        return path.startswith(self.parent) and b"/" not in path[len(self.parent) :]

    def _is_ambiguous(self, path: bytes, name: str, names: Iterable[str]) -> bool:
        return self._shared.called_like(self) or any(self._path(other) == path for other in names if other != name)

    def _wonder(self, name: str, path: bytes, size: int) -> None:
        """Whether the log seems to tell of a file here as of one in another directory."""
        other = None if self.is_proven or size == 0 else self._shared.elsewhere(_last(path), size)
        if other is not None:
            self.astray = shown_name(name), other.path.decode("ascii")

    def _others(self, transfers: Mapping[bytes, Transfers], names: Iterable[str]) -> dict[bytes, Transfers]:
        there = {self._path(name) for name in names}
        return {path: each for path, each in transfers.items() if path not in there}

    def _path(self, name: str) -> bytes:
        return logged_path(self._prefix + name)


def fair_share(sizes: Iterable[int], most: int) -> int:
    """The largest bound on each size under which all together are at most `most`: who has little loses nothing."""
    largest, rest = 0, sorted(sizes)
    while rest and rest[0] * len(rest) <= most:
        largest = rest.pop(0)
        most -= largest
    return most // len(rest) if rest else largest


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _nobody() -> None:
    """Do nothing, in place of a listener."""

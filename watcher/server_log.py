"""What vsftpd's own log says of transfers that have ended.

Source: vsftpd.conf(5) `xferlog_enable`, `dual_log_enable`; measured with 3.0.3. The log is lossy: every byte of a path
that is not printable ASCII is a `?`, paths are relative to the session's root, and a server process that was killed
leaves no line at all.
"""

import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path, PurePosixPath

from importer.model import shown_name
from watcher.model import ServerVerdict
from watcher.settings import SESSION_USER

_LINE = re.compile(
    rb'[^"]*\[([^\]"]*)\] (OK|FAIL) UPLOAD: Client "[^"]*", "(.*)"(?:, (\d+) bytes)?, [\d.]+Kbyte/sec\s*$'
)
"""Nothing quoted stands before the result: the name in another kind of line may look like this one."""
_RENAME = re.compile(rb'[^"]*\[([^\]"]*)\] OK RENAME: Client "[^"]*", "(.*)"\s*$')
_REPLAYED_BYTES = 4 << 20
_MOST_PENDING = 200_000
_MOST_ELSEWHERE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An upload that has ended.

    Attributes:
        path: as logged, normalised, relative to the session's root.
        verdict: what the server thinks of it.
        size: the bytes of this transfer, None where the log does not say.
        is_live: whether it was logged while we were watching, not before.
    """

    path: bytes
    verdict: ServerVerdict
    size: int | None
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """A file that was given another name.

    Attributes:
        readings: what its old and its new path may be, normalised; vsftpd writes both with just a blank between them.
        is_live: whether it was logged while we were watching, not before.
    """

    readings: tuple[tuple[bytes, bytes], ...]
    is_live: bool


Entry = Transfer | Renamed


def logged_path(path: str) -> bytes:
    """The form in which vsftpd would log a path: what is not printable ASCII becomes `?`."""
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in os.fsencode(path))


def parse(line: bytes, *, is_live: bool, root: str = "/") -> Entry | None:
    """What a line of the log says of a transfer or a rename, None where it tells of something else.

    Args:
        line: without its end.
        is_live: whether it was logged while we were watching.
        root: stands before the paths; `$USER` in it is the session's user.
    """
    renamed = _RENAME.match(line)
    if renamed is not None:
        return Renamed(readings=tuple(_readings(renamed[2], _root(root, renamed[1]))), is_live=is_live)
    found = _LINE.match(line)
    if found is None:
        return None
    user, result, path, size = found.groups()
    return Transfer(
        path=_normalised(path, _root(root, user)),
        verdict=ServerVerdict.OK if result == b"OK" else ServerVerdict.FAILED,
        size=None if size is None else int(size),
        is_live=is_live,
    )


def _root(root: str, user: bytes) -> str:
    return root.replace(SESSION_USER, os.fsdecode(user))


def _readings(both: bytes, root: str) -> Iterator[tuple[bytes, bytes]]:
    at = both.find(b" /")
    while at >= 0:
        yield _normalised(both[:at], root), _normalised(both[at + 1 :], root)
        at = both.find(b" /", at + 1)


def _normalised(path: bytes, root: str) -> bytes:
    within = os.path.normpath("/" + os.fsdecode(path).lstrip("/"))
    return logged_path(root.rstrip("/") + within)


class _Tail:
    """The lines that are appended to an open file."""

    def __init__(self, file: BufferedReader) -> None:
        self.file = file
        self._rest = b""

    def lines(self) -> list[bytes]:
        *lines, self._rest = (self._rest + self.file.read()).split(b"\n")
        return lines

    def is_at(self, path: Path) -> bool:
        """Whether this file still has that name, or nothing has it, and was not truncated."""
        try:
            there = path.stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self.file.fileno())
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) and there.st_size >= self.file.tell()


class ServerLog:
    """Follows the log over rotation by rename and by truncation.

    Sessions that were there before a rotation go on writing to the old file, so that is read until the next one.

    Args:
        path: vsftpd_log_file; it may not exist yet.
        root: see `parse`.

    Attributes:
        was_cut: whether lines may be missing since the last call of `poll`, as the file was truncated.
    """

    def __init__(self, path: Path, root: str = "/") -> None:
        self._path = path
        self._root = root
        self._tails: list[_Tail] = []
        self._is_live = False
        self.was_cut = False

    def poll(self) -> list[Entry]:
        """What was logged since the last call; at the first call, the end of what is there.

        Raises:
            OSError: the log may not be read.
        """
        self.was_cut = False
        lines = [line for tail in self._tails for line in tail.lines()]
        if not self._is_live:
            lines += self._before_the_last_rotation()
        if not self._tails or not self._tails[-1].is_at(self._path):
            lines += self._reopen()
        found = [parse(line, is_live=self._is_live, root=self._root) for line in lines]
        self._is_live = True
        return [entry for entry in found if entry is not None]

    def close(self) -> None:
        """Let go of the log."""
        self._keep(0)

    def _before_the_last_rotation(self) -> list[bytes]:
        try:
            with self._path.with_name(f"{self._path.name}.1").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _REPLAYED_BYTES))
                return file.read().split(b"\n")
        except OSError:
            return []

    def _reopen(self) -> list[bytes]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        if not self._is_live:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _REPLAYED_BYTES))
        was_truncated = bool(self._tails) and os.path.sameopenfile(self._tails[-1].file.fileno(), file.fileno())
        self._keep(0 if was_truncated else 1)
        self.was_cut = was_truncated
        self._tails.append(_Tail(file))
        return self._tails[-1].lines()

    def _keep(self, number: int) -> None:
        while len(self._tails) > number:
            self._tails.pop(0).file.close()


class ServerVerdicts:
    """The log's verdicts, by the names of files in one directory.

    Args:
        log: vsftpd's log.
        directory: where the files lie.
        root: the directory that sessions see as `/`.

    Attributes:
        is_proven: whether the log has told of a transfer into the directory: it is the right log, and tells of uploads.
        has_lost: whether lines were lost or forgotten by the last `poll`, so that silence says nothing of files so far.
        astray: a file that lies in the directory, and the path elsewhere by which the log calls it, as it seems; None
            once the log has told of a transfer into the directory.
    """

    def __init__(self, log: ServerLog, directory: Path, root: Path) -> None:
        self._log = log
        self._prefix = PurePosixPath("/") / directory.absolute().relative_to(root.absolute())
        self._parent = logged_path(str(self._prefix / "x"))[:-1]
        self._pending: dict[bytes, Transfer] = {}
        self._swept: set[bytes] = set()
        self.has_lost = False
        self.is_proven = False
        self.astray: tuple[str, str] | None = None
        self._elsewhere: OrderedDict[bytes, Transfer] = OrderedDict()

    def poll(self, names: Iterable[str]) -> list[str]:
        """Read what was logged since the last call; returns those of the names that it is about.

        Raises:
            OSError: the log may not be read.
        """
        entries = self._log.poll()
        for entry in entries:
            if isinstance(entry, Transfer):
                self._note(entry)
            else:
                self._rename(entry)
        self.has_lost = self._log.was_cut or len(self._pending) > _MOST_PENDING
        for path in list(self._pending)[:-_MOST_PENDING]:
            del self._pending[path]
        return [name for name in names if self._path(name) in self._pending] if entries else []

    def tells_all_of(self, name: str) -> bool:
        """Whether an upload of that name would have been told, had it ended well."""
        return self.is_proven and b"?" not in self._path(name)

    def take(self, name: str, size: int, names: Iterable[str]) -> ServerVerdict | None:
        """The verdict on a file's last transfer, told once; None where there is none, or it may mean another file.

        Args:
            name: the file's name.
            size: its size now; a line from before our time counts only where it tells the same.
            names: the other names in the directory, of which several may be logged alike.
        """
        path = self._path(name)
        transfer = self._pending.get(path)
        if transfer is None:
            self._wonder(name, path, size)
        if transfer is None or (b"?" in path and any(self._path(other) == path for other in names if other != name)):
            return None
        del self._pending[path]
        return transfer.verdict if transfer.is_live or transfer.size == size else None

    def sweep(self, names: Iterable[str]) -> None:
        """Forget what is said of other files than these, which are all there are, once that was so twice."""
        others = self._pending.keys() - {self._path(name) for name in names}
        for path in self._swept & others:
            del self._pending[path]
        self._swept = others - self._swept

    def close(self) -> None:
        """Let go of the log."""
        self._log.close()

    def _note(self, transfer: Transfer) -> None:
        path = transfer.path
        if path.startswith(self._parent) and b"/" not in path[len(self._parent) :]:
            self.is_proven, self.astray = True, None
            self._elsewhere.clear()
        elif not self.is_proven and transfer.is_live:
            self._elsewhere[_last(path)] = transfer
            if len(self._elsewhere) > _MOST_ELSEWHERE:
                self._elsewhere.popitem(last=False)
        self._pending.pop(path, None)
        self._pending[path] = transfer

    def _wonder(self, name: str, path: bytes, size: int) -> None:
        """Whether the log tells of that very file as of one in another directory."""
        other = self._elsewhere.get(_last(path))
        if other is not None and other.size == size > 0:
            self.astray = shown_name(name), other.path.decode("ascii")

    def _rename(self, renamed: Renamed) -> None:
        """What is known of a file goes with it; of another one the sender says by the rename that it is complete."""
        readings = [reading for reading in renamed.readings if reading[0] in self._pending] or renamed.readings
        for old, new in readings:
            by_rename = Transfer(path=new, verdict=ServerVerdict.OK, size=None, is_live=renamed.is_live)
            moved = self._pending.pop(old, by_rename)
            self._pending.pop(new, None)
            self._pending[new] = replace(moved, path=new)

    def _path(self, name: str) -> bytes:
        return logged_path(str(self._prefix / name))


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]

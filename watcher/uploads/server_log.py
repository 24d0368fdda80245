"""The transfers that have ended, as vsftpd's own log tells them.

Source: vsftpd.conf(5) `xferlog_enable`, `dual_log_enable`; measured with 3.0.3. The log is lossy: every byte of a path
that is not printable ASCII is a `?`, paths are relative to the session's root, and a server process that was killed
leaves no line at all.
"""

import glob
import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain
from pathlib import Path

from watcher.settings.variables import SESSION_USER
from watcher.uploads.model import ServerVerdict, Transfer

_LINE = re.compile(
    rb'[^"]*\[([^\]"]*)\] (OK|FAIL) UPLOAD: Client "[^"]*", "(.*)"(?:, (\d+) bytes)?, [\d.]+Kbyte/sec\s*$'
)
"""A line that tells a result, before which nothing quoted stands: names in other lines may look like this one."""
_RENAME = re.compile(rb'[^"]*\[([^\]"]*)\] OK RENAME: Client "[^"]*", "(.*)"\s*$')
_REPLAYED_BYTES = 4 << 20
_READ_AT_ONCE = 256 << 10
_REMEMBERED_BYTES = 256
"""The bytes before the place up to which a file was read that must be there still, or the file was truncated."""
_AS_LOGGED = bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """A file that was given another name, as a line of the log tells it.

    Attributes:
        readings: what its old and its new path may be, normalised; vsftpd writes both with just a blank between them.
        is_live: whether it was logged while we were watching, not before.
    """

    readings: tuple[tuple[bytes, bytes], ...]
    is_live: bool


LogEntry = Transfer | Renamed


def logged_path(path: str) -> bytes:
    """The form in which vsftpd would log a path: what is not printable ASCII becomes `?`."""
    return os.fsencode(path).translate(_AS_LOGGED)


def parse(line: bytes, *, is_live: bool, root: str = "/") -> LogEntry | None:
    """Parse a line of the log that tells of a transfer or a rename; None where it tells of something else.

    Args:
        line: the line without its end.
        is_live: whether it was logged while we were watching.
        root: the directory that stands before the paths; `$USER` in it is the session's user.
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
        size=int(size or 0),  # vsftpd names none where nothing came
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
        self._last = b""

    def lines(self) -> Iterator[bytes]:
        """The lines that are whole, a part of them at a time, as there may be many."""
        while part := self.file.read(_READ_AT_ONCE):
            self._last = (self._last + part)[-_REMEMBERED_BYTES:]
            *lines, self._rest = (self._rest + part).split(b"\n")
            yield from lines

    def is_at(self, path: Path) -> bool:
        """Whether the file was not truncated and still has its name, or nothing has that name."""
        try:
            there = path.stat()
        except FileNotFoundError:
            return True
        return _identity(there) == self.identity and not self.was_truncated()

    def was_truncated(self) -> bool:
        """Whether the file does not hold any more what was read of it, though it may have grown as long since."""
        at = self.file.tell() - len(self._last)
        return os.pread(self.file.fileno(), len(self._last), at) != self._last

    @property
    def identity(self) -> tuple[int, int]:
        """The file's device and inode."""
        return _identity(os.fstat(self.file.fileno()))

    @property
    def written_ns(self) -> int:
        """The time, in nanoseconds, at which the file was written last."""
        return os.fstat(self.file.fileno()).st_mtime_ns


class ServerLog:
    """The follower of the log, over rotation by rename and by truncation.

    Sessions that were there before a rotation go on writing to the old file, so that is read until the next one.

    Args:
        path: vsftpd_log_file; it may not exist yet.
        root: see `parse`.

    Attributes:
        was_cut: whether lines may be missing since the last call of `poll`, as the file was truncated, or rotated more
            than once.
    """

    def __init__(self, path: Path, root: str = "/") -> None:
        self._path = path
        self._root = root
        self._tails: list[_Tail] = []
        self._is_live = False
        self.was_cut = False

    def poll(self) -> list[LogEntry]:
        """Read what was logged since the last call; at the first call, the end of what is there.

        Raises:
            OSError: the log may not be read.
        """
        self.was_cut = False
        whole = [tail for tail in self._tails if not tail.was_truncated()]
        found = [*self._entries(chain.from_iterable(tail.lines() for tail in whole))]
        if not self._is_live:
            found += self._entries(self._before_the_last_rotation())
        if not self._tails or not self._tails[-1].is_at(self._path):
            found += self._entries(self._reopen())
        self._is_live = True
        return found

    def close(self) -> None:
        """Close the log's files."""
        self._keep(0)

    def _entries(self, lines: Iterator[bytes]) -> Iterator[LogEntry]:
        for line in lines:
            entry = parse(line, is_live=self._is_live, root=self._root)
            if entry is not None:
                yield entry

    def _before_the_last_rotation(self) -> Iterator[bytes]:
        """The end of the file that was the log before, whatever it is called now, compressed or not."""
        with suppress(OSError, EOFError, zlib.error):
            rotated = max(self._rotated(), key=lambda each: each[1].st_mtime_ns, default=None)
            if rotated is not None:
                yield from _last_lines(rotated[0])

    def _rotated(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The files that have been the log: logrotate adds a number or a date to the name."""
        for path in self._path.parent.glob(f"{glob.escape(self._path.name)}[.-]*"):
            with suppress(OSError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    yield path, status

    def _reopen(self) -> Iterator[bytes]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return iter(())
        new = _Tail(file)
        if not self._is_live:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _REPLAYED_BYTES))
        was_truncated = bool(self._tails) and self._tails[-1].identity == new.identity
        self.was_cut = was_truncated or self._has_missed(new)
        self._keep(0 if was_truncated else 1)
        self._tails.append(new)
        return new.lines()

    def _has_missed(self, new: _Tail) -> bool:
        """Whether there was another log between the one that was read last and this one."""
        if not self._tails:
            return False
        last = self._tails[-1]
        known = {new.identity, *(tail.identity for tail in self._tails)}
        return any(
            _identity(status) not in known and status.st_mtime_ns > last.written_ns for _, status in self._rotated()
        )

    def _keep(self, number: int) -> None:
        while len(self._tails) > number:
            self._tails.pop(0).file.close()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _last_lines(path: Path) -> Iterator[bytes]:
    """The last lines of a file that was rotated; one that was compressed is read through, if it is small."""
    if path.suffix != ".gz":
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _REPLAYED_BYTES))
            yield from _Tail(file).lines()
    elif path.stat().st_size <= _REPLAYED_BYTES // 8:
        with gzip.open(path, "rb") as packed:
            last = b""
            while part := packed.read(_READ_AT_ONCE):
                last = (last + part)[-_REPLAYED_BYTES:]
            yield from last.split(b"\n")

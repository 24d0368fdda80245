"""What vsftpd's own log says of transfers that have ended.

Source: vsftpd.conf(5) `xferlog_enable`, `dual_log_enable`; measured with 3.0.3. The log is lossy: every byte of a path
that is not printable ASCII is a `?`, paths are relative to the session's root, and a server process that was killed
leaves no line at all.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from watcher.model import ServerVerdict

_LINE = re.compile(rb'[^"]*\] (OK|FAIL) UPLOAD: Client "[^"]*", "(.*)"(?:, (\d+) bytes)?, [\d.]+Kbyte/sec\s*$')
"""Nothing quoted stands before the result: the name in another kind of line may look like this one."""
_REPLAYED_BYTES = 4 << 20
_MOST_PENDING = 10_000


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


def logged_path(path: str) -> bytes:
    """The form in which vsftpd would log a path: what is not printable ASCII becomes `?`."""
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in os.fsencode(path))


def parse(line: bytes, *, is_live: bool) -> Transfer | None:
    """The transfer that a line of the log tells of, None where it tells of something else."""
    found = _LINE.match(line)
    if found is None:
        return None
    result, path, size = found.groups()
    return Transfer(
        path=logged_path(os.path.normpath("/" + os.fsdecode(path).lstrip("/"))),
        verdict=ServerVerdict.OK if result == b"OK" else ServerVerdict.FAILED,
        size=None if size is None else int(size),
        is_live=is_live,
    )


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
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tails: list[_Tail] = []
        self._is_live = False

    def poll(self) -> list[Transfer]:
        """What was logged since the last call; at the first call, the end of what is there.

        Raises:
            OSError: the log may not be read.
        """
        lines = [line for tail in self._tails for line in tail.lines()]
        if not self._tails or not self._tails[-1].is_at(self._path):
            lines += self._reopen()
        found = [parse(line, is_live=self._is_live) for line in lines]
        self._is_live = True
        return [transfer for transfer in found if transfer is not None]

    def close(self) -> None:
        """Let go of the log."""
        self._keep(0)

    def _reopen(self) -> list[bytes]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        if not self._is_live:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _REPLAYED_BYTES))
        was_truncated = bool(self._tails) and os.path.sameopenfile(self._tails[-1].file.fileno(), file.fileno())
        self._keep(0 if was_truncated else 1)
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
    """

    def __init__(self, log: ServerLog, directory: Path, root: Path) -> None:
        self._log = log
        self._prefix = PurePosixPath("/") / directory.absolute().relative_to(root.absolute())
        self._pending: dict[bytes, Transfer] = {}

    def poll(self, names: Iterable[str]) -> list[str]:
        """Read what was logged since the last call; returns those of the names that it is about.

        Raises:
            OSError: the log may not be read.
        """
        fresh = self._log.poll()
        for transfer in fresh:
            self._pending.pop(transfer.path, None)
            self._pending[transfer.path] = transfer
        for path in list(self._pending)[:-_MOST_PENDING]:
            del self._pending[path]
        return [name for name in names if self._path(name) in self._pending] if fresh else []

    def take(self, name: str, size: int, names: Iterable[str]) -> ServerVerdict | None:
        """The verdict on a file's last transfer, told once; None where there is none, or it may mean another file.

        Args:
            name: the file's name.
            size: its size now; a line from before our time counts only where it tells the same.
            names: the other names in the directory, of which several may be logged alike.
        """
        path = self._path(name)
        transfer = self._pending.get(path)
        if transfer is None or (b"?" in path and any(self._path(other) == path for other in names if other != name)):
            return None
        del self._pending[path]
        return transfer.verdict if transfer.is_live or transfer.size == size else None

    def close(self) -> None:
        """Let go of the log."""
        self._log.close()

    def _path(self, name: str) -> bytes:
        return logged_path(str(self._prefix / name))

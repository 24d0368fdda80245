"""Which database works in an upload directory, by a lock, so that services of two do not take each other's files.

A file in the directory of claims names the database, and each service that works there holds a shared lock on it while
it runs: several nodes of one database hold it together. Who comes with another database gets the file only when nobody
holds it, and then writes its own name. So a site moves to another database by stopping the one service and starting
the other; what a crash has left, a half-written name as well, is held by nobody and is written anew.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from importer.files.anchoring import anchored
from importer.files.claiming import WORK_DIRECTORY, workroom
from importer.files.writers import locks_on

OCCUPANT_FILE = ".database"

_KNOWS_NO_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_LONGEST_BYTES = 4096
_TRIES = 20
"""The tries after which a lock is taken to be held for long: who takes the file over holds it alone for a moment."""


@dataclass(frozen=True, slots=True)
class Occupant:
    """A database that works, or has worked, in an upload directory: its mark, and its place for people."""

    mark: str
    place: str


NOBODY = Occupant("", "")


class OccupiedError(Exception):
    """A running service of another database works in the upload directory."""

    def __init__(self, directory: Path, place: str) -> None:
        super().__init__(directory, place)
        self.directory = directory
        self.place = place


class Occupancy:
    """The hold of a service on an upload directory; it ends with the process.

    Attributes:
        former: the place of another database that has worked there before; None where none has, as far as is known.
    """

    def __init__(self, descriptor: int, former: str | None) -> None:
        self._descriptor = descriptor
        self.former = former

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)


def occupy(directory: Path, database: Occupant, pause: Callable[[], None]) -> Occupancy:
    """Hold an upload directory for a database; where the file system knows no locks, nobody is kept out.

    Args:
        directory: the upload directory, which is no link.
        database: the database; its mark is not empty.
        pause: waits for some tenths of a second.

    Raises:
        OccupiedError: another database works there.
        OSError: nothing can be kept there.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with anchored(directory) as anchor, workroom(anchor) as room:
        descriptor = os.open(room / OCCUPANT_FILE, flags, 0o600)
    with ExitStack() as stack:
        stack.callback(os.close, descriptor)
        for _ in range(_TRIES):
            former = _read(descriptor)
            if _is_taken(descriptor, database, former):
                stack.pop_all()
                return Occupancy(descriptor, former.place if former.mark not in {"", database.mark} else None)
            pause()
        raise OccupiedError(directory, _read(descriptor).place)


def working_in(directory: Path, locks: str) -> Occupant | None:
    """The database a service of which runs and works in an upload directory; None where none is seen.

    Args:
        directory: the upload directory.
        locks: the text of /proc/locks, which leaves out what processes of other PID namespaces hold.
    """
    with suppress(OSError):
        descriptor = os.open(directory / WORK_DIRECTORY / OCCUPANT_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status, found = os.fstat(descriptor), _read(descriptor)
        finally:
            os.close(descriptor)
        is_held = any(lock[1] == "FLOCK" for lock in locks_on(locks, status.st_dev, status.st_ino))
        return found if is_held and found.mark else None
    return None


def _is_taken(descriptor: int, database: Occupant, former: Occupant) -> bool:
    """Try once to hold the file, which `former` has written, under the database's own mark.

    Others may take it between two steps.
    """
    if former.mark != database.mark:
        if not _lock(descriptor, fcntl.LOCK_EX):
            return False
        _write(descriptor, database)
    if not _lock(descriptor, fcntl.LOCK_SH):
        return False
    if _read(descriptor).mark == database.mark:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return False
        if error.errno not in _KNOWS_NO_LOCKS:
            raise
    return True


def _read(descriptor: int) -> Occupant:
    """Read who has written last; nobody where that is half written."""
    mark, is_whole, place = os.pread(descriptor, _LONGEST_BYTES, 0).decode("utf-8", "replace").partition(" ")
    return Occupant(mark, place.removesuffix("\n")) if is_whole and place.endswith("\n") else NOBODY


def _write(descriptor: int, database: Occupant) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{database.mark} {database.place}\n".encode(errors="replace"), 0)
    os.fsync(descriptor)

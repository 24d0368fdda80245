"""The identity of a running service: its locks, and its name among the nodes of a database."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from importer.database.engines import sqlite_file
from importer.files.writers import PROC_LOCKS, locks_on

LOCK_FILE = "userdrop.lock"
"""The lock file in the state directory; its content is the number of the process that last locked it."""
UPLOADS_FILE = "uploads.json"
"""The file in the state directory in which is kept what is known of uploads that wait."""
NODE_FILE = "node"
"""The file in the state directory that holds the node's name."""


class AlreadyRunningError(Exception):
    """Another instance holds the state directory or the database."""

    def __init__(self, pid: str) -> None:
        super().__init__(f"userdrop is running already, as process {pid}")


class InstanceLocks:
    """Locks that allow one service for each state directory and SQLite database; PostgreSQL may serve any number.

    The files are never unlinked: a lock on a nameless file locks nobody out.

    Args:
        state_dir: the state directory, which must exist.
        database: the database's URL.

    Raises:
        AlreadyRunningError: another process holds one of them; then none is held.
        OSError: one cannot be made.
    """

    def __init__(self, state_dir: Path, database: str) -> None:
        self._descriptors: list[int] = []
        try:
            for path in _lock_files(state_dir, database):
                self._descriptors.append(_locked(path))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the locks, so that another instance can start."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def _lock_files(state_dir: Path, database: str) -> Iterator[Path]:
    yield state_dir / LOCK_FILE
    if path := sqlite_file(database):
        # Beside it, as SQLite's own locks go when any other descriptor of the database is closed.
        yield Path(f"{path.resolve()}.lock")


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        if error.errno != errno.EWOULDBLOCK:
            raise
        raise AlreadyRunningError(holder or "unknown") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def running_process(state_dir: Path) -> int | None:
    """The service that holds the state directory; None where none does, or none that this process can see.

    The kernel's list is asked, since trying the lock would keep a service that starts just now from it.

    Raises:
        OSError: the state directory or that list may not be read.
    """
    try:
        status = (state_dir / LOCK_FILE).stat()
    except FileNotFoundError:
        return None
    locks = locks_on(PROC_LOCKS.read_text(), status.st_dev, status.st_ino)
    return next((int(lock[4]) for lock in locks if lock[1] == "FLOCK" and int(lock[4]) > 0), None)


def node_name(state_dir: Path) -> str:
    """The name of this node among those that share a database, made once and kept in the state directory.

    Call it while the state directory is locked.

    Raises:
        OSError: it can be neither read nor made.
    """
    path = state_dir / NODE_FILE
    name = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else ""
    if not name:
        name = secrets.token_hex(8)
        path.write_text(f"{name}\n", encoding="ascii")
    return name

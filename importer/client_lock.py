"""The lock of a client: only its holder claims, imports and recovers the client's files.

A client is locked by two locks. The session-level advisory lock of PostgreSQL keeps the nodes of one database apart,
wherever they run; the server frees it when the connection is gone and nothing that was sent on it goes on, so that
another node may take over. The lock of a file in the client's directory is held for one job at a time: it makes whoever
takes over wait for a process that has lost its connection but is still moving files, and keeps services of different
databases off each other's claims.

What is shared, and why: the key of the advisory lock is made of the client's name and of an identity that lies in the
client's directory. Nodes on the same directory find the same identity, whatever they call the path, and exclude each
other. Nodes with directories of their own for clients of the same name hold different locks and work side by side,
because neither would ever finish the other's files; the users of that name they do share, and those are kept right by
each transaction's own lock (`importer.database.engines.take_turns`) and the unique indexes. A directory that was copied
together with its identity is taken for the same one: remove `.importing/.lock` from the copy.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from importer.database.locking import has_session_locks, holds, try_to_hold
from importer.files.claiming import workroom

LOCK_FILE = ".lock"

_FILE_SYSTEM_KNOWS_NO_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_LONGEST_IDENTITY_BYTES = 64


class LockedElsewhereError(Exception):
    """Another process has locked the client, whose files are to be left alone."""

    def __init__(self, client: str) -> None:
        super().__init__(client)
        self.client = client


class ClientLocks:
    """Locks clients on the connection of an engine that has one (`make_engine(…, single=True)`).

    While a client is locked, every transaction of the engine makes sure that its connection still has the lock: a
    connection that was replaced has lost it, and somebody else may have locked the client since.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._needed: str | None = None
        if has_session_locks(engine):
            event.listen(engine, "begin", self._refuse_without_lock)

    @contextmanager
    def locked(self, client: str, directory: Path) -> Iterator[bool]:
        """Lock a client for one job; yields whether others may have locked it since this was done last.

        The advisory lock stays afterwards, until the process ends or the connection is lost.

        Raises:
            LockedElsewhereError: another process has locked it.
            sqlalchemy.exc.SQLAlchemyError: the database failed, or, out of the block, the lock was lost.
            OSError: the client's directory cannot be written.
        """
        with _lock_file(directory) as descriptor:
            lock = f"userdrop claimer of {client} in {_identity(descriptor)}"
            is_new = self._take(lock, client)
            _lock(descriptor, client)  # afterwards, so that who only asks is never in the way of who has locked it
            self._needed = lock
            try:
                yield is_new
            finally:
                self._needed = None

    def _take(self, lock: str, client: str) -> bool:
        if not has_session_locks(self._engine):
            return False
        with self._engine.begin() as connection:
            if holds(connection, lock):
                return False
            if not try_to_hold(connection, lock):
                raise LockedElsewhereError(client)
        return True

    def _refuse_without_lock(self, connection: Connection) -> None:
        if self._needed is not None and not holds(connection, self._needed):
            statement, lost = "BEGIN", ConnectionError("the connection that held the client's lock was lost")
            raise OperationalError(statement, None, lost)


@contextmanager
def _lock_file(directory: Path) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with workroom(directory) as room:
        descriptor = os.open(room / LOCK_FILE, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, client: str) -> None:
    """Lock a file until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise LockedElsewhereError(client) from None
        if error.errno not in _FILE_SYSTEM_KNOWS_NO_LOCKS:
            raise


def _identity(descriptor: int) -> str:
    """Read the identity in a file, which the first who came has written; two who came at once read the same."""
    if os.fstat(descriptor).st_size == 0:
        os.write(descriptor, f"{secrets.token_hex(16)}\n".encode())
        os.fsync(descriptor)
    return os.pread(descriptor, _LONGEST_IDENTITY_BYTES, 0).split(b"\n", maxsplit=1)[0].hex()

"""One claimer for each client: only who holds a client claims, imports and recovers its files.

Two locks make a holder. The session-level advisory lock of PostgreSQL keeps the nodes of one database apart, wherever
they run; the server frees it when the connection is gone and nothing that was sent on it goes on, so that another node
may take over. The lock of a file in the client's directory is held for one job at a time: it makes whoever takes over
wait for a process that has lost its connection but is still moving files, and keeps services of different databases
off each other's claims.

What is shared, and why: the key of the advisory lock is made of the client's name and of an identity that lies in the
client's directory. Nodes on the same directory find the same identity, whatever they call the path, and exclude each
other. Nodes with directories of their own for clients of the same name hold different locks and work side by side,
because neither would ever finish the other's files; the users of that name they do share, and those are kept right by
each transaction's own lock (`importer.engines.take_turns`) and the unique indexes. A directory that was copied
together with its identity is taken for the same one: remove `.importing/.lock` from the copy.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from importer.claiming import workroom

LOCK_FILE = ".lock"

_HELD = "userdrop holds"
_FILE_SYSTEM_KNOWS_NO_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_LONGEST_IDENTITY_BYTES = 64
_SERVER_FINDS_DEAD = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""A holder whose machine has vanished is given up after 25 s; the server's default is two hours."""


class HeldElsewhereError(Exception):
    """Another process holds the client; its files are to be left alone."""

    def __init__(self, client: str) -> None:
        super().__init__(client)
        self.client = client


class Holder:
    """Holds clients on the connection of an engine that has one (`make_engine(…, single=True)`).

    While a client is held, every transaction of the engine makes sure that its connection still has the lock: a
    connection that was replaced has lost it, and somebody else may hold the client since.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._needed: str | None = None
        event.listen(engine, "begin", self._refuse_without_lock)

    @contextmanager
    def holding(self, client: str, directory: Path) -> Iterator[bool]:
        """Hold a client for one job; yields whether others may have held it since the last one that was held.

        The advisory lock stays afterwards, until the process ends or the connection is lost.

        Raises:
            HeldElsewhereError: somebody else holds it.
            sqlalchemy.exc.SQLAlchemyError: the database failed, or, out of the block, the lock was lost.
            OSError: the client's directory cannot be written.
        """
        with _lock_file(directory) as descriptor:
            lock = f"userdrop claimer of {client} in {_identity(descriptor)}"
            is_new = self._take(lock, client)
            _lock(descriptor, client)  # afterwards, so that who only asks is never in a holder's way
            self._needed = lock
            try:
                yield is_new
            finally:
                self._needed = None

    def _take(self, lock: str, client: str) -> bool:
        if self._engine.dialect.name != "postgresql":
            return False
        with self._engine.begin() as connection:
            if lock in _held(connection):
                return False
            taking = text("SELECT pg_try_advisory_lock(hashtextextended(:lock, 0))")
            if not connection.execute(taking, {"lock": lock}).scalar_one():
                raise HeldElsewhereError(client)
            setting = text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")
            for name, value in _SERVER_FINDS_DEAD.items():
                connection.execute(setting, {"name": name, "value": value})
            _held(connection).add(lock)
        return True

    def _refuse_without_lock(self, connection: Connection) -> None:
        is_needed = self._needed is not None and connection.dialect.name == "postgresql"
        if is_needed and self._needed not in _held(connection):
            statement, lost = "BEGIN", ConnectionError("the connection that held the client's lock was lost")
            raise OperationalError(statement, None, lost)


def _held(connection: Connection) -> set[str]:
    """The locks of this very connection to the server: SQLAlchemy forgets them when it makes another one."""
    held: set[str] = connection.info.setdefault(_HELD, set())
    return held


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
    """Until the file is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise HeldElsewhereError(client) from None
        if error.errno not in _FILE_SYSTEM_KNOWS_NO_LOCKS:
            raise


def _identity(descriptor: int) -> str:
    """What the file says first, written by the first who came; two who came at once read the same."""
    if os.fstat(descriptor).st_size == 0:
        os.write(descriptor, f"{secrets.token_hex(16)}\n".encode())
        os.fsync(descriptor)
    return os.pread(descriptor, _LONGEST_IDENTITY_BYTES, 0).split(b"\n", maxsplit=1)[0].hex()

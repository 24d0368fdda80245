"""Locks that a connection holds until it is lost; SQLite, whose file one machine uses, has none and needs none."""

from sqlalchemy import Connection, Engine, text

from importer.database.engines import KEEPALIVE

_HELD = "userdrop holds"
_SERVER_FINDS_DEAD = {f"tcp_{name.removeprefix('tcp_')}": str(value) for name, value in KEEPALIVE.items()}
"""The server gives up a holder whose machine has vanished as soon as a client does; its default is two hours."""


def has_session_locks(engine: Engine) -> bool:
    """Whether the database has locks that a connection holds."""
    return engine.dialect.name == "postgresql"


def holds(connection: Connection, lock: str) -> bool:
    """Whether this very connection to the server holds a lock: one that was replaced does not."""
    return lock in _held(connection)


def try_to_hold(connection: Connection, lock: str) -> bool:
    """Take a lock for as long as the connection lasts; False where another connection has it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    taking = text("SELECT pg_try_advisory_lock(hashtextextended(:lock, 0))")
    if not connection.execute(taking, {"lock": lock}).scalar_one():
        return False
    setting = text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")
    for name, value in _SERVER_FINDS_DEAD.items():
        connection.execute(setting, {"name": name, "value": value})
    _held(connection).add(lock)
    return True


def _held(connection: Connection) -> set[str]:
    """The locks of this very connection to the server; SQLAlchemy forgets them when it makes another connection."""
    held: set[str] = connection.info.setdefault(_HELD, set())
    return held

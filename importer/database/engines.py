"""Connections to SQLite and PostgreSQL: how they are made, and what they promise.

What their errors mean is in `failures`. What else differs between the two is in `dialects`, `loading`, `fetching` and
`locking`; everything else is one set of statements for both.

The URL alone chooses the database: `sqlite:///…` or `postgresql+psycopg://…`.
"""

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from importer.database.disk_room import demand_room
from importer.database.failures import ForeignDatabaseError, what_failed

DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
"""The beginnings that a database URL may have."""

TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)
"""The settings of PostgreSQL that would end what an import does."""

_SESSION = {
    # The service bounds what a file may take by itself, and holds locks of clients between ticks.
    **dict.fromkeys(TIMEOUTS, "0"),
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",  # the only one that psycopg reads
    "transform_null_equals": "off",
}
"""The settings of every session of ours on PostgreSQL, whatever defaults a role, a database or a server has."""

BUSY_SECONDS = 60
"""Seconds for which a writer waits for another one; leases of mails outlast it."""

LOG_BYTES = 32 << 20
"""The bytes that SQLite's log may go on taking; an import makes it as large as all that it writes."""

_TRIM_SECONDS = 0.2
"""Seconds for which somebody who reads from the log is waited."""
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
"""The parameters by which a server that has vanished is given up after 25 s. Source: libpq, connection parameters."""

_CONNECT_SECONDS = 10
_CACHE_KB = 48 << 10
"""The most memory, in KB, for SQLite's pages: an import touches the indexes of all users again and again."""
_REWRITTEN_BYTES = 256 << 20
"""An SQLite database up to this size is written anew in some seconds, for which others wait."""
_SCHEMA = "userdrop_schema"
"""The option of a URL that names the schema; the server is not told of it."""
_PRODUCTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def make_engine(url: str, *, single: bool = False, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Make an engine whose transactions hold what the protocol needs.

    On SQLite: WAL, `synchronous=FULL` (NORMAL loses commits at a power loss), and `BEGIN IMMEDIATE`, because a
    deferred transaction that upgrades fails at once whatever the timeout is. See `reading_engine` for readers.
    PostgreSQL's own defaults hold it, which `shortcomings` makes sure of. With `single` all of them run on one
    connection to it, as is needed by who holds locks of a session (`importer.client_lock`). Who writes to SQLite waits
    so many `busy_seconds` for another one (see `is_busy`), which holds the lock for as long as an import takes.
    """
    if make_url(url).get_backend_name() == "postgresql":
        return _postgresql(url, **{"pool_size": 1, "max_overflow": 0} if single else {})
    engine = create_engine(url)
    _heed_room(engine, url)
    event.listen(engine, "connect", partial(_prepare_sqlite, busy_seconds))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def with_schema(url: str, schema: str | None) -> str:
    """The URL of a database whose tables lie in a schema; None leaves that to the defaults of the database's user."""
    if schema is None:
        return url
    return make_url(url).update_query_dict({_SCHEMA: schema}).render_as_string(hide_password=False)


def schema_of(url: str) -> str | None:
    """The schema that was put into a URL by `with_schema`."""
    schema = make_url(url).query.get(_SCHEMA)
    return schema if isinstance(schema, str) else None


def _postgresql(url: str, **pool: int) -> Engine:
    from importer.database.connecting import attend_sessions  # noqa: PLC0415 - who uses SQLite needs no driver

    ours = {
        "connect_timeout": _CONNECT_SECONDS,
        "client_encoding": "utf8",
        "application_name": "userdrop",
        **KEEPALIVE,
    }
    given = make_url(url).query
    engine = create_engine(
        make_url(url).difference_update_query([_SCHEMA]),
        # Who waits for others' transactions sees afterwards what they wrote, whatever the server's default is.
        isolation_level="READ COMMITTED",
        # A connection that the server has closed meanwhile is no outage.
        pool_pre_ping=True,
        # Plans are made for the staged rows of the day, and poolers between us and the server know no prepared ones.
        connect_args={name: value for name, value in ours.items() if name not in given} | {"prepare_threshold": None},
        **pool,
    )
    attend_sessions(engine, _SESSION, schema_of(url))
    return engine


def reading_engine(engine: Engine) -> Engine:
    """The engine for transactions that only read the same database: on SQLite they never wait for a writer."""
    return engine.execution_options(sqlite_begin="DEFERRED")


def read_only_engine(url: str) -> Engine:
    """Make an engine that can neither write nor make a missing database. Read with it by `reading_engine`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(url, pool_size=1, max_overflow=0).execution_options(postgresql_readonly=True)
    if path := sqlite_file(url):
        query = {**parsed.query, "mode": "ro", "uri": "true"}
        parsed = parsed.set(database=f"file:{quote(str(path.absolute()))}", query=query)
    engine = create_engine(parsed)
    _heed_room(engine, url)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _heed_room(engine: Engine, url: str) -> None:
    """Check before each use of an SQLite file that there is room: on some file systems a full disk ends the process."""
    if (path := sqlite_file(url)) is not None:
        event.listen(engine, "do_connect", lambda *_: demand_room(path.parent))
        event.listen(engine, "begin", lambda _: demand_room(path.parent))


def sqlite_file(url: str) -> Path | None:
    """The path of an SQLite database, as far as its URL says; None for one in memory, and for PostgreSQL."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or ":memory:" in parsed.database:
        return None
    is_uri = parsed.database.startswith("file:")
    return Path(unquote(urlsplit(parsed.database).path) if is_uri else parsed.database)


def wipe_removed(connection: Connection) -> None:
    """Have SQLite overwrite what this transaction removes; PostgreSQL does so in its own time."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def overwrite_removed(engine: Engine) -> Iterator[str]:
    """Have what was removed from the tables no longer lie in the database's files; yields what is not so, and why."""
    if engine.dialect.name == "postgresql":
        yield from _vacuumed(engine.execution_options(isolation_level="AUTOCOMMIT"))
        return
    path = sqlite_file(engine.url.render_as_string(hide_password=False))
    if path is not None:
        yield from _rewritten(engine, path.stat().st_size)


def _vacuumed(engine: Engine) -> Iterator[str]:
    try:
        with engine.connect() as connection:
            for table in ("users", "imports", "notices", "mails"):
                connection.execute(text(f"VACUUM {table}"))
    except DBAPIError as error:
        yield f"PostgreSQL has removed rows in its files until its next VACUUM: {what_failed(error)}"


def _rewritten(engine: Engine, size: int) -> Iterator[str]:
    """Rewrite an SQLite database without removed rows, also those that were removed before, and empty its log."""
    if size > _REWRITTEN_BYTES:
        yield "SQLite may have earlier versions of rows in pages that are free; stop the service and run VACUUM on it"
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        if size <= _REWRITTEN_BYTES:
            cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        is_busy, *_ = cursor.fetchone() or (0,)
        if is_busy:
            yield "SQLite has earlier versions of rows in its -wal file, which others read now; forget again later"
    except sqlite3.OperationalError as error:
        yield f"SQLite may have earlier versions of rows in its files; forget again later: {error}"
    finally:
        connection.close()


def _prepare_sqlite(busy_seconds: float, connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - the driver's own type
    _leave_transactions_to_us(connection, record)
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={busy_seconds * 1000:.0f}")
    cursor.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    _leave_others_alone(cursor)
    cursor.execute("PRAGMA journal_mode=WAL")
    (mode,) = cursor.fetchone()
    (synchronous,) = cursor.execute("PRAGMA synchronous").fetchone()
    cursor.close()
    if (mode, synchronous) not in {("wal", 2), ("memory", 2)}:
        message = f"SQLite runs with journal_mode={mode}, synchronous={synchronous}; it needs wal and 2 (FULL)"
        raise RuntimeError(message)


def _leave_others_alone(cursor: sqlite3.Cursor) -> None:
    """Keep from changing the journal of another application's file, which that would find changed.

    Raises:
        ForeignDatabaseError: the file is another application's.
    """
    (mode,) = cursor.execute("PRAGMA journal_mode").fetchone()
    if mode == "wal":
        return
    (tables,) = cursor.execute("SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view')").fetchone()
    columns = {name for (name,) in cursor.execute("SELECT name FROM pragma_table_info('imports')")}
    if tables and "claim_id" not in columns:
        what = "the SQLite file holds tables, and none of userdrop's"
        raise ForeignDatabaseError(what, "set USERDROP_DATABASE_URL to a file of userdrop's own")


def _leave_transactions_to_us(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - as above
    del record
    connection.isolation_level = None  # the driver's implicit BEGIN is deferred; ours is sent by _begin_sqlite


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def trim_log(engine: Engine, *, at_most: int = LOG_BYTES) -> None:
    """Give back to the disk what SQLite's log takes beyond a number of bytes.

    The log is left as it is while somebody reads from it: whoever writes once nobody does gives it back.
    """
    path = sqlite_file(engine.url.render_as_string(hide_password=False)) if engine.dialect.name == "sqlite" else None
    if path is None:
        return
    with suppress(OSError, SQLAlchemyError, sqlite3.Error):  # what is committed stays in the log, which is as good
        if path.with_name(f"{path.name}-wal").stat().st_size > at_most:
            _trim(engine)


def _trim(engine: Engine) -> None:
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        (before,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        try:
            cursor.execute(f"PRAGMA busy_timeout={_TRIM_SECONDS * 1000:.0f}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={before}")


def product(connection: Connection) -> str:
    """The database's product and version, as people name them."""
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    return f"{_PRODUCTS[connection.dialect.name]} {version}"


def full_name(connection: Connection) -> str:
    """The database's product, with its version in its own words."""
    asking = "SHOW server_version" if is_shared(connection.engine) else "SELECT sqlite_version()"
    return f"{_PRODUCTS[connection.dialect.name]} {connection.execute(text(asking)).scalar_one()}"


def is_shared(engine: Engine) -> bool:
    """Whether several machines may use the database at once, as a PostgreSQL server's."""
    return engine.dialect.name == "postgresql"


def durability(connection: Connection) -> str | None:
    """The means by which SQLite does not lose commits, in its own words; None for PostgreSQL, see `shortcomings`."""
    if is_shared(connection.engine):
        return None
    mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
    synchronous = connection.execute(text("PRAGMA synchronous")).scalar_one()
    return f"journal_mode={mode}, synchronous={synchronous}"


def is_journalled(connection: Connection) -> bool:
    """Whether a write that is rolled back leaves a database as it is, as one does whose journal is the service's."""
    return is_shared(connection.engine) or connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


def timeouts_by_default(connection: Connection) -> dict[str, str]:
    """The timeouts that a session begins with, by the defaults of role, database or server; none on SQLite."""
    if not is_shared(connection.engine):
        return {}
    asking = text(
        "SELECT name, reset_val || coalesce(unit, '') AS value FROM pg_settings"
        " WHERE name = ANY(:names) AND reset_val <> '0' ORDER BY name"
    )
    return {row.name: row.value for row in connection.execute(asking, {"names": [*TIMEOUTS]})}


def shortcomings(connection: Connection) -> list[str]:
    """The reasons, a sentence each, why a PostgreSQL database cannot be relied on; SQLite's look after themselves."""
    if connection.dialect.name != "postgresql":
        return []
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    commit = connection.execute(text("SHOW synchronous_commit")).scalar_one()
    found = []
    if encoding != "UTF8":
        found.append(f"the database's encoding is {encoding}: make one with ENCODING 'UTF8'")
    if commit == "off":
        found.append("synchronous_commit is off, so commits may be lost: switch it on for the database or its user")
    return found


def take_turns(connection: Connection, what: str) -> None:
    """Let one transaction at a time do something; the others wait here until it ends, a minute at most.

    SQLite's write lock, which every transaction holds that may write, does that already.

    Raises:
        sqlalchemy.exc.OperationalError: the minute is over, or the database failed.
    """
    if connection.dialect.name == "postgresql":
        bound = text("SELECT set_config('lock_timeout', :milliseconds, true)")
        connection.execute(bound, {"milliseconds": str(BUSY_SECONDS * 1000)})
        # The server's locks are those of a whole database, in which each schema may have a service of its own.
        named = "concat_ws(' in ', CAST(:what AS text), current_schema())"
        lock = text(f"SELECT pg_advisory_xact_lock(hashtextextended({named}, 0))")
        connection.execute(lock, {"what": f"userdrop {what}"})


def database_time(engine: Engine, now: dt.datetime) -> dt.datetime:
    """The time by which services that share a database agree: a PostgreSQL server's own, UTC; else `now`.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the server cannot be asked.
    """
    if engine.dialect.name != "postgresql":
        return now
    with engine.connect() as connection:
        its: dt.datetime = connection.execute(text("SELECT now()")).scalar_one()
    return its.astimezone(dt.UTC)


@contextmanager
def staging(connection: Connection) -> Iterator[None]:
    """Begin a transaction that fills temporary tables and needs no write lock, or go on with the one under way."""
    if connection.in_transaction():
        yield
        return
    with connection.execution_options(sqlite_begin="DEFERRED").begin():
        yield
    connection.execution_options(sqlite_begin="IMMEDIATE")

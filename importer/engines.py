"""Engines, and all that differs between SQLite and PostgreSQL. Everything else is one set of statements for both.

The URL alone chooses the database: `sqlite:///…` or `postgresql+psycopg://…`.
"""

import datetime as dt
import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Identity,
    Index,
    MetaData,
    Select,
    Table,
    create_engine,
    event,
    literal_column,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - no connection was free
)
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateTable, DropTable

from importer.ahead import ahead

DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
"""What a database URL may begin with."""

BUSY_SECONDS = 60
"""How long a writer waits for another one; leases of mails outlast it."""

_CONNECT_SECONDS = 10
_CACHE_KB = 48 << 10
"""Of SQLite's pages, as far as they are needed: an import touches the indexes of all users again and again."""
_COPIED_ROWS = 20_000
_WRITTEN_ROWS = 2_000
"""Of those that are copied, so few that the server soon has some."""
_FETCHED_ROWS = 20_000
_VARIABLES = 999
"""Of one statement, in any SQLite."""
_STATEMENTS_AT_ONCE = 8
"""Whose values are made together, so few that they stay in the CPU's cache until SQLite has them: a tenth faster."""
_STATEMENT_ROWS = 100
"""Of one statement at most; longer ones take memory and save no time."""
_FAULTS_OF_ONE_FILE = {
    *(errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENAMETOOLONG, errno.EFBIG, errno.EOVERFLOW),
    errno.ENOMEM,  # the process's own bound, which the file has met
}
_PRODUCTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_MISSING_RIGHT = "42501"
_LIMIT_EXCEEDED = "54"
_OUT_OF_MEMORY = "out of memory", "cannot allocate memory"
_CONNECTING = "connection failed"


class Values(Protocol):
    """One column of the rows to load."""

    def __len__(self) -> int:
        """How many values it has."""
        ...

    @property
    def to_list(self) -> Callable[[], list[Any]]:
        """Its values."""
        ...

    @property
    def first(self) -> Callable[[], Any]:
        """The first one."""
        ...

    @property
    def last(self) -> Callable[[], Any]:
        """The last one."""
        ...

    @property
    def eq_missing(self) -> Callable[[Any], Any]:
        """Which of them are a value, or null where that is None."""
        ...


class Rows(Protocol):
    """The rows to load, as a polars frame has them; this module is met by the parent, which never imports polars."""

    @property
    def columns(self) -> list[str]:
        """Their names in order."""
        ...

    @property
    def height(self) -> int:
        """How many there are."""
        ...

    @property
    def get_column(self) -> Callable[[str], Values]:
        """Gives a column by its name."""
        ...

    @property
    def iter_slices(self) -> Callable[[int], Iterator["Rows"]]:
        """Gives the rows in parts of so many."""
        ...

    @property
    def write_csv(self) -> Callable[..., str]:
        """Gives them as CSV in which an empty text stands in quotes and a null does not."""
        ...


def make_engine(url: str, *, single: bool = False) -> Engine:
    """An engine whose transactions hold what the protocol needs.

    On SQLite: WAL, `synchronous=FULL` (NORMAL loses commits at a power loss), and `BEGIN IMMEDIATE`, because a
    deferred transaction that upgrades fails at once whatever the timeout is. See `reading_engine` for readers.
    PostgreSQL's own defaults hold it, which `shortcomings` makes sure of. With `single` all of them run on one
    connection to it, as is needed by who holds locks of a session (`importer.holding`).
    """
    if make_url(url).get_backend_name() == "postgresql":
        return _postgresql(url, **{"pool_size": 1, "max_overflow": 0} if single else {})
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: str, **pool: int) -> Engine:
    ours = {
        "connect_timeout": _CONNECT_SECONDS,
        "client_encoding": "utf8",
        "application_name": "userdrop",
        # A server that has vanished is given up after 25 s.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
    }
    given = make_url(url).query
    return create_engine(
        url,
        # Who waits for others' transactions sees afterwards what they wrote, whatever the server's default is.
        isolation_level="READ COMMITTED",
        # A connection that the server has closed meanwhile is no outage.
        pool_pre_ping=True,
        # Plans are made for the staged rows of the day, and poolers between us and the server know no prepared ones.
        connect_args={name: value for name, value in ours.items() if name not in given} | {"prepare_threshold": None},
        **pool,
    )


def reading_engine(engine: Engine) -> Engine:
    """The same database for transactions that only read: on SQLite they never wait for a writer."""
    return engine.execution_options(sqlite_begin="DEFERRED")


def read_only_engine(url: str) -> Engine:
    """An engine that can neither write nor make a database that is not there. Read with it by `reading_engine`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(url, pool_size=1, max_overflow=0).execution_options(postgresql_readonly=True)
    if path := sqlite_file(url):
        query = {**parsed.query, "mode": "ro", "uri": "true"}
        parsed = parsed.set(database=f"file:{quote(str(path.absolute()))}", query=query)
    engine = create_engine(parsed)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def sqlite_file(url: str) -> Path | None:
    """Where an SQLite database lies, as far as its URL says; None for one in memory, and for PostgreSQL."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or ":memory:" in parsed.database:
        return None
    is_uri = parsed.database.startswith("file:")
    return Path(unquote(urlsplit(parsed.database).path) if is_uri else parsed.database)


def _prepare_sqlite(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - the driver's own type
    _leave_transactions_to_us(connection, record)
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    cursor.execute("PRAGMA journal_mode=WAL")
    (mode,) = cursor.fetchone()
    (synchronous,) = cursor.execute("PRAGMA synchronous").fetchone()
    cursor.close()
    if (mode, synchronous) not in {("wal", 2), ("memory", 2)}:
        message = f"SQLite runs with journal_mode={mode}, synchronous={synchronous}; it needs wal and 2 (FULL)"
        raise RuntimeError(message)


def _leave_transactions_to_us(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - as above
    del record
    connection.isolation_level = None  # the driver's implicit BEGIN is deferred; ours is sent by _begin_sqlite


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def is_outage(error: Exception) -> bool:
    """Whether the database or the disk failed us, rather than a statement or one file: then trying again helps."""
    if isinstance(error, DBAPIError):
        # Such as a value that is too long for an index, which psycopg calls operational.
        is_limit = _sqlstate(error).startswith(_LIMIT_EXCEEDED) or _is_out_of_memory(error)
        return not is_limit and not isinstance(error, DataError | IntegrityError | ProgrammingError | NotSupportedError)
    if isinstance(error, OSError):
        return error.errno not in _FAULTS_OF_ONE_FILE
    return isinstance(error, TimeoutError)


def what_failed(error: SQLAlchemyError) -> str:
    """The kind of error and the driver's words, without the statement and its parameters, which hold users' data.

    PostgreSQL's further words are left out as well: they quote the row.
    """
    driver = getattr(error, "orig", None)
    words = getattr(getattr(driver, "diag", None), "message_primary", None) or driver or ""
    return f"{type(error).__name__}: {words}".strip(": ")


def product(connection: Connection) -> str:
    """Which database it is, with its version, as people name it."""
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    return f"{_PRODUCTS[connection.dialect.name]} {version}"


def is_missing_right(error: DBAPIError) -> bool:
    """Whether the database's user may not do what was asked."""
    return _sqlstate(error) == _MISSING_RIGHT


def _is_out_of_memory(error: DBAPIError) -> bool:
    """Whether this process has met its own bound within libpq, which then says so without a code of the server's.

    A server that has no memory for a new connection says so without a code as well. Source: fe-misc.c, fe-protocol3.c.
    """
    words = str(error.orig)
    return not (_sqlstate(error) or words.startswith(_CONNECTING)) and any(each in words for each in _OUT_OF_MEMORY)


def _sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code of an error, empty elsewhere. Source: its appendix of error codes."""
    return getattr(error.orig, "sqlstate", None) or ""


def shortcomings(connection: Connection) -> list[str]:
    """Why the database cannot be relied on, a sentence each; SQLite's connections look after that themselves."""
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
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")
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
    """A transaction that fills temporary tables, for which no write lock is needed; or the one that is under way."""
    if connection.in_transaction():
        yield
        return
    with connection.execution_options(sqlite_begin="DEFERRED").begin():
        yield
    connection.execution_options(sqlite_begin="IMMEDIATE")


def load(connection: Connection, table: Table, rows: Rows) -> None:
    """Add rows to a table by the fastest way that the driver has.

    Args:
        connection: within a transaction.
        table: one that has all columns of the rows.
        rows: any number of them.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed or refuses a value.
    """
    if not rows.height:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
    else:
        _insert(connection, table, rows)


def _copy(connection: Connection, table: Table, rows: Rows) -> None:
    statement = f"COPY {table.name} ({_names(connection, rows.columns)}) FROM STDIN (FORMAT csv)"
    with _driver_errors(connection, statement), cast("Any", connection.connection.cursor()) as cursor:
        for part in rows.iter_slices(_COPIED_ROWS):
            pieces = (some.write_csv(include_header=False) for some in part.iter_slices(_WRITTEN_ROWS))
            # Made while the server takes the one before. psycopg's QueuedLibpqWriter does that as well, but where its
            # thread fails it leaves the COPY open, and the connection is lost.
            with cursor.copy(statement) as copy, ahead(pieces) as ready:
                for piece in ready:
                    copy.write(piece)


def load_new(connection: Connection, table: Table, rows: Rows) -> int:
    """Add those rows, one after the other, that share no unique value with one that is there; returns how many.

    Args and errors are those of `load`.
    """
    if not rows.height:
        return 0
    if connection.dialect.name == "postgresql":
        return sum(_copy_new(connection, table, part) for part in rows.iter_slices(_COPIED_ROWS))
    return _insert(connection, table, rows, "ON CONFLICT DO NOTHING")


def _copy_new(connection: Connection, table: Table, rows: Rows) -> int:
    """COPY knows no conflicts, which are rare: it is tried first, and where there is one the rows go another way."""
    try:
        with connection.begin_nested():
            _copy(connection, table, rows)
    except IntegrityError:
        return _copy_apart(connection, table, rows)
    return rows.height


def _copy_apart(connection: Connection, table: Table, rows: Rows) -> int:
    given = [Column(name, table.c[name].type) for name in rows.columns]
    number = Column("number given", BigInteger, Identity())
    apart = Table("apart", MetaData(), number, *given, prefixes=["TEMPORARY"])
    make(connection, apart)
    _copy(connection, apart, rows)
    in_order = select(*(apart.c[name] for name in rows.columns)).order_by(number)
    adding = insert(table).from_select(rows.columns, in_order).on_conflict_do_nothing()
    return connection.execute(adding.execution_options(preserve_rowcount=True)).rowcount


def _insert(connection: Connection, table: Table, rows: Rows, on_conflict: str = "") -> int:
    """Add several rows a statement, which is given once what is the same in all rows. Returns how many were added."""
    given = [name for name in rows.columns[1:] if not _is_constant(rows.get_column(name))]
    given.insert(0, rows.columns[0])  # a row has one value of its own at least
    same = [name for name in rows.columns if name not in given]
    constants = [rows.get_column(name).first() for name in same]
    names = _names(connection, [*same, *given])
    row = f"({', '.join('?' * len(given))})"

    def statement(height: int) -> str:
        values = f"VALUES {', '.join([row] * height)}"
        if same:
            marks = ", ".join("?" * len(same))
            values = f"SELECT {marks}, * FROM ({values}) WHERE true"  # noqa: S608 - no value is part of it
        return f"INSERT INTO {table.name} ({names}) {values} {on_conflict}"

    at_once = max(min((_VARIABLES - len(same)) // len(given), _STATEMENT_ROWS), 1)
    of_most, of_one = statement(at_once), statement(1)
    added = 0
    # Past SQLAlchemy, which wants all parameters at once: so each value lives for a moment, in the CPU's cache.
    with _driver_errors(connection, of_one), closing(connection.connection.cursor()) as cursor:
        for part in rows.iter_slices(_STATEMENTS_AT_ONCE * at_once):
            values: list[Any] = [None] * (part.height * len(given))
            for number, name in enumerate(given):
                values[number :: len(given)] = part.get_column(name).to_list()
            for some in _parts(values, at_once * len(given)):
                if len(some) == at_once * len(given):
                    cursor.execute(of_most, [*constants, *some])
                else:  # of one text, as the driver keeps those of many statements
                    cast("Any", cursor).executemany(of_one, ([*constants, *each] for each in _parts(some, len(given))))
                added += cursor.rowcount
    return added


def _is_constant(values: Values) -> bool:
    """Most columns show at their ends that they are not; in a few rows it does not matter."""
    first = values.first()
    return bool(len(values) >= _STATEMENT_ROWS and values.last() == first and values.eq_missing(first).all())


def _parts(values: list[Any], most: int) -> Iterator[list[Any]]:
    return (values[begin : begin + most] for begin in range(0, len(values), most))


def _names(connection: Connection, names: Iterable[str]) -> str:
    return ", ".join(connection.dialect.identifier_preparer.quote(name) for name in names)


@contextmanager
def _driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """The driver's errors as SQLAlchemy's, past which it is used."""
    driver = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except driver as error:
        raise DBAPIError.instance(statement, None, error, driver, dialect=connection.dialect) from error


def not_by_index(connection: Connection, column: Column[Any]) -> ColumnElement[Any]:
    """The column where rows are not to be looked up by it.

    SQLite uses an index for an equality in place of a range of ids, however many rows that brings; a unary + keeps it
    from doing so. Source: sqlite.org/optoverview.html.
    """
    if connection.dialect.name == "postgresql":
        return column
    return literal_column(
        f"+{connection.dialect.identifier_preparer.format_column(column, use_table=True)}", column.type
    )


def make(connection: Connection, table: Table) -> None:
    """Make a temporary table, empty whether it is there or not."""
    connection.execute(DropTable(table, if_exists=True))
    connection.execute(CreateTable(table))


def fetched_parts(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Sequence[Any]]]:
    """What a query finds, as the driver gives it, in parts that fit into memory.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    compiled = query.compile(dialect=connection.dialect)
    # Past SQLAlchemy, whose rows cost more than the query does; its parts of a SQLite query are single rows.
    with _driver_errors(connection, compiled.string), closing(_streaming_cursor(connection)) as cursor:
        cursor.execute(compiled.string, _parameters(compiled))
        while rows := cursor.fetchmany(_FETCHED_ROWS):
            yield rows


def _streaming_cursor(connection: Connection) -> Any:  # noqa: ANN401 - of either driver
    """One that does not take all rows into memory; psycopg's plain ones do."""
    name = ["userdrop"] if connection.dialect.name == "postgresql" else []
    return connection.connection.cursor(*name)


def _parameters(compiled: Compiled) -> Any:  # noqa: ANN401 - by position or by name, as the driver wants them
    names = getattr(compiled, "positiontup", None)
    return compiled.params if names is None else [compiled.params[name] for name in names]


def plain_text(connection: Connection, column: Column[Any], value: object) -> str:
    """A value of the column as the text by which `load` gives it to the database."""
    processor = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return str(value if processor is None else processor(value))


def loaded(connection: Connection, table: Table, columns: Iterable[str] = ()) -> None:
    """Tell the planner how much the loaded table holds: what is in some columns, or in all, which takes longer.

    PostgreSQL knows nothing of a new table and compares each row with every other where it expects few; SQLite makes
    the indexes that it needs by itself.
    """
    if connection.dialect.name == "postgresql":
        of_columns = f" ({names})" if (names := _names(connection, columns)) else ""
        connection.execute(text(f"ANALYZE {table.name}{of_columns}"))


def loaded_by_key(connection: Connection, table: Table, key: str) -> None:
    """The same for a temporary table whose rows are looked up by one column, which has no index yet."""
    if connection.dialect.name == "postgresql":
        Index(f"ix_{table.name}_key", table.c[key]).create(connection)
        loaded(connection, table, [key])

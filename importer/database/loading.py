"""The loading of rows into tables and temporary tables, by the fastest way that SQLite and PostgreSQL have."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import polars as pl
from sqlalchemy import BigInteger, Column, Connection, Identity, Index, MetaData, Table, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable, DropTable

from importer.prefetch import ahead

_COPIED_ROWS = 20_000
_WRITTEN_ROWS = 2_000
"""The number of rows that are copied at once, so few that the server soon has some."""
_VARIABLES = 999
"""The number of variables that one statement may have in any SQLite."""
_STATEMENTS_AT_ONCE = 8
"""The number of statements whose values are made together: so few stay in the CPU's cache, which is a tenth faster."""
_STATEMENT_ROWS = 100
"""The number of rows of one statement at most; longer ones take memory and save no time."""


def make(connection: Connection, table: Table) -> None:
    """Make a temporary table, empty whether it is there or not."""
    connection.execute(DropTable(table, if_exists=True))
    connection.execute(CreateTable(table))


def load(connection: Connection, table: Table, rows: pl.DataFrame) -> None:
    """Add rows to a table by the fastest way that the driver has.

    Args:
        connection: a connection within a transaction.
        table: a table that has all columns of the rows.
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


def _copy(connection: Connection, table: Table, rows: pl.DataFrame) -> None:
    statement = f"COPY {table.name} ({_names(connection, rows.columns)}) FROM STDIN (FORMAT csv)"
    with driver_errors(connection, statement), cast("Any", connection.connection.cursor()) as cursor:
        for part in rows.iter_slices(_COPIED_ROWS):
            pieces = (some.write_csv(include_header=False) for some in part.iter_slices(_WRITTEN_ROWS))
            # Made while the server takes the one before. psycopg's QueuedLibpqWriter does that as well, but where its
            # thread fails it leaves the COPY open, and the connection is lost.
            with cursor.copy(statement) as copy, ahead(pieces) as ready:
                for piece in ready:
                    copy.write(piece)


def load_new(connection: Connection, table: Table, rows: pl.DataFrame) -> int:
    """Add, one after the other, the rows that share no unique value with one that is there; returns how many.

    Args and errors are those of `load`.
    """
    if not rows.height:
        return 0
    if connection.dialect.name == "postgresql":
        return sum(_copy_new(connection, table, part) for part in rows.iter_slices(_COPIED_ROWS))
    return _insert(connection, table, rows, "ON CONFLICT DO NOTHING")


def _copy_new(connection: Connection, table: Table, rows: pl.DataFrame) -> int:
    """Add rows by COPY, which knows no conflicts; where there is one, which is rare, the rows go another way."""
    try:
        with connection.begin_nested():
            _copy(connection, table, rows)
    except IntegrityError:
        return _copy_apart(connection, table, rows)
    return rows.height


def _copy_apart(connection: Connection, table: Table, rows: pl.DataFrame) -> int:
    given = [Column(name, table.c[name].type) for name in rows.columns]
    number = Column("number given", BigInteger, Identity())
    apart = Table("apart", MetaData(), number, *given, prefixes=["TEMPORARY"])
    make(connection, apart)
    _copy(connection, apart, rows)
    in_order = select(*(apart.c[name] for name in rows.columns)).order_by(number)
    adding = insert(table).from_select(rows.columns, in_order).on_conflict_do_nothing()
    return connection.execute(adding.execution_options(preserve_rowcount=True)).rowcount


def _insert(connection: Connection, table: Table, rows: pl.DataFrame, on_conflict: str = "") -> int:
    """Add several rows by one statement, with values that all rows share given once; returns how many were added."""
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
    with driver_errors(connection, of_one), closing(connection.connection.cursor()) as cursor:
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


def _is_constant(values: pl.Series) -> bool:
    """Whether a column has the same value in all rows; most show at their ends that they have not."""
    first = values.first()
    return bool(len(values) >= _STATEMENT_ROWS and values.last() == first and values.eq_missing(first).all())


def _parts(values: list[Any], most: int) -> Iterator[list[Any]]:
    return (values[begin : begin + most] for begin in range(0, len(values), most))


def _names(connection: Connection, names: Iterable[str]) -> str:
    return ", ".join(connection.dialect.identifier_preparer.quote(name) for name in names)


@contextmanager
def driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """Turn the driver's errors into SQLAlchemy's, past which it is used."""
    driver = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except driver as error:
        raise DBAPIError.instance(statement, None, error, driver, dialect=connection.dialect) from error


def plain_text(connection: Connection, column: Column[Any], value: object) -> str:
    """The text by which `load` gives a value of the column to the database."""
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
    """Tell the planner of a loaded temporary table, and index the column by which its rows are looked up."""
    if connection.dialect.name == "postgresql":
        Index(f"ix_{table.name}_key", table.c[key]).create(connection)
        loaded(connection, table, [key])

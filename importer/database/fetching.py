"""Queries whose answers are frames."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import polars as pl
from sqlalchemy import Connection, Select
from sqlalchemy.engine.interfaces import Compiled

from importer.database.loading import driver_errors

_FETCHED_ROWS = 20_000


def fetched(connection: Connection, query: Select[Any]) -> pl.DataFrame:
    """Fetch a query's integers as a frame, sorted by the first column, `row`.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    schema = dict.fromkeys(query.selected_columns.keys(), pl.Int64)
    frames = [pl.DataFrame(rows, schema=schema, orient="row") for rows in _parts(connection, query)]
    return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("row")


def _parts(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows that a query finds, as the driver gives them, in parts that fit into memory."""
    compiled = query.compile(dialect=connection.dialect)
    # Past SQLAlchemy, whose rows cost more than the query does; its parts of a SQLite query are single rows.
    with driver_errors(connection, compiled.string), closing(_streaming_cursor(connection)) as cursor:
        cursor.execute(compiled.string, _parameters(compiled))
        while rows := cursor.fetchmany(_FETCHED_ROWS):
            yield rows


def _streaming_cursor(connection: Connection) -> Any:  # noqa: ANN401 - of either driver
    """Make a cursor that does not take all rows into memory, as psycopg's plain ones do."""
    name = ["userdrop"] if connection.dialect.name == "postgresql" else []
    return connection.connection.cursor(*name)


def _parameters(compiled: Compiled) -> Any:  # noqa: ANN401 - by position or by name, as the driver wants them
    names = getattr(compiled, "positiontup", None)
    return compiled.params if names is None else [compiled.params[name] for name in names]

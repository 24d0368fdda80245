"""Queries whose answers are frames."""

from typing import Any

import polars as pl
from sqlalchemy import Connection, Select

from importer.engines import fetched_parts


def fetched(connection: Connection, query: Select[Any]) -> pl.DataFrame:
    """A query's integers, sorted by the first column, `row`.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    schema = dict.fromkeys(query.selected_columns.keys(), pl.Int64)
    frames = [pl.DataFrame(rows, schema=schema, orient="row") for rows in fetched_parts(connection, query)]
    return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("row")

"""Expressions that SQLite and PostgreSQL say differently."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, FromClause, cast, func, literal_column
from sqlalchemy.dialects.postgresql import JSONB


def day_of(connection: Connection, time: Column[Any]) -> ColumnElement[str]:
    """The day of a stored time in UTC, as 2026-03-01."""
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", time), "YYYY-MM-DD")
    return func.date(time)


def elements_of(connection: Connection, array: Column[Any]) -> tuple[FromClause, Callable[[str], ColumnElement[str]]]:
    """The objects of a stored JSON array as rows, and a function that gets a part of an object by its name."""
    if connection.dialect.name == "postgresql":  # read once, as JSONB, they take half the time
        rows = func.jsonb_array_elements(cast(array, JSONB)).table_valued("value").render_derived()
        return rows, lambda name: rows.c.value.op("->>")(literal_column(f"'{name}'"))
    rows = func.json_each(array).table_valued("value")
    return rows, lambda name: func.json_extract(rows.c.value, literal_column(f"'$.{name}'"))


def not_by_index(connection: Connection, column: Column[Any]) -> ColumnElement[Any]:
    """The column in a form by which rows are not looked up.

    SQLite uses an index for an equality in place of a range of ids, however many rows that brings; a unary + keeps it
    from doing so. Source: sqlite.org/optoverview.html.
    """
    if connection.dialect.name == "postgresql":
        return column
    return literal_column(
        f"+{connection.dialect.identifier_preparer.format_column(column, use_table=True)}", column.type
    )

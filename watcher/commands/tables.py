"""`userdrop tables`: the database's tables as Markdown, for those who join them with their own system."""

from collections.abc import Iterable, Iterator

import click
from sqlalchemy import Column, Index, Table
from sqlalchemy.dialects import postgresql

from importer.database.tables import metadata, user_table
from importer.formats.columns import Format
from watcher.commands.loading import loaded

_TITLES = ("column", "type", "null", "meaning")
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own is untyped


@click.command()
def tables() -> None:
    """Describe the database's tables and columns, as Markdown."""
    _, format_ = loaded()
    click.echo(tables_markdown(format_), nl=False)


def tables_markdown(format_: Format) -> str:
    """Describe every table with its columns and indexes, `users` with the format's columns; types are PostgreSQL's."""
    every = {**metadata.tables, "users": user_table(format_)}
    return "\n".join(map(_table, every.values()))


def _table(table: Table) -> str:
    lines = [_TITLES, ("---",) * len(_TITLES), *map(_column, table.columns)]
    rows = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    indexes = "".join(f"- {line}\n" for line in _indexes(table))
    return f"### {table.name}\n\n{_sentence(table.comment)}\n\n{rows}\nIndexes:\n\n{indexes}"


def _column(column: Column[object]) -> tuple[str, ...]:
    kind = column.type.compile(_DIALECT).lower()
    return f"`{column.name}`", kind, "yes" if column.nullable else "", column.comment or ""


def _indexes(table: Table) -> Iterator[str]:
    yield f"{_listed(table.primary_key.columns)}: the primary key"
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        yield _listed(index.columns) + (", unique" if index.unique else "") + _part(index)
    for column in table.columns:
        if column.unique:
            yield f"{_listed([column])}, unique"


def _part(index: Index) -> str:
    where = index.dialect_options["postgresql"]["where"]
    return "" if where is None else f", of rows in which {where}"


def _listed(columns: Iterable[Column[object]]) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)


def _sentence(comment: str | None) -> str:
    text = comment or ""
    return f"{text[:1].upper()}{text[1:]}."

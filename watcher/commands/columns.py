"""`userdrop columns`: the columns that a user file may have."""

from collections.abc import Iterable

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from importer.formats.columns import Column, Format
from importer.formats.kinds import kind_of
from watcher.commands.loading import loaded

_COLUMN_TITLES = ("column", "also called", "needed", "max", "rule")


@click.command()
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
def columns(*, markdown: bool) -> None:
    """Show the columns that a user file may have."""
    _, format_ = loaded()
    if markdown:
        click.echo(columns_markdown(format_), nl=False)
    else:
        Console().print(_columns_table(format_))


def _columns_table(format_: Format) -> Table:
    table = Table(*_COLUMN_TITLES)
    for row in _column_rows(format_):
        table.add_row(*map(Text, row))
    return table


def columns_markdown(format_: Format) -> str:
    """The format's columns as a Markdown table."""
    lines = [_COLUMN_TITLES, ("---",) * len(_COLUMN_TITLES), *_column_rows(format_)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _column_rows(format_: Format) -> Iterable[tuple[str, ...]]:
    for column in format_.columns:
        needed = "yes" if format_.is_needed(column) else ""
        limit = "" if column.max_length is None else str(column.max_length)
        yield column.name, ", ".join(column.aliases), needed, limit, _rule(column, format_)


def _rule(column: Column, format_: Format) -> str:
    rules = [kind_of(column.kind).rule(format_.options(column))]
    if column.name == format_.key:
        rules.insert(0, "identifies the user; never twice in a file")
    elif column.unique:
        rules.append("no two users share one")
    if column.name in format_.defaults:
        rules.append(f"empty means {format_.defaults[column.name]} for a new user")
    return "; ".join(rule for rule in rules if rule)

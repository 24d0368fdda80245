"""`userdrop columns`: the columns that a user file may have."""

from collections.abc import Iterator

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from importer.formats.columns import Column, Format
from importer.formats.kinds import kind_of
from importer.words.translating import translated
from watcher.commands.loading import loaded

_COLUMN_TITLES = ("column", "also called", "needed", "max", "rule")
_NEEDED = "yes"


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


def columns_markdown(format_: Format, language: str = "en") -> str:
    """The format's columns as a Markdown table, in a language; the rules of a site's own format are English."""
    titles = tuple(translated(title, language) for title in _COLUMN_TITLES)
    lines = [titles, ("---",) * len(titles), *_column_rows(format_, language)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def column_texts(format_: Format) -> Iterator[str]:
    """The texts of the table that are translated, but for names and numbers."""
    yield from (*_COLUMN_TITLES, _NEEDED)
    for column in format_.columns:
        yield from _rules(column, format_)


def _column_rows(format_: Format, language: str = "en") -> Iterator[tuple[str, ...]]:
    for column in format_.columns:
        needed = translated(_NEEDED, language) if format_.is_needed(column) else ""
        limit = "" if column.max_length is None else str(column.max_length)
        rules = "; ".join(translated(rule, language) for rule in _rules(column, format_))
        yield column.name, ", ".join((*column.aliases, *column.everyday)), needed, limit, rules


def _rules(column: Column, format_: Format) -> list[str]:
    rules = [kind_of(column.kind).rule(format_.options(column))]
    if column.name == format_.key:
        rules.insert(0, "identifies the user; never twice in a file")
    elif column.unique:
        rules.append("no two users share one")
    if column.name in format_.defaults:
        rules.append(f"empty means {format_.defaults[column.name]} for a new user")
    return [rule for rule in rules if rule]

"""What the commands show on a terminal: tables made from facts."""

import csv
import io
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from importer.checking import Checked
from importer.format import Column, Format, date_words
from importer.model import ReasonCount, shown_name

_KIND_RULES = {
    "text": "",
    "email": "an e-mail address",
    "integer": "a whole number",
    "decimal": "a number",
    "boolean": "true or false",
}
_COLUMN_TITLES = ("column", "also called", "needed", "max", "rule")


def checked_summary(checked: Checked) -> RenderableType:
    """A check's verdict: the counts, what to correct with the most frequent first, and the warnings."""
    name = shown_name(checked.file)
    if checked.refused is not None:
        return Text(f"{name} would be refused: {checked.refused.message}", style="red")
    counts = checked.counts
    line = f"{name}: {counts.records:,} rows, {counts.accepted:,} accepted, {counts.failed:,} failed"
    head = Text(line + (f", {counts.blank:,} blank" if counts.blank else ""), style="red" if counts.failed else "green")
    parts: list[RenderableType] = [head]
    if checked.reasons:
        parts.append(_reasons(checked.reasons))
    parts += [Text(f"Note: {warning.message}.", style="yellow") for warning in checked.warnings]
    return Group(*parts)


def _reasons(reasons: Iterable[ReasonCount]) -> Table:
    table = Table("rows", "column", "code", "for example", box=None, pad_edge=False)
    table.columns[0].justify = "right"
    for reason in reasons:
        example = Text(f"row {reason.example_row}: {reason.example}")
        table.add_row(f"{reason.count:,}", Text(reason.column or ""), reason.code, example)
    return table


def columns_table(format_: Format) -> Table:
    """The format's columns for a terminal."""
    table = Table(*_COLUMN_TITLES)
    for row in _column_rows(format_):
        table.add_row(*map(Text, row))
    return table


def columns_markdown(format_: Format) -> str:
    """The format's columns as a Markdown table."""
    lines = [_COLUMN_TITLES, ("---",) * len(_COLUMN_TITLES), *_column_rows(format_)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def template_csv(format_: Format) -> str:
    """A CSV with the header and one example row."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(column.name for column in format_.columns)
    writer.writerow(column.example for column in format_.columns)
    return text.getvalue()


def _column_rows(format_: Format) -> Iterable[tuple[str, ...]]:
    for column in format_.columns:
        needed = "yes" if format_.is_needed(column) else ""
        limit = "" if column.max_length is None else str(column.max_length)
        yield column.name, ", ".join(column.aliases), needed, limit, _rule(column, format_)


def _rule(column: Column, format_: Format) -> str:
    rules = [_kind_rule(column, format_)]
    if column.name == format_.key:
        rules.insert(0, "identifies the user; never twice in a file")
    elif column.unique:
        rules.append("no two users share one")
    if column.name in format_.defaults:
        rules.append(f"empty means {format_.defaults[column.name]} for a new user")
    return "; ".join(rule for rule in rules if rule)


def _kind_rule(column: Column, format_: Format) -> str:
    match column.kind:
        case "date":
            forms = " or ".join(map(date_words, column.formats))
            return f"a date, {forms}" + (", from 1900 to today" if column.past else "")
        case "choice":
            return column.expected or ", ".join(column.values)
        case "lookup":
            return f"a known {format_.lookups[column.lookup or ''].noun}"
        case "pattern":
            return column.expected or f"has the form {column.pattern}"
        case _:
            return _KIND_RULES[column.kind]

"""Header → columns, rows → verdict."""

import csv
import io
import re
import unicodedata
from datetime import date
from functools import partial

from importer.formats.columns import CLEAR, REPORT_COLUMNS, Column, Format, by_name
from importer.formats.names import normalised, spellings
from importer.formats.passwords import is_password
from importer.reading.nobodies import expected_of
from tests.reference.debris import is_quoted, seen
from tests.reference.file import reading_of, refuse_without_records
from tests.reference.kinds import value_of
from tests.reference.nouns import (
    Blank,
    Failure,
    Good,
    Limits,
    Reading,
    Record,
    Refused,
    RefusedError,
    Rejected,
    Verdict,
)
from tests.reference.text import trimmed

Reason = tuple[str, str | None]


def check(data: bytes, *, name: str, format: Format, today: date) -> Verdict | Refused:  # noqa: A002 - the product's word
    """Every row of a user file judged by itself and against the rows before it; no database is asked."""
    limits = Limits()
    try:
        proof = partial(_is_proven, format_=format, today=date.max)
        reading = reading_of(data, name, format.header_names, limits, expected=expected_of(format), proves=proof)
        places, warnings = _columns_found(reading.header, format)
        refuse_without_records(reading)
    except RefusedError as error:
        return error.refused
    about_file = frozenset((code, None) for code in reading.warnings)
    return _verdict(reading, places, format, today, about_file | warnings)


def _is_proven(header: tuple[str, ...], records: list[Record], *, format_: Format, today: date) -> bool:
    """Whether the columns that may not hold any text show that each cell is in its place."""
    known = by_name(format_.columns)
    if format_.header_names.known(header) < len(header):
        return False
    telling = []
    for place, name in enumerate(header):
        column = known.get(normalised(name))
        if column is None or column.kind == "text" or _is_unchecked(column, format_, {column.name: place}):
            continue
        cells = [trimmed(record.cells[place]) for record in records if isinstance(record, Good)]
        values = [cell for cell in cells if cell not in ("", CLEAR)]
        if values:
            telling.append(place)
            fitting = sum(value_of(value, column, format_, today) is not None for value in values)
            if 20 * fitting < 19 * len(values):
                return False
    return any(3 * place >= 2 * len(header) for place in telling)


def _columns_found(
    header: tuple[str, ...], format_: Format
) -> tuple[dict[str, int], frozenset[tuple[str, str | None]]]:
    """Canonical name → place of the cell, and the warnings about the header."""
    known = by_name(format_.columns)
    ours = {normalised(name) for name in REPORT_COLUMNS}
    places: dict[str, int] = {}
    warnings: set[tuple[str, str | None]] = set()
    repeated = False
    for place, name in enumerate(header):
        column = known.get(normalised(name)) or known.get(spellings(name)[-1])
        if column is not None:
            repeated |= column.name in places
            places[column.name] = place
        elif is_password(name):
            warnings.add(("password_column", name))
        elif normalised(name) not in ours:
            warnings.add(("unknown_column", name))
    _refuse_header(places, format_, repeated=repeated)
    warnings |= {
        ("unchecked_lookup", column.name) for column in format_.columns if _is_unchecked(column, format_, places)
    }
    return places, frozenset(warnings)


def _refuse_header(places: dict[str, int], format_: Format, *, repeated: bool) -> None:
    if not places:
        raise RefusedError(Refused(code="no_known_column"))
    if repeated:
        raise RefusedError(Refused(code="repeated_column"))
    if any(
        column.name not in places
        for column in format_.columns
        if column.name == format_.key or format_.is_needed(column)
    ):
        raise RefusedError(Refused(code="missing_column"))


def _is_unchecked(column: Column, format_: Format, places: dict[str, int]) -> bool:
    return (
        column.kind == "lookup"
        and column.name in places
        and column.lookup is not None
        and not format_.lookups[column.lookup].entries
    )


def _verdict(
    reading: Reading,
    places: dict[str, int],
    format_: Format,
    today: date,
    warnings: frozenset[tuple[str, str | None]],
) -> Verdict:
    records = [_with_line_reread(record, reading.header) for record in reading.records]
    reasons: dict[int, list[Reason]] = {}
    values: dict[int, dict[str, str]] = {}
    remarks: dict[int, set[Reason]] = {}
    for record in records:
        if isinstance(record, Rejected):
            reasons[record.row] = [(record.code, None)]
        elif isinstance(record, Good):
            values[record.row], reasons[record.row], remarks[record.row] = _row(record.cells, places, format_, today)
    remarks = {row: found for row, found in remarks.items() if not reasons[row]}
    asked = _possible_names(remarks, values, format_)
    for row, found in asked.items():
        reasons[row] += found
    good = {record.row: record for record in records if isinstance(record, Good) and not reasons[record.row]}
    repeating = _repeating(good, reading.header)
    for row in repeating:
        del values[row], reasons[row]
    clashes = _duplicates({row: values[row] for row in values if not reasons[row]}, format_)
    for row, found in clashes.items():
        reasons[row] += found
    told = {remark for found in remarks.values() for remark in found}
    told -= {("null_name", column) for found in asked.values() for _, column in found}
    return Verdict(
        accepted={row: values[row] for row in values if not reasons[row]},
        failures=[
            Failure(
                row=record.row, line=record.line, key=_key(record, places, format_), reasons=(*reasons[record.row],)
            )
            for record in records
            if reasons.get(record.row)
        ],
        blank=sum(isinstance(record, Blank) for record in records) + len(repeating),
        warnings=warnings | told | ({("repeated_row", None)} if repeating else frozenset()),
    )


def _possible_names(
    remarks: dict[int, set[Reason]], values: dict[int, dict[str, str]], format_: Format
) -> dict[int, list[Reason]]:
    """The rows in which NULL may be a name, as most other values of its column are in capitals."""
    found: dict[int, list[Reason]] = {}
    for column in format_.columns:
        rows = [row for row in remarks if ("null_name", column.name) in remarks[row]]
        others = [values[row].get(column.name, CLEAR) for row in remarks]
        others = [value for value in others if value != CLEAR]
        if rows and 2 * sum(map(_is_in_capitals, others)) > len(others):
            for row in rows:
                found.setdefault(row, []).append(("damaged", column.name))
    return found


def _is_in_capitals(value: str) -> bool:
    kinds = {unicodedata.category(character) for character in value}
    return "Lu" in kinds and "Ll" not in kinds and not any(character in "0123456789" for character in value)


def _key(record: Record, places: dict[str, int], format_: Format) -> str | None:
    if not isinstance(record, Good):
        return None
    return trimmed(record.cells[places[format_.key]]) or None


def _row(
    cells: tuple[str, ...], places: dict[str, int], format_: Format, today: date
) -> tuple[dict[str, str], list[Reason], set[Reason]]:
    """The row's values (cells without text are absent), its reasons in the format's column order, and its remarks."""
    values: dict[str, str] = {}
    reasons: list[Reason] = []
    remarks: set[Reason] = set()
    given = [text for place in places.values() if (text := trimmed(cells[place]))]
    all_quoted = all(map(is_quoted, given))
    for column in format_.columns:
        if column.name in places:
            cell = cells[places[column.name]]
            quoted = column.name == format_.key and all_quoted and is_quoted(trimmed(cell))
            value, codes, told = _cell(cell, column, format_, today, quoted=quoted)
            reasons += [(code, column.name) for code in codes]
            remarks |= {(code, column.name) for code in told}
            if value:
                values[column.name] = value
    return values, reasons, remarks


def _cell(
    cell: str, column: Column, format_: Format, today: date, *, quoted: bool
) -> tuple[str, list[str], tuple[str, ...]]:
    """The cell's value, as it is stored, the codes of what is wrong with it, and those of what is remarked."""
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in cell):
        return "", ["control_character"], ()
    taken = seen(cell, column, format_)
    text = taken.text
    if taken.fails or quoted:
        return "", ["damaged"], ()
    if text in ("", CLEAR):
        return text, ["required"] if format_.is_needed(column) else [], taken.remarks
    value = value_of(text, column, format_, today)
    codes = []
    if value is not None or column.kind in ("text", "email", "pattern"):
        length = len(text if value is None else value)
        codes += ["too_long"] if column.max_length is not None and length > column.max_length else []
    if value is None:
        codes.append("unknown" if column.kind == "lookup" else "invalid")
    return value or "", codes, taken.remarks


def _with_line_reread(record: Record, header: tuple[str, ...]) -> Record:
    """A record of a report in which only the line is left that could not be split, split now where it can be."""
    ours = {normalised(name) for name in REPORT_COLUMNS}
    lines = [place for place, name in enumerate(header) if normalised(name) == normalised("import_line")]
    asked = [place for place, name in enumerate(header) if normalised(name) not in ours and not is_password(name)]
    if not isinstance(record, Good) or not lines or any(trimmed(record.cells[place]) for place in asked):
        return record
    line = record.cells[lines[0]]
    if not line:
        return record
    found = _split_line(line, len(asked))
    if isinstance(found, list) and [trimmed(cell) for cell in found] == [header[place] for place in asked]:
        found = "repeated_header"
    if isinstance(found, str):
        return Rejected(row=record.row, line=record.line, code=found, text=line)
    cells = dict(zip(asked, found, strict=True))
    return Good(row=record.row, line=record.line, cells=tuple(cells.get(at, "") for at in range(len(header))))


def _split_line(line: str, width: int) -> list[str] | str:
    """The cells of a line, or the code of what is wrong with it."""
    if odd := set(re.findall(r"\\x[0-9a-f]{2}", line)):
        return "control_character" if odd == {r"\x00"} else "bad_encoding"
    separators = sorted((each for each in ",;\t|" if each in line), key=line.count, reverse=True) or [","]
    widths = []
    for separator in separators:
        try:
            rows = list(csv.reader(io.StringIO(line, newline=""), delimiter=separator, strict=True))
        except csv.Error:
            widths.append(0)
            continue
        widths.append(len(rows[0]) if len(rows) == 1 else 0)
        if widths[-1] == width:
            return rows[0]
    if not widths[0]:
        return "bad_quotes"
    return "too_few_cells" if widths[0] < width else "too_many_cells"


def _repeating(good: dict[int, Good], header: tuple[str, ...]) -> list[int]:
    """The rows whose every cell, but for passwords and what our reports add, an earlier row has as well."""
    ours = {normalised(name) for name in REPORT_COLUMNS}
    asked = [place for place, name in enumerate(header) if normalised(name) not in ours and not is_password(name)]
    seen: set[tuple[str, ...]] = set()
    found = []
    for row, record in good.items():
        cells = tuple(trimmed(record.cells[place]) for place in asked)
        if cells in seen:
            found.append(row)
        seen.add(cells)
    return found


def _duplicates(rows: dict[int, dict[str, str]], format_: Format) -> dict[int, list[Reason]]:
    """Row → its values that an earlier one of these rows holds."""
    found: dict[int, list[Reason]] = {}
    for column in format_.columns:
        if not (column.unique or column.name == format_.key):
            continue
        held: set[str] = set()
        for row, values in rows.items():
            value = values.get(column.name, CLEAR)
            value = value.lower() if column.kind == "email" else value
            if value == CLEAR:
                continue
            if value in held:
                found.setdefault(row, []).append(("duplicate_in_file", column.name))
            held.add(value)
    return found

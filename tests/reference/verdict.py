"""Header → columns, rows → verdict."""

import unicodedata
from datetime import date

from importer.formats.columns import CLEAR, REPORT_COLUMNS, Column, Format, by_name, normalised
from importer.formats.passwords import is_password
from tests.reference.file import reading_of, refuse_without_records
from tests.reference.kinds import value_of
from tests.reference.nouns import Blank, Failure, Good, Limits, Record, Refused, RefusedError, Rejected, Verdict
from tests.reference.text import trimmed

Reason = tuple[str, str | None]


def check(data: bytes, *, name: str, format: Format, today: date) -> Verdict | Refused:  # noqa: A002 - the product's word
    """Every row of a user file judged by itself and against the rows before it; no database is asked."""
    limits = Limits()
    try:
        reading = reading_of(data, name, format.known_names, limits)
        places, warnings = _columns_found(reading.header, format)
        refuse_without_records(reading)
    except RefusedError as error:
        return error.refused
    about_file = frozenset((code, None) for code in reading.warnings)
    return _verdict(reading.records, places, format, today, about_file | warnings)


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
        column = known.get(normalised(name))
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
    records: list[Record],
    places: dict[str, int],
    format_: Format,
    today: date,
    warnings: frozenset[tuple[str, str | None]],
) -> Verdict:
    reasons: dict[int, list[Reason]] = {}
    values: dict[int, dict[str, str]] = {}
    for record in records:
        if isinstance(record, Rejected):
            reasons[record.row] = [(record.code, None)]
        elif isinstance(record, Good):
            values[record.row], reasons[record.row] = _row(record.cells, places, format_, today)
    clashes = _duplicates({row: values[row] for row in values if not reasons[row]}, format_)
    for row, found in clashes.items():
        reasons[row] += found
    return Verdict(
        accepted={row: values[row] for row in values if not reasons[row]},
        failures=[
            Failure(
                row=record.row, line=record.line, key=_key(record, places, format_), reasons=(*reasons[record.row],)
            )
            for record in records
            if reasons.get(record.row)
        ],
        blank=sum(isinstance(record, Blank) for record in records),
        warnings=warnings,
    )


def _key(record: Record, places: dict[str, int], format_: Format) -> str | None:
    if not isinstance(record, Good):
        return None
    return trimmed(record.cells[places[format_.key]]) or None


def _row(
    cells: tuple[str, ...], places: dict[str, int], format_: Format, today: date
) -> tuple[dict[str, str], list[Reason]]:
    """The row's values (cells without text are absent) and its reasons, both in the format's column order."""
    values: dict[str, str] = {}
    reasons: list[Reason] = []
    for column in format_.columns:
        if column.name in places:
            value, codes = _cell(cells[places[column.name]], column, format_, today)
            reasons += [(code, column.name) for code in codes]
            if value:
                values[column.name] = value
    return values, reasons


def _cell(cell: str, column: Column, format_: Format, today: date) -> tuple[str, list[str]]:
    """The cell's value, as it is stored, and the codes of what is wrong with it."""
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in cell):
        return "", ["control_character"]
    text = trimmed(cell)
    if text in ("", CLEAR):
        return text, ["required"] if format_.is_needed(column) else []
    value = value_of(text, column, format_, today)
    codes = []
    if value is not None or column.kind in ("text", "email", "pattern"):
        length = len(text if value is None else value)
        codes += ["too_long"] if column.max_length is not None and length > column.max_length else []
    if value is None:
        codes.append("unknown" if column.kind == "lookup" else "invalid")
    return value or "", codes


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

"""A whole file: its separator, header, width and records."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from importer.formats.columns import HeaderNames
from importer.reading.guarding import is_report, unguarded_text
from importer.reading.nobodies import Expected
from tests.reference.nouns import Blank, Good, Limits, Reading, Record, Refused, RefusedError
from tests.reference.records import Layout, Span, record_at, rows_left_short, spans
from tests.reference.text import BAD, Line, bytes_of, decoded, expanded, lines_of, trimmed, without_end_marks

Proof = Callable[[tuple[str, ...], list[Record]], bool]
SEPARATORS = (",", ";", "\t", "|")
SURVEYED_BYTES = 8 << 20
MAX_COLUMNS = 256
SEPARATOR_LINE = re.compile('sep=([,;\t|])|"sep=([,;\t|])"', re.IGNORECASE | re.ASCII)


def read(
    data: bytes,
    *,
    name: str,
    header_names: HeaderNames,
    max_record_bytes: int = 1_048_576,
    max_cell_bytes: int = 65_536,
) -> Reading | Refused:
    """Every record of a user file, one after the other, or why there is none."""
    limits = Limits(record_bytes=max_record_bytes, cell_bytes=max_cell_bytes)
    try:
        reading = reading_of(data, name, header_names, limits)
        refuse_without_records(reading)
    except RefusedError as error:
        return error.refused
    return reading


def reading_of(
    data: bytes,
    name: str,
    header_names: HeaderNames,
    limits: Limits,
    *,
    expected: Expected = Expected(),  # noqa: B008 - it is frozen
    proves: Proof = lambda header, records: False,  # noqa: ARG005
) -> Reading:
    text, encoding = decoded(expanded(data, name))
    text = without_end_marks(text)
    lines = lines_of(text)
    begin, told = _first_line(text, lines)
    above, separator, row = _header_place(text, lines[begin:], told, header_names, limits)
    first = begin + above
    header, taken = _header(text, lines[first:], separator, limits)
    _refuse_wrapped(header, header_names)
    if row > 1:
        _refuse_people_above(text, lines[begin:first], separator, header, header_names)
    layout = Layout(separator=separator, header=header, limits=limits, expected=expected)
    body = first + taken
    _refuse_mismatch(text, lines, body, replace(layout, usual=layout.width))
    layout = _surveyed(text, lines, body, layout, proves)
    found = [*spans(text, lines, body, layout)]
    layout = replace(layout, left_short=rows_left_short(found, layout))
    records = [layout.record(span, number) for number, span in enumerate(found, start=row + 1)]
    is_wider = layout.usual > layout.width
    warnings = {
        "windows_1252": encoding == "windows-1252",
        "skipped_rows": row > 1,
        "trailing_separator": is_wider,
        "may_be_cut": not text.endswith(("\r", "\n")),
        **_noted(found, records, layout),
    }
    return Reading(
        encoding=encoding,
        separator=separator,
        header=layout.named,
        records=records,
        warnings=frozenset(code for code, holds in warnings.items() if holds),
    )


def _first_line(text: str, lines: list[Line]) -> tuple[int, str | None]:
    """The index of the first line that is not empty, and the separator that a `sep=` line above it tells."""
    told = SEPARATOR_LINE.fullmatch(text, lines[0].start, lines[0].end) if lines else None
    first = 1 if told else 0
    if not any(trimmed(text[line.start : line.end]) for line in lines[first:]):
        raise RefusedError(Refused(code="empty_file"))
    while lines[first].start == lines[first].end:
        first += 1
    return first, (told[1] or told[2]) if told else None


def _header_place(
    text: str, lines: list[Line], told: str | None, header_names: HeaderNames, limits: Limits
) -> tuple[int, str, int]:
    """The number of lines above the header, its separator, and its row, counted from the first line of text."""
    for above in range(min(21, len(lines))):
        separator = told or _separator(text, lines[above:], header_names, limits)
        if header_names.make_header(_names(_balanced(text, lines[above:], limits), separator)):
            return above, separator, len(_rows_above(text, lines[:above], separator)) + 1
    return 0, told or _separator(text, lines, header_names, limits), 1


def _rows_above(text: str, above: list[Line], separator: str) -> list[str]:
    """The records of the lines above a header; a line that is none counts by itself."""
    rows = []
    at = 0
    while at < len(above):
        start = above[at].start
        record = record_at(text[: above[-1].end], start, separator)
        end = record[1] if record else above[at].end
        rows.append(text[start:end])
        at += sum(line.start <= end for line in above[at:])
    return rows


def _refuse_people_above(
    text: str, above: list[Line], separator: str, header: tuple[str, ...], header_names: HeaderNames
) -> None:
    for row in _rows_above(text, above, separator):
        cells = _names(row, separator)
        if 2 * sum(map(bool, cells)) >= sum(map(bool, header)) or header_names.known(cells):
            raise RefusedError(Refused(code="rows_above_header"))


def _refuse_wrapped(header: tuple[str, ...], header_names: HeaderNames) -> None:
    inner = [_names(header[0], separator) for separator in SEPARATORS] if len(header) == 1 else []
    if any(header_names.known(names) > 1 for names in inner):
        raise RefusedError(Refused(code="wrapped_lines"))


def _names(row: str, separator: str) -> list[str]:
    return [trimmed(trimmed(piece).strip('"')) for piece in _leniently_split(row, separator)]


def _separator(text: str, lines: list[Line], header_names: HeaderNames, limits: Limits) -> str:
    header = _balanced(text, lines, limits)

    def score(separator: str) -> tuple[int, int]:
        names = _names(header, separator)
        return header_names.known(names), len(names)

    return max(SEPARATORS, key=score)


def _balanced(text: str, lines: list[Line], limits: Limits) -> str:
    """The header's lines up to where its quotes are even in number; its first line where they never are."""
    start = lines[0].start
    for line in lines:
        candidate = text[start : line.end]
        if bytes_of(candidate) > limits.record_bytes:
            break
        if candidate.count('"') % 2 == 0:
            return candidate
    return text[start : lines[0].end]


def _leniently_split(header: str, separator: str) -> list[str]:
    pieces = [""]
    inside = False
    for character in header:
        inside ^= character == '"'
        if character == separator and not inside:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def _header(text: str, lines: list[Line], separator: str, limits: Limits) -> tuple[tuple[str, ...], int]:
    """The header's trimmed cells and the number of physical lines it takes."""
    record = record_at(text, lines[0].start, separator)
    if record is None:
        raise RefusedError(Refused(code="bad_header"))
    cells, end = record
    whole = text[lines[0].start : end]
    too_large = bytes_of(whole) > limits.record_bytes or any(bytes_of(cell) > limits.cell_bytes for cell in cells)
    if too_large or BAD.search(whole) or "\0" in whole:
        raise RefusedError(Refused(code="bad_header"))
    named = max((number for number, cell in enumerate(cells, start=1) if trimmed(cell)), default=0)
    if named > MAX_COLUMNS:
        raise RefusedError(Refused(code="too_many_columns"))
    names = [trimmed(cell) for cell in cells]
    if is_report(names):
        names = [trimmed(unguarded_text(name)) for name in names]
    return tuple(names), sum(line.start <= end for line in lines)


def _refuse_mismatch(text: str, lines: list[Line], body: int, layout: Layout) -> None:
    """Refuse a file whose first megabytes have no record of the header's width, if otherwise all were such records."""
    rows = []
    left = SURVEYED_BYTES - bytes_of(text[: lines[body].start] if body < len(lines) else text)
    for span in spans(text, lines, body, layout):
        if left <= 0:
            break
        left -= bytes_of(span.text) + 1
        if span.cells is not None and len(span.cells) >= layout.width and layout.reason(span) is None:
            return
        if span.cells is None or not layout.is_blank(span.cells) or layout.reason(span):
            rows.append(span.text)
    if layout.width < 2 or not rows:
        return
    rows = rows[:1000]
    unwrapped = [cells[0] for row in rows if row.startswith('"') and (cells := _whole(row, layout.separator))]
    if len(unwrapped) == len(rows) and all(
        len(_whole(row, layout.separator)) == 1 and len(_whole(inner, layout.separator)) == layout.width
        for row, inner in zip(rows, unwrapped, strict=True)
    ):
        raise RefusedError(Refused(code="wrapped_lines"))
    for separator in SEPARATORS:
        if separator != layout.separator and all(len(_whole(row, separator)) == layout.width for row in rows):
            raise RefusedError(Refused(code="other_separator"))


def _whole(row: str, separator: str) -> list[str]:
    """The cells of a text that is one record, line breaks within quotes; none where it is no such record."""
    record = record_at(row, 0, separator)
    return record[0] if record and record[1] == len(row) else []


def _noted(found: list[Span], records: list[Record], layout: Layout) -> dict[str, bool]:
    """What is said of rows that were taken otherwise than they are written."""
    pairs = [*zip(found, records, strict=True)]
    said = [span for span, record in pairs if isinstance(record, Good)]
    empty = [span for span, record in pairs if isinstance(record, Blank) and not layout.is_blank(span.cells or [])]
    passed = {layout.nobody(span) for span in empty}
    # That a blank row is wider is only told where its cells are looked at one by one, which nobody needs to know.
    return {
        "surplus_cells": layout.usual == layout.width
        and any(len(span.cells or []) > len(layout.header) for span in said),
        "inner_marks": any(span.text.startswith("\ufeff") for span in found if layout.reason(span) != "too_large"),
        "repeated_header": "header" in passed,
        "nobody": bool(passed - {"header"}),
    }


def _surveyed(text: str, lines: list[Line], body: int, layout: Layout, proves: Proof) -> Layout:
    """The layout that the first records call for."""
    found = _first_spans(text, lines, body, layout)
    layout = replace(layout, usual=layout.width, has_comments=_has_comments(found, layout))
    layout = replace(layout, left_short=rows_left_short(found, layout))
    said = [span for span in found if span.cells is not None and not layout.is_blank(span.cells)]
    said = [span for span in said if not layout.nobody(span) or layout.reason(span)]
    said = [
        span
        for span in said
        if layout.reason(span) not in ("too_large", "bad_quotes") or _is_cell_too_large(span, layout)
    ]
    declared = len(layout.header)
    wider = [span for span in said if len(span.cells or []) > declared]
    narrower = sum(len(span.cells or []) < layout.width and layout.reason(span) is not None for span in said)
    fitting = len(said) - len(wider) - narrower
    good = [span for span in said if layout.reason(span) is None]
    usual = [len(span.cells or []) for span in good if len(span.cells or []) >= layout.width]
    if wider and len(wider) >= fitting:
        is_empty = not any(trimmed(cell) for span in wider for cell in (span.cells or [])[layout.width :])
        if is_empty and proves(layout.named, [layout.record(span, 0) for span in good]):
            return replace(layout, usual=_most_common(usual, layout.width))
        if is_empty or (20 * len(wider) >= 19 * len(said) and len(said) >= 10):
            raise RefusedError(Refused(code="wrong_width"))
        layout = replace(layout, takes_surplus=False)
    others = narrower + (0 if layout.takes_surplus else len(wider))
    if len(said) >= 10 and 20 * others >= 19 * len(said):
        raise RefusedError(Refused(code="wrong_width"))
    return replace(layout, usual=_most_common([width for width in usual if width <= declared], layout.width))


def _is_cell_too_large(span: Span, layout: Layout) -> bool:
    is_record_too_large = bytes_of(span.text) > layout.limits.record_bytes
    return span.cells is not None and not is_record_too_large


def _first_spans(text: str, lines: list[Line], body: int, layout: Layout) -> list[Span]:
    found = []
    left = SURVEYED_BYTES - bytes_of(text[: lines[body].start] if body < len(lines) else text)
    for span in spans(text, lines, body, layout):
        if left <= 0:
            break
        left -= bytes_of(span.text) + 1
        found.append(span)
    return found


def _has_comments(found: list[Span], layout: Layout) -> bool:
    """Whether no user's first cell, nor key, begins like a comment."""
    good = [span.cells or [] for span in found if layout.reason(span) is None and not layout.nobody(span)]
    beginnings = [cells[index] for cells in good for index in {0, layout.key or 0} if index < len(cells)]
    return not any(trimmed(beginning).startswith("#") for beginning in beginnings)


def _most_common(widths: list[int], otherwise: int) -> int:
    counts = Counter(widths)
    return max(counts, key=lambda width: (counts[width], width)) if counts else otherwise


def refuse_without_records(reading: Reading) -> None:
    if all(isinstance(record, Blank) for record in reading.records):
        raise RefusedError(Refused(code="no_records"))

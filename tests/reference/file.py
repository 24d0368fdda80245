"""A whole file: its separator, header, width and records."""

import re
from dataclasses import replace

from importer.formats.columns import normalised
from importer.reading.guarding import is_report, unguarded_text
from tests.reference.nouns import Blank, Limits, Reading, Refused, RefusedError
from tests.reference.records import Layout, record_at, spans
from tests.reference.text import BAD, Line, bytes_of, decoded, expanded, lines_of, trimmed

SEPARATORS = (",", ";", "\t", "|")
SURVEYED_BYTES = 8 << 20
MAX_COLUMNS = 256
SEPARATOR_LINE = re.compile('sep=([,;\t|])|"sep=([,;\t|])"', re.IGNORECASE | re.ASCII)


def read(
    data: bytes,
    *,
    name: str,
    known_names: frozenset[str],
    max_record_bytes: int = 1_048_576,
    max_cell_bytes: int = 65_536,
) -> Reading | Refused:
    """Every record of a user file, one after the other, or why there is none."""
    limits = Limits(record_bytes=max_record_bytes, cell_bytes=max_cell_bytes)
    try:
        reading = reading_of(data, name, known_names, limits)
        refuse_without_records(reading)
    except RefusedError as error:
        return error.refused
    return reading


def reading_of(data: bytes, name: str, known_names: frozenset[str], limits: Limits) -> Reading:
    text, encoding = decoded(expanded(data, name))
    lines = lines_of(text)
    first, told = _header_line(text, lines)
    separator = told or _separator(text, lines[first:], known_names, limits)
    header, taken = _header(text, lines[first:], separator, limits)
    layout = Layout(separator=separator, width=len(header), header=header, limits=limits)
    body = first + taken
    layout, has_surplus = _surveyed(text, lines, body, layout)
    records = [layout.record(span, row) for row, span in enumerate(spans(text, lines, body, layout), start=2)]
    warnings = {
        "windows_1252": encoding == "windows-1252",
        "trailing_separator": has_surplus,
        "may_be_cut": not text.endswith(("\r", "\n")),
    }
    return Reading(
        encoding=encoding,
        separator=separator,
        header=layout.named,
        records=records,
        warnings=frozenset(code for code, holds in warnings.items() if holds),
    )


def _header_line(text: str, lines: list[Line]) -> tuple[int, str | None]:
    """The index of the header's first line, and the separator that a `sep=` line tells."""
    told = SEPARATOR_LINE.fullmatch(text, lines[0].start, lines[0].end) if lines else None
    first = 1 if told else 0
    if not any(trimmed(text[line.start : line.end]) for line in lines[first:]):
        raise RefusedError(Refused(code="empty_file"))
    while lines[first].start == lines[first].end:
        first += 1
    return first, (told[1] or told[2]) if told else None


def _separator(text: str, lines: list[Line], known_names: frozenset[str], limits: Limits) -> str:
    header = _balanced(text, lines, limits)

    def score(separator: str) -> tuple[int, int]:
        names = [trimmed(trimmed(piece).strip('"')) for piece in _leniently_split(header, separator)]
        return sum(normalised(name) in known_names for name in names), len(names)

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
    if len(cells) > MAX_COLUMNS:
        raise RefusedError(Refused(code="too_many_columns"))
    names = [trimmed(cell) for cell in cells]
    if is_report(names):
        names = [trimmed(unguarded_text(name)) for name in names]
    return tuple(names), sum(line.start <= end for line in lines)


def _surveyed(text: str, lines: list[Line], body: int, layout: Layout) -> tuple[Layout, bool]:
    """The layout that the first records call for, and whether it has a surplus cell."""
    widths = []
    surplus_is_empty = True
    left = SURVEYED_BYTES - bytes_of(text[: lines[body].start] if body < len(lines) else text)
    for span in spans(text, lines, body, layout):
        if left <= 0:
            break
        left -= bytes_of(span.text) + 1
        if span.cells is not None and not layout.is_blank(span.cells):
            widths.append(len(span.cells))
            if len(span.cells) == layout.width + 1 and trimmed(span.cells[-1]):
                surplus_is_empty = False
    wider = widths.count(layout.width + 1)
    if widths and 100 * wider >= 95 * len(widths) and surplus_is_empty:
        return replace(layout, width=layout.width + 1), True
    if len(widths) >= 10 and 100 * (len(widths) - widths.count(layout.width)) >= 95 * len(widths):
        raise RefusedError(Refused(code="wrong_width"))
    return layout, False


def refuse_without_records(reading: Reading) -> None:
    if all(isinstance(record, Blank) for record in reading.records):
        raise RefusedError(Refused(code="no_records"))

"""The header of a text: where it is, how it is separated, and what it says; and text that has none.

A header is the first line that names the key, or half of the columns that a file must have. Lines above it that name
no column, such as titles, are skipped, unless they might be people. Pure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from importer.formats.columns import HeaderNames
from importer.model import FileRefused
from importer.reading.dialect import SEPARATORS
from importer.reading.foreign_text import Certainty, foreign_text
from importer.reading.grammar import LINE_END, QUOTE, WHITE_SPACE, Grammar, is_blank, value
from importer.words.reasons import refusal


class HeaderProblem(StrEnum):
    """Why a header cannot be read."""

    LONG = "it is too long"
    LONG_NAME = "a name in it is too long"
    BYTES = "it has bytes that are not text; save the file as “CSV UTF-8” and drop it again"
    NUL = "it holds a NUL character"
    QUOTES = "its quotes do not match"


MOST_SKIPPED: Final = 20
"""So many lines above a header are looked at."""
_SHOWN_CHARACTERS: Final = 400
_SEPARATOR_LINE: Final = re.compile(rb'(?:sep=([,;\t|])|"sep=([,;\t|])")(?:\r\n|\r|\n|\Z)', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLine:
    """The header of a file, and where it ends.

    Attributes:
        separator: one of SEPARATORS.
        cells: its trimmed cells, trailing empty ones included.
        end: the offset of the text below it.
        lines: the physical lines before that offset.
        row: its number as a spreadsheet shows it; a `sep=` line and empty lines above all text have none.
        skipped: the text of the first line above it that was skipped; empty where there was none.
    """

    separator: str
    cells: tuple[str, ...]
    end: int
    lines: int
    row: int = 1
    skipped: str = ""


class _Candidate(NamedTuple):
    """A line that may be the header: its offset, how it is separated, and its names as far as they can be told."""

    start: int
    separator: str
    names: list[str]


def read_header(text: bytes, *, header_names: HeaderNames, longest_record: int, longest_cell: int) -> HeaderLine:
    """The header of a text, below a `sep=` line, empty lines, and lines that name no column.

    Args:
        text: the text's begin, longer than the longest record if the text is.
        header_names: the names by which the header and its separator are recognised.
        longest_record: in bytes.
        longest_cell: in bytes.

    Raises:
        FileRefused: there is nothing but white space, the text is no table, or the header cannot be read.
    """
    begin, told = _behind_separator_line(text)
    if is_blank(text[begin:]):
        raise FileRefused(refusal("empty_file"))
    foreign = foreign_text(text[begin:])
    if foreign is not None and foreign.certainty is Certainty.SURE:
        raise FileRefused(foreign.refusal())
    while line_end := LINE_END.match(text, begin):
        begin = line_end.end()
    candidates = _candidates(text, begin, told, header_names, longest_record)
    first = next(candidates)
    found = next((each for each in (first, *candidates) if header_names.make_header(each.names)), None)
    if found is None and foreign is not None:
        raise FileRefused(foreign.refusal())
    header = _read(text, found or first, longest_record, longest_cell)
    if _is_one_quoted_cell(header, header_names):
        raise FileRefused(refusal("wrapped_lines"))
    if found is None or found.start == begin:
        return header
    return _below(text, begin, found, header, header_names)


def _candidates(
    text: bytes, begin: int, told: str | None, header_names: HeaderNames, longest: int
) -> Iterator[_Candidate]:
    """The first lines of a text, each as if it were the header."""
    start = begin
    for _ in range(MOST_SKIPPED + 1):
        line = _header_text(text, start, longest)
        separator = told or choose_separator(line, header_names)
        yield _Candidate(start, separator, _loosely_split(line.decode(errors="replace"), separator))
        line_end = LINE_END.search(text, start, start + longest + 2)
        if line_end is None or line_end.end() == len(text):
            return
        start = line_end.end()


def _read(text: bytes, candidate: _Candidate, longest_record: int, longest_cell: int) -> HeaderLine:
    """The header that begins where the candidate does.

    Raises:
        FileRefused: it cannot be read.
    """
    start = candidate.start
    grammar = Grammar(candidate.separator)
    end = _header_end(text, start, grammar, longest_record)
    cells = [value(cell) for cell in grammar.cells(text[start:end])]
    if max(map(len, cells)) > longest_cell:
        raise _bad_header(HeaderProblem.LONG_NAME)
    line_end = LINE_END.match(text, end)
    return HeaderLine(
        separator=candidate.separator,
        cells=tuple(cell.decode().strip(WHITE_SPACE) for cell in cells),
        end=line_end.end() if line_end else end,
        lines=len(LINE_END.findall(text, 0, end)) + 1,
    )


def _is_one_quoted_cell(header: HeaderLine, header_names: HeaderNames) -> bool:
    """Whether the only cell of a header holds several names that are separated within it."""
    if len(header.cells) > 1:
        return False
    pieces = (_loosely_split(header.cells[0], separator) for separator in SEPARATORS)
    return any(len(names) > 1 and header_names.known(names) > 1 for names in pieces)


def _below(text: bytes, begin: int, found: _Candidate, header: HeaderLine, header_names: HeaderNames) -> HeaderLine:
    """A header below other lines, with its row.

    Raises:
        FileRefused: one of these lines may be a person: it names a column, or is half as full as the header.
    """
    rows = [_loosely_split(row.decode(errors="replace"), found.separator) for row in _rows(text, begin, found)]
    row = len(rows) + 1
    filled = len([*filter(None, header.cells)])
    if any(2 * len([*filter(None, cells)]) >= filled or header_names.known(cells) for cells in rows):
        raise FileRefused(refusal("rows_above_header", row=row))
    said = [" ".join(filter(None, cells)) for cells in rows]
    return replace(header, row=row, skipped=next(filter(None, said), found.separator)[:_SHOWN_CHARACTERS])


def _rows(text: bytes, begin: int, found: _Candidate) -> Iterator[bytes]:
    """The records above a header; a line that is none counts by itself."""
    grammar = Grammar(found.separator)
    start = begin
    while start < found.start:
        line_end = LINE_END.search(text, start)
        end = grammar.record_end(text, start, found.start)
        if end is None or LINE_END.match(text, end) is None:
            end = line_end.start() if line_end else found.start
        yield text[start:end]
        line_end = LINE_END.match(text, end)
        start = line_end.end() if line_end else end


def _behind_separator_line(text: bytes) -> tuple[int, str | None]:
    """Excel's `sep=` line: the offset behind it, and the separator that it tells."""
    found = _SEPARATOR_LINE.match(text)
    return (found.end(), (found[1] or found[2]).decode()) if found else (0, None)


def _header_text(text: bytes, start: int, longest: int) -> bytes:
    """The header as far as its separator goes: up to the first line end outside quotes."""
    quotes, begin = 0, start
    for line_end in LINE_END.finditer(text, start):
        if line_end.start() - start > longest:
            break
        quotes += text.count(QUOTE, begin, line_end.start())
        begin = line_end.end()
        if quotes % 2 == 0:
            return text[start : line_end.start()]
    return _whole_text_or_first_line(text, start, longest)


def _whole_text_or_first_line(text: bytes, start: int, longest: int) -> bytes:
    whole = text[start : start + longest + 1]
    if len(whole) <= longest and whole.count(QUOTE) % 2 == 0:
        return whole
    return LINE_END.split(whole, maxsplit=1)[0]


def choose_separator(header: bytes, header_names: HeaderNames) -> str:
    """The separator by which the header has the most known names; then the most cells; then the usual one."""
    scores = {separator: _score(header, separator, header_names) for separator in SEPARATORS}
    return max(SEPARATORS, key=lambda separator: scores[separator])


def _score(header: bytes, separator: str, header_names: HeaderNames) -> tuple[int, int]:
    names = _loosely_split(header.decode(errors="replace"), separator)
    return header_names.known(names), len(names)


def _loosely_split(header: str, separator: str) -> list[str]:
    """The names in a header that need not be well-formed: cut at separators that an even number of quotes precedes."""
    names = [""]
    for number, part in enumerate(header.split('"')):
        first, *others = part.split(separator) if number % 2 == 0 else [part]
        names[-1] += ('"' if number else "") + first
        names += others
    return [name.strip(WHITE_SPACE).strip('"').strip(WHITE_SPACE) for name in names]


def _header_end(text: bytes, start: int, grammar: Grammar, longest: int) -> int:
    """Where the header record ends, before its line end.

    Raises:
        FileRefused: it is too long, not text, or its quotes do not match.
    """
    end = grammar.record_end(text, start, start + longest + 1)
    first_line = LINE_END.split(text[start : start + longest + 1], maxsplit=1)[0]
    if len(first_line) > longest:
        raise _bad_header(HeaderProblem.LONG)
    is_whole = end is not None and end - start <= longest
    record = text[start:end] if is_whole else first_line
    if problem := _unreadable(record):
        raise _bad_header(problem)
    if end is None or not is_whole:
        raise _bad_header(HeaderProblem.QUOTES)
    return end


def _unreadable(record: bytes) -> HeaderProblem | None:
    try:
        record.decode()
    except UnicodeDecodeError:
        return HeaderProblem.BYTES
    return HeaderProblem.NUL if b"\0" in record else None


def _bad_header(problem: HeaderProblem) -> FileRefused:
    return FileRefused(refusal("bad_header", problem=problem.value))

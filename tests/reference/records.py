"""Physical lines → records."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from importer.formats.columns import normalised
from importer.reading.guarding import is_report, unguarded_text
from tests.reference.nouns import Blank, Good, Limits, Record, Rejected
from tests.reference.text import BAD, Line, bytes_of, trimmed

NOT_WELL_FORMED = -1
JUST_OURS = frozenset(normalised(name) for name in ("import_error", "import_row", "import_file"))
"""Columns whose text alone does not make a row: our report fills them for every row."""


def record_at(text: str, start: int, separator: str) -> tuple[list[str], int] | None:
    """The cells of the well-formed record that starts there and where it ends (before its line end), or None."""
    cells = []
    at = start
    while True:
        cell, at = _quoted_cell(text, at) if text.startswith('"', at) else _plain_cell(text, at, separator)
        if at == NOT_WELL_FORMED or (at < len(text) and text[at] not in (separator, "\r", "\n")):
            return None
        cells.append(cell)
        if at == len(text) or text[at] != separator:
            return cells, at
        at += 1


def _quoted_cell(text: str, start: int) -> tuple[str, int]:
    """The value of the quoted cell and where its closing quote is behind us."""
    at = start + 1
    value = ""
    while True:
        quote = text.find('"', at)
        if quote == -1:
            return "", NOT_WELL_FORMED
        value += text[at:quote]
        if not text.startswith('""', quote):
            return value, quote + 1
        value += '"'
        at = quote + 2


def _plain_cell(text: str, start: int, separator: str) -> tuple[str, int]:
    at = start
    while at < len(text) and text[at] not in (separator, "\r", "\n"):
        at += 1
    value = text[start:at]
    if value.lstrip(" \t").startswith('"'):
        return "", NOT_WELL_FORMED
    return value, at


def _is_perfect(line: str, separator: str, width: int) -> bool:
    """Whether a line by itself is a record of that width in which every quote opens or closes a cell."""
    record = record_at(line, 0, separator)
    if not line or record is None or len(record[0]) != width:
        return False
    cell = f'(?:"(?:[^"]|"")*"|[^"{separator}]*)'
    return re.fullmatch(f"{cell}(?:[{separator}]{cell})*", line) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What one record takes: `lines` physical lines from index `first`; cells is None where it is not well-formed."""

    first: int
    lines: int
    text: str
    cells: list[str] | None


def spans(text: str, lines: list[Line], first: int, layout: "Layout") -> Iterator[Span]:
    index_of_end = {line.end: index for index, line in enumerate(lines)}
    at = first
    while at < len(lines):
        start = lines[at].start
        record = record_at(text, start, layout.separator)
        if record is not None:
            cells, end = record
            taken = index_of_end[end] - at + 1
            later = [text[line.start : line.end] for line in lines[at + 1 : at + taken]]
            whole = text[start:end]
            swallows = any(_is_perfect(line, layout.separator, layout.width) for line in later)
            if not swallows and bytes_of(whole) <= layout.limits.record_bytes:
                yield Span(first=at, lines=taken, text=whole, cells=cells)
                at += taken
                continue
        yield Span(first=at, lines=1, text=text[start : lines[at].end], cells=None)
        at += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How records are split and judged; `header` has every cell, trimmed, trailing empty ones too."""

    separator: str
    width: int
    header: tuple[str, ...]
    limits: Limits

    @property
    def named(self) -> tuple[str, ...]:
        names = list(self.header)
        while names and not names[-1]:
            names.pop()
        return tuple(names)

    def is_blank(self, cells: list[str]) -> bool:
        if len(cells) != self.width:
            return not any(map(trimmed, cells))
        names = (*self.header, *[""] * (self.width - len(self.header)))
        return not any(
            trimmed(cell)
            for name, cell in zip(names, self._unguarded(cells), strict=True)
            if normalised(name) not in JUST_OURS
        )

    def reason(self, span: Span) -> str | None:
        """The code of the first reason, in order of precedence, why the span is no record."""
        if bytes_of(span.text) > self.limits.record_bytes:
            return "too_large"
        if BAD.search(span.text):
            return "bad_encoding"
        if "\0" in span.text:
            return "control_character"
        return "bad_quotes" if span.cells is None else self._reason_in_cells(span.cells)

    def _reason_in_cells(self, cells: list[str]) -> str | None:
        if len(cells) == self.width and any(bytes_of(cell) > self.limits.cell_bytes for cell in cells):
            return "too_large"
        has_surplus = any(map(trimmed, cells[len(self.named) :]))
        if len(cells) != self.width or has_surplus:
            return None if self.is_blank(cells) else self._width_reason(cells)
        return "repeated_header" if self._repeats_header(cells) else None

    def _width_reason(self, cells: list[str]) -> str:
        return "too_few_cells" if len(cells) < self.width else "too_many_cells"

    def _repeats_header(self, cells: list[str]) -> bool:
        named = len(self.named)
        return not self.is_blank(cells) and tuple(map(trimmed, self._unguarded(cells)[:named])) == self.named

    def record(self, span: Span, row: int) -> Record:
        line = span.first + 1
        reason = self.reason(span)
        if reason is not None:
            return Rejected(row=row, line=line, code=reason, text=_shown(span.text))
        cells = span.cells or []
        if self.is_blank(cells):
            return Blank(row=row, line=line)
        return Good(row=row, line=line, cells=tuple(self._unguarded(cells)[: len(self.named)]))

    def _unguarded(self, cells: list[str]) -> list[str]:
        """The cells as they were before our report guarded them."""
        return [unguarded_text(cell) for cell in cells] if is_report(self.named) else cells


def _shown(text: str) -> str:
    return BAD.sub(lambda bad: f"\\x{ord(bad[0]) - 0xDC00:02x}", text)

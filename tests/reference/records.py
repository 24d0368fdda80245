"""Physical lines → records."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from importer.formats.names import normalised
from importer.reading.guarding import is_report, unguarded_text
from importer.reading.nobodies import Expected
from tests.reference.nouns import Blank, Good, Limits, Record, Rejected
from tests.reference.text import BAD, PADDING, Line, bytes_of, trimmed

NOT_WELL_FORMED = -1
JUST_OURS = frozenset(normalised(name) for name in ("import_error", "import_row", "import_file", "import_id"))
"""Columns whose text alone does not make a row: our report fills them for every row."""


def record_at(text: str, start: int, separator: str) -> tuple[list[str], int] | None:
    """The cells of the well-formed record that starts there and where it ends (before its line end), or None."""
    cells = []
    at = start
    while True:
        opening = _behind_blanks(text, at, separator)
        if text.startswith('"', opening):
            cell, at = _quoted_cell(text, opening)
            at = at if at == NOT_WELL_FORMED else _behind_blanks(text, at, separator)
        else:
            cell, at = _plain_cell(text, at, separator)
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
    return text[start:at], at


def _behind_blanks(text: str, start: int, separator: str) -> int:
    """Where the blanks end that begin there, which are nothing outside quotes."""
    at = start
    while at < len(text) and text[at] in " \t" and text[at] != separator:
        at += 1
    return at


def has_stray_quotes(text: str, separator: str) -> bool:
    """Whether two unquoted cells of a well-formed record have an odd number of quotes."""
    odd = 0
    at = 0
    while at <= len(text):
        opening = _behind_blanks(text, at, separator)
        if text.startswith('"', opening):
            at = _behind_blanks(text, _quoted_cell(text, opening)[1], separator)
        else:
            end = text.find(separator, at)
            end = len(text) if end == -1 else end
            odd += text.count('"', at, end) % 2
            at = end
        at += 1
    return odd >= 2


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
        while text.startswith("\ufeff", start):
            start += 1
        record = record_at(text, start, layout.separator)
        alone = Span(first=at, lines=1, text=text[lines[at].start : lines[at].end], cells=None)
        if record is None or bytes_of(text[lines[at].start : record[1]]) > layout.limits.record_bytes:
            yield alone
            at += 1
            continue
        cells, end = record
        taken = index_of_end[end] - at + 1
        may_be_lines = taken > 1 and all(layout.could_be_records(text[start:end], start, lines[at + 1 : at + taken]))
        is_lines = may_be_lines and len(cells) not in layout.whole
        if is_lines or (may_be_lines and layout.could_be_records(text[start:end], start, lines[at : at + 1]) == [True]):
            for line in range(at, at + taken):
                whole = text[lines[line].start : lines[line].end]
                yield Span(first=line, lines=1, text=whole, cells=None)
            at += taken
        else:
            stray = has_stray_quotes(text[start:end], layout.separator)
            yield Span(first=at, lines=taken, text=text[lines[at].start : end], cells=None if stray else cells)
            at += taken


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How records are split and judged.

    `header` has every cell, trimmed, trailing empty ones too; `usual` is the width of nearly all records where they are
    wider than the names; `left_short` are the indexes of lines on which a record begins that a spreadsheet left short.
    """

    separator: str
    header: tuple[str, ...]
    limits: Limits
    expected: Expected
    usual: int = 0
    takes_surplus: bool = True
    has_comments: bool = False
    left_short: frozenset[int] = frozenset()

    @cached_property
    def named(self) -> tuple[str, ...]:
        names = list(self.header)
        while names and not names[-1]:
            names.pop()
        return tuple(names)

    @cached_property
    def width(self) -> int:
        """How many cells a record has at least."""
        return max(len(self.named), 1)

    @cached_property
    def whole(self) -> set[int]:
        return {self.width, max(self.usual, self.width)}

    @cached_property
    def key(self) -> int | None:
        found = [index for index, name in enumerate(self.named) if normalised(name) in self.expected.key]
        return found[0] if found else None

    def could_be_records(self, record: str, start: int, lines: list[Line]) -> list[bool]:
        """For lines of a record that begins at `start`: are they as wide as a record, open quotes taken for text?"""
        counted = _separators(record, self.separator)
        return [
            line.start < line.end and 1 + sum(line.start <= start + at < line.end for at in counted) in self.whole
            for line in lines
        ]

    def is_blank(self, cells: list[str]) -> bool:
        if len(cells) < self.width or any(map(trimmed, cells[self.width :])):
            return not any(map(trimmed, cells))
        return not any(
            trimmed(cell)
            for name, cell in zip(self.named or ("",), self._unguarded(cells), strict=False)
            if normalised(name) not in JUST_OURS
        )

    def nobody(self, span: Span) -> str | None:
        """What a record is instead of a user, if so."""
        text, cells = span.text.lstrip("\ufeff"), span.cells or []
        values = [trimmed(cell) for cell in cells]
        if span.lines > 1:
            return "header" if self.fits(cells) and self._repeats_header(cells) else None
        default = self._default()
        fillers = {index for index, name in enumerate(self.named) if normalised(name) in self.expected.lookups}
        others = [value for index, value in enumerate(values) if index not in fillers]
        if values[0] and all(set(value) <= set("-=_+") for value in others) and set(values[0]) <= set("-=_+"):
            return "ruler"
        if self.has_comments and text.startswith("#") and len(cells) < len(self.named):
            return "comment"
        if default is not None and _is_just(text, cells, default, self.separator):
            return "default"
        if _is_total(text, values, self.separator):
            return "total"
        return "header" if self._repeats_header(cells) else None

    def is_nobody(self, span: Span) -> bool:
        return not self.is_blank(span.cells or []) and self.nobody(span) is not None

    def _default(self) -> tuple[int, str] | None:
        defaults = dict(self.expected.defaults)
        found = [(index, normalised(name)) for index, name in enumerate(self.named) if normalised(name) in defaults]
        return (found[0][0], defaults[found[0][1]]) if found else None

    def reason(self, span: Span) -> str | None:
        """The code of the first reason, in order of precedence, why the span is no record."""
        if bytes_of(span.text) > self.limits.record_bytes:
            return "too_large"
        if BAD.search(span.text):
            return "bad_encoding"
        if "\0" in span.text:
            return "control_character"
        if span.cells is None:
            return "bad_quotes"
        if self.is_blank(span.cells) or self.nobody(span):
            return None
        return self._reason_in_cells(span)

    def _reason_in_cells(self, span: Span) -> str | None:
        cells = span.cells or []
        if len(cells) < self.width:
            return None if span.first in self.left_short else "too_few_cells"
        if not self.fits(cells):
            return "too_many_cells"
        if len(cells) < self.usual and not trimmed(cells[self.width - 1]) and span.first not in self.left_short:
            return "too_few_cells"
        return "too_large" if any(bytes_of(cell) > self.limits.cell_bytes for cell in cells) else None

    def fits(self, cells: list[str]) -> bool:
        """Whether no cell is too much."""
        is_allowed = len(cells) <= len(self.header) or self.takes_surplus
        return is_allowed and not any(map(trimmed, cells[self.width :]))

    def _repeats_header(self, cells: list[str]) -> bool:
        own = [trimmed(cell) for cell in self._unguarded(cells)]
        if self.named and tuple(own[: len(self.named)]) == self.named and not any(own[len(self.named) :]):
            return True
        if self.key is None or self.key >= len(own) or own[self.key] not in self.expected.spellings:
            return False
        filled = [cell for cell in own if cell]
        return sum(normalised(cell) in self.expected.known for cell in filled) > len(filled) / 2

    def record(self, span: Span, row: int) -> Record:
        line = span.first + 1
        reason = self.reason(span)
        if reason is not None:
            return Rejected(row=row, line=line, code=reason, text=_shown(span.text))
        cells = span.cells or []
        if self.is_blank(cells) or self.nobody(span):
            return Blank(row=row, line=line)
        padded = [*cells, *[""] * self.width]
        return Good(row=row, line=line, cells=tuple(self._unguarded(padded)[: len(self.named)]))

    def _unguarded(self, cells: list[str]) -> list[str]:
        """The cells as they were before our report guarded them."""
        return [unguarded_text(cell) for cell in cells] if is_report(self.named) else cells


def _separators(record: str, separator: str) -> list[int]:
    """The places of separators, but for those within quotes that are closed on the line on which they are opened."""
    found = []
    at = 0
    while at <= len(record):
        opening = _behind_blanks(record, at, separator)
        if record.startswith('"', opening):
            end = _quoted_cell(record, opening)[1]
            inside = record[opening:end]
            breaks = [opening + place for place, character in enumerate(inside) if character in "\r\n"]
            if breaks:
                found += [place for place in range(opening, end) if record[place] == separator]
            at = _behind_blanks(record, end, separator)
        else:
            end = record.find(separator, at)
            at = len(record) if end == -1 else end
        if at < len(record):
            found.append(at)
        at += 1
    return found


def _is_just(text: str, cells: list[str], default: tuple[int, str], separator: str) -> bool:
    """Whether a row holds a default in its column and nothing else at all."""
    place, value = default
    return place < len(cells) and cells[place] == value and text.replace(separator, "") == value


def _is_total(text: str, values: list[str], separator: str) -> bool:
    """Whether a row is a total or a count: in its first cell, perhaps with the number in the second, and no other."""
    empty = len(values) - 2
    if empty > 0 and not (text.endswith(separator * empty) and not any(values[2:])):
        return False
    number = r"[0-9]([0-9.,\s]*[0-9])?"
    second = values[1] if len(values) > 1 else ""
    if not values[0] or (second and not re.fullmatch(number, second)):
        return False
    return any(re.fullmatch(form, f"{values[0]} {second}".casefold().rstrip(" .")) for form in TOTALS)


_NUMBER = r"[0-9]([0-9.,\s]*[0-9])?"
_THINGS = (
    "(rows?|records?|users?|lines?|entry|entries|items?|people|persons?|students?|employees?|lignes?"
    "|enregistrements?|utilisateurs?|personnes?|entrées?|étudiante?s?|employée?s?)"
)
_DONE = "(selected|affected|returned|exported|found|in set|total|in total|sélectionnée?s?|exportée?s?|au total)"
TOTALS = (
    rf"(grand |grand-|sub|sub-|sous-)?tot(al|als|aux)([\s:=,-]+({_THINGS}|{_NUMBER}|of|number|count|de|des|général))*",
    rf"\(?{_NUMBER}\s+{_THINGS}(\s+{_DONE})?(\s+\([^)]*\))?\)?",
    rf"({_THINGS}\s+)?count(\s+of\s+{_THINGS})?\s*[:=]?\s*{_NUMBER}(\s+{_THINGS})?",
    rf"((total\s+)?number\s+of\s+|nombre\s+d(e\s+|es\s+|['’]))?{_THINGS}\s*[:=]\s*{_NUMBER}",  # noqa: RUF001
)
"""What a total or a count says, in lower case."""


def rows_left_short(found: list[Span], layout: Layout) -> frozenset[int]:
    """The first lines of the short records that a spreadsheet left, where all of their sixteen are as short."""
    layout = replace(layout, left_short=frozenset())
    sixteens: dict[int, list[tuple[int, int]]] = {}
    for row, span in enumerate(found, start=2):
        code = layout.reason(span)
        is_empty = not span.text.replace(layout.separator, "") or (code is None and layout.is_nobody(span))
        if not is_empty and (code in (None, "too_few_cells", "too_many_cells")):
            width = len(span.cells or []) if code == "too_few_cells" else 0
            sixteens.setdefault((row - 1) // 16, []).append((width, span.first))
    short = set()
    for number, records in sixteens.items():
        widths = Counter(width for width, _ in records if width)
        if number and widths:
            width, count = min(widths.items(), key=lambda item: (-item[1], item[0]))
            if count >= max(2, len(records) - 1):
                short |= {first for found_width, first in records if found_width == width}
    return frozenset(short)


def _shown(text: str) -> str:
    return BAD.sub(lambda bad: f"\\x{ord(bad[0]) - 0xDC00:02x}", text.replace(PADDING, ""))

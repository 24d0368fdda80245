"""Which lines of a block are records, and what is wrong with the others.

One broken record never takes its neighbours with it. Reading goes from line to line; where the text from a line's
start is not a record, that line alone is rejected and reading resumes at the next one. A record of several lines one
of which is a perfect record by itself is no record: it is two stray quotes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from importer.reading.controls import controls
from importer.reading.grammar import QUOTE, Grammar, LineKind, is_blank, quoted, value
from importer.reading.lines import Lines, classify
from importer.reading.multiline_records import spanning_records
from importer.reading.utf8 import Flags, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules that a record of one file must keep.

    Attributes:
        grammar: its separator and quotes.
        width: how many cells it has.
        longest_record: in bytes of UTF-8, without its last line end; more lines than fit are not tried.
        longest_cell: in bytes of UTF-8, without its quotes.
    """

    grammar: Grammar
    width: int
    longest_record: int
    longest_cell: int


class Problem(NamedTuple):
    """A record that is rejected.

    Attributes:
        first: the index of its first line in the block.
        last: the index of its last line.
        kind: a key of `reasons.ROW_SENTENCES`.
        cells: how many it has, 0 where that cannot be told.
    """

    first: int
    last: int
    kind: str
    cells: int


class _Odd(NamedTuple):
    """A good record found by itself; `text` is the same record with all its quotes in order."""

    first: int
    last: int
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A block split into records; lines from `stop` on wait for more text.

    Attributes:
        data: the block.
        lines: its lines.
        stop: how many of them are decided.
        begins: for each line, whether a record begins on it.
        good: for each line, whether a good record begins on it.
        plain: for each line, whether it belongs to a good record all of whose quotes are in order.
        several: the first and the last lines of those plain records that have several.
        odd: the other good records.
        problems: the rejected records, in order.
        blank: the number of blank records, empty lines included.
        blank_lines: the number of their lines.
        empty_tail: how many of the decided lines, at their end, are empty; they are records only if another follows.
    """

    data: bytes
    lines: Lines
    stop: int
    begins: Flags
    good: Flags
    plain: Flags
    several: tuple[Ints, Ints]
    odd: list[_Odd]
    problems: list[Problem]
    blank: int
    blank_lines: int
    empty_tail: int

    @property
    def consumed(self) -> int:
        """The bytes of the decided lines."""
        return int(self.lines.nexts[self.stop - 1]) if self.stop else 0

    def controls(self) -> Ints:
        """The offsets of control characters in the decided lines."""
        return controls(self.data, self.lines.ends[: self.stop], self.lines.nexts[: self.stop])

    def text(self, first: int, last: int) -> bytes:
        """The text of the lines `first` to `last`, without the last one's line end."""
        return self.data[self.lines.starts[first] : self.lines.ends[last]]

    def last_lines(self) -> Ints:
        """For each good record, the index of its last line."""
        last = np.arange(self.lines.starts.size)
        last[self.several[0]] = self.several[1]
        for odd in self.odd:
            last[odd.first] = odd.last
        return last[self.good]

    @property
    def spanned(self) -> int:
        """The number of lines that the decided records have, counted record by record."""
        good = int(self.good.sum() + (self.several[1] - self.several[0]).sum())
        good += sum(odd.last - odd.first for odd in self.odd)
        return good + self.blank_lines + sum(problem.last - problem.first + 1 for problem in self.problems)

    def good_text(self) -> bytes:
        """The good records alone, each ended by LF or CRLF, with all their quotes in order."""
        return b"".join(self._good_pieces())

    def _good_pieces(self) -> Iterator[bytes | memoryview]:
        """Runs of plain lines as they are, and each odd record in its place."""
        view = memoryview(_with_line_feeds(self.data, self.lines.delimiters.lone_cr))
        starts, nexts = self.lines.starts, self.lines.nexts
        odd = {record.first: record.text for record in self.odd}
        begin = 0
        for line in [*np.flatnonzero(~self.plain[: self.stop]).tolist(), self.stop]:
            if line > begin:
                yield view[starts[begin] : nexts[line - 1]]
            if line in odd:
                yield odd[line] + b"\n"
            begin = line + 1


def _with_line_feeds(data: bytes, lone_cr: Ints) -> bytes:
    """The text with LF in place of each lone CR that ends a line, which the parser does not know."""
    if not lone_cr.size:
        return data
    block = np.frombuffer(data, np.uint8).copy()
    block[lone_cr] = ord("\n")
    return block.tobytes()


def split(data: bytes, rules: Rules, *, is_last: bool, invalid: Ints | None = None) -> Split:
    """Split a block that begins at the start of a record; its last line has a line end if `is_last`.

    `invalid` are the offsets at which it is not valid UTF-8, where these are known already.
    """
    lines = classify(
        data,
        separator=rules.grammar.separator,
        width=rules.width,
        longest=min(rules.longest_cell, rules.longest_record),
        invalid=invalid,
    )
    return _Splitting(data, lines, rules, is_last=is_last).run()


_WAITS: Final = -1
_NOT_A_RECORD: Final = -2


class _Splitting:
    """The one walk over the suspicious lines of a block."""

    def __init__(self, data: bytes, lines: Lines, rules: Rules, *, is_last: bool) -> None:
        self._data, self._lines, self._rules, self._is_last = data, lines, rules, is_last
        count = lines.starts.size
        self._good = lines.perfect & lines.sound
        self._begins = np.ones(count, np.bool_)
        self._plain = self._good.copy()
        self._several = spanning_records(
            lines, width=rules.width, longest_record=rules.longest_record, longest_cell=rules.longest_cell
        )
        if self._several[0].size:
            self._take_several(*self._several)
        self._is_empty = lines.starts == lines.ends
        self._suspects = np.flatnonzero(~(self._plain | self._is_empty))
        self._stop = count
        self._is_readable = not (lines.undecodable.any() or lines.nul.any())
        self._resume = 0
        self._blank = self._blank_lines = 0
        self._odd: list[_Odd] = []
        self._problems: list[Problem] = []
        self._continuation = _Continuation(data, lines, rules)

    def _take_several(self, firsts: Ints, lasts: Ints) -> None:
        steps = np.zeros(self._good.size + 1, np.int8)
        steps[firsts] = 1
        steps[lasts + 1] -= 1
        within = np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
        self._plain |= within
        self._begins &= ~within
        self._begins[firsts] = self._good[firsts] = True

    def run(self) -> Split:
        lines, suspects = self._lines, self._suspects
        simple = (lines.quotes == 0) & lines.sound
        for line, start, end, width, is_simple in zip(
            suspects.tolist(),
            lines.starts[suspects].tolist(),
            lines.ends[suspects].tolist(),
            lines.widths[suspects].tolist(),
            simple[suspects].tolist(),
            strict=True,
        ):
            if line < self._resume:
                continue
            if is_simple:
                self._judge_width(line, line, self._data[start:end], width)
            elif not self._judge(line, self._data[start:end]):
                self._stop = line
                break
        return self._result()

    def _result(self) -> Split:
        self._good[self._stop :] = False
        tail = self._empty_tail()
        self._begins[self._stop - tail :] = False
        empty = int(np.count_nonzero(self._begins & self._is_empty))
        return Split(
            data=self._data,
            lines=self._lines,
            stop=self._stop,
            begins=self._begins,
            good=self._good,
            plain=self._plain,
            several=self._several,
            odd=self._odd,
            problems=self._problems,
            blank=self._blank + empty,
            blank_lines=self._blank_lines + empty,
            empty_tail=tail,
        )

    def _empty_tail(self) -> int:
        has_text = np.flatnonzero(~self._is_empty[: self._stop])
        return self._stop - (int(has_text[-1]) + 1 if has_text.size else 0)

    def _judge(self, line: int, text: bytes) -> bool:
        """Decide what begins on the line; False if more text is needed for that."""
        if len(text) > self._rules.longest_record:
            self._reject(line, line, "too_large", 0)
            return True
        shape, separators = self._rules.grammar.shape(text)
        last, more = line, 0
        if shape is LineKind.OPEN:
            last, more = self._continuation.of(line, is_last=self._is_last)
        if last == _WAITS:
            return False
        if shape is LineKind.BROKEN or last == _NOT_A_RECORD:
            self._reject(line, line, self._unreadable(line, line) or "bad_quotes", 0)
        else:
            self._judge_record(line, last, separators + more + 1)
        return True

    def _judge_record(self, first: int, last: int, width: int) -> None:
        """Decide about a well-formed record."""
        record = self._data[self._lines.starts[first] : self._lines.ends[last]]
        if kind := self._unreadable(first, last):
            self._reject(first, last, kind, width)
        elif width != self._rules.width:
            self._judge_width(first, last, record, width)
        else:
            self._judge_cells(first, last, record)

    def _judge_width(self, first: int, last: int, record: bytes, width: int) -> None:
        """Decide about a well-formed record that is too short or too long."""
        if self._is_blank(record):
            self._take_blank(first, last)
        else:
            self._reject(first, last, "too_few_cells" if width < self._rules.width else "too_many_cells", width)

    def _judge_cells(self, first: int, last: int, record: bytes) -> None:
        """Decide about a well-formed record of the right width."""
        cells = self._rules.grammar.cells(record)
        if len(record) > self._rules.longest_cell and max(map(len, map(value, cells))) > self._rules.longest_cell:
            self._reject(first, last, "too_large", len(cells))
            return
        self._good[first] = True
        self._odd.append(_Odd(first, last, self._rules.grammar.separator.join(map(quoted, cells))))
        self._take(first, last)

    def _take_blank(self, first: int, last: int) -> None:
        self._blank += 1
        self._blank_lines += last - first + 1
        self._take(first, last)

    def _reject(self, first: int, last: int, kind: str, cells: int) -> None:
        self._problems.append(Problem(first, last, kind, cells))
        self._take(first, last)

    def _take(self, first: int, last: int) -> None:
        self._resume = last + 1
        if last > first:
            self._begins[first + 1 : last + 1] = False

    def _unreadable(self, first: int, last: int) -> str | None:
        """Why the lines cannot be read at all, if so."""
        if self._is_readable:
            return None
        span = slice(first, last + 1)
        if self._lines.undecodable[span].any():
            return "bad_encoding"
        return "control_character.row" if self._lines.nul[span].any() else None

    def _is_blank(self, record: bytes) -> bool:
        """Whether every cell is empty after trimming."""
        separator = self._rules.grammar.separator
        if QUOTE not in record:
            return is_blank(record.replace(separator, b""))
        return all(is_blank(value(cell)) for cell in self._rules.grammar.cells(record))


@dataclass(slots=True)
class _Continuation:
    """The search for the end of a record whose first line leaves a quote open.

    Lines read from inside quotes are remembered, so that a block costs linear time even if every line leaves a quote
    open: whatever line the quote was opened on, the lines after it read the same.
    """

    data: bytes
    lines: Lines
    rules: Rules
    begin: int = 0
    """The first remembered line."""
    separators: list[int] = field(default_factory=lambda: [0])
    """Separators outside quotes before each of the remembered lines, and before the first line not remembered."""

    def of(self, first: int, *, is_last: bool) -> tuple[int, int]:
        """The last line of the record that begins on `first`, and the separators outside quotes after that line.

        The line is _NOT_A_RECORD if there is no such record, and _WAITS if that depends on text yet to come.
        """
        line = first + 1
        if not self.begin <= line < self.begin + len(self.separators):
            self.begin, self.separators = line, [0]
        already = self.separators[line - self.begin]
        line = self.begin + len(self.separators) - 1
        starts, ends, perfect = self.lines.starts, self.lines.ends, self.lines.perfect
        limit = int(starts[first]) + self.rules.longest_record
        while line < starts.size:
            if ends[line] > limit or perfect[line]:
                return _NOT_A_RECORD, 0
            shape, separators = self.rules.grammar.shape(QUOTE + self.data[starts[line] : ends[line]])
            if shape is LineKind.BROKEN:
                return _NOT_A_RECORD, 0
            if shape is LineKind.WHOLE:
                return line, self.separators[-1] - already + separators
            self.separators.append(self.separators[-1] + separators)
            line += 1
        known = len(self.data) - self.data.endswith(b"\r")
        return (_NOT_A_RECORD if is_last or known > limit else _WAITS), 0

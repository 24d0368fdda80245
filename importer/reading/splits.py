"""A block split into records: what the splitting is told, and what it finds.

It holds offsets and flags of the lines of a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from importer.reading.controls import controls
from importer.reading.grammar import Grammar
from importer.reading.lines import Lines
from importer.reading.multiline_records import Spans
from importer.reading.nobodies import Nobodies, Nobody
from importer.reading.utf8 import Flags, Ints
from importer.reading.widths import Widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules that a record of one file must keep.

    Attributes:
        grammar: its separator and quotes.
        widths: how many cells it may have.
        longest_record: in bytes of UTF-8, without its last line end; more lines than fit are not tried.
        longest_cell: in bytes of UTF-8, without its quotes.
        nobodies: the lines that are no records of users.
    """

    grammar: Grammar
    widths: Widths
    longest_record: int
    longest_cell: int
    nobodies: Nobodies


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


class Odd(NamedTuple):
    """A good record found by itself, which has some cells as written.

    Its text is the same record with all its quotes in order and just the cells that have names.
    """

    first: int
    last: int
    text: bytes
    cells: int


class Passed(NamedTuple):
    """A line that is nobody, by its index in the block."""

    line: int
    kind: Nobody


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
        several: those plain records that have several lines.
        odd: the other good records.
        problems: the rejected records, in order.
        blank: the number of blank records, empty lines and nobodies included.
        blank_lines: the number of their lines.
        passed: the lines that are nobody, in order.
        marks: lines before whose records a byte order mark was taken off.
        is_ragged: whether a plain record has other cells than those with names.
        complete: the numbers of the last sixteen's records that are not short, see `spreadsheet_rows`.
        empty_tail: how many of the decided lines, at their end, are empty; they are records only if another follows.
    """

    data: bytes
    lines: Lines
    stop: int
    begins: Flags
    good: Flags
    plain: Flags
    several: Spans
    odd: list[Odd]
    problems: list[Problem]
    blank: int
    blank_lines: int
    passed: list[Passed]
    marks: list[int]
    is_ragged: bool
    complete: Ints
    empty_tail: int

    @property
    def consumed(self) -> int:
        """The bytes of the decided lines."""
        return int(self.lines.nexts[self.stop - 1]) if self.stop else 0

    def controls(self) -> Ints:
        """The offsets of control characters in the decided lines."""
        return controls(self.data, self.lines.ends[: self.stop], self.lines.nexts[: self.stop])

    def widths(self) -> Ints:
        """For each good record, how many cells it has as written."""
        widths = self.lines.widths.copy()
        widths[self.several.firsts] = self.several.widths
        for odd in self.odd:
            widths[odd.first] = odd.cells
        return widths[self.good]

    def text(self, first: int, last: int) -> bytes:
        """The text of the lines `first` to `last`, without the last one's line end."""
        return self.data[self.lines.starts[first] : self.lines.ends[last]]

    def last_lines(self) -> Ints:
        """For each good record, the index of its last line."""
        last = np.arange(self.lines.starts.size)
        last[self.several.firsts] = self.several.lasts
        for odd in self.odd:
            last[odd.first] = odd.last
        return last[self.good]

    @property
    def spanned(self) -> int:
        """The number of lines that the decided records have, counted record by record."""
        good = int(self.good.sum() + (self.several.lasts - self.several.firsts).sum())
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

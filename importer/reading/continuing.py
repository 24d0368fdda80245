"""Where a record ends whose first line leaves a quote open."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from importer.reading.grammar import QUOTE, Grammar, LineKind
from importer.reading.lines import Lines
from importer.reading.widths import Widths

WAITS: Final = -1
NOT_A_RECORD: Final = -2


class More(NamedTuple):
    """The end of a record that begins on a line with an open quote.

    Attributes:
        last: its last line; NOT_A_RECORD if there is no such record, WAITS if that depends on text yet to come.
        width: how many cells it has.
        are_whole: whether all its lines but the first may as well be records by themselves.
    """

    last: int
    width: int = 0
    are_whole: bool = False


ONE_LINE: Final = More(0)


@dataclass(slots=True)
class Continuation:
    """The search for the end of a record whose first line leaves a quote open.

    Lines read from inside quotes are remembered, so that a block costs linear time even if every line leaves a quote
    open: whatever line the quote was opened on, the lines after it read the same.
    """

    data: bytes
    lines: Lines
    grammar: Grammar
    widths: Widths
    longest_record: int
    begin: int = 0
    """The first remembered line."""
    separators: list[int] = field(default_factory=lambda: [0])
    """Separators outside quotes before each of the remembered lines, and before the first line not remembered."""
    fragments: list[int] = field(default_factory=lambda: [0])
    """Lines that can be no records by themselves, before each of the remembered lines likewise."""

    def of(self, first: int, cells: int, *, is_last: bool) -> More:
        """The end of the record that begins on the line `first`, which has some cells, the open one included."""
        line = first + 1
        if not self.begin <= line < self.begin + len(self.separators):
            self.begin, self.separators, self.fragments = line, [0], [0]
        at = line - self.begin
        width, fragments = cells - self.separators[at], -self.fragments[at]
        line = self.begin + len(self.separators) - 1
        starts, ends = self.lines.starts, self.lines.ends
        limit = int(starts[first]) + self.longest_record
        while line < starts.size:
            text = self.data[starts[line] : ends[line]]
            if ends[line] > limit:
                return More(NOT_A_RECORD)
            shape, separators = self._shape(text)
            if shape is LineKind.BROKEN:
                return More(NOT_A_RECORD)
            cells_alone = self.grammar.separators(text, is_inside=True) + 1
            is_fragment = not text or not self.widths.is_whole(cells_alone)
            if shape is LineKind.WHOLE:
                are_whole = fragments + self.fragments[-1] + is_fragment == 0
                return More(line, width + self.separators[-1] + separators, are_whole)
            self.separators.append(self.separators[-1] + separators)
            self.fragments.append(self.fragments[-1] + is_fragment)
            line += 1
        known = len(self.data) - self.data.endswith(b"\r")
        return More(NOT_A_RECORD if is_last or known > limit else WAITS)

    def _shape(self, text: bytes) -> tuple[LineKind, int]:
        return self.grammar.shape(QUOTE + text) if QUOTE in text else (LineKind.OPEN, 0)

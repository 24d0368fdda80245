"""Records of several lines, found straight through a block where it has many of them.

A perfect line nearly always is a record, so the lines between two of them are read from outside quotes. Where the
quotes of these lines are in order, they tell which of them belong together; behind the first disorder nothing is
claimed. A perfect line that lies within quotes shows when the line is looked at that opened them.
"""

from typing import Final, NamedTuple

import numpy as np

from importer.reading.lines import Lines, fitting, quoting
from importer.reading.utf8 import Flags, Ints
from importer.reading.widths import Widths

MANY: Final = 256
"""With fewer lines than this that leave a quote open, looking at each of them is faster."""


class Spans(NamedTuple):
    """Records of several lines: for each of them its first line, its last line and how many cells it has."""

    firsts: Ints
    lasts: Ints
    widths: Ints

    def before(self, line: int) -> "Spans":
        """Those that begin before a line."""
        these = self.firsts < line
        return Spans(*(numbers[these] for numbers in self))


NO_SPANS: Final = Spans(*(np.empty(0, np.int64) for _ in range(3)))


def spanning_records(lines: Lines, *, allowed: Widths, longest_record: int, longest_cell: int) -> Spans:
    """The good records that have several lines; not necessarily all of them.

    Args:
        lines: the lines of a block.
        allowed: the widths that records may have.
        longest_record: bytes that a record may have; beyond them its quotes are in disorder.
        longest_cell: bytes that a cell may have; records with more are left to a closer look.
    """
    is_odd = (lines.quotes & 1).astype(np.bool_)
    if np.count_nonzero(is_odd) < MANY or lines.delimiters.lone_cr.size:
        return NO_SPANS
    firsts, lasts = _stretches(is_odd, lines.perfect)
    line_ends = lines.delimiters.line_ends[lasts]
    widths, _, in_order = quoting(lines.delimiters, line_ends)
    size = lines.ends[lasts] - lines.starts[firsts]
    in_order &= size <= longest_record
    unsound = np.concatenate((np.zeros(1, np.int64), np.cumsum(~lines.sound, dtype=np.int64)))
    good = in_order & (lasts > firsts) & (size <= longest_cell)
    good &= fitting(lines.delimiters, line_ends, lines.ends[lasts], widths, allowed)
    good &= np.minimum.reduceat(_most_cells(lines), firsts) < allowed.names
    good &= ~lines.marked[firsts]
    good &= (unsound[lasts + 1] == unsound[firsts]) & ~_behind_disorder(in_order, lines.perfect[firsts])
    return Spans(firsts[good], lasts[good], widths[good])


def _most_cells(lines: Lines) -> Ints:
    """For each line more cells than it can have by itself, or just as many: those within quotes are counted, too."""
    found: Ints = np.diff(lines.delimiters.line_ends, prepend=-1) - lines.quotes
    return found


def _stretches(is_odd: Flags, perfect: Flags) -> tuple[Ints, Ints]:
    """The first and last lines of the stretches that an even number of quotes, or a perfect line, ends."""
    quotes = np.cumsum(is_odd, dtype=np.int64)
    quotes -= _at_last(quotes, perfect)
    begins = np.ones(is_odd.size, np.bool_)
    begins[1:] = (quotes[:-1] & 1) == 0
    begins |= perfect
    firsts = np.flatnonzero(begins)
    return firsts, np.append(firsts[1:], is_odd.size) - 1


def _behind_disorder(in_order: Flags, perfect: Flags) -> Flags:
    """Flags of the stretches that have another one, not in order, between them and the last perfect line."""
    disorder = np.cumsum(~in_order, dtype=np.int64)
    return disorder > _at_last(disorder, perfect)


def _at_last(values: Ints, flags: Flags) -> Ints:
    """For each element the value where the last flag is, up to and with itself; 0 before the first flag."""
    places = np.maximum.accumulate(np.where(flags, np.arange(1, flags.size + 1), 0))
    return np.concatenate((np.zeros(1, values.dtype), values))[places]

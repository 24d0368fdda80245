"""Records of several lines, found straight through a block where it has many of them.

A perfect line always is a record, so the lines between two of them are read from outside quotes. Where the quotes of
these lines are in order, they tell which of them belong together; behind the first disorder nothing is claimed.
"""

from typing import Final

import numpy as np

from importer.reading.lines import Lines, quoting
from importer.reading.utf8 import Flags, Ints

MANY: Final = 256
"""With fewer lines than this that leave a quote open, looking at each of them is faster."""


def spanning_records(lines: Lines, *, width: int, longest_record: int, longest_cell: int) -> tuple[Ints, Ints]:
    """The first and the last lines of good records that have several; not necessarily all of them.

    Args:
        lines: the lines of a block.
        width: the number of cells that a record must have.
        longest_record: bytes that a record may have; beyond them its quotes are in disorder.
        longest_cell: bytes that a cell may have; records with more are left to a closer look.
    """
    is_odd = (lines.quotes & 1).astype(np.bool_)
    if np.count_nonzero(is_odd) < MANY or lines.delimiters.lone_cr.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    firsts, lasts = _stretches(is_odd, lines.perfect)
    widths, _, in_order = quoting(lines.delimiters, lines.delimiters.line_ends[lasts])
    size = lines.ends[lasts] - lines.starts[firsts]
    in_order &= size <= longest_record
    unsound = np.concatenate((np.zeros(1, np.int64), np.cumsum(~lines.sound, dtype=np.int64)))
    good = in_order & (widths == width) & (lasts > firsts) & (size <= longest_cell)
    good &= (unsound[lasts + 1] == unsound[firsts]) & ~_behind_disorder(in_order, lines.perfect[firsts])
    return firsts[good], lasts[good]


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

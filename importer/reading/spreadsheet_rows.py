"""Rows that a spreadsheet left short, because the last columns are empty in them and their neighbours.

Excel writes rows in sixteens, counted from the header, and leaves away the separators behind the last cell that is
used in any row of the sixteen. A row alone that is short may have lost a separator, which would shift its cells.
"""

from typing import Final

import numpy as np

from importer.reading.utf8 import Flags, Ints

ROWS: Final = 16
_FEWEST: Final = 2


def sixteen(rows: Ints) -> Ints:
    """The number of the sixteen to which each row belongs, the header being row 1."""
    found: Ints = (rows - 1) // ROWS
    return found


def left_short(rows: Ints, widths: Ints, others: Ints) -> Flags:
    """Which short rows are whole: those of one width that are their sixteen, but for at most one row.

    Args:
        rows: the numbers of the short rows, sorted.
        widths: how many cells they have.
        others: the numbers of the rows that have all their cells.
    """
    whole = np.zeros(rows.size, np.bool_)
    if rows.size < _FEWEST:
        return whole
    sixteens, counts_of_others = sixteen(rows), sixteen(others)
    edges = np.flatnonzero(np.diff(sixteens)) + 1
    for begin, end in zip([0, *edges.tolist()], [*edges.tolist(), rows.size], strict=True):
        if end - begin < _FEWEST:
            continue
        number = sixteens[begin]
        first, last = np.searchsorted(counts_of_others, [number, number + 1])
        found, counts = np.unique(widths[begin:end], return_counts=True)
        most = int(counts.argmax())
        if number > 0 and counts[most] >= max(_FEWEST, end - begin + int(last - first) - 1):
            whole[begin:end] = widths[begin:end] == found[most]
    return whole

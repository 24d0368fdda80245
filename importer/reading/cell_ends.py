"""The first and the last bytes of a block's cells, by which much can be told without looking into each of them."""

from typing import Final, NamedTuple

import numpy as np

from importer.reading.lines import Delimiters
from importer.reading.utf8 import Bytes, Ints

_LF: Final = 0x0A


class CellEnds(NamedTuple):
    """The bytes beside the delimiters of a block's decided records.

    Attributes:
        at: the offsets of line ends, separators and quotes.
        firsts: the byte behind each of them; behind the last one a line feed.
        lasts: the byte before each of them; before one at the beginning a line feed.
    """

    at: Ints
    firsts: Bytes
    lasts: Bytes


def cell_ends(delimiters: Delimiters, consumed: int) -> CellEnds:
    """The bytes beside the delimiters of a block, of which so many bytes are decided."""
    at = delimiters.at[: int(np.searchsorted(delimiters.at, consumed))]
    if not at.size:
        nothing = np.empty(0, np.uint8)
        return CellEnds(at, nothing, nothing)
    firsts = delimiters.block[1:].take(at, mode="clip") if delimiters.block.size > 1 else delimiters.block.take(at)
    lasts = delimiters.block.take(at - 1, mode="clip")
    firsts[-1] = _LF
    if at[0] == 0:
        lasts[0] = _LF
    return CellEnds(at, firsts, lasts)

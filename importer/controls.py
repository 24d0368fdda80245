"""Where a text has control characters that no cell may have: category Cc but tab and line breaks."""

import re
from typing import Final

import numpy as np

from importer.utf8 import Bytes, Ints, places

_CACHED_BYTES: Final = 1 << 17
_TAB: Final = 0x09
_LF: Final = 0x0A
_CR: Final = 0x0D
_C1: Final = re.compile(rb"\xc2[\x80-\x9f]")


def controls(data: bytes, end: int, *, line_ends: int) -> Ints:
    """The offsets of control characters in UTF-8 text, in no order.

    Args:
        data: the text.
        end: the offset up to which it is looked at.
        line_ends: how many of its bytes are LF or CR, to tell at once that no other character is that low.
    """
    block = np.frombuffer(data, np.uint8, count=end)
    pieces = [(begin, block[begin : begin + _CACHED_BYTES]) for begin in range(0, block.size, _CACHED_BYTES)]
    low = sum(int(np.count_nonzero(piece < 0x20)) for _, piece in pieces)
    if low == line_ends:
        pieces.clear()
    found = [_low(piece) + begin for begin, piece in pieces]
    found.append(places(data, b"\x7f", end))
    if data.find(b"\xc2", 0, end) >= 0:
        found.append(np.fromiter((match.start() for match in _C1.finditer(data, 0, end)), np.int64))
    return np.concatenate([np.empty(0, np.int64), *found])


def _low(piece: Bytes) -> Ints:
    is_low = piece < 0x20
    for allowed in (_LF, _CR, _TAB):
        is_low ^= piece == allowed
    return np.flatnonzero(is_low)

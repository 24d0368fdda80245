"""Where a text has control characters that no cell may have: category Cc but tab and line breaks."""

import re
from typing import Final

import numpy as np

from importer.utf8 import Bytes, Ints

_CACHED_BYTES: Final = 1 << 17
_WINDOW_BYTES: Final = 1 << 12
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
    found = [places(data, b"\x7f", end), *(_low(piece) + begin for begin, piece in pieces)]
    if data.find(b"\xc2", 0, end) >= 0:
        found.append(np.fromiter((match.start() for match in _C1.finditer(data, 0, end)), np.int64))
    return np.concatenate(found)


def places(data: bytes, byte: bytes, end: int) -> Ints:
    """The offsets of a byte before `end`; next to nothing to find out where there are few."""
    found, begin = [np.empty(0, np.int64)], data.find(byte, 0, end)
    while begin >= 0:
        window = np.frombuffer(data, np.uint8, count=min(_WINDOW_BYTES, end - begin), offset=begin)
        found.append(np.flatnonzero(window == byte[0]) + begin)
        begin = data.find(byte, begin + window.size, end)
    return np.concatenate(found)


def _low(piece: Bytes) -> Ints:
    is_low = piece < 0x20
    for allowed in (_LF, _CR, _TAB):
        is_low ^= piece == allowed
    return np.flatnonzero(is_low)

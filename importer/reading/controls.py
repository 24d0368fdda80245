"""Where a text has control characters that no cell may have: category Cc but tab and line breaks."""

from typing import Final

import numpy as np

from importer.reading.utf8 import Bytes, Ints

_PIECE_BYTES: Final = 1 << 17
_WINDOW_BYTES: Final = 1 << 12
_TAB: Final = 0x09
_LF: Final = 0x0A
_CR: Final = 0x0D
_C1_LEAD: Final = b"\xc2"


def controls(data: bytes, ends: Ints, nexts: Ints) -> Ints:
    """The offsets of control characters in lines of UTF-8 text, in no order.

    Args:
        data: the text, which begins with the first line.
        ends: for each line the offset at which its line end begins.
        nexts: the offset behind its line end.
    """
    end = int(nexts[-1]) if nexts.size else 0
    block = np.frombuffer(data, np.uint8, count=end)
    leads = places(data, _C1_LEAD, end)
    second = block[leads + 1]  # the text ends with a line end
    c1 = leads[(second >= 0x80) & (second <= 0x9F)]
    return np.concatenate((places(data, b"\x7f", end), c1, *_low(block, ends, nexts)))


def _low(block: Bytes, ends: Ints, nexts: Ints) -> list[Ints]:
    """The offsets of bytes below the space; only pieces with more low bytes than line ends are searched."""
    begins = np.arange(0, block.size, _PIECE_BYTES)
    low = [np.count_nonzero(block[begin : begin + _PIECE_BYTES] < 0x20) for begin in begins.tolist()]
    line_ends = np.diff(_line_end_bytes(np.append(begins, block.size), ends, nexts))
    return [_low_of(block[begin : begin + _PIECE_BYTES]) + begin for begin in begins[low != line_ends].tolist()]


def _line_end_bytes(places: Ints, ends: Ints, nexts: Ints) -> Ints:
    """How many bytes before each place are line ends; it may lie within a CRLF."""
    before = np.searchsorted(nexts, places, side="right")
    counts = np.concatenate((np.zeros(1, np.int64), np.cumsum(nexts - ends)))[before]
    inner = before < nexts.size
    counts[inner] += np.maximum(places[inner] - ends[before[inner]], 0)
    return counts


def _low_of(piece: Bytes) -> Ints:
    at = np.flatnonzero(piece < 0x20)
    byte = piece[at]
    found: Ints = at[(byte != _LF) & (byte != _CR) & (byte != _TAB)]
    return found


def places(data: bytes, byte: bytes, end: int) -> Ints:
    """The offsets of a byte before `end`, which take next to no time to find where there are few."""
    found, begin = [np.empty(0, np.int64)], data.find(byte, 0, end)
    while begin >= 0:
        window = np.frombuffer(data, np.uint8, count=min(_WINDOW_BYTES, end - begin), offset=begin)
        found.append(np.flatnonzero(window == byte[0]) + begin)
        begin = data.find(byte, begin + window.size, end)
    return np.concatenate(found)

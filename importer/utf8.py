"""Where bytes are not UTF-8, for a whole block at once. Source: RFC 3629, section 4."""

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def invalid(block: Bytes) -> Ints:
    """Offsets of bytes at which the block is not valid UTF-8: one at least in each run of non-ASCII bytes that is not.

    Only non-ASCII bytes are looked at, each beside the three before it.
    """
    at = np.flatnonzero(block > 0x7F)
    found: Ints = at[_is_wrong(block, at, _ends_run(at))]
    return found


def _is_wrong(block: Bytes, at: Ints, ends_run: Flags) -> Flags:
    byte: Bytes = block[at]
    one, two, three = (_before(at, byte, distance) for distance in (1, 2, 3))
    is_expected = (one >= 0xC2) | (two >= 0xE0) | (three >= 0xF0)
    wrong: Flags = ((byte & 0xC0) == 0x80) != is_expected
    wrong |= (byte == 0xC0) | (byte == 0xC1) | (byte > 0xF4)
    wrong |= ((one == 0xE0) & (byte < 0xA0)) | ((one == 0xED) & (byte > 0x9F))
    wrong |= ((one == 0xF0) & (byte < 0x90)) | ((one == 0xF4) & (byte > 0x8F))
    wrong |= ends_run & ((byte >= 0xC2) | (one >= 0xE0) | (two >= 0xF0))
    return wrong


def count_runs(block: Bytes) -> tuple[int, int]:
    """How many runs of non-ASCII bytes there are, and how many of them are valid UTF-8."""
    at = np.flatnonzero(block > 0x7F)
    ends_run = _ends_run(at)
    ends = at[ends_run]
    return ends.size, ends.size - np.unique(np.searchsorted(ends, at[_is_wrong(block, at, ends_run)])).size


def _before(at: Ints, byte: Bytes, distance: int) -> Bytes:
    """The byte that many places before each, 0 where that is ASCII or outside."""
    before = np.zeros_like(byte)
    is_near = at[distance:] - at[:-distance] == distance
    before[distance:][is_near] = byte[:-distance][is_near]
    return before


def _ends_run(at: Ints) -> Flags:
    ends = np.ones(at.size, np.bool_)
    np.greater(at[1:] - at[:-1], 1, out=ends[:-1])
    return ends

"""Where bytes are not UTF-8, for a whole block at once. Source: RFC 3629, section 4."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


_PART_BYTES: Final = 1 << 16
_NEXT_BYTES: Final = 1 << 10


def is_valid(text: bytes) -> bool:
    """Whether the bytes are valid UTF-8; polars sees that several times as fast as a decoder of text."""
    try:
        pl.Series([text], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


def invalid(block: Bytes) -> Ints:
    """Offsets of bytes where the block is not valid UTF-8: at least one in each run of non-ASCII bytes that is not."""
    found = [_invalid(part) + begin for begin, part in _parts(block) if not is_valid(part.tobytes())]
    return np.concatenate([np.empty(0, np.int64), *found])


def count_runs(block: Bytes) -> tuple[int, int]:
    """How many runs of non-ASCII bytes there are, and how many of them are valid UTF-8."""
    runs = valid_runs = 0
    for _, part in _parts(block):
        is_ascii = part < 0x80
        number = int(np.count_nonzero(is_ascii[1:] & ~is_ascii[:-1])) + int(not is_ascii[-1])
        runs += number
        valid_runs += number if is_valid(part.tobytes()) else number - _invalid_runs(part)
    return runs, valid_runs


def _parts(block: Bytes) -> Iterator[tuple[int, Bytes]]:
    """The block in parts that are looked at by themselves, with their offsets: no run of non-ASCII bytes is cut."""
    begin = 0
    while begin < block.size:
        end = _next_ascii(block, begin + _PART_BYTES)
        yield begin, block[begin:end]
        begin = end


def _next_ascii(block: Bytes, at: int) -> int:
    while at < block.size:
        is_ascii = block[at : at + _NEXT_BYTES] < 0x80
        if is_ascii.any():
            return at + int(is_ascii.argmax())
        at += _NEXT_BYTES
    return block.size


def _invalid(block: Bytes) -> Ints:
    """As `invalid`: only non-ASCII bytes are looked at, each beside the three before it."""
    at = np.flatnonzero(block > 0x7F)
    if not at.size:
        return at
    byte = block[at]
    one, two, three = (_before(at, byte, distance) for distance in (1, 2, 3))
    is_expected = (one >= 0xC2) | (two >= 0xE0) | (three >= 0xF0)
    wrong = ((byte & 0xC0) == 0x80) != is_expected
    wrong |= (byte == 0xC0) | (byte == 0xC1) | (byte > 0xF4)
    wrong |= ((one == 0xE0) & (byte < 0xA0)) | ((one == 0xED) & (byte > 0x9F))
    wrong |= ((one == 0xF0) & (byte < 0x90)) | ((one == 0xF4) & (byte > 0x8F))
    wrong |= _ends_run(at) & ((byte >= 0xC2) | (one >= 0xE0) | (two >= 0xF0))
    found: Ints = at[wrong]
    return found


def _invalid_runs(block: Bytes) -> int:
    """How many runs of non-ASCII bytes are not valid UTF-8; there is one at least."""
    at = np.flatnonzero(block > 0x7F)
    ends = at[_ends_run(at)]
    return int(np.unique(np.searchsorted(ends, _invalid(block))).size)


def _before(at: Ints, byte: Bytes, distance: int) -> Bytes:
    """The byte that many places before each, 0 where that is ASCII or outside."""
    before = np.zeros_like(byte)
    is_near = at[distance:] - at[:-distance] == distance
    before[distance:][is_near] = byte[:-distance][is_near]
    return before


def _ends_run(at: Ints) -> Flags:
    return np.diff(at, append=at[-1] + 2) > 1

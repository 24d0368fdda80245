"""Where bytes are not UTF-8, for a whole block at once. Source: RFC 3629, section 4."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Text:
    """A part of a text.

    Attributes:
        data: its bytes.
        invalid: the offsets in it at which it is not valid UTF-8, see `Runs`; None where they are not known.
    """

    data: bytes
    invalid: Ints | None

    def part(self, begin: int, end: int) -> Self:
        """What lies between two offsets."""
        return type(self)(self.data[begin:end], part_of(self.invalid, begin, end))

    def followed_by(self, other: Self) -> Self:
        """Both as one."""
        if self.invalid is None or other.invalid is None:
            return type(self)(self.data + other.data, None)
        return type(self)(self.data + other.data, np.concatenate((self.invalid, other.invalid + len(self.data))))


def part_of(offsets: Ints | None, begin: int, end: int) -> Ints | None:
    """Those of the sorted offsets that lie between two others, from `begin` on."""
    if offsets is None:
        return None
    first, last = np.searchsorted(offsets, (begin, end))
    found: Ints = offsets[first:last] - begin
    return found


class Runs(NamedTuple):
    """The runs of non-ASCII bytes of a block.

    Attributes:
        total: how many there are.
        valid: how many of them are valid UTF-8.
        invalid: offsets of bytes at which the others are not, sorted: one at least for each.
    """

    total: int
    valid: int
    invalid: Ints


def runs(block: Bytes) -> Runs:
    """Find them; only non-ASCII bytes are looked at, each beside the three before it."""
    at = np.flatnonzero(block.view(np.int8) < 0)
    ends_run = np.ones(at.size, np.bool_)
    np.greater(at[1:] - at[:-1], 1, out=ends_run[:-1])
    invalid = at[_is_wrong(block, at, ends_run)]
    count = int(np.count_nonzero(ends_run))
    if invalid.size:
        wrong = np.unique(np.searchsorted(at[ends_run], invalid)).size
        return Runs(count, count - wrong, invalid)
    return Runs(count, count, invalid)


def _is_wrong(block: Bytes, at: Ints, ends_run: Flags) -> Flags:
    byte: Bytes = block[at]
    one = _before(block, at, 1)
    two = np.where(one > 0x7F, _before(block, at, 2), 0)
    three = np.where(two > 0x7F, _before(block, at, 3), 0)
    is_expected = (one >= 0xC2) | (two >= 0xE0) | (three >= 0xF0)
    wrong: Flags = ((byte & 0xC0) == 0x80) != is_expected
    wrong |= (byte == 0xC0) | (byte == 0xC1) | (byte > 0xF4)
    wrong |= ((one == 0xE0) & (byte < 0xA0)) | ((one == 0xED) & (byte > 0x9F))
    wrong |= ((one == 0xF0) & (byte < 0x90)) | ((one == 0xF4) & (byte > 0x8F))
    wrong |= ends_run & ((byte >= 0xC2) | (one >= 0xE0) | (two >= 0xF0))
    return wrong


def _before(block: Bytes, at: Ints, distance: int) -> Bytes:
    """The byte that many places before each, 0 where that is outside."""
    before: Bytes = block.take(at - distance, mode="wrap")
    before[: np.searchsorted(at, distance)] = 0
    return before

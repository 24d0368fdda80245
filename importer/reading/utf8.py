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
    """A part of a text, with the offsets of what is not UTF-8 in it.

    Attributes:
        data: its bytes.
        invalid: the offsets in it at which it is not valid UTF-8, see `Runs`; None where they are not known.
    """

    data: bytes
    invalid: Ints | None

    def part(self, begin: int, end: int) -> Self:
        """The text between two offsets."""
        return type(self)(self.data[begin:end], part_of(self.invalid, begin, end))

    def followed_by(self, other: Self) -> Self:
        """This text and the next one, joined."""
        if self.invalid is None or other.invalid is None:
            return type(self)(self.data + other.data, None)
        return type(self)(self.data + other.data, np.concatenate((self.invalid, other.invalid + len(self.data))))


def part_of(offsets: Ints | None, begin: int, end: int) -> Ints | None:
    """The sorted offsets that lie from `begin` to `end`, relative to `begin`."""
    if offsets is None:
        return None
    first, last = np.searchsorted(offsets, (begin, end))
    found: Ints = offsets[first:last] - begin
    return found


class Runs(NamedTuple):
    """The runs of non-ASCII bytes of a block.

    Attributes:
        begins: the offset of each, sorted.
        invalid: the offsets of bytes at which some are not valid UTF-8, sorted: one at least for each of these.
    """

    begins: Ints
    invalid: Ints


def runs(block: Bytes) -> Runs:
    """Find the runs of a block; only non-ASCII bytes are looked at, each beside the three before it."""
    at = np.flatnonzero(block.view(np.int8) < 0)
    is_between = np.ones(at.size + 1, np.bool_)  # whether a run ends before each of them, and behind the last one
    np.greater(at[1:] - at[:-1], 1, out=is_between[1:-1])
    return Runs(begins=at[is_between[:-1]], invalid=at[_is_wrong(block, at, is_between[1:])])


@dataclass(slots=True)
class RunCounter:
    """Counts the runs of a text that comes in parts, none of which ends within a character.

    Attributes:
        total: how many runs there are so far.
        wrong: how many of them are not valid UTF-8.
    """

    total: int = 0
    wrong: int = 0
    _last_wrong: int = 0
    _goes_on: bool = False

    def add(self, part: Bytes) -> Ints:
        """Count those of the next part, which is not empty; returns its `Runs.invalid`."""
        begins, invalid = runs(part)
        if self._goes_on:
            begins = begins[begins > 0]
        # A run that goes on keeps the number that it has from the part before.
        numbers = np.unique(self.total + np.searchsorted(begins, invalid, side="right"))
        if numbers.size:
            self.wrong += int(np.count_nonzero(numbers > self._last_wrong))
            self._last_wrong = int(numbers[-1])
        self.total += begins.size
        self._goes_on = bool(part[-1] > 0x7F)
        return invalid


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

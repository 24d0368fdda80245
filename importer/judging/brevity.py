"""Bounds for a failed-users CSV, whatever its file does to make it long.

No upload may take more room on disk than 20 times its content. Rows as short as `a` fail by sentences as long as a
line, so the reasons of a report have bytes of their own: the first rows have them in full, then by their codes, and
where even those bytes are used up the rows stand alone. No real roster comes that far, as its rows are longer.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from importer.model import MOST_TIMES
from importer.reading.utf8 import Ints

HARMLESS_BYTES: Final = 1 << 20
"""The size in bytes that a smaller file is taken to have: whatever such a file makes of itself is harmless."""
_FULL_TIMES: Final = 4
_BRIEF_TIMES: Final = 1
_MOST_OF_COMPRESSED: Final = 16 << 20
_UNREADABLE_TIMES: Final = 4
_MANY_UNREADABLE: Final = 150_000
_MARKS: Final = 20
"""The bytes of a row's separators, number and line end."""


def room_on_disk(size: int) -> int:
    """The bytes on disk that an upload may take, by the bytes of its content."""
    return MOST_TIMES * max(HARMLESS_BYTES, size)


def most_of_compressed(size: int) -> int:
    """The bytes that the report of a compressed file may have, by the file's own size."""
    return max(_MOST_OF_COMPRESSED, MOST_TIMES * size)


def is_own_doing(size: int, room_before: int, room_after: int) -> bool:
    """Whether a file whose import met a full disk has filled it by itself, rather than found it full.

    Args:
        size: bytes of its content, or the most that this can be.
        room_before: bytes that were free when it was begun.
        room_after: bytes that are free now that all it has written is gone.
    """
    return min(room_before, room_after) >= room_on_disk(size)


def may_be_taken(in_work: int, size: int, most: int | None) -> bool:
    """Whether files may be taken beside what a client has in work, by the bytes of their content.

    Whoever has nothing in work may have anything taken: what is too large by itself is refused when it shows.
    """
    return most is None or in_work == 0 or in_work + room_on_disk(size) <= most


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonBytes:
    """The bytes that are left for reasons: for those in full, and for those by code."""

    full: int
    brief: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The numbers of rows with their reasons in full, and of those after them with codes; the rest have none.

    Attributes:
        left: the bytes that are left for the rows that follow.
    """

    full: int
    brief: int
    left: ReasonBytes


def bytes_for_reasons(size: int) -> ReasonBytes:
    """The bytes that the reasons of a report may take, by the bytes of its file's content."""
    counted = max(HARMLESS_BYTES, size)
    return ReasonBytes(full=_FULL_TIMES * counted, brief=_BRIEF_TIMES * counted)


def shares(full: Ints, brief: Ints, left: ReasonBytes) -> Shares:
    """Share what is left among the next rows; once a report is brief it stays so.

    Args:
        full: bytes that the reasons of each row take in full, each more than 0.
        brief: bytes that the reasons of each row take by code, each more than 0.
        left: the bytes that are left for reasons.
    """
    in_full, full_left = _fitting(full, left.full)
    if in_full == full.size:
        return Shares(full=in_full, brief=0, left=replace(left, full=full_left))
    by_code, brief_left = _fitting(brief[in_full:], left.brief)
    is_over = in_full + by_code < full.size
    return Shares(full=in_full, brief=by_code, left=ReasonBytes(full=0, brief=0 if is_over else brief_left))


def _fitting(sizes: Ints, most: int) -> tuple[int, int]:
    """Count how many sizes fit one after the other; returns what is left as well."""
    taken = np.cumsum(sizes)
    fitting = int(np.searchsorted(taken, most, side="right"))
    return fitting, most - (int(taken[fitting - 1]) if fitting else 0)


def surplus(width: int, length: int) -> int:
    """The bytes by which a report outgrows three times the size of a row that could not be read.

    Such a row stands in a cell beside all columns, which are empty: the wider the header is, the more is made of it.
    """
    return max(width + _MARKS - 3 * length, 0)


def is_unreadable(unreadable: int, records: int, surplus_bytes: int, size: int) -> bool:
    """Whether a file is no table at all, rather than a table with rows that cannot be read.

    It is one finding about the file, not a million failed rows: their report would outgrow the file.

    Args:
        unreadable: how many rows cannot be read so far.
        records: how many there are so far.
        surplus_bytes: the `surplus` of all unreadable rows.
        size: bytes of the file's content.
    """
    are_many = unreadable > _MANY_UNREADABLE and 4 * unreadable > records
    return are_many or surplus_bytes > _UNREADABLE_TIMES * max(HARMLESS_BYTES, size)

"""How long a report may be: reasons share their room in order, and a heap of rows that cannot be read is no table."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from importer.judging.brevity import (
    HARMLESS_BYTES,
    ReasonBytes,
    bytes_for_reasons,
    is_unreadable,
    most_of_compressed,
    room_on_disk,
    shares,
    surplus,
)
from importer.model import MOST_TIMES

SIZES = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=20)
ROOMS = st.builds(lambda full, brief: ReasonBytes(full=full, brief=brief), st.integers(0, 300), st.integers(0, 300))


@given(st.lists(SIZES, max_size=5), ROOMS)
def test_reasons_never_take_more_than_their_room_and_are_never_long_again(
    parts: list[list[tuple[int, int]]], room: ReasonBytes
) -> None:
    left, levels, taken = room, [], [0, 0]
    for part in parts:
        sizes = np.array(part, np.int64).reshape(-1, 2)
        shared = shares(sizes[:, 0], sizes[:, 1], left)
        levels += [0] * shared.full + [1] * shared.brief + [2] * (len(part) - shared.full - shared.brief)
        taken[0] += int(sizes[: shared.full, 0].sum())
        taken[1] += int(sizes[shared.full : shared.full + shared.brief, 1].sum())
        left = shared.left
    assert levels == sorted(levels)
    assert taken[0] <= room.full
    assert taken[1] <= room.brief


def test_rows_have_their_reasons_in_full_while_there_is_room() -> None:
    shared = shares(np.array([5, 5, 5]), np.array([2, 2, 2]), ReasonBytes(full=10, brief=1))
    assert (shared.full, shared.brief) == (2, 0)
    assert shared.left == ReasonBytes(full=0, brief=0)


def test_room_grows_with_the_file_but_not_below_what_is_harmless() -> None:
    assert bytes_for_reasons(1) == bytes_for_reasons(HARMLESS_BYTES) != bytes_for_reasons(2 * HARMLESS_BYTES)
    assert room_on_disk(3 * HARMLESS_BYTES) == MOST_TIMES * 3 * HARMLESS_BYTES
    assert most_of_compressed(1) < most_of_compressed(10 * HARMLESS_BYTES) == MOST_TIMES * 10 * HARMLESS_BYTES


def test_a_table_with_unreadable_rows_is_one_whatever_their_number() -> None:
    assert not is_unreadable(1_000_000, 4_000_000, 0, 1 << 30)
    assert is_unreadable(1_000_000, 3_999_999, 0, 1 << 30)


def test_short_lines_below_a_wide_header_are_no_table() -> None:
    assert surplus(5, 1) > 0 == surplus(5, 60)
    assert is_unreadable(20_000, 100_000, 20_000 * surplus(256, 1), HARMLESS_BYTES)
    assert not is_unreadable(20_000, 100_000, 20_000 * surplus(256, 90), HARMLESS_BYTES)

"""What the transfers of one name say of a file, whichever of them began it anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.uploads.model import ServerVerdict, Transfer
from watcher.uploads.transfers import MOST_KEPT, Transfers, kept, verdict_on

OK, FAILED, UNCLEAR = ServerVerdict.OK, ServerVerdict.FAILED, ServerVerdict.UNCLEAR


def transfers(*told: tuple[ServerVerdict, int | None], is_live: bool = False) -> Transfers:
    return tuple(Transfer(path=b"/a.csv", verdict=verdict, size=size, is_live=is_live) for verdict, size in told)


def test_a_resumed_upload_is_as_long_as_its_transfers_together() -> None:
    resumed = transfers((FAILED, 5_000), (OK, 10_720))
    assert verdict_on((), resumed, 15_720) is OK
    assert verdict_on((), resumed, 10_720) is OK, "it was sent anew"
    assert verdict_on((), resumed, 15_000) is None
    assert verdict_on((), transfers((FAILED, 5_000), (FAILED, 3_000)), 8_000) is FAILED


def test_a_transfer_that_was_made_use_of_is_added_as_well() -> None:
    earlier, new = transfers((FAILED, 5_000), is_live=True), transfers((FAILED, 3_000), is_live=True)
    assert verdict_on(earlier, new, 8_000) is FAILED
    assert verdict_on((), new, 8_000) is UNCLEAR


def test_a_refusal_of_no_bytes_says_nothing_of_a_file_that_has_some() -> None:
    for is_live in (True, False):
        refused = transfers((OK, 152), (FAILED, 0), is_live=is_live)
        assert verdict_on((), refused, 152) is OK
        assert verdict_on(refused[:1], refused[1:], 152) is None, "nothing new"
        assert verdict_on((), refused, 0) is FAILED, "it was emptied"


def test_of_an_upload_in_ascii_mode_an_ok_counts_and_a_fail_is_unclear() -> None:
    assert verdict_on((), transfers((OK, 120), is_live=True), 100) is OK
    assert verdict_on((), transfers((FAILED, 120), is_live=True), 100) is UNCLEAR
    assert verdict_on((), transfers((FAILED, 120)), 100) is None


def test_where_another_file_may_be_logged_by_the_name_the_sizes_must_agree() -> None:
    assert verdict_on((), transfers((OK, 120), is_live=True), 100, must_agree=True) is None
    assert verdict_on((), transfers((OK, 100), is_live=True), 100, must_agree=True) is OK


def test_a_rename_alone_counts_only_while_we_watch() -> None:
    assert verdict_on((), transfers((OK, None), is_live=True), 100) is OK
    assert verdict_on((), transfers((OK, None)), 100) is None


@pytest.mark.parametrize("last", [OK, FAILED])
@given(sizes=st.lists(st.integers(1, 10**9), min_size=1, max_size=MOST_KEPT), began=st.integers(0, MOST_KEPT))
def test_whichever_transfer_began_the_file_its_size_agrees(last: ServerVerdict, sizes: list[int], began: int) -> None:
    told = transfers(*((FAILED, size) for size in sizes[:-1]), (last, sizes[-1]))
    assert verdict_on((), told, sum(sizes[min(began, len(sizes) - 1) :])) is last


def test_only_the_last_transfers_are_kept() -> None:
    assert kept(transfers(*((OK, size) for size in range(100))))[0].size == 100 - MOST_KEPT

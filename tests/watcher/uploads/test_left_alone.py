"""Since when something lies in a directory that is never imported, and which of many names are shown."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from watcher.uploads.left_alone import LeftAlone, varied
from watcher.uploads.model import Draft, Scan

DRAFT = Draft(name="a.csv.part", size=5, modified_ns=1)


def scanned(*drafts: Draft, odd: tuple[str, ...] = ()) -> Scan:
    return Scan(candidates=(), odd=odd, drafts=drafts)


def test_a_draft_lasts_while_it_does_not_change() -> None:
    left = LeftAlone()
    left.update(scanned(DRAFT), 10)
    left.update(scanned(DRAFT), 20)
    assert (left.lasting_drafts(9), left.lasting_drafts(10)) == ([], ["a.csv.part"])
    left.update(scanned(replace(DRAFT, size=6)), 30)
    assert left.lasting_drafts(29) == []
    left.update(scanned(), 40)
    assert left.lasting_drafts(100) == []


def test_what_is_odd_is_known_since_it_was_seen_first() -> None:
    left = LeftAlone()
    left.update(scanned(odd=("a.xlsx",)), 10)
    left.update(scanned(odd=("a.xlsx", "b.xlsx")), 20)
    assert left.odd == {"a.xlsx": 10, "b.xlsx": 20}


def test_of_many_names_one_of_each_kind_is_shown_first() -> None:
    names = [*(f"{number:02}.done" for number in range(20)), "users.xlsx", "README", "deep/er/users.csv"]
    shown = varied(names, 10)
    assert len(shown) == 10
    assert {"users.xlsx", "README", "deep/er/users.csv", "00.done"} <= {*shown}


@given(st.sets(st.text(min_size=1), max_size=30), st.integers(0, 40))
def test_as_many_names_are_shown_as_there_is_room_for(names: set[str], most: int) -> None:
    shown = varied(names, most)
    assert len(shown) == min(most, len(names))
    assert {*shown} <= names

"""What counts as an attempt, whoever and whatever has ended."""

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from importer.files.attempts import Attempts, as_found, begun, given_back, having_filled, read, written

ENDS = st.lists(st.sampled_from(["child", "service", "stop", "outage", "full disk"]), max_size=12)


def lived(ends: list[str]) -> Iterator[tuple[str, Attempts]]:
    """Attempts that end so, each followed by what is found of them then; a suspect is tried alone."""
    attempts, run = Attempts(), 0
    for end in ends:
        alone = as_found(attempts, f"run {run}").is_suspect
        attempts = begun(attempts, f"run {run}", alone=alone)
        if end in {"stop", "outage"}:
            attempts = given_back(attempts)
        elif end == "full disk":
            attempts = having_filled(attempts)
        run += end in {"stop", "service"}
        yield end, as_found(attempts, f"run {run}")


@given(ENDS)
def test_every_end_of_the_child_counts_and_of_the_service_every_one_but_the_first(ends: list[str]) -> None:
    for so_far, (_, found) in enumerate(lived(ends), start=1):
        past = ends[:so_far]
        assert found.filled == past.count("full disk")
        assert found.ended == past.count("child") + max(past.count("service") - 1, 0) + found.filled
        assert found.is_suspect == ("service" in past)
        assert found.begun_by is None


@given(st.lists(st.sampled_from(["stop", "outage"]), max_size=30))
def test_stops_and_outages_never_count(ends: list[str]) -> None:
    assert all(found == Attempts() for _, found in lived(ends))


@given(st.permutations(["child", "service", "service", "stop"]))
def test_what_was_written_is_read_again(ends: list[str]) -> None:
    for _, found in lived(ends):
        assert read(written(begun(found, "x", alone=True))) == begun(found, "x", alone=True)


def test_numbers_that_versions_before_have_written_are_understood() -> None:
    assert [read(text) for text in ("0", "2")] == [Attempts(), Attempts(ended=2)]


def test_an_attempt_of_another_node_is_not_that_of_a_child_of_ours() -> None:
    found = as_found(begun(Attempts(), "node a", alone=False), "node b")
    assert found == Attempts(is_suspect=True)
    ended = itertools.accumulate(["a", "b", "a"], lambda past, run: begun(past, run, alone=True), initial=found)
    assert [each.ended for each in ended] == [0, 0, 1, 2]

"""Which files of a group are merged as one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from importer.storing.runs import Mergeable, runs

FILES = st.lists(
    st.builds(
        Mergeable,
        kind=st.sampled_from([None, "x", "x", "x", "y"]),
        values=st.frozensets(st.tuples(st.just("uid"), st.sampled_from("abcdef")), max_size=2),
    ),
    max_size=12,
)


def cut(files: list[Mergeable]) -> list[list[Mergeable]]:
    rest = iter(files)
    return [[next(rest) for _ in range(length)] for length in runs(files)]


def fit(run: list[Mergeable]) -> bool:
    """Whether the files may be merged as one."""
    values = [value for file in run for value in file.values]
    return len(run) == 1 or (len({file.kind for file in run} - {None}) == 1 and len(values) == len({*values}))


@given(files=FILES)
def test_every_file_is_in_one_run_in_its_order(files: list[Mergeable]) -> None:
    assert [file for run in cut(files) for file in run] == files


@given(files=FILES)
def test_files_of_a_run_have_the_same_columns_and_share_no_value(files: list[Mergeable]) -> None:
    for run in cut(files):
        assert fit(run)
        assert len(run) == 1 or None not in {file.kind for file in run}


@given(files=FILES)
def test_a_run_ends_only_where_the_next_file_does_not_fit(files: list[Mergeable]) -> None:
    found = cut(files)
    for run, following in pairwise(found):
        assert None in {run[-1].kind, following[0].kind} or not fit([*run, following[0]])


def test_values_of_different_columns_are_different_values() -> None:
    files = [Mergeable(kind="x", values=frozenset({(column, "a")})) for column in ("uid", "email")]
    assert [*runs(files)] == [2]

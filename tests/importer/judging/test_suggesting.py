"""Suggestions for unknown values: the nearest known one, within a bound of work that no file can widen."""

from hypothesis import given
from hypothesis import strategies as st

from importer.formats.format_file import parse_format
from importer.judging.suggesting import LONGEST_VALUE, MOST_COMPARISONS, MOST_VALUES, Suggestions
from tests.importing import examined, messages

TEAMS = parse_format(
    """
    key = "uid"
    [columns.uid]
    [columns.team]
    kind = "lookup"
    lookup = "teams"
    [lookups.teams]
    noun = "team"
    entries = { 1 = "Student" }
    """
)


def test_the_nearest_known_value_is_suggested() -> None:
    suggestions = Suggestions(["Student", "Staff", "42"])
    assert suggestions.nearest(["Studnet", "staff", "Visitor"]) == {"Studnet": "Student", "staff": "Staff"}


def test_so_many_values_get_a_suggestion_and_no_more_however_they_come() -> None:
    suggestions = Suggestions(["Student"])
    first = [f"Student{number}" for number in range(MOST_VALUES - 1)]
    assert len(suggestions.nearest(first)) == MOST_VALUES - 1
    assert suggestions.nearest(["Studentx", "Studenty"]) == {"Studentx": "Student"}
    assert suggestions.nearest([first[0], "Studentz"]) == {first[0]: "Student"}, "what was found stays found"


def test_fewer_values_get_one_where_more_is_known() -> None:
    known = [f"type {number}" for number in range(MOST_COMPARISONS // 500)]
    assert len(Suggestions(known).nearest([f"typo {number}" for number in range(MOST_VALUES)])) == 500


def test_a_long_value_is_not_compared() -> None:
    near = "s" * LONGEST_VALUE
    assert Suggestions([near]).nearest([near + "x", near[1:] + "x"]) == {near[1:] + "x": near}


@given(st.lists(st.text(max_size=8)), st.lists(st.text(max_size=8)))
def test_what_is_suggested_is_known(known: list[str], values: list[str]) -> None:
    found = Suggestions(known).nearest(values)
    assert {*found} <= {*values}
    assert {*found.values()} <= {*known}


def test_a_file_of_unknown_values_costs_no_more_however_many_it_has() -> None:
    rows = 5 * MOST_VALUES
    with examined(
        "uid,team\n" + "".join(f"U{number},Student{number}\n" for number in range(rows)), TEAMS
    ) as examination:
        told = [reason for reasons in messages(examination).values() for reason in reasons]
    suggested = [number for number, reason in enumerate(told) if reason.endswith("did you mean 'Student'?")]
    assert suggested == [*range(MOST_VALUES)], "the first ones"
    assert told[-1] == f"team 'Student{rows - 1}' is not a known team"

"""Headers as people and programs write them: found, understood, or refused with the cure."""

from pathlib import Path

import pytest

from tests.importer.cases import WITH_DEFAULT, drop, drop_case, refusal_of, refusal_of_case


@pytest.mark.parametrize("number", [53, 54, 56])
def test_names_are_known_whatever_nobody_sees_in_them(tmp_path: Path, number: int) -> None:
    (dropped,) = drop_case(tmp_path, number)
    assert dropped.counts == (1, 1, 0, 0)
    assert dropped.remarks == []


@pytest.mark.parametrize(("number", "row", "title"), [(68, 4, "Student export"), (70, 2, "version:v1.0")])
def test_a_header_below_titles_is_found_with_a_remark(tmp_path: Path, number: int, row: int, title: str) -> None:
    (dropped,) = drop_case(tmp_path, number)
    assert [user["first_name"] for user in dropped.users.values()] == ["Ana"]
    assert dropped.codes == ["skipped_rows"]
    assert f"row {row}" in dropped.remarks[0][1]
    assert title in dropped.remarks[0][1]


def test_rows_below_a_header_that_was_found_are_numbered_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    rows = "unique_id,login_source,email\n1,OPSCOM,ana\n2,OPSCOM\n3,OPSCOM,b@example.org\n3,OPSCOM,c@example.org\n"
    (dropped,) = drop(tmp_path, f"\nUsers\nof the school\n\n{rows}".encode())
    assert dropped.counts == (4, 1, 3, 0)
    assert {*dropped.errors} == {5, 6, 8}
    assert "row 7" in dropped.errors[8]


def test_a_column_without_a_name_is_called_by_its_number(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 4)
    assert dropped.remarks == [
        ("unknown_column", "column 2 has no name; its values were ignored: give it a name that is known")
    ]


def test_user_id_is_to_be_renamed(tmp_path: Path) -> None:
    refusal = refusal_of_case(tmp_path, 80)
    assert refusal.code == "missing_column"
    assert "rename *User ID* to unique_id" in refusal.message


def test_with_a_default_login_source_it_is_to_be_renamed_as_well(tmp_path: Path) -> None:
    for content in (b"User ID\n1\n", b"User ID,Name\n1,Ana\n"):
        assert "rename *User ID* to unique_id" in refusal_of(tmp_path, content, WITH_DEFAULT).message


def test_people_above_a_header_are_not_skipped(tmp_path: Path) -> None:
    (dropped,) = drop(tmp_path, b"7,OPSCOM,Bo\nunique_id,login_source,first_name\n1,OPSCOM,Ana\n")
    assert dropped.status == "refused"
    assert dropped.users == {}

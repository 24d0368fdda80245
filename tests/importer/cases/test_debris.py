"""What spreadsheets and databases leave in cells: the key fails, what is certain is mended, and all of it is told."""

from pathlib import Path

import pytest

from tests.importer.cases import BUILT_IN, WITH_DEFAULT, Dropped, drop, drop_case


def _users(dropped: Dropped, *names: str) -> dict[str, tuple[str | None, ...]]:
    return {key: tuple(user[name] for name in names) for key, user in dropped.users.items()}


def test_the_sign_for_a_lost_letter_is_remarked(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 13)
    assert dropped.codes == ["replaced", "replaced"]


def test_a_rounded_key_is_no_user(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 25)
    assert dropped.users == {}
    assert all("is a number that a spreadsheet has shortened" in error for error in dropped.errors.values())


def test_an_error_of_a_spreadsheet_fails_its_row_in_any_column(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 27)
    assert dropped.counts == (3, 0, 3, 0)
    assert dropped.errors[2].count("is the error of a spreadsheet's formula") == 3
    assert "a column that is too narrow" in dropped.errors[4]


def test_text_in_the_form_of_a_formula_is_never_a_key(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 29)
    assert dropped.users == {}


def test_text_in_the_form_of_a_formula_is_the_text(tmp_path: Path) -> None:
    (mended,) = drop(tmp_path, b'unique_id,login_source,student_no\nU1,OPSCOM,="0007"\n')
    assert _users(mended, "student_no") == {"U1": ("0007",)}
    ((code, said),) = mended.remarks
    assert (code, said.partition(": ")[2]) == ("formula_text", '“="0007"” → “0007”')


def test_a_word_for_an_empty_cell_keeps_what_is_stored(tmp_path: Path) -> None:
    _, second = drop_case(tmp_path, 31)
    assert _users(second, "first_name", "last_name", "user_name")["1"] == ("Ana", "Lee", "alee")
    assert _users(second, "last_name")["3"] == ("Null",)
    assert {"null_word", "null_name"} == {*second.codes}


def test_words_that_may_stand_for_nothing_are_told_by_column(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 32)
    assert dropped.counts == (5, 5, 0, 0)
    assert {"null_word", "null_name", "placeholder"} == {*dropped.codes}


def test_an_apostrophe_before_a_number_is_taken_off(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 34)
    assert _users(dropped, "phone_cell", "student_no") == {"1": ("+16135550142", "0012345")}
    assert dropped.codes == ["apostrophe", "apostrophe"]


@pytest.mark.parametrize(("number", "codes"), [(36, {"carriage_return"}), (37, {"escape", "null_word"})])
def test_escapes_are_told(tmp_path: Path, number: int, codes: set[str]) -> None:
    (dropped,) = drop_case(tmp_path, number)
    assert {*dropped.codes} == codes


def test_clear_may_be_written_in_any_way(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 38)
    assert _users(dropped, "first_name", "last_name", "email") == {
        "1": (None, None, None),
        "2": ("&lt;clear&gt;", "(clear)", None),
    }
    assert dropped.codes == ["clear_entity"]


def test_a_row_of_quoted_cells_is_no_user(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 40, WITH_DEFAULT)
    assert dropped.users == {}
    assert "quotation marks that a CSV does not know" in dropped.errors[2]


def test_a_mistyped_domain_is_told_with_what_may_be_meant(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 41)
    assert [code for code, _ in dropped.remarks] == ["mistyped_address"]
    assert "“ana@gmial.com” → “ana@gmail.com”; “cy@gmail.con” → “cy@gmail.com”" in dropped.remarks[0][1]


def test_nobody_is_called_null(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 47)
    assert dropped.users == {}


NULL_IN_CAPITALS = b"unique_id,login_source,last_name\n1,OPSCOM,MARTIN\n2,OPSCOM,NULL\n3,OPSCOM,LEE\n"


def test_null_among_names_in_capitals_is_asked_about(tmp_path: Path) -> None:
    (dropped,) = drop(tmp_path, NULL_IN_CAPITALS)
    assert "if it is a name, write it as Null" in dropped.errors[3]
    assert dropped.codes == []


@pytest.mark.parametrize("name", ["Null", "Nan", "True", "null-martin", "Nullan"])
def test_somebody_of_an_odd_name_stays(tmp_path: Path, name: str) -> None:
    (dropped,) = drop(tmp_path, NULL_IN_CAPITALS.replace(b"NULL", name.encode()))
    assert _users(dropped, "last_name")["2"] == (name,)
    assert dropped.codes == []


def test_a_report_that_is_dropped_without_its_own_columns_gives_back_its_values(tmp_path: Path) -> None:
    report = b"unique_id,login_source,phone_cell\n'00123,OPSCOM,'+16135550142\n'1.23457E+11,OPSCOM,'0012345\n"
    (dropped,) = drop(tmp_path, report, format_=BUILT_IN)
    assert _users(dropped, "phone_cell") == {"00123": ("+16135550142",)}
    assert "is a number that a spreadsheet has shortened" in dropped.errors[3]

"""Which column of a file means what, and when a header is refused."""

import pytest

from importer.formats.header import Header, match_header
from importer.model import Refusal
from tests.importing import BUILT_IN, PEOPLE


def matched(*names: str) -> Header:
    header = match_header(names, PEOPLE)
    assert isinstance(header, Header), header
    return header


def refused(*names: str) -> tuple[str, str]:
    problem = match_header(names, PEOPLE)
    assert isinstance(problem, Refusal)
    return problem.code, problem.message


def told(*names: str) -> list[tuple[str, str]]:
    return [(warning.code, warning.message) for warning in matched(*names).warnings]


def test_the_order_of_columns_is_free_and_the_rest_is_ignored() -> None:
    header = matched("city", "shoe", "UID")
    assert header.positions == {"uid": 2, "city": 0}
    assert header.reported == (0, 1, 2)


@pytest.mark.parametrize(
    "name", ["email", "E-MAIL", "e mail", "E_mail/Address", "\ufeffE-Mail Address", "e\N{NO-BREAK SPACE}mail"]
)
def test_names_are_compared_without_case_blanks_and_marks(name: str) -> None:
    header = matched("uid", name)
    assert header.positions["email"] == 1
    assert header.label("email") == name
    assert header.warnings == ()


def test_a_column_that_is_not_there_is_called_by_the_formats_name() -> None:
    assert matched("uid").label("user_name") == "user_name"


def test_every_documented_alias_of_the_built_in_format_is_known() -> None:
    for column in BUILT_IN.columns:
        for alias in column.aliases:
            names = [each for each in ("unique_id", "login_source") if each != column.name]
            header = match_header([*names, alias], BUILT_IN)
            assert isinstance(header, Header)
            assert column.name in header.positions
            assert header.warnings == ()


def test_an_unknown_column_is_one_warning_with_the_nearest_name() -> None:
    assert told("uid", "usr_name", "shoe size", "") == [
        ("unknown_column", "the column 'usr_name' is not known and was ignored; did you mean user_name?"),
        ("unknown_column", "the column 'shoe size' is not known and was ignored"),
        ("unknown_column", "the column '' is not known and was ignored"),
    ]


def test_a_near_miss_of_an_alias_is_suggested_by_the_canonical_name() -> None:
    assert told("uid", "email adress") == [
        ("unknown_column", "the column 'email adress' is not known and was ignored; did you mean email?")
    ]


@pytest.mark.parametrize("name", ["Pass_Word", "passwd", "pwd", "user_password", "mot de passe", "Kennwort1"])
def test_a_password_column_is_told_and_never_reported(name: str) -> None:
    header = matched("uid", name, "city")
    assert header.reported == (0, 2)
    assert header.has_passwords
    assert [warning.message for warning in header.warnings] == [
        f"the column '{name}' is never imported; its values were dropped"
    ]


def test_our_own_report_columns_are_ignored_in_silence() -> None:
    header = matched("uid", "import_error", "Import Row", "import_file", "import_line")
    assert header.reported == (0,)
    assert header.warnings == ()


@pytest.mark.parametrize(
    ("names", "code", "message"),
    [
        (("a", ""), "no_known_column", "Found: a, (no name). Expected: uid, email, user_name, city, level"),
        (("import_row", "password"), "no_known_column", "Found: import_row, password. "),
        (("city", "email"), "missing_column", "there is no column uid; the columns found are: city, email"),
        (("uid", "email", "UID"), "repeated_column", "the column uid is there twice, as uid, UID; remove one of them"),
        (("uid", "email", "E-Mail Address"), "repeated_column", "the column email is there twice, as email, E-Mail"),
    ],
)
def test_a_header_is_refused(names: tuple[str, ...], code: str, message: str) -> None:
    found, sentence = refused(*names)
    assert found == code
    assert message in sentence


def test_a_refusal_names_at_most_thirty_columns() -> None:
    _, message = refused(*(f"x{number}" for number in range(200)))
    assert "x29, …. Expected" in message
    assert "x30" not in message


def test_a_column_with_a_default_may_be_missing() -> None:
    assert "level" not in matched("uid").positions

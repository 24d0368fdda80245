"""Where the header of a text is, and what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.formats.columns import HeaderNames
from importer.model import FileRefused
from importer.reading.dialect import SEPARATORS
from importer.reading.heading import HeaderLine, choose_separator, read_header

KNOWN = HeaderNames(columns=frozenset({"uniqueid", "loginsource", "firstname"}), key=frozenset({"uniqueid"}))


def header(text: str | bytes, longest_record: int = 1000, longest_cell: int = 100) -> HeaderLine:
    data = text.encode() if isinstance(text, str) else text
    return read_header(data, header_names=KNOWN, longest_record=longest_record, longest_cell=longest_cell)


def refusal_of(text: str | bytes) -> tuple[str, str]:
    with pytest.raises(FileRefused) as refused:
        header(text)
    return refused.value.refusal.code, refused.value.refusal.message


@pytest.mark.parametrize("separator", SEPARATORS)
def test_the_separator_is_the_one_that_gives_known_names(separator: str) -> None:
    text = separator.join(("Unique ID", "a,b;c|d\te".replace(separator, ""), "First Name"))
    assert header(text).separator == separator


def test_without_known_names_the_separator_gives_the_most_cells() -> None:
    assert choose_separator(b"a,b;c;d", KNOWN) == ";"


def test_a_separator_inside_quotes_does_not_count() -> None:
    assert choose_separator(b'"a,b,c,d";e', KNOWN) == ";"


def test_a_tie_goes_to_the_comma() -> None:
    assert choose_separator(b"unique_id", KNOWN) == ","


def test_excels_separator_line_decides_and_has_no_number() -> None:
    assert header("sep=|\r\nunique_id|x,y\r\n1|2\r\n") == HeaderLine(
        separator="|", cells=("unique_id", "x,y"), end=22, lines=2
    )


def test_an_unknown_separator_line_is_a_header() -> None:
    assert header("sep=:\na\n").cells == ("sep=:",)


def test_empty_lines_before_the_header_are_skipped_but_counted() -> None:
    found = header("\n\r\n\runique_id,x\n")
    assert (found.cells, found.lines) == (("unique_id", "x"), 4)


def test_names_are_trimmed_and_unquoted() -> None:
    assert header('\u00a0unique_id ,"First ""Name"" ",\n').cells == ("unique_id", 'First "Name"', "")


def test_a_name_may_hold_a_line_break() -> None:
    assert header('unique_id,"First\nName"\n1,2\n').lines == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('unique_id,"first_name"x,x\n', "quotes"),
        ('unique_id,"first_name\n1,2\n', "quotes"),
        (b"unique_id,pr\xe9nom\n", "not text"),
        (b"unique_id,\0\n", "NUL"),
        ("unique_id," + "x" * 1000 + "\n", "too long"),
        ("unique_id," + "x" * 101 + "\n", "name"),
    ],
)
def test_a_header_that_cannot_be_read_refuses_the_file(text: str | bytes, words: str) -> None:
    code, message = refusal_of(text)
    assert code == "bad_header"
    assert words in message


@pytest.mark.parametrize("text", ["", "\n\n", " \u00a0\n\t\n", "sep=;\n", "sep=;\n \n"])
def test_nothing_but_white_space_is_an_empty_file(text: str) -> None:
    assert refusal_of(text)[0] == "empty_file"


TITLES = st.sampled_from(
    [
        "Student export",
        "Printed 2026-11-20",
        "",
        ",,,,",
        "version:v1.0,,,,",
        "# made by a program",
        '"Export, of users"',
    ]
)
USERS = "unique_id,login_source,first_name,last_name,email\n1,OPSCOM,Ana,Lee,a@example.org\n"


@given(st.lists(TITLES, min_size=1, max_size=20))
def test_up_to_twenty_lines_that_name_no_column_are_skipped(titles: list[str]) -> None:
    found = header("\n".join([*titles, USERS]))
    assert found.cells[0] == "unique_id"
    first = next((number for number, title in enumerate(titles) if title), len(titles))
    assert (found.row, found.lines) == (len(titles) - first + 1, len(titles) + 1)
    assert bool(found.skipped) is (found.row > 1)


def test_a_header_below_more_lines_is_not_looked_for() -> None:
    assert header("title\n" * 21 + USERS).cells == ("title",)


def test_a_title_of_several_lines_is_one_row() -> None:
    found = header('"Export\nof users",,,,\n' + USERS)
    assert (found.row, found.lines, found.skipped) == (2, 3, "Export\nof users")


@pytest.mark.parametrize("above", ["7,OPSCOM,Bo,Li,b@example.org", "1,Bo,Li", "login_source"])
def test_a_row_above_the_header_that_may_be_a_person_refuses_the_file(above: str) -> None:
    code, message = refusal_of(f"{above}\n{USERS}")
    assert code == "rows_above_header"
    assert "row 2" in message


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_header_whose_line_is_one_quoted_cell_refuses_the_file(separator: str) -> None:
    names = separator.join(("unique_id", "login_source", "first_name"))
    assert refusal_of(f'"{names}"\n"1{separator}OPSCOM"\n')[0] == "wrapped_lines"

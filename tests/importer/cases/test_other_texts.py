"""Text that is no CSV of users is one finding about the file, named for what it is."""

from pathlib import Path

import pytest

from importer.words.reasons import REFUSAL_SENTENCES, refusal_in
from tests.importer.cases import drop, drop_case, refusal_of, refusal_of_case

HEADER = "unique_id,login_source,first_name"


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (72, "wrapped_lines", "each line is one quoted cell: the columns were not separated"),
        (74, "wrapped_lines", "each line is one quoted cell"),
        (75, "not_text", "the file is a web page (HTML)"),
        (77, "not_text", "the file is rich text"),
        (78, "other_separator", "the header is separated by ; and the rows by ,"),
    ],
)
def test_a_file_that_is_no_csv_is_called_what_it_is(tmp_path: Path, number: int, code: str, words: str) -> None:
    refusal = refusal_of_case(tmp_path, number)
    assert refusal.code == code
    assert words in refusal.message
    (dropped,) = drop_case(tmp_path, number)
    assert (dropped.status, dropped.users) == ("refused", {})


def test_it_is_named_in_utf16_as_well(tmp_path: Path) -> None:
    assert "web page" in refusal_of(tmp_path, "<html><body>".encode("utf-16")).message
    assert "JSON" in refusal_of(tmp_path, '[{"unique_id": 1}]'.encode("utf-16-le").join([b"\xff\xfe", b""])).message


def test_an_error_is_named_and_its_cure_is_with_the_program(tmp_path: Path) -> None:
    refusal = refusal_of(tmp_path, b"ORA-01017: invalid username/password; logon denied\n")
    assert refusal.message == REFUSAL_SENTENCES["is_error_message"]
    assert "message d’erreur" in refusal_in(refusal, "fr")  # noqa: RUF001 - French has it


@pytest.mark.parametrize("header", [";", "\t", "|", ","])
@pytest.mark.parametrize("rows", [";", "\t", "|", ","])
@pytest.mark.parametrize("count", [1, 9, 30])
def test_rows_that_are_separated_otherwise_than_the_header_are_one_finding(
    tmp_path: Path, header: str, rows: str, count: int
) -> None:
    if header != rows:
        body = "".join(f"{key}{rows}OPSCOM{rows}Ana Lee\n" for key in range(count))
        refusal = refusal_of(tmp_path, (HEADER.replace(",", header) + "\n\n" + body).encode())
        assert refusal.code == "other_separator"


@pytest.mark.parametrize("count", [1, 9, 30])
def test_rows_each_of_which_is_one_quoted_cell_are_one_finding(tmp_path: Path, count: int) -> None:
    body = "".join(f'"{key},OPSCOM,""Ana, Lee"""\n' for key in range(count))
    assert refusal_of(tmp_path, f"{HEADER}\n{body}".encode()).code == "wrapped_lines"


def test_one_good_row_is_reason_enough_to_read_the_file(tmp_path: Path) -> None:
    (dropped,) = drop(tmp_path, f"{HEADER}\n1,OPSCOM,Ana\n2;OPSCOM;Bo\n".encode())
    assert dropped.counts == (2, 1, 1, 0)

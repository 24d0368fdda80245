"""Cases that other CSV projects test with, in our own words, and files that installed packages ship.

In every one: no exception, every record in balance (which the reader checks itself), and no cell that differs from
what its sender wrote.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from importer.formats.columns import Column, Format, normalised
from tests import reference
from tests.reference import Good, Refused, Verdict
from tests.verdicts import Read, Reader, as_read, checked, read

NOTHING_KNOWN: frozenset[str] = frozenset()
BLOCKS = (1, 7, 8 << 20)
LARGEST = 400_000
Rows = list[tuple[str, ...] | str]
"""The cells of each record, or the code of its rejection; blank ones are missing."""


def rows(data: bytes, *, block_bytes: int = 8 << 20) -> Rows:
    result = read(data, Reader(block_bytes=block_bytes), name="a.csv", known_names=NOTHING_KNOWN)
    assert isinstance(result, Read), result
    return [record.cells if isinstance(record, Good) else record.code for record in result.records]


SHAPES: dict[str, tuple[str, Rows]] = {
    "plain": ("x,y\r\n1,2\r\n3,4\r\n", [("1", "2"), ("3", "4")]),
    "separator_in_quotes": ('name,town\nJo,"Hull, QC"\n', [("Jo", "Hull, QC")]),
    "doubled_quotes": ('k,v\n1,"say ""hi"" now"\n', [("1", 'say "hi" now')]),
    "just_quotes": ('k,v\n1,""""\n2,""""""\n', [("1", '"'), ("2", '""')]),
    "quotes_and_line_breaks": ('k,v\n1,"say\n""hi""\nnow"\n2,x', [("1", 'say\n"hi"\nnow'), ("2", "x")]),
    "line_break_in_the_first_cell": ('k,v\n"once\r\nupon",2\r\n3,4\r\n', [("once\r\nupon", "2"), ("3", "4")]),
    "empty_quoted_cells": ('a,b,c\n1,"",""\n2,3,4\n', [("1", "", ""), ("2", "3", "4")]),
    "json_in_a_cell": ('k,v\n1,"{""p"": [1.5, 2]}"\n', [("1", '{"p": [1.5, 2]}')]),
    "a_degree_and_quotes_unquoted": ("k,v\n1,45°30'37.8\"N 75°2'W\n", [("1", "45°30'37.8\"N 75°2'W")]),
    "beyond_the_first_plane": ("k,v\n1,𝄞 ʤ 😀\n", [("1", "𝄞 ʤ 😀")]),
    "old_mac_line_ends": ("k,v\r1,2\r3,4\r", [("1", "2"), ("3", "4")]),
    "each_line_end_in_one_file": ("k,v\n1,2\r\n3,4\r5,6\n", [("1", "2"), ("3", "4"), ("5", "6")]),
    "no_last_line_end": ("k,v\n1,2", [("1", "2")]),
    "last_cell_empty_at_the_end": ("k,v\n1,", [("1", "")]),
    "quoted_empty_at_the_end": ('k,v\n1,""', [("1", "")]),
    "one_column": ("k\n1\n\n2\n", [("1",), ("2",)]),
    "one_column_of_quoted_line_breaks": ('k\n"a\n\nb"\n"c"\n', [("a\n\nb",), ("c",)]),
    "blanks_are_kept": ("k,v\n 1 ,\t2\n", [(" 1 ", "\t2")]),
    "only_separators": ("a,b,c\n,,\n1,2,3\n", [("1", "2", "3")]),
    "semicolons_with_commas_inside": ("k;v\n1;2,5\n", [("1", "2,5")]),
    "tabs": ("k\tv\n1\t2\n", [("1", "2")]),
    "bars": ("k|v\n1|2\n", [("1", "2")]),
    "a_comment_is_a_row": ("k,v\n# a note\n1,2\n", ["too_few_cells", ("1", "2")]),
    "a_backslash_escapes_nothing": ('k,v\n1,"a\\"b"\n2,c\n', ["bad_quotes", ("2", "c")]),
    "single_quotes_are_text": ("k,v\n'1,2'\n", [("'1", "2'")]),
    "a_mark_within_the_file": ("k,v\n\ufeff1,2\n", [("\ufeff1", "2")]),
    "words_for_nothing": ("k,v\nNULL,nan\nNA,None\n", [("NULL", "nan"), ("NA", "None")]),
    "numbers_stay_text": ("k,v\n007,1e5\n1.0,+2\n", [("007", "1e5"), ("1.0", "+2")]),
    "formulas_stay_text": ("k,v\n=1+1,@x\n", [("=1+1", "@x")]),
}

DEFECTS: dict[str, tuple[str, Rows]] = {
    "short_rows_are_not_padded": ("a,b,c\n1,2\n3,4,5\n", ["too_few_cells", ("3", "4", "5")]),
    "long_rows_are_not_cut": ("a,b\n1,2,3\n4,5\n", ["too_many_cells", ("4", "5")]),
    "a_surplus_empty_cell_shifts_nothing": ("a,b\n1,2,\n4,5\n6,7\n", ["too_many_cells", ("4", "5"), ("6", "7")]),
    "two_stray_quotes_swallow_nothing": (
        'a,b\n1,"x\n2,y\n3,z\n4,w"\n5,v\n',
        ["bad_quotes", ("2", "y"), ("3", "z"), ("4", 'w"'), ("5", "v")],
    ),
    "an_open_quote_costs_its_line": ('a,b\n1,"x\n2,y\n3,z\n', ["bad_quotes", ("2", "y"), ("3", "z")]),
    "an_open_quote_in_the_last_line": ('a,b\n1,x\n2,"y', [("1", "x"), "bad_quotes"]),
    "inner_quotes_are_not_dropped": ('a,b\n1,"say "hi" you"\n2,x\n', ["bad_quotes", ("2", "x")]),
    "text_behind_a_closing_quote": ('a,b\n1,"Ana"x\n2,y\n', ["bad_quotes", ("2", "y")]),
    "blanks_around_quotes": ('a,b\n1, "Ana"\n"Ana" ,2\n3,y\n', ["bad_quotes", "bad_quotes", ("3", "y")]),
    "a_quote_inside_an_unquoted_cell": ('a,b\n1,Ana "Nan" X\n2,y"\n', [("1", 'Ana "Nan" X'), ("2", 'y"')]),
    "blank_lines_are_no_rows": ("a,b\n\n1,2\n\n\n3,4\n", [("1", "2"), ("3", "4")]),
    "a_nul_does_not_pass": ("a,b\n1,x\0\n2," + "y" * 200 + "\n", ["control_character", ("2", "y" * 200)]),
    "bytes_that_are_no_text": (
        "a,b\n1,é\n2,é\udcff\n3,ü\n4,ö\n",
        [("1", "é"), "bad_encoding", ("3", "ü"), ("4", "ö")],
    ),
    "the_header_again": ("a,b\n1,2\na,b\n3,4\n", [("1", "2"), "repeated_header", ("3", "4")]),
    "a_cut_file": ("a,b,c\n1,2,3\n4,5", [("1", "2", "3"), "too_few_cells"]),
    "a_trailing_separator_in_every_row": ("a,b\n1,2,\n3,4,\n", [("1", "2"), ("3", "4")]),
    "a_separator_told_by_excel": ("sep=;\na;b\n1;2\n", [("1", "2")]),
    "two_files_in_one": ("a,b\n1,2\nx;y;z\n3,4\n", [("1", "2"), "too_few_cells", ("3", "4")]),
    "a_record_in_a_quoted_cell_is_not_swallowed": (
        'a,b\n"1,x\n2,y\n3",z\n4,w\n',
        ["bad_quotes", ("2", "y"), ('3"', "z"), ("4", "w")],
    ),
}

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty_file"),
    "line_ends_only": (b"\r\n\n\r", "empty_file"),
    "a_header_only": (b"a,b\r\n", "no_records"),
    "an_open_quote_in_the_header": (b'a,"b\n1,2\n3,4\n', "bad_header"),
    "bytes_that_are_no_text_in_the_header": (b"\xef\xbb\xbfa,b\xff\n1,2\n", "bad_header"),
    "another_header": (b"a,b\n" + b"1,2,3\n" * 20, "wrong_width"),
    "a_workbook": (b"PK\x03\x04" + bytes(40), "not_text"),
    "utf_16_without_a_mark": ("a,b\n1,2\n".encode("utf-16-le"), "unmarked_utf16"),
    "300_columns": (b",".join([b"a"] * 300) + b"\n1\n", "too_many_columns"),
}


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("case", [*SHAPES, *DEFECTS])
def test_every_cell_arrives_as_it_was_written_or_its_row_fails(case: str, block_bytes: int) -> None:
    text, expected = (SHAPES | DEFECTS)[case]
    assert rows(text.encode("utf-8", "surrogateescape"), block_bytes=block_bytes) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("case", SHAPES)
def test_a_marked_encoding_changes_nothing(case: str, encoding: str) -> None:
    text, expected = SHAPES[case]
    assert rows(text.encode(encoding)) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_user_file_is_refused_with_its_reason(case: str) -> None:
    data, code = REFUSED[case]
    result = read(data, Reader(), name="a.csv", known_names=NOTHING_KNOWN)
    assert result == Refused(code=code)


@pytest.mark.parametrize("case", [*SHAPES, *DEFECTS])
def test_a_verdict_holds_exactly_the_cells_that_were_written(case: str) -> None:
    text, expected = (SHAPES | DEFECTS)[case]
    verdict = checked(text.encode("utf-8", "surrogateescape"), all_text(text.encode("utf-8", "surrogateescape")))
    assert isinstance(verdict, Verdict)
    good = [[cell.strip() for cell in row if cell.strip()] for row in expected if not isinstance(row, str)]
    assert [[*values.values()] for values in verdict.accepted.values()] == good
    assert len(verdict.failures) == sum(isinstance(row, str) for row in expected)


def all_text(data: bytes) -> Format:
    """A format that knows each column of the file as optional text, whatever its name, and has its first as key."""
    reading = reference.read(data, name="a.csv", known_names=NOTHING_KNOWN)
    names = () if isinstance(reading, Refused) else reading.header
    columns = tuple(Column(name=f"c{index}", aliases=(name,)) for index, name in enumerate(names) if normalised(name))
    return Format(columns=columns, key=columns[0].name if columns else "c0")


def shipped_files() -> Iterator[Path]:
    """Text files of rows that packages ship for their own tests."""
    for package in ("numpy", "pandas", "pyarrow", "duckdb", "frictionless"):
        found = importlib.util.find_spec(package)
        for directory in (found.submodule_search_locations or ()) if found else ():
            yield from tables_in(Path(directory))


def tables_in(directory: Path) -> Iterator[Path]:
    files = (path for path in directory.rglob("*") if path.suffix.lower() in {".csv", ".tsv", ".txt"})
    yield from sorted(path for path in files if path.stat().st_size < LARGEST)


def assert_read_exactly(path: Path) -> None:
    """The file is read as the reference reads it, which no accepted row can survive that differs from its text."""
    data = path.read_bytes()
    theirs = as_read(reference.read(data, name=path.name, known_names=NOTHING_KNOWN))
    assert read(data, Reader(), name=path.name, known_names=NOTHING_KNOWN) == theirs
    if isinstance(theirs, Read) and any(map(normalised, theirs.header)):
        verdict = checked(data, all_text(data))
        assert isinstance(verdict, Refused) or len(verdict.accepted) + len(verdict.failures) == len(theirs.records)


def test_files_that_packages_ship_are_read_exactly() -> None:
    files = [*shipped_files()]
    assert files
    for path in files:
        assert_read_exactly(path)

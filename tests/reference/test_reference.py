"""Cases made by hand that pin the oracle's reader, each from one sentence of the rules."""

import gzip

import pytest

from importer.formats.columns import normalised
from tests.reference import Blank, Good, Reading, Refused, Rejected, read

KNOWN = frozenset(normalised(name) for name in ("id", "name", "email", "import_line", "import_error"))
WHITE = "\u00a0\u2003\u3000\u0085\u2028"


def reading(data: bytes | str, **limits: int) -> Reading:
    result = read(data.encode() if isinstance(data, str) else data, name="users.csv", known_names=KNOWN, **limits)
    assert isinstance(result, Reading), result
    return result


def brief(result: Reading) -> list[object]:
    """Good records as their cells joined by |, rejected ones as (code, text), blank ones as None."""
    return ["|".join(record.cells) if isinstance(record, Good) else _brief_other(record) for record in result.records]


def _brief_other(record: Rejected | Blank) -> tuple[str, str] | None:
    return (record.code, record.text) if isinstance(record, Rejected) else None


def refusal(data: bytes | str, name: str = "users.csv") -> str:
    result = read(data.encode() if isinstance(data, str) else data, name=name, known_names=KNOWN)
    assert isinstance(result, Refused), result
    return result.code


BODIES = {
    "a plain record": ("1,Ana\n", ["1|Ana"]),
    "line ends of three kinds": ("1,a\r\n2,b\r3,c\n", ["1|a", "2|b", "3|c"]),
    "the last line without a line end": ("1,a\n2,b", ["1|a", "2|b"]),
    "a quoted cell with separator, quote and line breaks": ('1,"a,""b""\r\nc\rd"\n', ['1|a,"b"\r\nc\rd']),
    "an empty quoted cell": ('1,""\n', ["1|"]),
    "a cell of one quote": ('1,""""\n', ['1|"']),
    "a quote inside an unquoted cell is text": ('1,Ana "Nan" X\n', ['1|Ana "Nan" X']),
    "a quote at the end of an unquoted cell is text": ('1,5"\n', ['1|5"']),
    "blanks around unquoted text stay": ("1, Ana \n", ["1| Ana "]),
    "line breaks of other kinds are text": ("1,a\u2028b\x0bc\x85d\n", ["1|a\u2028b\x0bc\x85d"]),
    "a short row costs only itself": ("1\n2,b\n", [("too_few_cells", "1"), "2|b"]),
    "a long row costs only itself": ("1,a,x\n2,b\n", [("too_many_cells", "1,a,x"), "2|b"]),
    "text after a closing quote": ('1,"Ana"x\n2,b\n', [("bad_quotes", '1,"Ana"x'), "2|b"]),
    "a blank after a closing quote": ('1,"Ana" \n2,b\n', [("bad_quotes", '1,"Ana" '), "2|b"]),
    "a blank before an opening quote": ('1, "Ana"\n2,b\n', [("bad_quotes", '1, "Ana"'), "2|b"]),
    "a tab before an opening quote": ('1,\t"Ana\n2,b\n', [("bad_quotes", '1,\t"Ana'), "2|b"]),
    "a no-break space before a quote is text": ('1,\u00a0"Ana"\n', ['1|\u00a0"Ana"']),
    "an unclosed quote costs its own line": ('1,"a\n2,b\n3,c\n', [("bad_quotes", '1,"a'), "2|b", "3|c"]),
    "two stray quotes cost two lines": (
        '1,"a\n2,b\n3,"c\n4,d\n',
        [("bad_quotes", '1,"a'), "2|b", ("bad_quotes", '3,"c'), "4|d"],
    ),
    "two stray quotes that would make one record of three": (
        '1,"a\n2,b\n3"\n4,d\n',
        [("bad_quotes", '1,"a'), "2|b", ("too_few_cells", '3"'), "4|d"],
    ),
    "a quoted record between two stray quotes": (
        '1,"a\n"2","b"\n',
        [("bad_quotes", '1,"a'), "2|b"],
    ),
    "a truly ambiguous pair is one record": ('1,"a\n2,b"\n', ["1|a\n2,b"]),
    "a line break in the first cell": ('"1\n2",b\n', ["1\n2|b"]),
    "a line break in the first cell before separators": ('"a,\nb",c\n', ["a,\nb|c"]),
    "a perfect line of empty cells is a record too": (
        '1,"a\n,\nb"\n',
        [("bad_quotes", '1,"a'), None, ("too_few_cells", 'b"')],
    ),
    "an empty line inside quotes": ('1,"a\n\nb"\n', ["1|a\n\nb"]),
    "a short record of two lines is one reject": ('"a\nb"\n2,b\n', [("too_few_cells", '"a\nb"'), "2|b"]),
    "a long record of two lines is one reject": ('1,"a\nb",x\n2,b\n', [("too_many_cells", '1,"a\nb",x'), "2|b"]),
    "a wide record around a whole one is taken apart": (
        '1,"a\n2,b\nc",x\n',
        [("bad_quotes", '1,"a'), "2|b", 'c"|x'],
    ),
    "empty lines between records": ("1,a\n\n\n2,b\n", ["1|a", None, None, "2|b"]),
    "empty lines at the end are nothing": ("1,a\n\r\n\r\n", ["1|a"]),
    "a line of blanks at the end is blank": ("1,a\n  \n\n", ["1|a", None]),
    "blank cells": (f'1,a\n {WHITE},"\t"\n', ["1|a", None]),
    "blank whatever the width": ('1,a\n,,,\n""\n"\n"\n2,b\n', ["1|a", None, None, None, "2|b"]),
    "the information separators are not white space": ("\x1f,\n" + "1,x\n" * 40, ["\x1f|", *["1|x"] * 40]),
    "the header again": (
        "1,a\nid,name\n id ,\tname\n2,b\n",
        ["1|a", ("repeated_header", "id,name"), ("repeated_header", " id ,\tname"), "2|b"],
    ),
    "a header in other letters is a record": ("ID,Name\n", ["ID|Name"]),
    "a NUL costs its record": ("1,a\0\n" + "2,b\n" * 40, [("control_character", "1,a\0"), *["2|b"] * 40]),
    "a NUL in a record of two lines costs it all": (
        '1,"a\n\0"\n' + "2,b\n" * 40,
        [("control_character", '1,"a\n\0"'), *["2|b"] * 40],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), BODIES.values(), ids=BODIES)
def test_a_body_is_read_as(body: str, expected: list[object]) -> None:
    assert brief(reading("id,name\n" + body)) == expected


BYTES = {
    "invalid UTF-8 costs its line": (
        b"1,\xff\xe9\n2,\xc3\xa9\n3,\xc3\xa9\n",
        [("bad_encoding", r"1,\xff\xe9"), "2|é", "3|é"],
    ),
    "invalid UTF-8 in a record of two lines costs it all": (
        b'1,"a\n\xff"\n2,\xc3\xa9\n3,\xc3\xa9\n',
        [("bad_encoding", '1,"a\n\\xff"'), "2|é", "3|é"],
    ),
    "invalid UTF-8 beats the width": (b"1\xff\n2,\xc3\xa9\n3,\xc3\xa9\n", [("bad_encoding", r"1\xff"), "2|é", "3|é"]),
    "invalid UTF-8 beats quotes, on its own line": (
        b'1,"\xff\n2,\xc3\xa9\n3,\xc3\xa9\n',
        [("bad_encoding", r'1,"\xff'), "2|é", "3|é"],
    ),
    "an unclosed quote before invalid UTF-8": (
        b'1,"a\n2,\xff\n2,\xc3\xa9\n3,\xc3\xa9\n',
        [("bad_quotes", '1,"a'), ("bad_encoding", r"2,\xff"), "2|é", "3|é"],
    ),
    "an encoded surrogate is not UTF-8": (
        b"1,\xed\xa0\x80\n2,\xc3\xa9\n3,\xc3\xa9\n",
        [("bad_encoding", r"1,\xed\xa0\x80"), "2|é", "3|é"],
    ),
    "half of the runs is not most of them": (b"1,\xff\n2,\xc3\xa9\n", ["1|ÿ", "2|Ã©"]),
    "Windows-1252": (b"1,caf\xe9 \x80\n", ["1|café €"]),
    "undefined bytes of Windows-1252": (b"1,caf\xe9\n2,\x81\n", ["1|café", ("bad_encoding", r"2,\x81")]),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), BYTES.values(), ids=BYTES)
def test_bytes_are_read_as(body: bytes, expected: list[object]) -> None:
    assert brief(reading(b"id,name\n" + body)) == expected


@pytest.mark.parametrize(
    ("data", "encoding", "warnings"),
    [
        (b"id\n1\n", "utf-8", set()),
        (b"\xef\xbb\xbfid\n1\n", "utf-8", set()),
        (b"id\n\xe9\n", "windows-1252", {"windows_1252"}),
        (b"\xff\xfe" + "id\né\n".encode("utf-16-le"), "utf-16-le", set()),
        (b"\xfe\xff" + "id\r\n😀\r\n".encode("utf-16-be"), "utf-16-be", set()),
        (b"id\n1", "utf-8", {"may_be_cut"}),
        (b"id\n1\r", "utf-8", set()),
    ],
)
def test_the_encoding_is_told_by_mark_or_bytes(data: bytes, encoding: str, warnings: set[str]) -> None:
    result = reading(data)
    assert (result.encoding, result.header, set(result.warnings)) == (encoding, ("id",), warnings)


def test_a_byte_order_mark_makes_invalid_bytes_cost_their_rows_even_where_they_are_most() -> None:
    assert brief(reading(b"\xef\xbb\xbfid,name\n1,\xe9\n2,b\n")) == [("bad_encoding", r"1,\xe9"), "2|b"]


def test_a_lone_surrogate_and_an_odd_byte_cost_their_lines() -> None:
    data = b"\xff\xfe" + "id,name\n1,\ud800\n2,b\n3,c".encode("utf-16-le", "surrogatepass") + b"A"
    assert brief(reading(data)) == [("bad_encoding", r"1,\xed\xa0\x80"), "2|b", ("bad_encoding", r"3,c\x41")]


def test_an_odd_byte_after_the_last_line_end_is_a_line_of_its_own() -> None:
    result = reading(b"\xff\xfe" + "id\n1\n".encode("utf-16-le") + b"\xe9")
    assert brief(result) == ["1", ("bad_encoding", r"\xe9")]
    assert result.warnings == {"may_be_cut"}


@pytest.mark.parametrize(
    ("header", "separator", "names"),
    [
        ("id,name", ",", ("id", "name")),
        ("id;name", ";", ("id", "name")),
        ("id\tname", "\t", ("id", "name")),
        ("id|name", "|", ("id", "name")),
        ("a;b;id,name", ",", ("a;b;id", "name")),
        ("a;b;c,d", ";", ("a", "b", "c,d")),
        ("a;b,c", ",", ("a;b", "c")),
        ('"a;b;c",id', ",", ("a;b;c", "id")),
        ('"id";"na\nme";"x"', ";", ("id", "na\nme", "x")),
        (" id ,\u00a0name", ",", ("id", "name")),
        ("id", ",", ("id",)),
        ("sep=;\nid,name;x", ";", ("id,name", "x")),
        ('"SEP=|"\r\n\nid', "|", ("id",)),
        ("\n\r\nid,name", ",", ("id", "name")),
        ("id,,name,, ", ",", ("id", "", "name")),
    ],
)
def test_a_header_tells_the_separator(header: str, separator: str, names: tuple[str, ...]) -> None:
    result = reading(header + "\nx\n")
    assert (result.separator, result.header) == (separator, names)


def test_rows_count_records_and_lines_count_physical_lines() -> None:
    result = reading('sep=,\r\n\r\nid,"na\nme"\r\n1,"a\r\nb"\r\n\r\nx\r\n2,b\r\n')
    assert [(type(record).__name__, record.row, record.line) for record in result.records] == [
        ("Good", 2, 5),
        ("Blank", 3, 7),
        ("Rejected", 4, 8),
        ("Good", 5, 9),
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\xef\xbb\xbf", "empty_file"),
        (b" \r\n\t\n\n", "empty_file"),
        (b"sep=;\r\n\r\n", "empty_file"),
        (b"\xff\xfe \x00\n\x00", "empty_file"),
        (b"id,name\n", "no_records"),
        (b"id,name\n\n ,\n,,,,\n", "no_records"),
        (b"PK\x03\x04" + b"x" * 100, "not_text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "not_text"),
        (b"%PDF-1.7\n", "not_text"),
        (gzip.compress(b"id\n1\n", mtime=0), "not_text"),
        (b"id,name\n" + b"\x01" * 33, "not_text"),
        ("id,name\n1,a\n".encode("utf-16-le"), "unmarked_utf16"),
        ("id,name\n1,a\n".encode("utf-16-be"), "unmarked_utf16"),
        (b'id,"name\n1,a\n', "bad_header"),
        (b'id,"name"x\n1,a\n', "bad_header"),
        (b'id, "name"\n1,a\n', "bad_header"),
        (b"\xef\xbb\xbfid,\xff\n1,a\n", "bad_header"),
        (b"id,na\0me\n" + b"1,a\n" * 30, "bad_header"),
        (b"x" * 65_537 + b",id\n1,a\n", "bad_header"),
        (b",".join(b"c%d" % n for n in range(257)) + b"\n1\n", "too_many_columns"),
        (b"id,name\n" + b"1,a,b\n" * 10, "wrong_width"),
        (b"id,name\n" + b"1\n" * 10, "wrong_width"),
        (b"id,name\n" + b"1,a,b\n" * 19 + b"1,a\n", "wrong_width"),
    ],
)
def test_a_file_is_refused_as(data: bytes, code: str) -> None:
    assert refusal(data) == code


@pytest.mark.parametrize(
    "data",
    [
        b"id,name\n" + b"1,a,b\n" * 9,
        b"id,name\n" + b"1,a,b\n" * 18 + b"1,a\n",
        b"id,name\n" + b'1,"a"b\n' * 30,
        b"id,name\n" + b",,,\n" * 30 + b"1,a\n",
    ],
)
def test_a_few_rows_of_another_width_are_only_failed_rows(data: bytes) -> None:
    reading(data)


def test_a_compressed_file_is_read_by_its_content_and_name() -> None:
    packed = gzip.compress(b"id\n1\n", mtime=0)
    result = read(packed, name="users.CSV.GZ", known_names=KNOWN)
    assert isinstance(result, Reading)
    assert refusal(packed[:-9], "users.csv.gz") == "broken_gzip"
    assert refusal(gzip.compress(packed), "users.csv.gz") == "not_text"
    assert isinstance(read(b"id\n1\n", name="users.csv.gz", known_names=KNOWN), Reading)


def test_a_surplus_separator_on_every_row_is_ignored() -> None:
    result = reading("id,name\n1,a,\n2,b, \nid,name,\n,,\n")
    assert brief(result) == ["1|a", "2|b", ("repeated_header", "id,name,"), None]
    assert result.warnings == {"trailing_separator"}


def test_one_filled_surplus_cell_makes_the_surplus_a_mistake() -> None:
    assert brief(reading("id,name\n1,a,\n2,b,x\n3,c\n")) == [
        ("too_many_cells", "1,a,"),
        ("too_many_cells", "2,b,x"),
        "3|c",
    ]


def test_in_a_file_with_surplus_separators_a_row_without_one_is_short() -> None:
    result = reading("id,name\n" + "1,a,\n" * 19 + "2,b\n")
    assert brief(result)[18:] == ["1|a", ("too_few_cells", "2,b")]


def test_unnamed_columns_at_the_end_must_be_empty() -> None:
    body = "1,a,,\n2,b,, \n3,c,x,\n,,,x\n4,d\n,,,\nid,name,,\n"
    assert brief(reading("id,name,,\n" + body)) == [
        "1|a",
        "2|b",
        ("too_many_cells", "3,c,x,"),
        ("too_many_cells", ",,,x"),
        ("too_few_cells", "4,d"),
        None,
        ("repeated_header", "id,name,,"),
    ]


def test_the_columns_of_our_report_do_not_make_a_blank_row_a_row_but_import_line_does() -> None:
    result = reading("id,Import Error,import_line\n,bad,\n,bad,U1;Ana\n1,,\n")
    assert brief(result) == [None, "|bad|U1;Ana", "1||"]


def test_a_line_longer_than_the_limit_costs_only_itself() -> None:
    result = reading('id,name\r\n1,éaaa\r\n1,éaaaa\r\n,,,,,,,,\r\n1,"aaaaa\r\n2,b\r\n', max_record_bytes=7)
    assert brief(result) == [
        "1|éaaa",
        ("too_large", "1,éaaaa"),
        ("too_large", ",,,,,,,,"),
        ("too_large", '1,"aaaaa'),
        "2|b",
    ]


def test_a_record_of_several_lines_longer_than_the_limit_costs_its_first_line() -> None:
    assert brief(reading('id,name\n1,"aaaa\nbb"\n', max_record_bytes=11)) == ["1|aaaa\nbb"]
    assert brief(reading('id,name\n1,"aaaa\nbbb"\n', max_record_bytes=11)) == [
        ("bad_quotes", '1,"aaaa'),
        ("too_few_cells", 'bbb"'),
    ]


def test_a_cell_longer_than_the_limit_costs_its_whole_record() -> None:
    assert brief(reading('id,name\n1,"a""\n"\n2,aéa\n3,b\n', max_cell_bytes=4)) == ['1|a"\n', "2|aéa", "3|b"]
    assert brief(reading('id,name\n1,"aa""\né"\n2,b\n3,aaaaa,x\n', max_cell_bytes=4)) == [
        ("too_large", '1,"aa""\né"'),
        "2|b",
        ("too_many_cells", "3,aaaaa,x"),
    ]

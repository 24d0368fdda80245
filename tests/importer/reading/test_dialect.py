"""How a file is written, decided from its first bytes."""

import pytest

from importer.model import FileRefused
from importer.reading.dialect import (
    SEPARATORS,
    HeaderLine,
    choose_separator,
    marked_encoding,
    read_header,
    refuse_if_not_text,
)

KNOWN = frozenset({"uniqueid", "loginsource", "firstname"})


def header(text: str | bytes, longest_record: int = 1000, longest_cell: int = 100) -> HeaderLine:
    data = text.encode() if isinstance(text, str) else text
    return read_header(data, known_names=KNOWN, longest_record=longest_record, longest_cell=longest_cell)


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
    assert choose_separator(b'"a,b,c,d";e', frozenset()) == ";"


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
        ('unique_id,"first_name" ,x\n', "quotes"),
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


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"PK\x03\x04...", "not_text"),
        (b"\xd0\xcf\x11\xe0....", "not_text"),
        (b"%PDF-1.7", "not_text"),
        (b"\x1f\x8b\x08", "not_text"),
        (b"\xff\xfe\0\0a\0\0\0", "not_text"),
        (bytes(range(256)) * 2, "not_text"),
        (bytes(100), "not_text"),
        ("unique_id,é".encode("utf-16-le"), "unmarked_utf16"),
        ("unique_id,é".encode("utf-16-be"), "unmarked_utf16"),
    ],
)
def test_what_is_no_text_is_refused(head: bytes, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        refuse_if_not_text(head)
    assert refused.value.refusal.code == code


@pytest.mark.parametrize("head", [b"a,b\n", "é".encode("utf-16"), b"\xef\xbb\xbfa", b"", b"\t\r\n\f\v" * 9])
def test_text_is_not_refused(head: bytes) -> None:
    refuse_if_not_text(head)


def test_a_byte_order_mark_tells_the_encoding() -> None:
    heads = (b"\xef\xbb\xbfa", b"\xff\xfea\0", b"\xfe\xff\0a", b"a")
    assert [marked_encoding(head) for head in heads] == [("utf-8", 3), ("utf-16-le", 2), ("utf-16-be", 2), None]

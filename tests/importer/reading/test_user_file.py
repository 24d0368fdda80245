"""From bytes to blocks: what is read, what is rejected, and that nothing is lost."""

import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.model import FileRefused
from importer.reading.transcoding import MOST_EXPANSION, MOST_MEMBERS, ByteSource
from importer.reading.user_file import Block, Limits, Reject, open_user_file

KNOWN = frozenset({"id", "name", "town", "importerror", "importline"})
ONE_GIB = 1 << 30
PADDING = "\n" + "7,padding,for the share of controls\n" * 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    header: tuple[str, ...]
    rows: list[tuple[int, int, tuple[str, ...]]]
    rejects: list[Reject]
    blank: int
    records: int
    warnings: list[str]
    encoding: str
    separator: str

    @property
    def good(self) -> list[str]:
        return ["|".join(cells) for _, _, cells in self.rows]

    @property
    def bad(self) -> list[tuple[int, str, str]]:
        return [(reject.line, reject.kind, reject.text) for reject in self.rejects]


Read = Callable[..., Result]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(data: str | bytes, *, name: str = "users.csv", block_bytes: int = 1 << 20, **limits: int) -> Result:
        path = tmp_path / "copy"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        bounds = Limits(**{"max_bytes": ONE_GIB, "max_expanded_bytes": ONE_GIB} | limits)
        with open_user_file(path, name=name, known_names=KNOWN, limits=bounds, block_bytes=block_bytes) as file:
            blocks = list(file.blocks())
            assert file.bytes_read == file.total_bytes
            return Result(
                header=file.header,
                rows=[(row, line, tuple(cells)) for block in blocks for row, line, *cells in block.frame.iter_rows()],
                rejects=[reject for block in blocks for reject in block.rejects],
                blank=sum(block.blank for block in blocks),
                records=file.records,
                warnings=[warning.code for warning in file.warnings],
                encoding=file.dialect.encoding,
                separator=file.dialect.separator,
            )

    return reading


def refusal_code(read: Read, data: str | bytes, **options: str | int) -> str:
    with pytest.raises(FileRefused) as refused:
        read(data, **options)
    return refused.value.refusal.code


def test_rows_and_lines_are_numbered_as_a_spreadsheet_and_an_editor_do(read: Read) -> None:
    result = read('sep=,\n\nid,name\n1,"A\nB"\n\n2,C\n')
    assert result.rows == [(2, 4, ("1", "A\nB")), (4, 7, ("2", "C"))]
    assert (result.blank, result.records) == (1, 3)


def test_line_ends_of_all_kinds_may_be_mixed(read: Read) -> None:
    assert read("id,name\r\n1,a\r2,b\n3,c\r\n").good == ["1|a", "2|b", "3|c"]


def test_line_breaks_inside_quotes_stay_as_they_are(read: Read) -> None:
    assert read('id,name,town\r1,x,"a\rb\r\nc\nd"\r').rows[0][2] == ("1", "x", "a\rb\r\nc\nd")


def test_a_quote_inside_an_unquoted_cell_is_text(read: Read) -> None:
    assert read('id,name\n1,Ana "Nan" X\n2,5"\n').good == ['1|Ana "Nan" X', '2|5"']


def test_empty_cells_are_empty_strings(read: Read) -> None:
    assert read('id,name,town\n1,,""\n').rows[0][2] == ("1", "", "")


def test_a_byte_order_mark_in_the_middle_stays_text(read: Read) -> None:
    assert read("id,name\n\ufeff1,a\n").good == ["\ufeff1|a"]


def test_a_first_cell_may_hold_a_line_break(read: Read) -> None:
    assert read('id,name,town\n"1\n2",a,b\n').good == ["1\n2|a|b"]


def test_a_short_row_costs_only_itself(read: Read) -> None:
    result = read("id,name,town\n1,a,b\n2,a\n3,a,b\n")
    assert result.good == ["1|a|b", "3|a|b"]
    assert result.rejects == [
        Reject(row=3, line=3, kind="too_few_cells", facts={"cells": 2, "expected": 3}, text="2,a")
    ]


@pytest.mark.parametrize("broken", ['2,"b', '2,"b"x', '2, "b"', '2,"b" '])
def test_bad_quotes_cost_only_their_line(read: Read, broken: str) -> None:
    result = read(f"id,name\n1,a\n{broken}\n3,c\n")
    assert result.good == ["1|a", "3|c"]
    assert result.bad == [(3, "bad_quotes", broken)]


def test_two_stray_quotes_do_not_swallow_what_is_between(read: Read) -> None:
    result = read('id,name\n1,"a\n2,b\n3,c"\n')
    assert result.good == ["2|b", '3|c"']
    assert result.bad == [(2, "bad_quotes", '1,"a')]


def test_a_record_of_several_lines_and_the_wrong_width_is_one_reject(read: Read) -> None:
    result = read('id,name,town\n1,"a\nb"\n2,a,b\n')
    assert result.bad == [(2, "too_few_cells", '1,"a\nb"')]
    assert result.rows == [(3, 4, ("2", "a", "b"))]


def test_bytes_that_are_not_text_cost_only_their_row(read: Read) -> None:
    result = read("id,name\n1,é\n2,ü\n3,".encode() + b"\xff\n4,\xc3\n5,d\n" + "6,ß\n".encode())
    assert result.good == ["1|é", "2|ü", "5|d", "6|ß"]
    assert result.bad == [(4, "bad_encoding", "3,\\xff"), (5, "bad_encoding", "4,\\xc3")]
    assert result.rejects[0].facts == {"encoding": "UTF-8"}


def test_windows_1252_is_read_with_a_warning(read: Read) -> None:
    result = read(b"id,name\n1,Zo\xe9 \x80\n2,\x81\n")
    assert result.good == ["1|Zoé €"]
    assert result.bad == [(3, "bad_encoding", "2,\\x81")]
    assert result.warnings == ["windows_1252"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("block_bytes", [1, 3, 1000])
def test_utf_16_is_read_by_its_mark(read: Read, encoding: str, block_bytes: int) -> None:
    result = read("\ufeffid,name\r\n1,Zoé 😀\r\n".encode(encoding), block_bytes=block_bytes)
    assert (result.good, result.encoding) == (["1|Zoé 😀"], encoding)


def test_more_invalid_bytes_than_are_kept_fail_their_rows_all_the_same(read: Read) -> None:
    found = read("id,name\n1,é-é\n2,é-é\n".encode() + b"4,\xff\n5," + b"\xff" * (1 << 20) + b"\n6,\xff\n7,fine\n")
    assert [(line, kind) for line, kind, _ in found.bad] == [(4, "bad_encoding"), (5, "too_large"), (6, "bad_encoding")]
    assert found.good == ["1|é-é", "2|é-é", "7|fine"]


def test_a_lone_surrogate_and_an_odd_byte_fail_their_rows(read: Read) -> None:
    result = read(
        b"\xff\xfe" + "id,name\n1,".encode("utf-16-le") + b"\x00\xd8" + "\n2,b\n3,c".encode("utf-16-le") + b"="
    )
    assert result.good == ["2|b"]
    assert result.bad == [(2, "bad_encoding", "1,\\xed\\xa0\\x80"), (4, "bad_encoding", "3,c\\x3d")]


def test_a_nul_costs_only_its_row(read: Read) -> None:
    result = read("id,name,town\n1,a\0,b" + PADDING)
    assert [(reject.row, reject.kind) for reject in result.rejects] == [(2, "control_character.row")]
    assert result.records == 41


def test_a_repeated_header_is_never_a_person(read: Read) -> None:
    assert read("id,name\n1,a\n id ,name\n2,b\n").bad == [(3, "repeated_header", " id ,name")]


def test_blank_rows_are_counted_whatever_their_width(read: Read) -> None:
    result = read('id,name\n1,a\n,\n\n ,\u00a0,"",\n" "\n2,b\n\n\n')
    assert (result.good, result.blank, result.records) == (["1|a", "2|b"], 4, 6)


def test_what_our_own_report_adds_does_not_fill_a_blank_row(read: Read) -> None:
    result = read("id,import_error,import_line\n,id is required,\n,,lost text\n")
    assert (result.good, result.blank) == (["||lost text"], 1)


def test_columns_without_a_name_at_the_end_must_be_empty(read: Read) -> None:
    result = read("id,name,,\n1,a,, \n2,b,,x\n")
    assert (result.header, result.good) == (("id", "name"), ["1|a"])
    assert result.rejects[0].facts == {"cells": 4, "expected": 2}


def test_a_separator_at_the_end_of_every_row_is_a_warning(read: Read) -> None:
    result = read("id,name\n1,a,\n2,b,\n")
    assert (result.good, result.warnings) == (["1|a", "2|b"], ["trailing_separator"])


def test_another_width_in_most_rows_is_one_finding_about_the_file(read: Read) -> None:
    assert refusal_code(read, "id,name\n" + "1,a,b\n" * 19 + "1,a\n") == "wrong_width"
    assert len(read("id,name\n" + "1,a,b\n" * 9).rejects) == 9


def test_a_missing_line_end_at_the_end_is_a_warning(read: Read) -> None:
    assert read("id,name\n1,a").warnings == ["may_be_cut"]


def test_a_line_longer_than_a_record_may_be_is_rejected_and_cut(read: Read) -> None:
    result = read("id,name\n1,a\n2," + "é" * 60_000 + "\n3,c\n", max_record_bytes=100_000, block_bytes=1000)
    assert result.good == ["1|a", "3|c"]
    assert result.bad == [(3, "too_large", "2," + "é" * 32_767)]


def test_a_cell_longer_than_allowed_rejects_its_row(read: Read) -> None:
    result = read('id,name\n1,"""ab"""\n2,abcde\n', max_cell_bytes=4)
    assert (result.good, [reject.kind for reject in result.rejects]) == (['1|"ab"'], ["too_large"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\xef\xbb\xbf\r\n", "empty_file"),
        (b"id,name\n", "no_records"),
        (b"id,name\n,\n\n", "no_records"),
        (b"PK\x03\x04", "not_text"),
        (b",".join([b"x"] * 257), "too_many_columns"),
        (b'id,"name\n', "bad_header"),
    ],
)
def test_a_file_of_no_use_is_refused(read: Read, data: bytes, code: str) -> None:
    assert refusal_code(read, data) == code


def test_a_file_over_the_limit_is_refused(read: Read) -> None:
    assert refusal_code(read, "id\n1\n", max_bytes=4) == "file_too_large"


def test_a_compressed_file_is_read_by_its_name(read: Read) -> None:
    data = gzip.compress(b"id,name\n1,a\n") + gzip.compress(b"2,b\n")
    assert read(data, name="Users.CSV.GZ").good == ["1|a", "2|b"]
    assert refusal_code(read, data) == "not_text"


def test_a_damaged_compressed_file_is_refused_before_any_row(read: Read) -> None:
    data = gzip.compress(b"\xef\xbb\xbfid,name\n1,a\n")
    assert refusal_code(read, data[:-1], name="u.csv.gz") == "broken_gzip"
    assert refusal_code(read, data[:-8] + b"\0" * 8, name="u.csv.gz") == "broken_gzip"


def test_expansion_is_bounded(read: Read) -> None:
    data = gzip.compress(b"id,name\n" + b"1,a\n" * 1000)
    assert refusal_code(read, data, name="u.csv.gz", max_expanded_bytes=4000) == "expansion_too_large"


def test_a_file_that_unpacks_as_no_roster_does_is_refused_and_read_uncompressed(read: Read) -> None:
    text = b"id,name\n" + b"1,a\n" * 500_000
    assert refusal_code(read, gzip.compress(text), name="u.csv.gz") == "expansion_too_great"
    assert len(read(text, name="u.csv").good) == 500_000
    roster = b"id,name\n" + b"".join(b"U%d,Trois-Rivi\xc3\xa8res\n" % number for number in range(60_000))
    assert len(read(gzip.compress(roster, 9), name="u.csv.gz").good) == 60_000


def test_little_may_unpack_from_anything(read: Read) -> None:
    text = b"id,name\n" + b"1,a\n" * 200_000
    assert len(text) > MOST_EXPANSION * len(gzip.compress(text))
    assert len(read(gzip.compress(text), name="u.csv.gz").good) == 200_000


def test_members_of_a_compressed_file_are_bounded_in_number_and_may_be_padded(read: Read) -> None:
    begin, nothing = gzip.compress(b"id,name\n1,a\n"), gzip.compress(b"")
    members = [nothing] * (MOST_MEMBERS - 2)
    assert read(b"".join([begin, *members, gzip.compress(b"2,b\n")]), name="u.csv.gz").good == ["1|a", "2|b"]
    assert refusal_code(read, b"".join([begin, nothing, *members, nothing]), name="u.csv.gz") == "too_many_members"
    assert read(begin + bytes(100_000) + gzip.compress(b"2,b\n") + bytes(7), name="u.csv.gz").good == ["1|a", "2|b"]
    assert refusal_code(read, begin + b"2,b\n", name="u.csv.gz") == "broken_gzip"


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 9)), min_size=1, max_size=4), st.integers(1, 400))
def test_a_compressed_files_content_comes_in_chunks_of_the_size_asked_for(
    members: list[tuple[bytes, int]], size: int
) -> None:
    data = b"".join(gzip.compress(content) + bytes(padding) for content, padding in members)
    chunks = [*ByteSource(io.BytesIO(data), name="u.gz", max_expanded_bytes=ONE_GIB).chunks(size)]
    assert b"".join(chunks) == gzip.decompress(data)
    assert all(len(chunk) == size for chunk in chunks[:-1])


def test_blocks_are_frames_of_text_with_internal_names(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    path.write_bytes(b"id,^.*$\n1,2\n")
    limits = Limits(max_bytes=ONE_GIB, max_expanded_bytes=ONE_GIB)
    with open_user_file(path, name="a*.csv", known_names=KNOWN, limits=limits) as file:
        block = next(file.blocks())
    assert isinstance(block, Block)
    assert dict(block.frame.schema) == {"row": pl.Int64(), "line": pl.Int64(), "c0": pl.String(), "c1": pl.String()}


def test_many_records_of_several_lines_are_read_like_few(read: Read) -> None:
    records = [f'{n},"a\n{n}",b\r\n' if n % 3 else f'{n},"say ""a""\n",b\r\n' for n in range(2000)]
    records[500], records[1000], records[1500] = '500,"a\n', '1,"a\nb"x,c\n', '1,"a\n\n1","b\n,"\n'
    whole = read("id,name,town\r\n" + "".join(records))
    apart = read("id,name,town\r\n" + "".join(records), block_bytes=2000)
    assert whole == apart
    assert (len(whole.rows), len(whole.rejects)) == (1998, 3)


@pytest.mark.parametrize("seed", range(40))
def test_the_size_of_the_blocks_makes_no_difference(read: Read, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    tokens = ['"', '""', ",", ",", "\n", "\n", "\r\n", "\r", "a", "é", "1,b\n", '"x"', " "]
    data = "id,name\n" + "".join(rng.choices(tokens, k=150)) + "\n9,end\n" * 3
    results = [read(data, block_bytes=size, max_record_bytes=60) for size in (1, 2, 5, 33, 10_000)]
    assert all(result == results[0] for result in results)


def test_rows_that_hold_nothing_but_their_old_number_decide_no_width(read: Read) -> None:
    said = "id,import_row\n" + ",5\n" * 20 + "1,,\n" * 11
    assert read(said).warnings == ["trailing_separator"]

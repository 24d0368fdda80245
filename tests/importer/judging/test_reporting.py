"""The failed-users CSV: what the sender sees, corrects, and drops again."""

import csv
import gzip
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from importer.judging.brevity import most_of_compressed, room_on_disk
from importer.judging.judge import HIDDEN_LINE
from importer.judging.reporting import write_report
from importer.model import FileRefused
from importer.reading.guarding import unguarded_text
from importer.words.reasons import BRIEF_SENTENCES
from tests.importing import PEOPLE, accepted, examined, messages, report_bytes, report_rows

TEXTS = st.text(st.sampled_from("ab\" ,;\t\r\n|'=é\u2028"), max_size=6)


def test_a_report_has_the_senders_columns_and_cells_and_then_ours() -> None:
    text = 'City,shoe,"e-mail ",UID\r\n Ottawa,"7, ""wide""",x,U1\r\nHull,8,a@b.ca,U2\r\nHull,,y,\r\n'
    assert (
        report_bytes(text)
        == (
            "\ufeffCity,shoe,e-mail,UID,import_error,import_row,import_file,import_line\r\n"
            ' Ottawa,"7, ""wide""",x,U1,e-mail \'x\' is not a valid address,2,people.csv,\r\n'
            "Hull,,y,,UID is required; e-mail 'y' is not a valid address,4,people.csv,\r\n"
        ).encode()
    )


def test_several_reasons_are_told_in_column_order() -> None:
    (row,) = report_rows(report_bytes("email,uid,city\nx,,xxxxxxxxxxx\n"))[1:]
    assert row[3] == (
        "uid is required; email 'x' is not a valid address; city is 11 characters long; at most 10 are allowed"
    )


@pytest.mark.parametrize(("separator", "written"), [(",", ","), (";", ";"), ("\t", ","), ("|", ",")])
def test_a_semicolon_is_kept_so_that_excel_opens_the_report_as_it_opened_the_file(separator: str, written: str) -> None:
    report = report_bytes(f"uid{separator}city\n{separator}a\n")
    assert report_rows(report, written) == [
        ["uid", "city", "import_error", "import_row", "import_file", "import_line"],
        ["", "a", "uid is required", "2", "people.csv", ""],
    ]


def test_a_report_is_utf_8_with_a_mark_whatever_the_file_was() -> None:
    text = "uid,city\n,Québec\nU1,Trois-Rivières\n"
    for data in (text.encode(), text.encode("utf-8-sig"), text.encode("cp1252"), text.encode("utf-16")):
        report = report_bytes(data)
        assert report.startswith(b"\xef\xbb\xbf")
        assert report_rows(report)[1][1] == "Québec"


def test_the_files_name_is_shown_safely() -> None:
    report = report_bytes("uid,city\n,a\n", name="caf\udce9\n.csv")
    assert report_rows(report)[1][4] == r"caf\xe9\n.csv"


def test_our_columns_are_replaced_not_repeated() -> None:
    report = report_bytes("uid,import_error,import_row,import_file,import_line,city\n,old,7,old.csv,text,a\n")
    assert report_rows(report) == [
        ["uid", "city", "import_error", "import_row", "import_file", "import_line"],
        ["", "a", "uid is required", "2", "people.csv", "text"],
    ]


def test_a_row_that_cannot_be_split_is_given_as_text() -> None:
    rows = report_rows(report_bytes('uid,city\nU1,"Otta"wa\nU2,\udcff\nU3\nU4,a,b\n' + "U5,é\n" * 3))
    assert [(row[:2], row[5]) for row in rows[1:5]] == [
        (["", ""], 'U1,"Otta"wa'),
        (["", ""], r"U2,\xff"),
        (["", ""], "U3"),
        (["", ""], "U4,a,b"),
    ]


@pytest.mark.parametrize("name", ["Password", "user_password", "passwd", "PWD", "mot de passe", "Contraseña"])
def test_passwords_are_in_no_part_of_a_report(name: str) -> None:
    report = report_bytes(f'uid,{name},city\n,hunter2,a\nU1,hunter2\nU2,"hunter2"x,b\nU3,hunter2,xxxxxxxxxxx\n')
    assert b"hunter2" not in report
    rows = report_rows(report)
    assert rows[0] == ["uid", "city", "import_error", "import_row", "import_file", "import_line"]
    assert [row[5] for row in rows[1:]] == ["", HIDDEN_LINE, HIDDEN_LINE, ""]


def test_passwords_are_not_in_sentences_either() -> None:
    with examined("uid,password\n,hunter2\n") as examination:
        assert messages(examination) == {2: ["uid is required"]}


def test_a_row_that_fails_late_is_reported_in_its_place() -> None:
    rows = report_rows(report_bytes("uid,email\nU1,x\nU2,a@b.ca\nU3,A@b.ca\n,b@b.ca\n"))
    assert [(row[0], row[3]) for row in rows[1:]] == [("U1", "2"), ("U3", "4"), ("", "5")]


def test_a_corrected_report_is_accepted_whole() -> None:
    report = report_rows(
        report_bytes('uid,email,city,shoe\nU1,ana@,"a\nb",7\nU1,b@b.ca,,\nU2,c@b.ca,xxxxxxxxxxx,\nU3,d@b.ca\n')
    )
    names = report[0]
    corrections: list[dict[str, str]] = [
        {"email": "ana@b.ca"},
        {"city": "Hull"},
        {"uid": "U3", "email": "d@b.ca", "import_line": ""},
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row, corrected in zip(report[1:], corrections, strict=True):
        writer.writerow(dict(zip(names, row, strict=True)) | corrected)
    with examined(text.getvalue().encode("utf-8-sig")) as examination:
        assert messages(examination) == {}
        assert accepted(examination) == {
            2: {"uid": "U1", "email": "ana@b.ca", "email_key": "ana@b.ca", "city": "a\nb"},
            3: {"uid": "U2", "email": "c@b.ca", "email_key": "c@b.ca", "city": "Hull"},
            4: {"uid": "U3", "email": "d@b.ca", "email_key": "d@b.ca", "city": None},
        }


def test_an_uncorrected_report_fails_again_row_for_row() -> None:
    first = report_bytes('uid,email\nU1,x\nU2\n"U3"y,z@b.ca\n,a@b.ca\n', name="first.csv")
    second = report_bytes(first, name="second.csv")
    kept = [(row[0], row[1], row[5]) for row in report_rows(first)[1:]]
    assert kept == [(row[0], row[1], row[5]) for row in report_rows(second)[1:]]
    assert [row[2] for row in report_rows(second)[1:]] == [
        "email 'x' is not a valid address",
        "uid is required",
        "uid is required",
        "uid is required",
    ]


def test_many_blocks_make_the_same_report() -> None:
    text = "uid,email,city\n" + "".join(f"U{n % 30},u{n}@b.ca,{'x' * (n % 12)}\n" for n in range(60))
    assert {report_bytes(text, block_bytes=size) for size in (1, 17, 300, 1 << 20)} == {report_bytes(text)}


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), separator=st.sampled_from(",;"))
def test_any_cell_survives_the_way_into_the_report_and_back(rows: list[tuple[str, str]], separator: str) -> None:
    # A line within a cell that is a record by itself is read as one: two stray quotes look the same.
    assume(not any(separator in cell and {"\r", "\n"} & {*cell} for row in rows for cell in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["uid", "shoe", "city"])
    writer.writerows([("", shoe, f"{city}xxxxxxxxxxx") for shoe, city in rows])
    report = report_bytes(text.getvalue(), PEOPLE)
    again = report_rows(report, separator)
    found = [tuple(map(unguarded_text, row[1:3])) for row in again[1:]]
    assert found == [(shoe, f"{city}xxxxxxxxxxx") for shoe, city in rows]
    assert report_rows(report_bytes(report), separator)[1:] == again[1:]


def _all_fail(*rows: str, header: str = "uid,email,city,level", size: int = 2 << 20) -> bytes:
    """A file of that size whose rows are those again and again."""
    body = "".join(f"{row}\n" for row in rows).encode("utf-8", "surrogateescape")
    return f"{header}\n".encode() + body * (size // len(body))


BOMBS = {
    "one key again and again": _all_fail("a", header="uid"),
    "a key that is a formula": _all_fail("=", header="uid"),
    "no key": _all_fail(",a", header="uid,city"),
    "every column at fault": _all_fail(",x,xxxxxxxxxxx,x"),
    "a long name of a column": _all_fail(",x", header=f"uid,e{'_' * 60_000}mail"),
    "too few cells": _all_fail("a", *["U,,"] * 4, header="uid,city,level"),
    "cells with quotes": _all_fail(',"""",x', header="uid,city,email"),
    "bytes that are no text": _all_fail("\udcff", *["é"] * 4, header="uid"),
    "controls behind text": _all_fail("abcdefg\x01", header="uid\n" + "a\n" * 40_000 + "b"),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_file_whose_rows_all_fail_makes_a_whole_report_of_a_bounded_size(text: bytes) -> None:
    with examined(text) as examination, TemporaryDirectory() as directory:
        path = Path(directory) / "report.csv"
        remarks = write_report(examination, path)
        failed = examination.counts.failed
        assert failed > 10_000
        assert path.stat().st_size < room_on_disk(len(text)) * 0.7, "beside it lie the file, its copy and the spools"
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row[-4:-1] for row in csv.reader(file, strict=True)][1:]
    assert len(rows) == failed
    is_brief = any("from here on" in row[0] for row in rows)
    assert [remark.code for remark in remarks] == ["report_brief"] * is_brief, "it is not cut"
    assert rows[0][0] not in {"", "…"}
    assert len({row[1] for row in rows}) == failed, "each has its number"


def test_a_report_that_grows_too_long_gives_codes_then_nothing_and_says_so_once() -> None:
    report = report_bytes(_all_fail("a", header="uid"))
    errors = [row[1] for row in report_rows(report)[1:]]
    sentence, codes = "uid 'a' is already used in row 2", "duplicate_in_file uid"
    first, then = (
        errors.index(f"{codes} ({BRIEF_SENTENCES['codes']})"),
        errors.index(f"… ({BRIEF_SENTENCES['nothing']})"),
    )
    assert {*errors[:first]} == {sentence}
    assert {*errors[first + 1 : then]} == {codes}
    assert {*errors[then + 1 :]} == {"…"}
    assert first > 20_000


def test_a_report_of_a_real_roster_has_every_reason_in_full() -> None:
    row = "U{0:07},ana{0}@example.org,Trois-Rivières-Ouest,x\n"
    report = report_bytes("uid,email,city,level\n" + "".join(row.format(number) for number in range(30_000)))
    assert {len(row[4]) > 80 for row in report_rows(report)[1:]} == {True}


def test_a_brief_report_can_be_dropped_again() -> None:
    report = report_bytes(_all_fail(",a", header="uid,city"))
    with examined(report.replace(b"\r\n,a,", b"\r\nU1,a,", 1)) as again:
        assert again.counts.accepted == 1
        assert again.counts.failed == again.counts.records - 1


def test_the_mail_says_where_a_report_begins_to_be_brief() -> None:
    with examined(_all_fail(",a", header="uid,city")) as examination, TemporaryDirectory() as directory:
        path = Path(directory) / "report.csv"
        (remark,) = write_report(examination, path)
        first = next(row for row in report_rows(path.read_bytes()) if "from here on" in row[2])
    assert (remark.code, remark.facts["row"]) == ("report_brief", first[3])


def test_the_report_of_a_compressed_file_is_cut_and_says_what_is_missing() -> None:
    filler = "".join(f"{number * 7919 % 10_007:05}" for number in range(20))
    text = "uid,shoe,email\n" + "".join(
        f",{filler[n % 90 :]}{filler}{n},{'x' * (n % 3 == 0)}\n" for n in range(150_000)
    )
    packed = gzip.compress(text.encode(), 9)
    with examined(packed, name="people.csv.gz") as examination, TemporaryDirectory() as directory:
        path = Path(directory) / "report.csv"
        remarks = write_report(examination, path)
        assert path.stat().st_size <= most_of_compressed(len(packed)) + 1_000
        report = path.read_bytes()
    *rows, last = report_rows(report)[1:]
    more = 150_000 - len(rows)
    assert 0 < more < 150_000
    assert [(remark.code, remark.facts["more"]) for remark in remarks] == [("report_cut", f"{more:,}")]
    assert last[:3] == ["", "", ""]
    assert last[3].startswith(f"{more:,} more rows failed, ")
    assert f"required uid: {more:,}; invalid email: " in last[3]
    with examined(report) as again:
        assert (again.counts.failed, again.counts.blank) == (len(rows), 1)


def test_a_file_of_lines_that_are_no_rows_is_refused_as_one() -> None:
    wide = ",".join(["uid", *(f"c{number}" for number in range(250))])
    text = _all_fail(*["U" + "," * 250] * 2, *["a"] * 60, header=wide)
    short = f"{wide}\n".encode() + (b"U" + b"," * 250 + b"\n") * 5_000 + b"a\n" * 40_000
    for each in (text, short):
        with pytest.raises(FileRefused) as refused, examined(each):
            pass
        assert refused.value.refusal.code in {"too_many_unreadable", "wrong_width"}

"""A whole file: duplicates, late failures, counts, and the second reading that finds their cells again."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.judging.judge import HIDDEN_LINE
from importer.judging.judged import Judged
from importer.judging.uniqueness import Late
from importer.model import Counts, FileRefused
from tests.importing import PEOPLE, accepted, examined, messages

HEADER = "uid,email,user_name,city,level\n"


def late(*rows: int, column: str = "email") -> Late:
    return Late(kind="duplicate_user", column=column, rows=pl.DataFrame({"row": rows}), example="first@b.ca")


def cells(examination: Judged) -> dict[int, dict[str, str | None]]:
    rows = (row for frame, _ in examination.failed() for row in frame.iter_rows(named=True))
    return {row.pop("row"): row for row in rows}


def test_every_record_is_accepted_failed_or_blank() -> None:
    with examined(f"{HEADER}U1,,,,\n,,,,\n\nU2,x,,,\nU3\nU1,,,,\n") as examination:
        assert examination.counts == Counts(records=6, accepted=1, failed=3, blank=2)
        assert list(messages(examination)) == [5, 6, 7]


def test_a_repeated_value_fails_every_later_row_and_names_the_first() -> None:
    text = f"{HEADER}U1,a@b.ca,ana,,\nU1,c@b.ca,bo,,\nU2,A@B.CA,cy,,\nU1,d@b.ca,ana,,\nU4,e@b.ca,Ana,,\n"
    with examined(text) as examination:
        assert messages(examination) == {
            3: ["uid 'U1' is already used in row 2"],
            4: ["email 'A@B.CA' is already used in row 2"],
            5: ["uid 'U1' is already used in row 2", "user_name 'ana' is already used in row 2"],
        }
        assert list(accepted(examination)) == [2, 6]


def test_a_row_that_failed_otherwise_holds_no_values() -> None:
    with examined(f"{HEADER}U1,a@b.ca,,xxxxxxxxxxxxx,\nU1,a@b.ca,,,\n") as examination:
        assert list(messages(examination)) == [2]
        assert list(accepted(examination)) == [3]


def test_a_row_that_failed_by_uniqueness_alone_holds_its_other_values() -> None:
    with examined(f"{HEADER}U1,,,,\nU1,a@b.ca,,,\nU2,a@b.ca,,,\n") as examination:
        assert messages(examination) == {
            3: ["uid 'U1' is already used in row 2"],
            4: ["email 'a@b.ca' is already used in row 3"],
        }


def test_empty_and_cleared_cells_are_nobodys() -> None:
    with examined(f"{HEADER}U1,,,,\nU2,,,,\nU3,<clear>,<clear>,,\nU4,<clear>,<clear>,,\n") as examination:
        assert examination.counts.accepted == 4


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 1 << 20])
def test_the_second_reading_finds_the_cells_of_late_failures_in_any_block(block_bytes: int) -> None:
    rows = [f'U{number}, u{number % 7}@b.ca ,"n\n{number}",{"x" * (number % 13)},' for number in range(40)]
    with examined(HEADER + "\n".join(rows), block_bytes=block_bytes) as examination:
        examination.fail([late(3)])
        found = cells(examination)
        told = messages(examination)
        assert examination.counts.records == 40
        assert list(found) == sorted(found) == list(told)
        assert told[3] == ["email 'u1@b.ca' is already used by another user"]
        assert told[9] == ["email 'u0@b.ca' is already used in row 2"]
        assert told[14] == ["city is 12 characters long; at most 10 are allowed"]
        for row, found_cells in found.items():
            number = row - 2
            assert found_cells == {
                "line": 2 * row - 2,
                "c0": f"U{number}",
                "c1": f" u{number % 7}@b.ca ",
                "c2": f"n\n{number}",
                "c3": "x" * (number % 13),
                "c4": "",
                "import_line": None,
            }


@pytest.mark.parametrize(("rows_at_once", "blocks_at_once"), [(1, 99), (5, 99), (99, 1), (99, 3), (99, 99)])
def test_it_changes_nothing_how_many_rows_wait_for_their_reasons(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int, blocks_at_once: int
) -> None:
    monkeypatch.setattr("importer.judging.examining._TOLD_ROWS", rows_at_once)
    monkeypatch.setattr("importer.judging.examining._TOLD_BLOCKS", blocks_at_once)
    rows = [f"U{number},u{number % 9}@b.ca,,{'x' * (number % 13)},{'02'[number != 12]}" for number in range(40)]
    rows[3::10] = ["broken"] * 4
    with examined(HEADER + "\n".join(rows), block_bytes=60) as examination:
        examination.fail([late(2, 8, 12)])
        told = messages(examination)
        reasons = {row.code: row.count for row in examination.reason_counts()}
        assert list(cells(examination)) == sorted(told) == list(told)
        assert examination.counts.failed == len(told)
    assert told[5] == ["the row has 1 of the header's 5 cells; a separator is missing"]
    assert told[8] == ["email 'u6@b.ca' is already used by another user"]
    assert told[14] == [
        "city is 12 characters long; at most 10 are allowed",
        "level '0' is not allowed; use 1, 2",
    ]
    expected = {"duplicate_in_file": 21, "too_long": 6, "too_few_cells": 4, "duplicate_user": 3, "invalid": 1}
    assert reasons == expected


def test_late_failures_leave_the_accepted_rows() -> None:
    with examined(f"{HEADER}U1,,,,\nU2, first@B.ca ,,,\nU3,c@b.ca,,,\n") as examination:
        examination.fail([late(3)])
        examination.fail([late(4)])
        assert list(accepted(examination)) == [2]
        assert examination.counts == Counts(records=3, accepted=1, failed=2)
        assert messages(examination) == {
            3: ["email 'first@B.ca' is already used by another user"],
            4: ["email 'c@b.ca' is already used by another user"],
        }


def test_two_late_failures_of_a_row_are_one_failed_row() -> None:
    with examined(f"{HEADER}U1,,,,\nU2,,,,\n") as examination:
        examination.fail([late(3, column="user_name"), late(3)])
        assert examination.counts == Counts(records=2, accepted=1, failed=1)


def test_late_and_early_failures_of_a_block_are_told_in_the_order_of_rows() -> None:
    rows = "".join("U1\n" if number % 3 == 0 else f"U{number // 9000},,,{'x' * 11},\n" for number in range(3))
    rows += "".join(f"U{number % 9_000},,,,\n" for number in range(20_000)) + "U1\n"
    with examined(HEADER + rows) as examination:
        told = messages(examination)
        assert [*told] == [2, 3, 4, *range(9_005, 20_006)]
        assert told[9_005] == ["uid 'U0' is already used in row 5"]
        assert told[20_004] == ["uid 'U1999' is already used in row 2004"]
        assert [*cells(examination)] == [*told]


def test_reasons_are_counted_the_most_frequent_first_with_their_first_row() -> None:
    with examined(f"{HEADER}U1,x,,,\nU2,a@b.ca,,,\nU2,y,,,\nU3,z,,,\nU4,A@b.ca,,,\nU5\n") as examination:
        assert [(each.code, each.column, each.count, each.example_row) for each in examination.reason_counts()] == [
            ("invalid", "email", 3, 2),
            ("duplicate_in_file", "email", 1, 6),
            ("too_few_cells", None, 1, 7),
        ]
        assert examination.reason_counts()[0].example == "email 'x' is not a valid address"


def test_reason_counts_add_up_over_blocks() -> None:
    with examined(HEADER + "U1,x,,,\n" * 50, block_bytes=20) as examination:
        (only,) = examination.reason_counts()
        assert (only.count, only.example_row) == (50, 2)


def test_a_row_that_cannot_be_split_keeps_its_text() -> None:
    others = "U3,,,é,\n" * 3
    with examined(f"{HEADER}U1,a@b.ca\nU2,\udcff,,,\n{others}") as examination:
        found = cells(examination)
        assert found[2]["import_line"] == "U1,a@b.ca"
        assert found[3]["import_line"] == r"U2,\xff,,,"
        assert found[2]["c0"] is None


@pytest.mark.parametrize("name", ["password", "passwd", "Initial Pwd", "Mot-de-passe"])
def test_a_row_that_cannot_be_split_is_hidden_where_there_is_a_password_column(name: str) -> None:
    with examined(f"uid,{name}\nU1,hunter2,x\nU2,hunter2\n") as examination:
        found = cells(examination)
        assert found[2] == {"line": 2, "c0": None, "import_line": HIDDEN_LINE}
        assert examination.counts.accepted == 1


def test_an_earlier_reports_text_of_a_row_stays_until_the_row_is_corrected() -> None:
    with examined('uid,import_line\n,"U1,a@b.ca"\nU2,\n') as examination:
        assert messages(examination) == {2: ["uid is required"]}
        assert cells(examination)[2]["import_line"] == "U1,a@b.ca"
        assert list(accepted(examination)) == [3]


def test_warnings_come_from_the_reading_the_header_and_the_rules() -> None:
    with examined("uid,shoe,password\nU1,\udce9,\n") as examination:
        assert [warning.code for warning in examination.warnings] == [
            "windows_1252",
            "unknown_column",
            "password_column",
        ]


def test_a_header_that_means_nothing_refuses_the_file() -> None:
    with pytest.raises(FileRefused) as caught, examined("a,b\nU1,x\n"):
        pass
    assert caught.value.refusal.code == "no_known_column"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from(["", "a@b.ca", "A@b.ca", "c@b.ca", "x"])), min_size=1
    ),
    block_bytes=st.integers(1, 60),
)
def test_duplicates_are_what_a_simple_loop_finds(rows: list[tuple[str, str]], block_bytes: int) -> None:
    held: dict[tuple[str, str], int] = {}
    expected: dict[int, list[str]] = {}
    for number, (uid, email) in enumerate(rows, 2):
        if email == "x":
            expected[number] = ["email 'x' is not a valid address"]
            continue
        for name, value, compared in (("uid", uid, uid), ("email", email, email.lower())):
            if value and (name, compared) in held:
                first = held[name, compared]
                expected.setdefault(number, []).append(f"{name} '{value}' is already used in row {first}")
            held.setdefault((name, compared), number)
    text = "uid,email\n" + "".join(f"{uid},{email}\n" for uid, email in rows)
    with examined(text, PEOPLE, block_bytes=block_bytes) as examination:
        assert messages(examination) == expected


def test_nothing_is_left_open_when_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused), examined("uid,uid\nU1,U1\n"):
        pass
    assert list(tmp_path.iterdir()) == []

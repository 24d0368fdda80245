"""K1: a doubt is told. What may have been taken otherwise than it was meant is mailed until it is known."""

from pathlib import Path

import pytest

from importer.model import Remarks, Telling
from tests.importer.cases import Dropped, drop, drop_case
from tests.importing import BUILT_IN, make_site

HEADER = "unique_id,login_source,first_name,email"
GOOD = f"{HEADER}\nU1,OPSCOM,Ana,ana@example.org\n".encode()
ODD = f"{HEADER},Shoe\nU1,OPSCOM,Ana,ana@example.org,39\n".encode()
ODDER = f"{HEADER},Shoe,Hat\nU1,OPSCOM,Ana,ana@example.org,39,L\n".encode()
MAIL = ("imported", "client")


def mails(nights: list[Dropped]) -> list[int]:
    """How many notices to the client there are after each night."""
    return [len([notice for notice in night.notices if notice == MAIL]) for night in nights]


def columns(night: Dropped, code: str) -> str:
    """The sentences of a file's remarks with a code."""
    return " ".join(message for found, message in night.remarks if found == code)


def test_renamed_columns_are_told_as_gone_and_as_ignored(tmp_path: Path) -> None:
    first, second = drop_case(tmp_path, 1)
    assert (first.notices, second.notices) == ([], [MAIL])
    assert "the column last_name, which your files had before, is no longer there" in columns(second, "column_gone")
    assert "'nom'" in columns(second, "unknown_column")


def test_another_encoding_than_the_file_before_is_told(tmp_path: Path) -> None:
    first, second = drop_case(tmp_path, 2)
    assert first.notices == []
    assert second.notices == [MAIL]
    assert (second.counts, [*second.errors]) == ((2, 0, 2, 0), [2, 3])


def test_a_column_without_a_name_is_told_with_its_place(tmp_path: Path) -> None:
    (night,) = drop_case(tmp_path, 4)
    assert night.notices == [MAIL]
    assert "column 2 has no name; its values were ignored" in columns(night, "unknown_column")


def test_ten_nights_with_the_same_remark_are_one_mail_until_something_changes(tmp_path: Path) -> None:
    nights = drop(tmp_path, *[GOOD, *[ODD] * 10, ODDER, ODDER, ODD, GOOD, ODD])
    assert mails(nights) == [0, *[1] * 10, 2, 2, 2, 2, 3]


def test_a_file_whose_columns_are_back_is_no_mail(tmp_path: Path) -> None:
    shorter = b"unique_id,login_source\nU1,OPSCOM\n"
    nights = drop(tmp_path, GOOD, shorter, shorter, GOOD, shorter)
    assert mails(nights) == [0, 1, 1, 1, 2]
    assert [night.codes for night in nights] == [[], ["column_gone"] * 2, [], [], ["column_gone"] * 2]


@pytest.mark.parametrize(("which", "told"), [(Remarks.NEW, 1), (Remarks.ALWAYS, 3), (Remarks.NEVER, 0)])
def test_a_site_says_which_remarks_are_mailed(tmp_path: Path, which: Remarks, told: int) -> None:
    site = make_site(tmp_path, BUILT_IN)
    for night in range(3):
        site.drop("users.csv", ODD)
        site.take("users.csv", tokens=f"n{night}.", telling=Telling(remarks=which))
    assert site.notices() == [MAIL] * told
    assert [[each["code"] for each in entry["warnings"]] for entry in site.ledger()] == [["unknown_column"]] * 3


def test_files_of_two_kinds_that_take_turns_are_each_told_of_once(tmp_path: Path, database_url: str) -> None:
    site = make_site(tmp_path, BUILT_IN, url=database_url)
    for night in range(1, 6):
        names = [f"students-2026-11-{night:02}.csv", f"staff-2026-11-{night:02}.csv"]
        site.drop(names[0], ODD)
        site.drop(names[1], b"unique_id,login_source,employ_no\nS1,OPSCOM,7\n")
        site.take(*names, tokens=f"n{night}.")
    assert site.notices() == [MAIL] * 2
    assert {entry["columns"] is None for entry in site.ledger()} == {False}
    site.engine.dispose()


def test_files_of_one_group_are_compared_with_each_other(tmp_path: Path) -> None:
    site = make_site(tmp_path, BUILT_IN)
    for number in range(4):
        site.drop(f"users-{number}.csv", ODD)
    site.take(*(f"users-{number}.csv" for number in range(4)))
    assert site.notices() == [MAIL]


def test_a_ledger_of_an_earlier_version_misses_no_column_and_remembers_its_remarks(tmp_path: Path) -> None:
    site = make_site(tmp_path, BUILT_IN)
    site.drop("users.csv", ODD)
    site.take("users.csv", telling=Telling(remarks=Remarks.NEVER))
    with site.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE imports SET columns = NULL")
    site.drop("users.csv", b"unique_id,login_source,Shoe\nU1,OPSCOM,39\n")
    site.take("users.csv", tokens="later.")
    assert site.notices() == []

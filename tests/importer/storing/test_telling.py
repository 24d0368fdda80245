"""Who is told of an import: a doubt is told, when it is new, and nothing else is."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.database.past import FormerFile, like
from importer.model import Counts, Remark, Remarks
from importer.storing.telling import gone, is_told
from importer.words.reasons import warning

GOOD = Counts(records=2, accepted=2)
BAD = Counts(records=2, accepted=1, failed=1)
PASSWORD = warning("password_column", column="pass")
CUT = warning("may_be_cut")
COLUMNS = ("unique_id", "email", "city", "street", "province", "phone_cell")

pairs = st.tuples(st.sampled_from(["may_be_cut", "unknown_column", "windows_1252"]), st.sampled_from([None, "a", "b"]))
sets_of_pairs = st.frozensets(pairs, max_size=4)


def former(
    *, file: str = "users.csv", columns: Collection[str] | None = COLUMNS, remarks: Collection[Remark] = ()
) -> FormerFile:
    return FormerFile(
        file=file,
        columns=None if columns is None else frozenset(columns),
        counts=GOOD,
        remarks=frozenset((remark.code, remark.column) for remark in remarks),
    )


def remarks_of(pairs: Collection[tuple[str, str | None]]) -> list[Remark]:
    return [Remark(code=code, column=column, message="") for code, column in pairs]


@pytest.mark.parametrize("which", Remarks)
def test_a_row_that_failed_is_always_told_and_a_file_without_remarks_never(which: Remarks) -> None:
    assert is_told(BAD, [], former(), which)
    assert not is_told(GOOD, [], former(), which)
    assert not is_told(GOOD, [], None, which)


@given(now=sets_of_pairs, before=sets_of_pairs)
def test_remarks_are_told_where_one_is_new_in_its_column(
    now: frozenset[tuple[str, str | None]], before: frozenset[tuple[str, str | None]]
) -> None:
    file = former(remarks=remarks_of(before))
    assert is_told(GOOD, remarks_of(now), file, Remarks.NEW) == bool(now - before)
    assert is_told(GOOD, remarks_of(now), None, Remarks.NEW) == bool(now)
    assert is_told(GOOD, remarks_of(now), file, Remarks.ALWAYS) == bool(now)
    assert not is_told(GOOD, remarks_of(now), file, Remarks.NEVER)


def test_what_no_sender_can_change_makes_no_mail_of_its_own() -> None:
    others = [warning("unchecked_lookup", column="user_type_id", noun="user type"), warning("end_not_seen")]
    assert not is_told(GOOD, others, None, Remarks.ALWAYS)
    assert is_told(GOOD, [*others, CUT], None, Remarks.NEW)


def test_a_column_that_the_file_before_had_is_missed_once() -> None:
    assert [*gone(COLUMNS, None)] == [*gone((), former(columns=None))] == [*gone(COLUMNS, former())] == []
    (remark,) = gone(COLUMNS[:5], former())
    assert (remark.code, remark.column) == ("column_gone", "phone_cell")
    assert "the column phone_cell, which your files had before, is no longer there" in remark.message


def test_a_file_is_compared_with_the_last_one_of_its_name_whatever_date_that_has() -> None:
    night = former(file="students-2026-11-30.csv")
    other = former(file="staff-2026-12-01.csv", columns=COLUMNS[:2])
    assert like([other, night], "students-2026-12-01.csv", COLUMNS[:2]) is night
    newer = former(file="students-7.csv")
    assert like([other, newer, former(file="students--8-.csv")], "students-9.csv", COLUMNS) is newer


def test_a_file_of_a_new_name_is_compared_with_the_one_that_is_most_like_it() -> None:
    whole, part = former(file="export-a.csv"), former(file="fix.csv", columns=COLUMNS[:2])
    unknown = former(file="old.csv", columns=None)
    assert like([unknown, part, whole], "export-b.csv", COLUMNS[:5]) is whole
    assert like([unknown, part, whole], "correction.csv", COLUMNS[:2]) is part
    assert like([], "export-b.csv", COLUMNS) is None
    assert like([unknown], "export-b.csv", COLUMNS) is unknown


def test_of_files_that_are_as_alike_the_newest_counts() -> None:
    new, old = former(file="b.csv"), former(file="a.csv")
    assert like([new, old], "c.csv", COLUMNS) is new

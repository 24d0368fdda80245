"""The loop of report, correction and drop: what a report's helper columns say is kept, and nobody is replaced."""

import csv
import datetime as dt
import io
from collections.abc import Sequence
from pathlib import Path

from tests.importer.cases import BUILT_IN, drop, drop_case
from tests.importing import NOW, make_site


def test_lost_zeros_are_named_with_the_user_who_has_the_value(tmp_path: Path) -> None:
    _, night = drop_case(tmp_path, 22)
    assert night.counts == (2, 0, 2, 0)
    assert night.errors[2] == (
        "email 'ana@example.org' is already used by another user: unique_id '00123'; this row's '123' seems to have"
        " lost its leading zeros, so make the column text before you type them again"
    )
    assert sorted(night.users) == ["00123", "00124"]


def test_rows_that_wait_for_a_row_that_failed_name_it(tmp_path: Path) -> None:
    _, night = drop_case(tmp_path, 24)
    assert night.counts == (3, 0, 3, 0)
    assert night.errors[2] == (
        "user_name 'a' is still used by unique_id '3', whose row 4 was not imported either; correct row 3 first;"
        " email 'a@example.org' is still used by unique_id '2', whose row 3 was not imported either; correct row 3"
        " first"
    )
    assert night.errors[4] == (
        "user_name 'c' is still used by unique_id '2', whose row 3 was not imported either; correct row 3 first"
    )


def test_a_value_of_another_user_names_that_user_by_the_key(tmp_path: Path) -> None:
    header = b"unique_id,login_source,email\n"
    _, night = drop(tmp_path, header + b"U1,OPSCOM,a@example.org\n", header + b"U2,OPSCOM,A@example.org\n")
    assert night.errors == {2: "email 'A@example.org' is already used by another user: unique_id 'U1'"}


def test_a_row_that_repeats_an_earlier_one_in_every_cell_is_blank_and_fails_nobody(tmp_path: Path) -> None:
    (night,) = drop_case(tmp_path, 21)
    assert night.counts == (3, 2, 0, 1)
    assert night.remarks == [("repeated_row", "row 4 repeats row 2 in every cell; it was left out")]
    assert night.report == []
    assert night.notices == [("imported", "client")], "its remarks are told"


def test_rows_that_repeat_others_are_counted_and_those_that_differ_in_a_cell_fail(tmp_path: Path) -> None:
    rows = (b"U1,OPSCOM,a@example.org,x", b"U1,OPSCOM,a@example.org ,x", b"U1,OPSCOM,a@example.org,y")
    (night,) = drop(tmp_path, b"\n".join((b"unique_id,login_source,email,course", *rows, *rows, b"")))
    assert night.counts == (6, 1, 1, 4)
    assert [message for code, message in night.remarks if code == "repeated_row"] == [
        "4 rows repeat earlier ones in every cell and were left out, the first of them row 3, which repeats row 2"
    ]
    assert night.errors == {
        4: "unique_id 'U1' is already used in row 2; email 'a@example.org' is already used in row 2"
    }


def test_an_unsplit_line_that_was_corrected_is_read_and_one_that_was_not_keeps_its_reason(tmp_path: Path) -> None:
    _, night = drop_case(tmp_path, 16)
    assert night.counts == (2, 1, 1, 0)
    assert (night.users["1"]["last_name"], night.users["1"]["email"]) == ("Lee, Jr", "a@example.org")
    assert night.errors == {3: "the row has 3 of the header's 5 cells; a separator is missing"}
    assert night.report[1][:5] == [""] * 5
    assert night.report[1][8] == "2,OPSCOM,Bo"


def test_who_lost_a_duplicate_replaces_nobody_when_the_report_of_an_older_version_comes_back(tmp_path: Path) -> None:
    _, night = drop_case(tmp_path, 17)
    assert night.counts == (2, 1, 1, 0)
    assert night.users["U1"]["first_name"] == "Ana"
    assert night.errors == {
        3: "the row lost its place to another one, and was not changed since it was reported: unique_id 'U1' is already"
        " used in row 2; correct it, or empty its import_error and import_id if this is the right row"
    }


HEADER = ("unique_id", "login_source", "first_name", "email")
ANA, BO, CY = "U1,OPSCOM,Ana,ana@example.org", "U1,OPSCOM,Bo,bo@example.org", "U2,OPSCOM,Cy,cy@"


def _csv(*rows: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _report(place: Path, *rows: str) -> list[list[str]]:
    """The report of a first file of these rows, which is dropped again in one of the tests below."""
    place.mkdir()
    (night,) = drop(place, "\n".join((",".join(HEADER), *rows, "")).encode())
    return night.report


def test_import_id_knows_a_row_that_lost_and_was_not_changed_whatever_else_was_removed(tmp_path: Path) -> None:
    report = _report(tmp_path / "before", ANA, CY, BO)
    at = [report[0].index(name) for name in ("email", "first_name", "unique_id", "login_source", "import_id")]
    kept = _csv(*([row[place] for place in at] for row in report))
    first = "\n".join((",".join(HEADER), ANA, CY, BO, "")).encode()
    _, night = drop(tmp_path, first, kept.replace(b"cy@,", b"cy@example.org,"))
    assert (night.counts, [*night.errors]) == ((2, 1, 1, 0), [3])
    assert night.users["U1"]["first_name"] == "Ana"
    (tmp_path / "changed").mkdir()
    _, night = drop(tmp_path / "changed", first, kept.replace(b"bo@", b"bob@").replace(b"cy@,", b"cy@example.org,"))
    assert (night.counts, night.users["U1"]["email"]) == ((2, 2, 0, 0), "bob@example.org")


def test_an_unchanged_row_keeps_its_first_reason_however_often_it_comes_back(tmp_path: Path) -> None:
    first = "\n".join((",".join(HEADER), ANA, CY, BO, "U3,OPSCOM", ""))
    (night,) = drop(tmp_path, first.encode())
    for _ in range(2):
        errors = [row[night.report[0].index("import_error")] for row in night.report[1:]]
        (tmp_path / "next").mkdir()
        tmp_path = tmp_path / "next"
        (night,) = drop(tmp_path, _csv(*night.report))
        again = [*night.errors.values()]
        assert (again[0], again[2]) == (errors[0], errors[2])
        assert "unique_id 'U1' is already used in row 2; correct it" in again[1]
        assert again[1].count("was not changed") == 1


def test_a_row_whose_user_was_changed_since_it_was_reported_fails(tmp_path: Path) -> None:
    good = "U2,OPSCOM,Cy,cy@example.org"
    stale = [[*HEADER, "import_id"], ["U2", "OPSCOM", "Cyd", "cyd@example.org", "20261123T101013Z-t1.1.0123456789"]]
    site = make_site(tmp_path, BUILT_IN)
    claims = []
    for night, rows in enumerate(([good], [CY], ["U2,OPSCOM,Cyrus,cy@example.org"])):
        site.drop("users.csv", "\n".join((",".join(HEADER), *rows, "")))
        site.take("users.csv", now=NOW + dt.timedelta(days=night), tokens=f"t{night}.")
        claims.append(site.ledger()[-1]["claim_id"])
    for claim, first_name in ((claims[1], "Cyrus"), (claims[2], "Cyd"), ("nobody", "Cyd")):
        stale[1][4] = f"{claim}.0123456789"
        site.drop("report.csv", _csv(*stale))
        site.take("report.csv", now=NOW + dt.timedelta(days=7), tokens=f"{claim}.")
        assert site.users()["U2"]["first_name"] == first_name
        (entry,) = (entry for entry in site.ledger() if entry["claim_id"].endswith(f"{claim}.1"))
        reasons = [reason["example"] for reason in entry["reasons"]]
        newer = (
            "the user was changed on 2026-11-24 10:10 UTC by users.csv, after this row was reported; look at what is"
            " newer, and empty import_id if this row still holds"
        )
        assert reasons == ([] if first_name == "Cyd" else [newer])

"""Empty cells that decide no width, and lines between the users that are nobody."""

import random
from pathlib import Path

import pytest

from tests.generate.formats import users
from tests.importer.cases import BUILT_IN, WITH_DEFAULT, drop_case
from tests.reference import Refused, Verdict
from tests.verdicts import checked

COUNTS = {
    42: (2, 1, 0, 1),
    44: (9, 3, 0, 6),
    46: (3, 2, 0, 1),
    48: (2, 1, 0, 1),
    49: (2, 2, 0, 0),
    59: (3, 3, 0, 0),
    60: (3, 3, 0, 0),
    61: (12, 12, 0, 0),
    63: (47, 47, 0, 0),
    65: (2, 2, 0, 0),
    67: (2, 2, 0, 0),
}
"""Case → records, accepted, failed and blank."""
REMARKS = {
    42: ["nobody"],
    44: ["nobody", "repeated_header"],
    46: ["inner_marks", "repeated_header"],
    48: ["nobody"],
    49: ["inner_marks"],
    61: ["trailing_separator"],
    63: [],
    65: [],
}
WITH_A_DEFAULT = {42, 44, 46}
HEADER = ("unique_id", "login_source", "first_name", "last_name", "email", "city", "province")


@pytest.mark.parametrize("number", COUNTS)
def test_a_case_has_its_right_outcome(tmp_path: Path, number: int) -> None:
    [dropped] = drop_case(tmp_path, number, WITH_DEFAULT if number in WITH_A_DEFAULT else BUILT_IN)
    assert dropped.counts == COUNTS[number]
    assert sorted(dropped.codes) == REMARKS.get(number, sorted(dropped.codes))
    assert not {key for key in dropped.users if not key.isdigit()}


def test_the_first_line_that_is_nobody_is_shown(tmp_path: Path) -> None:
    [dropped] = drop_case(tmp_path, 48)
    assert "row 3 first: “Total: 1 records”" in dropped.remarks[0][1]


def roster(rng: random.Random) -> list[list[str]]:
    """A header and users, whose last cells are often empty."""
    rows = [list(HEADER)]
    for number in range(rng.randrange(1, 30)):
        last = [rng.choice(("", "Ottawa")), rng.choice(("", "", "ON"))]
        email = rng.choice(("", f"p{number}@example.org"))
        rows.append([f"U{number}", "OPSCOM", rng.choice(("Ana", "")), f"Lee {number}", email, *last])
    return rows


def written(rows: list[list[str]], surplus: str = "") -> bytes:
    return "".join(",".join(row) + surplus + "\n" for row in rows).encode()


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, 1_000, 100)], ids=str)
def test_one_lost_separator_stores_no_value_in_another_column(seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        rows = roster(rng)
        whole = dict(enumerate(rows))
        surplus = rng.choice(("", "", ",")) if len(rows) > 2 else ""
        changed = [list(row) for row in rows]
        row, place = rng.choice((0, rng.randrange(1, len(rows)))), rng.randrange(len(HEADER) - 1)
        changed[row][place : place + 2] = ["".join(changed[row][place : place + 2])]
        verdict = checked(written(changed, surplus), users())
        if isinstance(verdict, Verdict):
            for number, values in verdict.accepted.items():
                meant = dict(zip(HEADER, whole[number - 1], strict=True))
                assert values == {name: cell for name, cell in meant.items() if cell}, (seed, number)


def test_surplus_separators_in_all_rows_are_proven_or_the_file_is_refused() -> None:
    rows = [list(HEADER), *([f"U{n}", "OPSCOM", "Ana", "Lee", f"p{n}@example.org", "", "ON"] for n in range(12))]
    assert isinstance(checked(written(rows[:1]) + written(rows[1:], ",,"), users()), Verdict)
    unknown = [["unique_id", "login_source", "first_name", "last_name", "shoe size"], *(row[:5] for row in rows[1:])]
    assert checked(written(unknown[:1]) + written(unknown[1:], ","), users()) == Refused(code="wrong_width")


@pytest.mark.parametrize("seed", range(200))
def test_an_address_of_several_lines_invents_nobody_and_costs_no_row(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    columns = ["unique_id", "login_source", "street", *rng.sample(["first_name", "last_name", "city", "street2"], k=4)]
    header = columns[: rng.randrange(3, 8)]
    users_of_file = {}
    lines = [",".join(header)]
    for number in range(20):
        parts = [rng.choice(("12 Main St", "Apt 4", "a,b,c", "", "U7,OPSCOM,x", "Ottawa, ON")) for _ in range(3)]
        street = "\n".join(["Care of", *parts, "Canada"])
        cells = dict.fromkeys(header, f"x{number}") | {"login_source": "OPSCOM", "street": street}
        users_of_file[f"x{number}"] = street
        lines.append(",".join(f'"{cells[name]}"' if name == "street" else cells[name] for name in header))
    verdict = checked(("\n".join(lines) + "\n").encode(), users())
    assert isinstance(verdict, Verdict)
    assert {values["unique_id"]: values["street"] for values in verdict.accepted.values()} == users_of_file
    assert not verdict.failures


@pytest.mark.parametrize(
    "line",
    [
        "-----,------,----",
        "=====",
        "Total: 3",
        "Total,3",
        "3 rows selected.",
        "(3 rows)",
        "Nombre d'utilisateurs : 3",
        "# exported by hand",
        ",OPSCOM,",
        "uuid,Login Source,First Name",
        "\ufeffunique_id,login_source,first_name",
    ],
)
def test_a_line_that_is_nobody_is_blank(line: str) -> None:
    data = f"unique_id,login_source,first_name\nU1,OPSCOM,Ana\n{line}\n".encode()
    verdict = checked(data, WITH_DEFAULT)
    assert isinstance(verdict, Verdict)
    assert ([*verdict.accepted], verdict.failures, verdict.blank) == ([2], [], 1)


@pytest.mark.parametrize("end", [b"\x1a", b"\r\n\x1a\r\n", b"\0" * 5000, b"\n\0\0\x1a"])
def test_what_programs_leave_at_the_very_end_is_nothing(end: bytes) -> None:
    verdict = checked(b"unique_id,login_source\nU1,OPSCOM" + end, users())
    assert isinstance(verdict, Verdict)
    assert (len(verdict.accepted), verdict.failures, verdict.blank) == (1, [], 0)

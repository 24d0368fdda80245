"""Cases made by hand that pin the oracle's validator, each from one sentence of the rules; and generated files."""

import random
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings

from importer.formats.columns import Column, Format, Lookup
from tests.generate import big_file, every_kind, garbage, messy_file, user_files, users
from tests.reference import Reading, Refused, Rejected, Verdict, check, read

TODAY = date(2026, 11, 22)
WHITE = "\u00a0\u2003\u3000"


def verdict(text: str, format_: Format | None = None) -> Verdict:
    result = check(text.encode(), name="users.csv", format=format_ or users(), today=TODAY)
    assert isinstance(result, Verdict), result
    return result


def reasons(result: Verdict) -> dict[int, list[tuple[str, str | None]]]:
    return {failure.row: list(failure.reasons) for failure in result.failures}


def cell(text: str, column: Column, lookup: Lookup | None = None) -> str | list[str]:
    """What is stored for the text in that column beside a good key, or the codes of what is wrong with it."""
    format_ = Format(
        columns=(Column(name="id"), column),
        key="id",
        lookups={column.lookup: lookup} if lookup and column.lookup else {},
    )
    quoted = '"' + text.replace('"', '""') + '"'
    result = verdict(f"id,{column.name}\nU1,{quoted}\n" + "x" * 300 + ",\n", format_)
    if 2 in result.accepted:
        return result.accepted[2].get(column.name, "")
    return [code for code, _ in reasons(result)[2]]


TEXT = Column(name="c", max_length=5)
NEEDED = Column(name="c", required=True)
EMAIL = Column(name="c", kind="email", max_length=100)
BORN = Column(name="c", kind="date", past=True, max_length=10)
DAY = Column(name="c", kind="date", formats=("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%-d %b %y", "%d %B %Y"))
WHOLE = Column(name="c", kind="integer", max_length=4)
NUMBER = Column(name="c", kind="decimal")
FLAG = Column(name="c", kind="boolean", max_length=5)
COLOUR = Column(name="c", kind="choice", values={"R": "red", "RED": "blue", "É": "été"}, max_length=3)
SHAPE = Column(name="c", kind="pattern", pattern="[A-Z]+|[0-9]+", max_length=3)
TEAM = Column(name="c", kind="lookup", lookup="teams", max_length=5)
LABEL_63 = "b" * 63
DOMAIN_252 = ".".join([LABEL_63] * 3 + ["c" * 60])


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        (TEXT, "  Ana ", "Ana"),
        (TEXT, f"{WHITE}Ana{WHITE}", "Ana"),
        (TEXT, "a\tb\r\n", "a\tb"),
        (TEXT, "00123", "00123"),
        (TEXT, "ééééé", "ééééé"),
        (TEXT, "e\u0301" * 3, ["too_long"]),
        (TEXT, "      abcdef", ["too_long"]),
        (TEXT, "<clear>", "<clear>"),
        (TEXT, " <clear> ", "<clear>"),
        (TEXT, "<CLR>", "<CLR>"),
        (TEXT, "<CLEAR>", ["too_long"]),
        (TEXT, "toolong\x07", ["control_character"]),
        (TEXT, "\x1fAna", ["control_character"]),
        (TEXT, "Ana\x85", ["control_character"]),
        (TEXT, "Ana\x0b", ["control_character"]),
        (TEXT, "A\u2028\u200b", "A\u2028\u200b"),
        (NEEDED, "", ["required"]),
        (NEEDED, " \u3000", ["required"]),
        (NEEDED, "<clear>", ["required"]),
        (NEEDED, "\x7f", ["control_character"]),
        (EMAIL, " Ana.Maria+x@Mail.Example.edu ", "Ana.Maria+x@Mail.Example.edu"),
        (EMAIL, "!#$%&'*+/=?^_`{|}~-@example.com", "!#$%&'*+/=?^_`{|}~-@example.com"),
        (EMAIL, "élodie@exämple.org", "élodie@exämple.org"),
        (EMAIL, "e\u0301@example.org", "e\u0301@example.org"),
        (EMAIL, "x@1example.c1", "x@1example.c1"),
        (EMAIL, "x@a--b.com", "x@a--b.com"),
        (EMAIL, "a" * 64 + "@b.co", "a" * 64 + "@b.co"),
        (EMAIL, "a" * 65 + "@b.co", ["invalid"]),
        (EMAIL, f"a@{LABEL_63}.co", f"a@{LABEL_63}.co"),
        (EMAIL, f"a@b{LABEL_63}.co", ["invalid"]),
        (Column(name="c", kind="email"), f"a@{DOMAIN_252}", f"a@{DOMAIN_252}"),
        (Column(name="c", kind="email"), f"a@{DOMAIN_252}c", ["invalid"]),
        (EMAIL, "a" * 101, ["too_long", "invalid"]),
        (EMAIL, f"{'a' * 60}@{'b' * 50}.com", ["too_long"]),
        *[
            (EMAIL, text, ["invalid"])
            for text in (
                *("ana", "ana@", "@b.co", "a@b@c.co", "a@b", "a b@c.co", ".a@b.co", "a.@b.co", "a..b@c.co", '"a"@b.co'),
                *("a@-b.co", "a@b-.co", "a@b_c.co", "a@b..co", "a@.co", "a@b.co.", "a@[1.2.3.4]", "a@1.2.3.4"),
                *("a@b. co", "a,b@c.co", "<a@b.co>", "a\u00a0b@c.co", "😀@b.co", "a@\u0301b.co"),
            )
        ],
        (BORN, "2004-09-17", "2004-09-17"),
        (BORN, "1900-01-01", "1900-01-01"),
        (BORN, "2026-11-22", "2026-11-22"),
        (BORN, "2000-02-29", "2000-02-29"),
        *[
            (BORN, text, ["invalid"])
            for text in (
                *("2026-11-23", "1899-12-31", "1900-02-29", "2004-9-17", "2004-09-31", "20040917", "2004/09/17"),
                *("2004-09-17T00:00:00", "17.09.2004", "0000-01-01", "\N{FULLWIDTH DIGIT TWO}004-09-17", "02004-09-17"),
            )
        ],
        (DAY, "1899-12-31", "1899-12-31"),
        (DAY, "17/09/2004", "2004-09-17"),
        (DAY, "09/17/2004", "2004-09-17"),
        (DAY, "09/10/2004", "2004-10-09"),
        (DAY, "7 SEP 04", "2004-09-07"),
        (DAY, "07 sep 69", "1969-09-07"),
        (DAY, "07 september 2004", "2004-09-07"),
        (DAY, "07 Sep 2004", ["invalid"]),
        (DAY, "7  Sep 04", ["invalid"]),
        (WHOLE, "+0012", "0012"),
        (WHOLE, "-7", "-7"),
        (WHOLE, "12345", ["too_long"]),
        (WHOLE, "+1234", "1234"),
        (WHOLE, "12345x", ["invalid"]),
        (WHOLE, "1.0", ["invalid"]),
        (WHOLE, "\N{ARABIC-INDIC DIGIT ONE}", ["invalid"]),
        (NUMBER, "-1.50", "-1.50"),
        (NUMBER, "+12", "12"),
        (NUMBER, "1.", ["invalid"]),
        (NUMBER, ".5", ["invalid"]),
        (NUMBER, "1,5", ["invalid"]),
        (NUMBER, "1e3", ["invalid"]),
        (FLAG, "YES", "true"),
        (FLAG, "n", "false"),
        (FLAG, "1", "true"),
        (FLAG, "oui", ["invalid"]),
        (FLAG, "certainly", ["invalid"]),
        (COLOUR, "r", "R"),
        (COLOUR, "red", "RED"),
        (COLOUR, "Blue", "RED"),
        (COLOUR, "ÉTÉ", "É"),
        (COLOUR, "green", ["invalid"]),
        (SHAPE, "ABC", "ABC"),
        (SHAPE, "A1", ["invalid"]),
        (SHAPE, "ABCD", ["too_long"]),
        (SHAPE, "abcd", ["too_long", "invalid"]),
    ],
)  # fmt: skip
def test_a_cell_becomes(column: Column, text: str, expected: str | list[str]) -> None:
    assert cell(text, column) == expected


@pytest.mark.parametrize(
    ("text", "entries", "expected"),
    [
        ("1", {"1": "Student"}, "1"),
        ("Student", {"1": "Student"}, "1"),
        ("student", {"1": "Student"}, ["unknown"]),
        ("Studnet", {"1": "Student"}, ["unknown"]),
        ("2", {"1": "2", "2": "x"}, "2"),
        ("A long name", {"1": "A long name"}, "1"),
        ("x", {"longid": "x"}, ["too_long"]),
        ("anyx", {}, "anyx"),
        ("anything", {}, ["too_long"]),
    ],
)
def test_a_lookup_holds_ids_and_names(text: str, entries: dict[str, str], expected: str | list[str]) -> None:
    assert cell(text, TEAM, Lookup(noun="team", entries=entries)) == expected


def test_the_built_in_format_maps_provinces_and_user_types() -> None:
    header = "unique_id,login_source,State,User Type,city\n"
    result = verdict(header + "U1,OPSCOM,ontario,Student,<clear>\nU2,OPSCOM,qc,,\nU3,OPSCOM,Ont,staff,\n")
    assert result.accepted == {
        2: {"unique_id": "U1", "login_source": "OPSCOM", "user_type_id": "1", "city": "<clear>", "province": "ON"},
        3: {"unique_id": "U2", "login_source": "OPSCOM", "province": "QC"},
    }
    assert reasons(result) == {4: [("unknown", "user_type_id"), ("invalid", "province")]}


def test_reasons_are_in_the_column_order_of_the_format_whatever_the_order_of_the_file() -> None:
    result = verdict("dob,email,last_name,login_source,unique_id\n" + f"soon,x,{'x' * 51},,\x07\n" + "x" * 99 + "\n")
    assert reasons(result)[2] == [
        ("control_character", "unique_id"),
        ("required", "login_source"),
        ("too_long", "last_name"),
        ("invalid", "email"),
        ("invalid", "date_of_birth"),
    ]


def test_a_failure_names_its_key_where_it_can_be_read() -> None:
    result = verdict("login_source,unique_id\n,\u00a0U1 \nOPSCOM,\nOPSCOM,<clear>\nOPSCOM,U1,x\n")
    assert [failure.key for failure in result.failures] == ["U1", None, "<clear>", None]


def test_the_first_row_without_another_failure_holds_a_value_and_each_later_one_fails() -> None:
    result = verdict(
        "unique_id,login_source,email,user_name\n"
        "U1,,a@b.co,ana\n"
        "U1,OPSCOM,a@b.co,ana\n"
        "U1,OPSCOM,c@b.co,Ana\n"
        "U2,OPSCOM,C@B.CO,\n"
        "U1,OPSCOM,A@b.co,ana\n"
        "u1,OPSCOM,,<clear>\n"
        "U3,OPSCOM,<clear>,<clear>\n"
    )
    assert [*result.accepted] == [3, 7, 8]
    assert reasons(result) == {
        2: [("required", "login_source")],
        4: [("duplicate_in_file", "unique_id")],
        5: [("duplicate_in_file", "email")],
        6: [
            ("duplicate_in_file", "unique_id"),
            ("duplicate_in_file", "user_name"),
            ("duplicate_in_file", "email"),
        ],
    }


def test_rejected_rows_and_judged_rows_are_reported_in_their_order() -> None:
    result = verdict('unique_id,login_source\nU1\n\nU2,\nU3,OPSCOM\n,,\nU4,"x\n')
    assert [(failure.row, failure.line, failure.reasons) for failure in result.failures] == [
        (2, 2, (("too_few_cells", None),)),
        (4, 4, (("required", "login_source"),)),
        (7, 7, (("bad_quotes", None),)),
    ]
    assert ([*result.accepted], result.blank) == ([5], 2)


def test_a_row_that_only_holds_its_old_line_is_checked_like_any_other() -> None:
    result = verdict("unique_id,login_source,import_error,import_line\n,,bad quotes,U1;x\n,,bad quotes,\nU1,OPSCOM,,\n")
    assert reasons(result) == {2: [("required", "unique_id"), ("required", "login_source")]}
    assert result.blank == 1


def test_warnings_name_columns_as_they_are_written() -> None:
    result = verdict("unique_id,login_source, Shoe Size ,PASS-word,,import_row,City\nU1,OPSCOM,44,secret,x,7,\n")
    assert result.warnings == {
        ("unknown_column", "Shoe Size"),
        ("password_column", "PASS-word"),
        ("unknown_column", ""),
    }
    assert result.accepted == {2: {"unique_id": "U1", "login_source": "OPSCOM"}}


def test_an_empty_lookup_is_one_warning_where_its_column_is_there() -> None:
    assert verdict("badge,mail,team\nA1,a@b.co,x\n", every_kind()).warnings == {("unchecked_lookup", "team")}
    assert verdict("badge,mail,note\nA1,a@b.co,x\n", every_kind()).warnings == set()


def test_a_default_makes_a_column_free_to_be_empty_or_absent() -> None:
    result = verdict("badge,mail,colour\nA1,a@b.co,\nA2,b@b.co,<clear>\n", every_kind())
    assert result.accepted[2] == {"badge": "A1", "mail": "a@b.co"}
    assert result.accepted[3]["colour"] == "<clear>"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("login_source,email", "missing_column"),
        ("unique_id,email", "missing_column"),
        ("unique_id,login_source,UUID", "repeated_column"),
        ("mail,email", "repeated_column"),
        ("shoe,hat", "no_known_column"),
        ("password,import_error", "no_known_column"),
        ("U1,OPSCOM,Ana", "no_known_column"),
    ],
)
def test_a_header_is_refused_as(header: str, code: str) -> None:
    for body in ("x\n", ""):
        assert check(f"{header}\n{body}".encode(), name="u.csv", format=users(), today=TODAY) == Refused(code=code)


def test_a_good_header_without_rows_is_refused() -> None:
    assert check(b"unique_id,login_source\n,\n", name="u.csv", format=users(), today=TODAY) == Refused(
        code="no_records"
    )


@pytest.mark.parametrize("seed", range(300))
def test_every_record_is_accepted_failed_or_blank_and_every_line_is_told_once(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    format_ = every_kind() if seed % 2 else users()
    data = garbage(rng) if seed % 5 == 0 else messy_file(rng, format_=format_)
    result = read(data, name="u.csv", known_names=format_.known_names)
    judged = check(data, name="u.csv", format=format_, today=TODAY)
    if isinstance(result, Reading) and isinstance(judged, Verdict):
        assert [record.row for record in result.records] == list(range(2, len(result.records) + 2))
        assert sorted({record.line for record in result.records}) == [record.line for record in result.records]
        assert len(judged.accepted) + len(judged.failures) + judged.blank == len(result.records)
    else:
        assert isinstance(judged, Refused)


@settings(deadline=None, max_examples=200)
@given(user_files())
def test_any_bytes_are_read_or_refused_and_joined_texts_are_in_the_file(data: bytes) -> None:
    result = read(data, name="u.csv", known_names=users().known_names)
    if isinstance(result, Reading) and result.encoding == "utf-8":
        whole = data.decode("utf-8", "backslashreplace")
        assert all(record.text in whole for record in result.records if isinstance(record, Rejected))


def test_generated_files_are_the_same_for_the_same_seed() -> None:
    first, second = (messy_file(random.Random(7)) for _ in range(2))  # noqa: S311 - not for secrets
    assert first == second


def test_each_broken_record_of_a_big_file_costs_just_itself(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    planted = big_file(path, 3000, 0.05)
    result = check(path.read_bytes(), name="big.csv", format=users(), today=TODAY)
    assert isinstance(result, Verdict)
    rejected = [failure for failure in result.failures if failure.reasons[0][1] is None]
    assert (len(rejected), len(result.failures) - len(rejected)) == (planted.structure, planted.content)
    assert len(result.accepted) == 3000 - 150

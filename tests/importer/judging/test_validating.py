"""Each rule of a column, by the sentence that it says; nulls, `<clear>`, white space and control characters."""

import datetime as dt
from dataclasses import replace
from typing import NamedTuple

import polars as pl
import pytest

from importer.formats.addresses import EMAIL_LIMITS
from importer.formats.columns import CLEAR, Column, Format, Lookup
from importer.formats.header import Header, match_header
from importer.formats.kinds import KIND_NAMES
from importer.judging.validating import FAILURES, Validator
from importer.reading.grammar import WHITE_SPACE

TODAY = dt.date(2026, 11, 22)
TEAMS = Lookup(noun="team", entries={"10": "Students", "20": "Staff", "Staff": "an id that is also a name"})


class Judged(NamedTuple):
    """What a validator says of one block."""

    accepted: pl.DataFrame
    failures: pl.DataFrame


def judge(validator: Validator, block: pl.DataFrame) -> Judged:
    verdict = validator.validate(block)
    return Judged(verdict.accepted, validator.failures([verdict.failing]))


def judged(rows: list[tuple[str, ...]], *columns: Column, lookups: dict[str, Lookup] | None = None) -> Judged:
    """The verdict of records of a key and these columns; the first has row 2."""
    format_ = Format(columns=(Column(name="uid", required=True), *columns), key="uid", lookups=lookups or {})
    header = match_header([column.name for column in format_.columns], format_)
    assert isinstance(header, Header)
    frame = pl.DataFrame(
        [(number, number, *row) for number, row in enumerate(rows, 2)],
        schema={"row": pl.Int64, "line": pl.Int64, **{f"c{n}": pl.String for n in range(len(format_.columns))}},
        orient="row",
    )
    return judge(Validator(format_, header, today=TODAY), frame)


def stored(column: Column, text: str, lookup: Lookup | None = None) -> str | None:
    """What is stored for a cell."""
    verdict = judged([("U1", text)], column, lookups={"teams": lookup or TEAMS})
    assert verdict.failures.to_dicts() == []
    value: str | None = verdict.accepted[column.name][0]
    return value


def sentences(column: Column, text: str, lookup: Lookup | None = None) -> list[str]:
    """What is said of a cell that fails."""
    verdict = judged([("U1", text)], column, lookups={"teams": lookup or TEAMS})
    assert verdict.accepted.is_empty()
    return verdict.failures["message"].to_list()


TEXT = Column(name="c", max_length=5)
NEEDED = Column(name="c", required=True)
EMAIL = Column(name="c", kind="email", max_length=100)
BORN = Column(name="c", kind="date", past=True)
DAY = Column(name="c", kind="date", formats=("%d/%m/%Y", "%-d %b %y", "%Y-%m-%d"))
WHOLE = Column(name="c", kind="integer", max_length=4)
NUMBER = Column(name="c", kind="decimal")
FLAG = Column(name="c", kind="boolean")
PROVINCE = Column(name="c", kind="choice", values={"ON": "Ontario", "QC": "Quebec"}, max_length=2, expected="ON or QC")
LETTER = Column(name="c", kind="choice", values={letter * 9: letter for letter in "abcdefghijklmnopqrst"})
SHAPE = Column(name="c", kind="pattern", pattern="[A-Z]|[0-9]+")
NAMED_SHAPE = Column(name="c", kind="pattern", pattern="[A-Z]", expected="one capital letter")
TEAM = Column(name="c", kind="lookup", lookup="teams", max_length=2)
EVERY_COLUMN = (TEXT, EMAIL, BORN, WHOLE, NUMBER, FLAG, PROVINCE, SHAPE, TEAM)


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        (TEXT, "00123", "00123"),
        (TEXT, "NULL", "NULL"),
        (TEXT, "  Ana ", "Ana"),
        (TEXT, "x" * 5, "x" * 5),
        (TEXT, "e\u0301" * 2, "e\u0301" * 2),
        (TEXT, "a\tb\nc", "a\tb\nc"),
        (TEXT, "\U0001f600" * 5, "\U0001f600" * 5),
        (EMAIL, "Ana.Martin+x@Example.EDU", "Ana.Martin+x@Example.EDU"),
        (EMAIL, "élodie@bücher.example", "élodie@bücher.example"),
        (EMAIL, f"{'a' * 64}@b.ca", f"{'a' * 64}@b.ca"),
        (BORN, "2000-02-29", "2000-02-29"),
        (BORN, "1900-01-01", "1900-01-01"),
        (BORN, "2026-11-22", "2026-11-22"),
        (DAY, "17/09/2004", "2004-09-17"),
        (DAY, "7 sep 04", "2004-09-07"),
        (DAY, "2004-09-17", "2004-09-17"),
        (DAY, "03/04/2005", "2005-04-03"),
        (WHOLE, "+1234", "1234"),
        (WHOLE, "-007", "-007"),
        (NUMBER, "12.50", "12.50"),
        (FLAG, "YES", "true"),
        (FLAG, "0", "false"),
        (PROVINCE, "ontario", "ON"),
        (PROVINCE, "qc", "QC"),
        (SHAPE, "123", "123"),
        (TEAM, "Students", "10"),
        (TEAM, "20", "20"),
    ],
)
def test_a_good_value_is_stored(column: Column, text: str, value: str) -> None:
    assert stored(column, text) == value


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        (NEEDED, "", "c is required"),
        (NEEDED, " \t\N{NO-BREAK SPACE}", "c is required"),
        (NEEDED, CLEAR, "c is required"),
        (TEXT, "x" * 6, "c is 6 characters long; at most 5 are allowed"),
        (EMAIL, "ana@", "c 'ana@' is not a valid address"),
        (EMAIL, "a@b", "c 'a@b' is not a valid address"),
        (EMAIL, "a b@c.ca", "c 'a b@c.ca' is not a valid address"),
        (EMAIL, "a@b.ca, d@e.ca", "c 'a@b.ca, d@e.ca' is not a valid address"),
        (EMAIL, f"{'a' * 65}@b.ca", f"c '{'a' * 59}…' is not a valid address"),
        (EMAIL, "a@1.2.3.4", "c 'a@1.2.3.4' is not a valid address"),
        (BORN, "17.09.2004", "c '17.09.2004' is not a date; write it as YYYY-MM-DD"),
        (BORN, "2001-02-29", "c '2001-02-29' is not a date; write it as YYYY-MM-DD"),
        (BORN, "2026-11-23", "c '2026-11-23' is in the future"),
        (BORN, "1899-12-31", "c '1899-12-31' is before 1900"),
        (DAY, "7 Sept 04", "c '7 Sept 04' is not a date; write it as DD/MM/YYYY"),
        (WHOLE, "1.5", "c '1.5' is not a whole number"),
        (WHOLE, "\N{FULLWIDTH DIGIT THREE}", "c '\N{FULLWIDTH DIGIT THREE}' is not a whole number"),
        (WHOLE, "-1234", "c is 5 characters long; at most 4 are allowed"),
        (NUMBER, "1,5", "c '1,5' is not a number; write it like 1234.5"),
        (FLAG, "maybe", "c 'maybe' is neither true nor false; write true or false"),
        (PROVINCE, "Ontari", "c 'Ontari' is not allowed; use ON or QC"),
        (SHAPE, "a", "c 'a' does not have the required form; use the pattern [A-Z]|[0-9]+"),
        (NAMED_SHAPE, "AB", "c 'AB' does not have the required form; use one capital letter"),
        (TEAM, "Studnets", "c 'Studnets' is not a known team; did you mean 'Students'?"),
        (TEAM, "students", "c 'students' is not a known team; did you mean 'Students'?"),
        (TEAM, "zzz", "c 'zzz' is not a known team"),
        (TEXT, "a\x07", "c holds a control character; type the value again without it"),
    ],
)
def test_a_bad_value_is_explained(column: Column, text: str, message: str) -> None:
    assert sentences(column, text) == [message]


def test_a_long_list_of_choices_is_cut_at_a_whole_value() -> None:
    (message,) = sentences(LETTER, "ü")
    assert message == f"c 'ü' is not allowed; use {', '.join(letter * 9 for letter in 'abcdefghij')}, …"


def test_there_is_a_column_of_every_kind_to_judge() -> None:
    assert {column.kind for column in EVERY_COLUMN} == {*KIND_NAMES}


@pytest.mark.parametrize("column", EVERY_COLUMN, ids=lambda column: column.kind)
def test_an_empty_cell_keeps_and_clear_empties_whatever_the_kind(column: Column) -> None:
    assert stored(column, "") is None
    assert stored(column, f" {CLEAR}\t") == CLEAR
    assert stored(column, WHITE_SPACE.replace("\v", "").replace("\f", "").replace("\x85", "")) is None


@pytest.mark.parametrize("column", EVERY_COLUMN, ids=lambda column: column.kind)
def test_a_control_character_is_the_only_thing_said_of_its_cell(column: Column) -> None:
    for control in ("\x01", "\x0b", "\x1f", "\x7f", "\x85", "\x9f"):
        assert sentences(column, f"??????{control}") == ["c holds a control character; type the value again without it"]


@pytest.mark.parametrize("control", ["\x0b", "\x0c", "\x1c", "\x1f", "\x85"])
def test_control_characters_are_looked_for_before_trimming(control: str) -> None:
    assert len(sentences(TEXT, f"a{control}")) == 1


def test_a_needed_cell_with_a_control_character_is_not_also_called_empty() -> None:
    assert sentences(NEEDED, "\x85") == ["c holds a control character; type the value again without it"]


def test_only_unicode_white_space_is_trimmed() -> None:
    assert {character for character in map(chr, range(0x110000)) if character.isspace()} - set(WHITE_SPACE) == set(
        "\x1c\x1d\x1e\x1f"
    )
    assert stored(TEXT, "\u200ba\ufeff") == "\u200ba\ufeff"
    assert stored(TEXT, "\u3000a b\u2028") == "a b"


def test_an_id_comes_before_a_name_that_looks_like_it() -> None:
    loose = Column(name="c", kind="lookup", lookup="teams")
    assert stored(loose, "Staff") == "Staff"
    assert stored(loose, "an id that is also a name") == "Staff"


def test_a_code_comes_before_a_name_that_looks_like_it() -> None:
    colour = Column(name="c", kind="choice", values={"R": "red", "RED": "blue"})
    assert stored(colour, "red") == "RED"
    assert stored(colour, "Blue") == "RED"
    assert stored(colour, "r") == "R"


def test_a_value_is_stored_alike_whatever_else_its_block_holds() -> None:
    cased = Column(name="c", kind="choice", values={"a": "first", "A": "second"})
    assert [stored(cased, text) for text in ("a", "A", "second")] == ["A", "A", "A"]
    province, teams = replace(PROVINCE, name="d"), {"teams": TEAMS}
    among_codes = judged([("U1", "10", "ON"), ("U2", "20", "QC"), ("U3", "", CLEAR)], TEAM, province, lookups=teams)
    among_names = judged(
        [("U1", "10", "ON"), ("U2", "20", "QC"), ("U3", "Staff", "quebec")], TEAM, province, lookups=teams
    )
    assert among_codes.accepted.rows()[:2] == among_names.accepted.rows()[:2]
    assert among_codes.accepted.rows()[:2] == [(2, 2, "U1", "10", "ON"), (3, 3, "U2", "20", "QC")]


def test_clear_empties_even_where_a_code_is_called_so() -> None:
    odd = Column(name="c", kind="choice", values={"A": "first", CLEAR: "odd"}, max_length=2)
    verdict = judged([("U1", CLEAR), ("U2", "A"), ("U3", "first")], odd)
    assert verdict.failures.to_dicts() == []
    assert verdict.accepted["c"].to_list() == [CLEAR, "A", "A"]


def test_a_lookup_without_entries_takes_everything_and_says_so_once() -> None:
    empty = Lookup(noun="team")
    assert stored(TEAM, "zz", empty) == "zz"
    format_ = Format(columns=(Column(name="uid"), TEAM), key="uid", lookups={"teams": empty})
    header = match_header(["uid", "C"], format_)
    assert isinstance(header, Header)
    assert [found.message for found in Validator(format_, header, today=TODAY).warnings] == [
        "C was not checked because no teams are set up"
    ]


def test_lengths_are_counted_after_a_value_was_mapped() -> None:
    assert stored(PROVINCE, "Ontario") == "ON"
    assert stored(TEAM, "Students") == "10"


def test_all_failures_of_a_row_are_told_in_column_order() -> None:
    verdict = judged([("", "ana@", "x" * 6)], EMAIL, Column(name="d", max_length=5))
    assert verdict.failures.select("row", "position", "code", "column").rows() == [
        (2, 0, "required", "uid"),
        (2, 1, "invalid", "c"),
        (2, 2, "too_long", "d"),
    ]
    assert verdict.failures.schema == pl.Schema(FAILURES)


def test_failures_of_several_rows_are_in_file_order() -> None:
    verdict = judged([("", "x"), ("U2", "xxxxxxx"), ("U3", "x"), ("", "xxxxxxx")], TEXT)
    assert verdict.failures.select("row", "code").rows() == [
        (2, "required"),
        (3, "too_long"),
        (5, "required"),
        (5, "too_long"),
    ]
    assert verdict.accepted.rows() == [(4, 4, "U3", "x")]


def test_sentences_use_the_senders_name_of_the_column() -> None:
    format_ = Format(columns=(Column(name="uid"), Column(name="c", aliases=("See {x} %s",), required=True)), key="uid")
    header = match_header(["uid", "See {x} %s"], format_)
    assert isinstance(header, Header)
    frame = pl.DataFrame({"row": [2], "line": [2], "c0": ["U1"], "c1": [""]})
    verdict = judge(Validator(format_, header, today=TODAY), frame)
    assert verdict.failures["message"].to_list() == ["See {x} %s is required"]


def test_a_shown_value_is_one_short_line() -> None:
    assert sentences(WHOLE, "1\n2") == ["c '1 2' is not a whole number"]
    long = Column(name="c", kind="integer")
    assert sentences(long, "x" * 60) == [f"c '{'x' * 60}' is not a whole number"]
    assert sentences(long, "x" * 61) == [f"c '{'x' * 59}…' is not a whole number"]


def test_a_unique_address_is_compared_by_its_lower_case() -> None:
    unique = Column(name="c", kind="email", unique=True)
    verdict = judged([("U1", "ÉLODIE@Example.ORG"), ("U2", ""), ("U3", CLEAR)], unique)
    assert verdict.accepted["c_key"].to_list() == ["élodie@example.org", None, CLEAR]
    assert verdict.accepted["c"].to_list() == ["ÉLODIE@Example.ORG", None, CLEAR]


def test_columns_that_the_file_does_not_have_are_not_in_the_verdict() -> None:
    format_ = Format(columns=(Column(name="uid"), TEXT), key="uid")
    header = match_header(["shoe", "uid"], format_)
    assert isinstance(header, Header)
    frame = pl.DataFrame({"row": [2], "line": [3], "c0": ["x" * 99], "c1": ["U1"]})
    assert Validator(format_, header, today=TODAY).validate(frame).accepted.to_dicts() == [
        {"row": 2, "line": 3, "uid": "U1"}
    ]


def test_what_is_known_of_a_block_changes_nothing_but_speed() -> None:
    columns = (Column(name="uid", required=True), *(replace(each, name=f"c{n}") for n, each in enumerate(EVERY_COLUMN)))
    format_ = Format(columns=columns, key="uid", lookups={"teams": TEAMS})
    header = match_header([column.name for column in columns], format_)
    assert isinstance(header, Header)
    cells = ["", "x", "toolong", "a@b.example", "2001-02-29", "1999-12-31", "12", "yes", "Ontario", "<clear", "20"]
    frame = pl.DataFrame(
        {"row": range(12), "line": range(12), "c0": list("abcdefghijkl")}
        | {f"c{n}": [*cells[n:], *cells[:n], ""] for n in range(1, len(columns))}
    )
    validator = Validator(format_, header, today=TODAY)
    slow = judge(validator, frame)
    none = pl.Series("row", [], pl.Int64)
    quick = validator.validate(frame, with_controls=none, may_need_trimming=False, may_clear=False)
    assert slow.failures.height > len(columns)
    assert slow.accepted["uid"].to_list()[-1] == "l"
    assert validator.failures([quick.failing]).equals(slow.failures)
    assert quick.accepted.equals(slow.accepted)


def test_a_column_with_a_default_may_be_empty() -> None:
    format_ = Format(columns=(Column(name="uid"), NEEDED), key="uid", defaults={"c": "x"})
    header = match_header(["uid", "c"], format_)
    assert isinstance(header, Header)
    frame = pl.DataFrame({"row": [2], "line": [2], "c0": ["U1"], "c1": [""]})
    assert judge(Validator(format_, header, today=TODAY), frame).failures.is_empty()


def test_the_limits_of_an_address_hold_at_their_edges() -> None:
    label = "b" * 63
    domain = ".".join([label] * 3 + ["c" * 60])
    long = Column(name="c", kind="email")
    assert len(domain) == 252
    assert stored(long, f"a@{domain}") is not None
    assert sentences(long, f"a@{domain}c")
    assert sentences(long, f"a@{'b' * 64}.ca")
    assert pl.Series(["a@b.c1"]).str.contains(EMAIL_LIMITS).to_list() == [False]

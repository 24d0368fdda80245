"""Debris of every form and characters that nobody sees, in every kind of column, against the slow reference."""

from dataclasses import replace

import pytest

from importer.formats.columns import Column, Format
from importer.judging.debris import debris_of
from importer.words.reasons import DAMAGES, WARNING_SENTENCES
from tests import reference
from tests.generate import every_kind
from tests.generate.values import DEBRIS, INVISIBLE
from tests.importing import examined
from tests.reference import Verdict
from tests.verdicts import TODAY, checked

GOOD = {
    "badge": "A12",
    "mail": "ana@example.org",
    "born": "2004-09-17",
    "hired": "09/17/2004",
    "places": "12",
    "fee": "12.50",
    "active": "yes",
    "colour": "green",
    "team": "10",
    "site": "North",
    "note": "Ana L",
}
"""A good value for each column of `every_kind`."""

LOOSE = Format(columns=(Column(name="uid", required=True), Column(name="note")), key="uid")


def _row(number: int, changed: dict[str, str]) -> str:
    unique = {"badge": f"B{number}", "mail": f"u{number}@example.org", "places": str(number)}
    cells = (({**GOOD, **unique, **changed})[name] for name in GOOD)
    return ",".join('"{}"'.format(cell.replace('"', '""')) for cell in cells) + "\n"


def _file(*rows: dict[str, str]) -> bytes:
    return (",".join(GOOD) + "\n" + "".join(_row(number, row) for number, row in enumerate(rows))).encode()


def _agreed(data: bytes, format_: Format) -> Verdict:
    """The verdict of both the importer and the reference."""
    ours = checked(data, format_, name="users.csv")
    theirs = reference.check(data, name="users.csv", format=format_, today=TODAY)
    assert isinstance(ours, Verdict)
    assert isinstance(theirs, Verdict)
    assert (ours.accepted, ours.failures) == (theirs.accepted, theirs.failures)
    assert {code for code, _ in ours.warnings} == {code for code, _ in theirs.warnings}
    return ours


@pytest.mark.parametrize("debris", DEBRIS)
def test_debris_is_judged_in_every_kind_of_column_as_the_reference_judges_it(debris: str) -> None:
    # Each row by itself: what is looked for is told by the bytes of a block.
    for name in GOOD:
        _agreed(_file({}, {name: debris}), every_kind())


@pytest.mark.parametrize("debris", DEBRIS)
@pytest.mark.parametrize("option", ["fail", "remark", "keep"])
def test_a_column_may_have_its_own_way_with_debris(debris: str, option: str) -> None:
    (key, note) = LOOSE.columns
    format_ = replace(LOOSE, columns=(key, Column(name=note.name, debris=option)))  # type: ignore[arg-type]  # of a Literal
    cell = debris.replace('"', '""')
    verdict = _agreed(f'uid,note\nU1,"{cell}"\n'.encode(), format_)
    if option == "keep" and "clear" not in debris.lower():
        assert (verdict.accepted[2]["note"], verdict.warnings) == (debris, frozenset())
    if option != "fail":
        assert verdict.failures == []


@pytest.mark.parametrize("hidden", [each for each in INVISIBLE if each != "e\u0301"])
@pytest.mark.parametrize("name", GOOD)
def test_what_nobody_sees_is_in_no_value_wherever_it_stood(hidden: str, name: str) -> None:
    value = GOOD[name]
    plain = _agreed(_file({name: value}), every_kind())
    may_stay = name == "note" and hidden in "\u200c\u200d\ufe0f"
    for at in range(len(value) + 1):
        verdict = _agreed(_file({name: value[:at] + hidden + value[at:]}), every_kind())
        if not may_stay or at in {0, len(value)}:
            assert replace(verdict, warnings=verdict.warnings - {("invisible", name)}) == plain


def _remarks(text: str, block_bytes: int) -> list[tuple[str, str]]:
    with examined(text, LOOSE, block_bytes=block_bytes) as judged:
        return [(each.code, each.message) for each in judged.warnings]


def test_remarks_count_the_whole_file_and_show_its_first_two_whatever_the_blocks() -> None:
    rows = [f"U{number},{note}\n" for number, note in enumerate(["x", "'001", "NULL", "'002", "y", "'003", "\u200bz"])]
    text = "uid,note\n" + "".join(rows)
    told = _remarks(text, 1 << 20)
    assert told[0] == (
        "apostrophe",
        "3 values of note began with an apostrophe, which was taken off: “'001” → “001”; “'002” → “002”",
    )
    assert [code for code, _ in told] == ["apostrophe", "invisible", "null_name"]
    assert all(_remarks(text, size) == told for size in (1, 7, 30, 64))


def test_what_fails_is_not_remarked_as_well() -> None:
    assert _remarks("uid,note\n,'001\nU1,x\n", 1 << 20) == []


def test_a_file_of_nothing_but_debris_is_judged() -> None:
    text = "uid,note\n" + "".join(f"{each},{each}\n" for each in DEBRIS if not {*each} & {*',"'})
    _agreed(text.encode(), LOOSE)


def test_each_debris_has_its_sentences() -> None:
    every = [each.name for each in debris_of(LOOSE.columns[1], LOOSE)]
    assert {*every} <= {*DAMAGES}
    fail = {"error_value", "hashes", "exponent"}
    assert {*every} - fail <= {*WARNING_SENTENCES}

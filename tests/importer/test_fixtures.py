"""What `fixtures/README.md` says of the example files is true."""

import re
from collections import Counter
from pathlib import Path

import pytest

from importer.checking import Checked, check
from importer.formats.format_file import load_format
from importer.judging.examining import examine
from importer.judging.judge import Source
from importer.reading.user_file import Limits
from tests.importing import NOW

FIXTURES = Path(__file__).parents[2] / "fixtures"
MAX_BYTES = 50 << 20


def tables() -> list[list[dict[str, str]]]:
    """The tables of the README, as rows of name → cell without its backquotes."""
    text = (FIXTURES / "README.md").read_text(encoding="utf-8")
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [
            [cell.strip().replace("`", "") for cell in line.strip("|\n").split("|")] for line in table.splitlines()
        ]
        found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return found


GOOD, REFUSED, MISTAKES, FORMATS, FORMAT_MISTAKES = tables()


def checked(name: str, format_name: str | None = None, place: Path = FIXTURES) -> Checked:
    format_ = load_format(None if format_name is None else place / format_name)
    return check(place / name, format_=format_, max_bytes=MAX_BYTES, today=NOW.date())


def codes(name: str, format_name: str | None = None, place: Path = FIXTURES, *, spool: Path) -> dict[int, list[str]]:
    """Row → the codes of its reasons."""
    format_ = load_format(None if format_name is None else place / format_name)
    limits = Limits(max_bytes=MAX_BYTES, max_expanded_bytes=MAX_BYTES)
    source = Source(path=place / name, name=name, format=format_, limits=limits)
    found: dict[int, list[str]] = {}
    with examine(source, today=NOW.date(), spool_directory=spool) as examination:
        for _, reasons in examination.failed():
            for row, code in reasons.select("row", "code").iter_rows():
                found.setdefault(row, []).append(code)
    return found


def numbers(row: dict[str, str]) -> tuple[int, ...]:
    return tuple(int(row[name]) for name in ("accepted", "failed", "blank") if name in row)


def expected_codes(reasons: str) -> list[str]:
    """`required, invalid four times` → five codes."""
    times = {"three times": 3, "four times": 4}
    found: list[str] = []
    for part in reasons.split(", "):
        code, _, words = part.partition(" ")
        found += [code] * times.get(words, 1)
    return found


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row["file"])
def test_a_file_is_judged_as_its_table_says(row: dict[str, str]) -> None:
    result = checked(row["file"])
    assert result.refused is None
    assert (result.counts.accepted, result.counts.failed, result.counts.blank) == numbers(row)
    expected = Counter({code: int(number or 1) for code, number in re.findall(r"(\w+)(?: \((\d)\))?", row["warnings"])})
    assert Counter(warning.code for warning in result.warnings) == expected


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row["file"])
def test_a_file_is_refused_as_its_table_says(row: dict[str, str]) -> None:
    result = checked(row["file"])
    assert result.refused is not None
    assert result.refused.code == row["code"]


def test_the_mistakes_are_those_of_their_table(tmp_path: Path) -> None:
    assert codes("mistakes.csv", spool=tmp_path) == {int(row["row"]): expected_codes(row["reason"]) for row in MISTAKES}


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row["format file"])
def test_a_format_file_judges_its_example_as_the_table_says(row: dict[str, str]) -> None:
    result = checked(row["user file"], row["format file"], FIXTURES / "formats")
    assert (result.counts.accepted, result.counts.failed) == numbers(row)


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row["format file"])
def test_the_mistakes_of_a_formats_example_are_those_of_their_table(row: dict[str, str], tmp_path: Path) -> None:
    name, expected = "", {}
    for mistake in FORMAT_MISTAKES:
        name = mistake["user file"] or name
        if name == row["user file"]:
            expected[int(mistake["row"])] = expected_codes(mistake["reason"])
    assert codes(row["user file"], row["format file"], FIXTURES / "formats", spool=tmp_path) == expected


def test_every_fixture_is_in_a_table() -> None:
    told = {row["file"] for row in (*GOOD, *REFUSED)}
    told |= {f"formats/{row[name]}" for row in FORMATS for name in ("format file", "user file")}
    there = {str(path.relative_to(FIXTURES)) for path in FIXTURES.rglob("*.*") if path.is_file()}
    assert there - {"README.md", ".gitattributes"} == told

"""Patterns of format files are Rust's regular expressions, for whole values."""

import polars as pl
import pytest

from importer.formats.columns import Column, Format
from importer.formats.kinds import whole
from importer.formats.patterns import pattern_mistakes


def format_with(*patterns: str | None) -> Format:
    columns = (Column(name=f"c{number}", kind="pattern", pattern=each) for number, each in enumerate(patterns))
    return Format(columns=(Column(name="id"), *columns), key="id")


@pytest.mark.parametrize("pattern", ["[A-Z]{2}[0-9]{4}", "a|b", r"\p{L}+", "(?i)yes|no"])
def test_a_good_pattern_is_no_mistake(pattern: str) -> None:
    assert list(pattern_mistakes(format_with(pattern))) == []


def test_every_bad_pattern_is_told_with_its_key() -> None:
    found = list(pattern_mistakes(format_with("[A-Z", "a", "(?=b)", None, "a)|(b", r"(a)\1", "x{2000000000}")))
    assert [mistake.partition(":")[0] for mistake in found] == [
        "columns.c0.pattern",
        "columns.c2.pattern",
        "columns.c4.pattern",
        "columns.c5.pattern",
        "columns.c6.pattern",
    ]
    assert found[0] == "columns.c0.pattern: not a Rust regular expression: unclosed character class"


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a|b", "a", True),
        ("a|b", "ab", False),
        ("a|b", "b\n", False),
        ("^a$", "a", True),
        ("(?i)a", "A", True),
        ("(?m)^a$", "a\na", False),
        ("", "", True),
    ],
)
def test_a_pattern_matches_whole_values_only(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001 - a column of the table
    assert pl.Series([text]).str.contains(whole(pattern)).to_list() == [matches]

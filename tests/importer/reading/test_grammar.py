"""The record grammar against a plain reading, character by character; and what our patterns do without."""

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from importer.reading.dialect import SEPARATORS
from importer.reading.grammar import LINE_END, Grammar, LineKind, value
from tests.reference.records import record_at

ROOT = Path(__file__).parents[3]
NOT_POSSIBLE = re.compile("POSSESSIVE_REPEAT|ATOMIC_GROUP")
"""What `re.DEBUG` calls the constructs that Python's `re` matches wrongly before 3.11.5 and 3.12.0b4 (gh-106052)."""
RUST_ONLY = re.compile(r"\\p\{\w+\}|\\x\{\w+\}|\\z")
"""What Rust's regular expressions know and Python's do not."""

PIECES = st.lists(st.sampled_from([*SEPARATORS, '"', '""', '"', "\n", "\r\n", "\r", " ", "a", "é", 'a"', '"a"']))
TEXTS = PIECES.map("".join)


def is_whole(line: str, separator: str) -> bool:
    """Whether the line is a record whatever its line breaks, which a record that was found already may have."""
    flat = line.replace("\r", "x").replace("\n", "x")
    found = record_at(flat, 0, separator)
    return found is not None and found[1] == len(flat)


def expected_shape(line: str, separator: str) -> LineKind:
    if is_whole(line, separator):
        return LineKind.WHOLE
    return LineKind.OPEN if is_whole(f'{line}"', separator) else LineKind.BROKEN


def assert_read_alike(line: str, separator: str) -> None:
    grammar = Grammar(separator)
    shape, separators = grammar.shape(line.encode())
    assert shape is expected_shape(line, separator), line
    if shape is LineKind.BROKEN:
        assert separators == 0
        return
    closed = line if shape is LineKind.WHOLE else f'{line}"'
    cells, _ = record_at(closed.replace("\r", "\0").replace("\n", "\1"), 0, separator) or ([], 0)
    assert separators == len(cells) - 1, line
    written = [value(cell).decode() for cell in grammar.cells(closed.encode())]
    assert written == [cell.replace("\0", "\r").replace("\1", "\n") for cell in cells]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_every_short_line_is_read_as_character_by_character(separator: str) -> None:
    for length in range(7):
        for line in product(separator + '" a', repeat=length):
            assert_read_alike("".join(line), separator)


@given(line=TEXTS, separator=st.sampled_from(SEPARATORS))
@example(line='1,"say ""a"" and\nb","c",d"e', separator=",")
def test_lines_are_read_as_character_by_character(line: str, separator: str) -> None:
    assert_read_alike(line, separator)


@given(text=TEXTS, separator=st.sampled_from(SEPARATORS), data=st.data())
def test_a_record_ends_where_it_ends_character_by_character(text: str, separator: str, data: st.DataObject) -> None:
    coded = text.encode()
    start, end = sorted((data.draw(st.integers(0, len(coded))), data.draw(st.integers(0, len(coded)))))
    found = record_at(coded[:end].decode("latin-1"), start, separator)
    assert Grammar(separator).record_end(coded, start, end) == (found and found[1])


def constants_of(path: Path) -> Iterator[str]:
    """The texts in a module, those within f-strings too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def cannot_be_read_by_all(pattern: str) -> bool:
    """Whether the text has one of those constructs; where it is no regular expression, whether it looks so."""
    described = io.StringIO()
    try:
        with contextlib.redirect_stdout(described):
            re.compile(RUST_ONLY.sub("x", pattern), re.DEBUG)
    except re.error:
        return re.search(r"\(\?>|[*+?}]\+", pattern) is not None
    return NOT_POSSIBLE.search(described.getvalue()) is not None


@pytest.mark.parametrize("pattern", ["a*+", 'x(?:"a++)?', "(?>a|b)", "a{2}+", '(?!%s*+")[^%s]*+', "(a?+"])
def test_what_old_pythons_match_wrongly_is_recognised(pattern: str) -> None:
    assert cannot_be_read_by_all(pattern)


@pytest.mark.parametrize("pattern", ["a+", r"a*\+", "[*+]+", "(?:a+)+", r"[\p{L}*+]+\z", "1 + 1"])
def test_what_every_python_matches_rightly_is_let_through(pattern: str) -> None:
    assert not cannot_be_read_by_all(pattern)


@pytest.mark.parametrize("package", ["importer", "notifier", "watcher"])
def test_no_pattern_has_what_old_pythons_match_wrongly(package: str) -> None:
    modules = [*(ROOT / package).rglob("*.py")]
    assert modules
    found = {str(path): text for path in modules for text in constants_of(path) if cannot_be_read_by_all(text)}
    assert found == {}


def test_line_ends_are_found_in_every_text() -> None:
    assert LINE_END.split(b"a\r\nb\rc\nd") == [b"a", b"b", b"c", b"d"]

"""Every kind of column has every part, all of it is used, and mypy asks whoever adds a kind for what is forgotten."""

import string
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from importer.formats.columns import Column
from importer.formats.kinds import KIND_NAMES, KIND_SENTENCES, Coded, Key, KindName, kind_of
from importer.words.reasons import ROW_SENTENCES
from tests.generate.formats import every_kind

ROOT = Path(__file__).parents[3]
KINDS = Path("importer/formats/kinds.py")
EXPRESSIONS = Path("importer/judging/expressions.py")
COLUMNS = [replace(column, past=True) for column in every_kind().columns]


def names_in(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_the_generators_have_a_column_of_every_kind() -> None:
    assert {column.kind for column in COLUMNS} == {*KIND_NAMES}


@pytest.mark.parametrize("name", KIND_NAMES)
def test_every_kind_is_an_entry_of_its_own(name: KindName) -> None:
    assert [other for other in KIND_NAMES if kind_of(other) is kind_of(name)] == [name]
    assert {*kind_of(name).keys} <= {*get_args(Key)}


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_check_has_its_sentence_and_the_facts_that_it_names(column: Column) -> None:
    kind, options = kind_of(column.kind), every_kind().options(column)
    for check in kind.checks(options):
        assert names_in(kind.sentences[check.sentence]) == {"column", "value", *check.facts}
        if check.suggestion:
            assert names_in(kind.sentences[check.suggestion]) == {"column", "value", *check.facts, "suggestion"}
            assert isinstance(kind.mapped(options), Coded) == bool(options.entries)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_sentence_of_a_kind_is_said(column: Column) -> None:
    kind = kind_of(column.kind)
    checks = kind.checks(every_kind().options(column))
    said = {check.sentence for check in checks} | {check.suggestion for check in checks} - {""}
    assert said == {*kind.sentences}


def test_no_two_kinds_say_the_same_and_none_says_what_is_said_of_every_kind() -> None:
    assert len(KIND_SENTENCES) == sum(len(kind_of(name).sentences) for name in KIND_NAMES)
    assert KIND_SENTENCES.keys().isdisjoint(ROW_SENTENCES)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_kind_says_its_rule_and_what_is_stored_in_words(column: Column) -> None:
    kind, options = kind_of(column.kind), every_kind().options(column)
    assert kind.meaning(options)
    assert bool(kind.rule(options)) == (column.kind != "text")
    assert not kind.rule(options).endswith(".")


def test_a_column_whose_lookup_is_missing_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        every_kind().options(Column(name="c", kind="lookup", lookup="nowhere"))
    assert every_kind().options(Column(name="c", lookup="nowhere")).entries == {}


@pytest.mark.parametrize(
    ("old", "new", "asked_for"),
    [
        ('"text", "email"', '"text", "phone", "email"', 'TypedDict "_Entries" has no key "phone"'),
        ("    text: Kind\n", "    text: Kind\n    phone: Kind\n", 'Missing key "phone" for TypedDict "_Entries"'),
        ('    rule=lambda _: "a number",\n', "", 'Missing named argument "rule" for "Kind"'),
        ('    meaning=lambda _: "a number",\n', "", 'Missing named argument "meaning" for "Kind"'),
        ("Mapped = AsWritten | ", "Mapped = Options | AsWritten | ", "assert_never"),
        ("Broken = Unmapped | ", "Broken = AsWritten | Unmapped | ", "assert_never"),
    ],
    ids=["name", "entry", "rule", "meaning", "expression of a mapping", "expression of a check"],
)
def test_what_a_new_kind_forgets_is_a_type_error(tmp_path: Path, old: str, new: str, asked_for: str) -> None:
    source = (ROOT / KINDS).read_text(encoding="utf-8")
    assert source.count(old) == 1
    done = types_of(source.replace(old, new), tmp_path)
    assert asked_for in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1


def test_a_kind_more_is_a_name_and_an_entry(tmp_path: Path) -> None:
    source = (ROOT / KINDS).read_text(encoding="utf-8")
    for old, new in [
        ('"text", "email"', '"text", "phone", "email"'),
        ("    text: Kind\n", "    text: Kind\n    phone: Kind\n"),
        ("    text=_TEXT,\n", "    text=_TEXT,\n    phone=_TEXT,\n"),
    ]:
        assert source.count(old) == 1
        source = source.replace(old, new)
    done = types_of(source, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", str(KINDS), "-"]
    linted = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, timeout=60, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def types_of(source: str, place: Path) -> "subprocess.CompletedProcess[str]":
    """What mypy says of the kinds and their expressions, if the kinds were these."""
    shadow = place / "kinds.py"
    shadow.write_text(source, encoding="utf-8")
    alone = ("--cache-dir", place, "--follow-imports", "skip", "--shadow-file", KINDS, shadow)
    return subprocess.run(
        [sys.executable, "-m", "mypy", *alone, KINDS, EXPRESSIONS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

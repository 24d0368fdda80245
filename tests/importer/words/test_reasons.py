"""Every sentence can be said, and every code that is promised exists."""

import string

import pytest

from importer.formats.kinds import KIND_SENTENCES
from importer.model import Remark
from importer.words.reasons import (
    REFUSAL_SENTENCES,
    ROW_SENTENCES,
    SHOWN_CHARACTERS,
    WARNING_SENTENCES,
    refusal,
    row_reason,
    said,
    shown,
    warning,
)

PROMISED_CODES = {
    *("required", "too_long", "invalid", "unknown", "duplicate_in_file", "duplicate_user", "too_few_cells"),
    *("too_many_cells", "bad_quotes", "bad_encoding", "control_character", "too_large", "repeated_header"),
}
"""What programs may rely on; a code is never renamed."""


def facts_of(sentence: str) -> dict[str, str | int]:
    return {name: f"<{name}>" for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("kind", ROW_SENTENCES)
def test_every_sentence_about_a_row_says_its_facts(kind: str) -> None:
    facts = facts_of(ROW_SENTENCES[kind])
    found = row_reason(kind, facts)
    assert found.code == kind.partition(".")[0]
    assert all(str(fact) in found.message for fact in facts.values())
    assert not {"{", "}"} & set(found.message)


@pytest.mark.parametrize("sentence", KIND_SENTENCES.values())
def test_every_sentence_about_a_cell_of_some_kind_says_its_facts(sentence: str) -> None:
    facts = facts_of(sentence)
    message = said(sentence, facts)
    assert all(str(fact) in message for fact in facts.values())
    assert not {"{", "}"} & set(message)


@pytest.mark.parametrize("kind", WARNING_SENTENCES)
def test_every_warning_says_its_facts(kind: str) -> None:
    facts = facts_of(WARNING_SENTENCES[kind])
    column = facts.pop("column", None)
    found = warning(kind, column=None if column is None else str(column), **facts)
    assert isinstance(found, Remark)
    assert found.code == kind.partition(".")[0]
    assert all(str(fact) in found.message for fact in facts.values())


@pytest.mark.parametrize("code", REFUSAL_SENTENCES)
def test_every_refusal_says_its_facts(code: str) -> None:
    facts = facts_of(REFUSAL_SENTENCES[code])
    found = refusal(code, **facts)
    assert (found.code, found.message) == (code, REFUSAL_SENTENCES[code].format(**facts))
    assert all(str(fact) in found.message for fact in facts.values())


def test_the_codes_of_rows_are_those_that_are_promised() -> None:
    assert {kind.partition(".")[0] for kind in (*ROW_SENTENCES, *KIND_SENTENCES)} == PROMISED_CODES


def test_no_sentence_is_said_of_two_things() -> None:
    of_rows = {*ROW_SENTENCES.values(), *KIND_SENTENCES.values()}
    sentences = [*WARNING_SENTENCES.values(), *REFUSAL_SENTENCES.values(), *of_rows]
    assert len(sentences) == len(set(sentences))


def test_codes_fit_the_ledger() -> None:
    assert all(len(code) <= 40 for code in REFUSAL_SENTENCES)


def test_a_shown_value_is_one_line_of_bounded_length() -> None:
    assert shown(" a\r\n b\tc ") == "a b c"
    assert shown("x" * SHOWN_CHARACTERS) == "x" * SHOWN_CHARACTERS
    assert shown("x" * 1000) == "x" * (SHOWN_CHARACTERS - 1) + "…"


def test_only_the_sender_of_a_file_without_a_header_reads_its_first_row() -> None:
    found = refusal("no_known_column", found="U1, Ana, ana@mail.example", expected="unique_id, email")
    assert "ana@mail.example" in found.message
    assert (
        found.summarised().message == "the first row names no known column; it must be a header like: unique_id, email"
    )


@pytest.mark.parametrize(
    ("sentence", "advice"),
    [
        (REFUSAL_SENTENCES["no_records"], "export it again with its users and drop it again"),
        (REFUSAL_SENTENCES["missing_column"], "add a column named {expected}"),
        (ROW_SENTENCES["too_large"], "a quote that is never closed often causes this"),
        (WARNING_SENTENCES["may_be_cut"], "check the last row, and end the file with a line end to stop this remark"),
    ],
)
def test_a_sentence_says_what_to_do(sentence: str, advice: str) -> None:
    assert sentence.endswith(advice)

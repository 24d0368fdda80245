"""Text from outside is one line that shapes nothing; a report travels under a name of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.words.details import detail, detail_in, listed
from notifier.safety import NO_BREAK, attachment_name, safe_detail, safe_text

ANYTHING = st.characters(codec=None, exclude_categories=())


@given(st.text(ANYTHING, max_size=400), st.integers(20, 200))
def test_safe_text_is_one_bounded_line_that_cannot_shape_anything(text: str, limit: int) -> None:
    safe = safe_text(text, limit)
    assert len(safe) <= limit
    assert safe.splitlines() in ([], [safe])
    assert "=?" not in safe
    assert all(character.isprintable() or character in NO_BREAK for character in safe)
    safe.encode()
    assert safe_text(safe, limit) == safe


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("students.csv", "students.csv"),
        ("e\u0301t\u00e9", "\u00e9t\u00e9"),
        ("a\tb\nc\r\nd\u2003e\u2028f", "a b c  d e f"),
        ("a\u00a0:\u202f1", "a\u00a0:\u202f1"),
        ("\x1b[31m\0\x7f", "\ufffd[31m\ufffd\ufffd"),
        ("\u202evsc\u200b\ufeff", "\ufffdvsc\ufffd\ufffd"),
        ("\udcff\ud800", "\ufffd\ufffd"),
        ("\ue000\U000e0001\U0010ffff\u0378", "\ufffd\ufffd\ufffd\ufffd"),
        ("=?utf-8?q?x?=", "= ?utf-8?q?x?="),
        ("=?=?", "= ?= ?"),
    ],
)
def test_what_shapes_something_is_replaced_and_all_else_stays(text: str, safe: str) -> None:
    assert safe_text(text) == safe


def test_what_is_too_long_is_cut_with_an_ellipsis() -> None:
    assert safe_text("x" * 200) == "x" * 200
    assert safe_text("x" * 201) == "x" * 199 + "…"
    assert safe_text("x" * 20, 20) == "x" * 20
    assert safe_text("x" * 21, 20) == "x" * 19 + "…"


def test_what_is_too_long_in_marks_is_cut_with_an_ellipsis_as_well() -> None:
    assert safe_text("\u03b1\u0313\u0300\u0345" * 21, 20) == "\u1f82" * 19 + "…"


def test_marks_do_not_count_that_are_one_character_with_their_letter() -> None:
    assert safe_text("\u03b1\u0313\u0300\u0345" * 20, 20) == "\u1f82" * 20


@given(st.text(max_size=300))
def test_attachment_names_are_plain_ascii_and_end_in_failed_csv(name: str) -> None:
    made = attachment_name(f"{name}.failed.csv")
    assert made.isascii()
    assert made.endswith(".failed.csv")
    assert made[0].isalnum()
    assert not set(made) & set("/\\\"';: \r\n")
    assert len(made) <= 120


@pytest.mark.parametrize(
    ("report", "name"),
    [
        ("people.20261122T101013Z.failed.csv", "people.20261122T101013Z.failed.csv"),
        ("people.20261122T101013Z.1", "people.20261122T101013Z.1.failed.csv"),
        ("a.failed.csv.failed.csv", "a.failed.csv.failed.csv"),
        ("failedXcsv", "failedXcsv.failed.csv"),
        ("\u00e9l\u00e8ves d'\u00e9t\u00e9.failed.csv", "eleves_d_ete.failed.csv"),
        ("a; b//c.failed.csv", "a_b_c.failed.csv"),
        ("A-Z_0.9.failed.csv", "A-Z_0.9.failed.csv"),
        ("X_1_X.failed.csv", "X_1_X.failed.csv"),
        ("..-_x_-...failed.csv", "x.failed.csv"),
        ("\u540d\u524d.failed.csv", "users.failed.csv"),
        (f"b{'a' * 100}.failed.csv", f"{'a' * 100}.failed.csv"),
        (f"b--{'a' * 98}.failed.csv", f"{'a' * 98}.failed.csv"),
        (f"b._{'a' * 98}.failed.csv", f"{'a' * 98}.failed.csv"),
    ],
)
def test_an_attachment_is_named_after_its_report(report: str, name: str) -> None:
    assert attachment_name(report) == name


def test_a_detail_and_its_facts_cannot_shape_a_log_or_a_mail() -> None:
    told = detail("at", where="a\nb", why=detail("folder_is_link", folder="=?x\u202e"))
    safe = safe_detail(told)
    assert str(safe) == safe_text(told.text) == "a b: = ?x\N{REPLACEMENT CHARACTER} is a link"
    assert detail_in(safe, "en") == str(safe)
    assert safe_detail(safe) == safe


@pytest.mark.parametrize("length", [*range(1, 12), 100])
def test_a_list_of_details_that_is_too_long_keeps_what_fits(length: int) -> None:
    told = listed([detail("folder_is_link", folder="a"), *(["x" * length] * 9), detail("threads")])
    safe = safe_detail(told, 40)
    assert str(safe) == safe_text(told.text, 40)
    assert detail_in(safe, "fr", str).startswith("a est un lien, x")
    assert "TasksMax" not in detail_in(safe, "fr")
    assert safe_detail(safe, 40) == safe


def test_a_sentence_that_is_too_long_is_cut_and_stays_in_english() -> None:
    told = detail("folder_is_link", folder="x" * 60)
    assert safe_detail(told, 40) == safe_text(told.text, 40)

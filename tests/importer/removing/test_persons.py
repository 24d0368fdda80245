"""A text names a person where it holds a value of that person, however it is shown there; nobody else is named."""

import html

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from importer.removing.blanking import blanked
from importer.removing.persons import person
from importer.words.reasons import shown
from notifier.safety import safe_text

VALUES = st.text(st.sampled_from("aBé7 ;|,\"'\t\n\N{NO-BREAK SPACE}=?<&\u200b-@."), min_size=1, max_size=90)


@given(VALUES)
def test_a_value_is_found_as_sentences_mails_and_reports_show_it(value: str) -> None:
    assume(value.strip().strip("\u200b\N{NO-BREAK SPACE}\t\n "))
    wanted = person([value])
    assume(wanted.values)
    for said in (value, shown(value), safe_text(shown(value)), value.upper(), html.unescape(html.escape(value))):
        assert wanted.is_in(f"uid '{said}' is already used in row 7")
        assert wanted.is_in(f"uid « {said} » existe déjà")
    quoted = value.replace('"', '""')
    assert wanted.is_in(f'x,"{quoted}",y')
    assert wanted.is_cell(f" {value}\t")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ana", "anaconda"),
        ("1", "1 of 3 rows was not imported; see row 1 and 1,204 others"),
        ("12", "row 12 has 12 cells"),
        ("1204", "1204 of 2000 users"),
        ("U1", "U12 and XU1"),
    ],
)
def test_what_merely_looks_alike_names_nobody(value: str, text: str) -> None:
    assert not person([value]).is_in(text)


def test_nothing_names_somebody_of_whom_nothing_is_known() -> None:
    assert not person(["", None, "\u200b"]).is_in("anything, at all")


def test_of_a_file_with_a_row_of_the_person_each_example_goes_and_names_stay() -> None:
    facts = {"file": "ana.csv", "reasons": [{"code": "invalid", "count": 2, "example": "email 'x@' is no address"}]}
    assert blanked(facts, person(["ana"]), of_row=False) == (facts, 0)
    without, number = blanked(facts, person(["ana"]), of_row=True)
    assert (without["reasons"][0]["example"], without["reasons"][0]["count"], without["file"]) == ("", 2, "ana.csv")
    assert number == 1

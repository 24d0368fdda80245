"""How the names of columns are compared."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.formats.names import normalised, spellings

UNSEEN = "\u00ad\u200b\u200c\u200d\u2060\ufeff\u200e\u202c\u034f\ufe0f\u180e"
ADDED = " \t\n\r\x0b\u00a0\u2003\u202f\u3000_-/.:*'\u2019\u2011\u2013"


@given(st.lists(st.sampled_from(UNSEEN + ADDED), max_size=30), st.randoms(use_true_random=False))
def test_what_nobody_sees_and_signs_that_people_add_make_no_difference_wherever_they_are(
    added: list[str], rng: object
) -> None:
    name = [*"Prénom"]
    for letter in added:
        name.insert(rng.randrange(len(name) + 1), letter)  # type: ignore[attr-defined]
    assert normalised("".join(name)) == "prénom"


@pytest.mark.parametrize("letter", UNSEEN)
@pytest.mark.parametrize("place", range(10))
def test_an_unseen_letter_makes_no_difference_at_any_place(letter: str, place: int) -> None:
    name = "unique_id"
    assert normalised(name[:place] + letter + name[place:]) == "uniqueid"


@pytest.mark.parametrize(
    "mark", ["\ufeff", "\ufeff\ufeff", "\u00ef\u00bb\u00bf", "\u00ef\u00bb\u00bf" * 2, "\ufeff\u00ef\u00bb\u00bf"]
)
def test_any_number_of_byte_order_marks_makes_no_difference(mark: str) -> None:
    assert normalised(mark + "unique_id") == "uniqueid"


def test_names_are_compared_as_they_are_seen_and_without_case() -> None:
    assert normalised(unicodedata.normalize("NFD", "PRÉNOM")) == normalised("prénom")
    assert normalised("Straße") == normalised("STRASSE")


@pytest.mark.parametrize("name", ["", "***", " _ ", "()", "\u200b", "\u00ef\u00bb\u00bf", "«»"[:0]])
def test_a_name_of_signs_alone_is_none(name: str) -> None:
    assert normalised(name) == ""


def test_remarks_in_brackets_may_be_left_out_but_count_first() -> None:
    assert spellings("E-mail (required) [text]") == ("emailrequiredtext", "email")
    assert spellings("Street (2)") == ("street2", "street")
    assert spellings("email") == ("email",)
    assert spellings("(((") == ("", "")

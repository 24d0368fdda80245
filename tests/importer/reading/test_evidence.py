"""What speaks against Windows-1252: every other code page does, and next to no file that is in it."""

import random

import pytest

from importer.formats.code_pages import CodePage
from importer.reading.evidence import Evidence, between_words, is_impossible, likely_program
from tests.generate.names import LANGUAGES, NAMES, OTHER_CODE_PAGES

PROGRAMS = {
    "macroman": "Excel for Mac",
    "cp850": "a DOS program, or Excel as “CSV (MS-DOS)”",
    "windows-1250": "a program for Central Europe or Turkish",
    "iso-8859-2": "a program for Central Europe or Turkish",
    "windows-1251": "a program for Cyrillic letters",
    "koi8-u": "a program for Cyrillic letters",
    "windows-1253": "a program for Greek letters",
    "windows-1254": "a program for Central Europe or Turkish",
    "shift_jis": "a program for Japanese, Chinese or Korean",
    "gb18030": "a program for Japanese, Chinese or Korean",
    "euc-kr": "a program for Japanese, Chinese or Korean",
}


def evidence(text: bytes) -> Evidence:
    found = Evidence()
    found.add(text)
    return found


@pytest.mark.parametrize("code_page", OTHER_CODE_PAGES)
def test_a_list_of_names_in_another_code_page_is_not_taken_for_windows_1252(code_page: str) -> None:
    for language in LANGUAGES[code_page]:
        assert not evidence(",".join(NAMES[language]).encode(CodePage(code_page).codec)).is_windows_1252, language


@pytest.mark.parametrize("code_page", OTHER_CODE_PAGES)
def test_the_program_that_wrote_a_list_of_names_is_named(code_page: str) -> None:
    for language in LANGUAGES[code_page]:
        words = evidence(",".join(NAMES[language]).encode(CodePage(code_page).codec)).words
        assert likely_program(words) == PROGRAMS[code_page], language


def test_of_correct_lists_in_windows_1252_next_to_none_is_given_up() -> None:
    rng = random.Random(7)  # noqa: S311 - files like these, not secrets
    given_up = 0
    for _ in range(1000):
        names = [name for language in rng.sample(LANGUAGES["windows-1252"], 2) for name in NAMES[language]]
        text = "\n".join(rng.choices(names, k=40)).encode("cp1252")
        given_up += not evidence(text).is_windows_1252
    assert given_up <= 20


@pytest.mark.parametrize(
    "word",
    [
        *("BŽlanger", "JŸrgen", "£uk", "Zo‘", "Jos‚", "Gro§", "ƒmile", "BƒLANGER", "¯ó³w", "Micha³", "‘¾˜Y", "Èâàíîâ"),  # noqa: RUF001
        *("Mu¤oz", "Ho\ufffd", "…zil", "TrâÌn", "Fran‚ois", "Tomá¹"),  # noqa: RUF001 - typographic marks are meant
    ],
)
def test_a_word_with_marks_or_capitals_inside_is_impossible(word: str) -> None:
    assert is_impossible(word)


@pytest.mark.parametrize(
    "word",
    [
        *("Émile", "ÉMILE", "d’Été", "Anne–Zoé", "“Zoé”", "‘Zoé’", "’t", "McÉwan", "DeÉtienne", "Œuvre", "à", "é"),  # noqa: RUF001
        *(
            "n°",
            "N°",
            "Mª",
            "Nº",
            "m²",
            "µg",
            "Kinko™",
            "Zoé…",
            "€",
            "§",
            "½",
            "«Zoé»",
            "Paral·lel",
            "¿Dónde",
            "©",
        ),
    ],
)
def test_a_word_that_people_write_is_possible(word: str) -> None:
    assert not is_impossible(word)


def test_a_strange_name_among_many_others_is_no_evidence_and_among_few_it_is() -> None:
    strange = "Bjørnçon".encode("cp1252")
    many = ",".join(NAMES["french"] + NAMES["german"]).encode("cp1252")
    assert evidence(many + b"," + strange).is_windows_1252
    assert not evidence(strange).is_windows_1252


def test_runs_that_are_utf8_are_neither_evidence_nor_examples() -> None:
    found = evidence("Zoé, BÉlanger, ".encode() + "Noël".encode("cp1252"))
    assert found.is_windows_1252
    assert found.words == ["Noël".encode("cp1252")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_words_are_whole_wherever_the_text_is_cut(size: int) -> None:
    text = "Zoé Bélanger,Jürgen\nx,y".encode("cp1252")
    whole, parts = evidence(text), Evidence()
    for part in between_words((text[at : at + size] for at in range(0, len(text), size)), longest=50):
        parts.add(part)
    assert parts.words == whole.words

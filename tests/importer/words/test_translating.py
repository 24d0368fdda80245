"""Every sentence in every language, with the facts of the original."""

import io
import re
import string

import pytest
from babel.messages.pofile import read_po

from importer.formats.kinds import KIND_SENTENCES
from importer.model import Refusal, Remark
from importer.words.reasons import refusal, refusal_in, said, warning, warning_in
from importer.words.translating import LANGUAGES, catalogue, translated
from tests.importing import report_bytes, report_rows
from tests.tools.catalogue import TRANSLATIONS, messages, updated

KEPT = re.compile(
    r"bak\b|USERDROP_\w+\*?|local_umask=\d+|anon_umask=\d+|vsftpd\.conf|3770|setgid|sticky|chmod g\+r"
    r"|import_error|import_file|fs\.inotify\.\w+|\.quarantine|\.csv\.gz|\.csv|\.txt|UTF-8|UTF-16|UTF-32|Windows-1252|sysctl|CSV|ZIP|NUL|FTP"
)
"""Names that every language keeps."""


def facts(text: str) -> list[str]:
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    return sorted(names + re.findall(r"%\(\w+\)s", text))


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_catalogue_holds_what_the_code_says_and_nothing_else(language: str) -> None:
    path = TRANSLATIONS[language]
    assert path.read_bytes() == updated(path, language), "run `python -m tests.tools.catalogue`"


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_no_message_lacks_its_translation(language: str) -> None:
    catalog = read_po(io.BytesIO(TRANSLATIONS[language].read_bytes()), locale=language)
    missing = []
    for message in messages():
        found = catalog.get(message[0] if isinstance(message, tuple) else message)
        texts = () if found is None else found.string if isinstance(found.string, tuple) else (found.string,)
        if found is None or not texts or not all(texts) or found.fuzzy:
            missing.append(message)
    assert missing == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_names_the_facts_and_the_names_of_the_original(language: str) -> None:
    catalog = read_po(io.BytesIO(TRANSLATIONS[language].read_bytes()), locale=language)
    for message in messages():
        several = message[1] if isinstance(message, tuple) else message
        found = catalog.get(message[0] if isinstance(message, tuple) else message)
        assert found is not None
        for text in map(str, found.string if isinstance(found.string, (list, tuple)) else [found.string]):
            assert facts(text) == facts(several), several
            assert sorted({*KEPT.findall(text)}) == sorted({*KEPT.findall(several)}), several


def test_an_unknown_language_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        catalogue("tlh")
    assert {"en", "fr"} == {*LANGUAGES}


def test_a_sentence_that_no_catalogue_knows_stays_as_it_is() -> None:
    assert translated("colour of the car", "fr") == "colour of the car"
    assert translated("", "fr") == ""


def test_words_of_ours_within_a_sentence_are_translated_and_values_are_not() -> None:
    sentence = said(KIND_SENTENCES["unknown"], {"column": "missing", "value": "image", "noun": "user type"}, "fr")
    assert sentence == "missing «\u00a0image\u00a0»\u00a0: ce type d’utilisateur n’est pas connu"


def test_what_is_wrong_with_a_file_is_told_in_any_language() -> None:
    assert refusal_in(refusal("not_text", kind="an image"), "fr").startswith("le fichier est une image, pas un CSV")
    remark = warning("unknown_column.suggestion", column="e-mial", suggestion="email")
    assert (
        warning_in(remark, "fr")
        == "la colonne «\u00a0e-mial\u00a0» n’est pas connue et a été ignorée; vouliez-vous dire email?"
    )
    assert warning_in(remark, "en") == remark.message


def test_a_summary_shows_no_cell_in_any_language() -> None:
    why = refusal("no_known_column", found="Ana, ana@mail.example", expected="unique_id").summarised()
    assert "Ana" not in str(why) + refusal_in(why, "fr") + refusal_in(why, "en")
    assert refusal_in(why, "en") == why.message


def test_what_another_version_stored_is_told_as_it_was() -> None:
    assert warning_in(Remark(code="odd", column=None, message="as it was"), "fr") == "as it was"
    assert refusal_in(Refusal(code="odd", message="as it was"), "fr") == "as it was"
    assert refusal_in(Refusal(code="not_text", message="as it was"), "fr") == "as it was"


def test_a_report_tells_its_reasons_in_the_language_of_the_site() -> None:
    rows = report_rows(report_bytes("uid,email\n,x\nU1\nU2,a@b.ca\nU3,A@b.ca\n", language="fr"))
    assert [row[2] for row in rows[1:]] == [
        "uid est obligatoire; email «\u00a0x\u00a0» n’est pas une adresse valide",
        "la ligne a 1 des 2 cellules de l’en-tête; il manque un séparateur",
        "email «\u00a0A@b.ca\u00a0» figure déjà à la ligne 4",
    ]

"""What a person meant: values in other words, dates as spreadsheets leave them, addresses among other signs."""

from pathlib import Path

import pytest

from importer.formats.columns import Column
from importer.formats.format_file import load_format
from importer.formats.kinds import kind_of
from importer.words.translating import catalogue
from tests.importer.cases import FILES, Dropped, drop_case
from tests.importing import examined, messages

BUILT_IN = load_format(None)
CELLS = "(Excel: Format Cells, Number, Custom; LibreOffice: Format, Cells, Numbers, Format code)"
QUOTES = "'>.,;"
TWO_LETTERS = "Use the two letters of a Canadian province or a US state, like ON"


def stored(dropped: Dropped, column: str) -> dict[str, str]:
    """Key → what is stored in a column."""
    return {key: user[column] for key, user in dropped.users.items() if user[column] is not None}


def test_a_login_source_is_known_in_any_case_and_by_its_name(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 79)
    assert stored(dropped, "login_source") == {"1": "OPSCOM", "2": "OPSCOM", "4": "OPSCOM"}
    assert dropped.errors == {4: "login_source 'OPS-COM' is not a known login source; did you mean 'OPSCOM'?"}


def test_a_province_is_known_by_its_names_and_suggested_by_what_else_people_write(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 81)
    assert stored(dropped, "province") == {"1": "QC", "7": "BC", "8": "ON"}
    assert dropped.errors == {
        row: f"province '{written}' is not allowed; did you mean '{meant}'? {TWO_LETTERS}"
        for row, written, meant in [
            (3, "Que.", "QC"),
            (4, "PQ", "QC"),
            (5, "Ont.", "ON"),
            (6, "Newfoundland", "NL"),
            (7, "B.C.", "BC"),
        ]
    }


def test_a_province_is_explained_in_french() -> None:
    (path,) = FILES.glob("82-*")
    with examined(path.read_bytes(), BUILT_IN, language="fr") as examination:
        (message,) = messages(examination)[2]
    assert message.replace("\N{NO-BREAK SPACE}", " ").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'") == (
        "province « Ontarie » n'est pas permis ; vouliez-vous dire « Ontario » ? "
        "Utilisez les deux lettres d'une province canadienne ou d'un État américain, comme ON"
    )


def test_a_date_is_taken_where_it_means_one_day_and_explained_elsewhere(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 84)
    assert stored(dropped, "date_of_birth") == {"2": "2001-05-03", "3": "2001-05-03", "5": "2001-05-03"}
    assert dropped.errors == {
        2: "date_of_birth '37256' is a spreadsheet's day number, for 2001-12-31; give the cells the custom format"
        f" yyyy-mm-dd {CELLS} and save the file again",
        5: "date_of_birth '03-May-01' is not a date; write it as YYYY-MM-DD, which a spreadsheet leaves so where the"
        f" cells have the custom format yyyy-mm-dd {CELLS}",
        7: "date_of_birth '0000-00-00' is no day; leave the cell empty where the date is not known",
        8: "date_of_birth '1/0/1900' is no day; leave the cell empty where the date is not known",
    }


def test_a_french_reason_names_the_form_of_a_date_as_a_french_spreadsheet_does() -> None:
    header = "unique_id,login_source,date_of_birth\n"
    with examined(f"{header}1,OPSCOM,soon\n2,OPSCOM,37256\n", BUILT_IN, language="fr") as examination:
        told = messages(examination)
    assert told[2][0].endswith("écrivez-la sous la forme AAAA-MM-JJ")
    assert "le format personnalisé aaaa-mm-jj (Excel" in told[3][0]


def test_an_address_that_is_certainly_meant_is_offered(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 86)
    written = ["ana@example.org;", "bo@example.org.", "cy@example.org,", "'di@example.org'", "ed@example.org>"]
    assert dropped.errors == {
        row: f"email '{text}' is not a valid address; did you mean '{text.strip(QUOTES)}'?"
        for row, text in enumerate(written, 2)
    }


def test_a_huge_cell_is_called_too_long_by_its_columns_name(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 89)
    assert dropped.errors == {2: "last_name is 70,000 characters long; at most 50 are allowed"}


def test_a_huge_cell_of_a_column_without_a_limit_is_named_too() -> None:
    text = f"unique_id,login_source,shoe\n1,OPSCOM,{'é' * 40_000}\n"
    with examined(text, BUILT_IN) as examination:
        assert messages(examination)[2] == [
            "shoe is 40,000 characters long, more than 64 KB; a quote that is never closed often causes this"
        ]
    with examined(text, BUILT_IN, language="fr") as examination:
        assert messages(examination)[2][0].startswith("shoe compte 40\N{NARROW NO-BREAK SPACE}000 caractères")


@pytest.mark.parametrize("column", BUILT_IN.columns, ids=lambda column: column.name)
def test_every_sentence_about_a_built_in_column_is_french_in_french(column: Column) -> None:
    french = catalogue("fr")
    kind = kind_of(column.kind)
    for check in kind.checks(BUILT_IN.options(column)):
        for key in (check.sentence, *(better.sentence for better in check.better)):
            assert french.gettext(kind.sentences[key]) != kind.sentences[key]
        translated = check.facts_in("fr")
        assert all(translated[name] != fact for name, fact in check.facts_in("en").items())

"""Files in other encodings: letters are what was meant, or the row fails; nobody is stored garbled."""

from pathlib import Path

import pytest

from importer.formats.code_pages import CodePage
from importer.judging.examining import examine
from importer.judging.judge import Source
from tests.generate.names import LANGUAGES, NAMES, OTHER_CODE_PAGES
from tests.importer.cases import BUILT_IN, drop, drop_case
from tests.importing import LIMITS, NOW


def names_read(path: Path, names: list[str], written: CodePage, told: CodePage) -> dict[str, str]:
    """Name → what was read of it, for those rows of a file of users with these names that did not fail."""
    rows = "".join(f"{key},OPSCOM,{name}\n" for key, name in enumerate(names))
    path.write_bytes(f"unique_id,login_source,first_name\n{rows}".encode(written.codec))
    source = Source(path=path, name="users.csv", format=BUILT_IN, limits=LIMITS, code_page=told)
    with examine(source, today=NOW.date(), spool_directory=None) as judged:
        frames = [frame.select("unique_id", "first_name").rows() for frame in judged.accepted()]
    return {names[int(key)]: name for rows in frames for key, name in rows}


@pytest.mark.parametrize("code_page", OTHER_CODE_PAGES)
def test_names_in_a_code_page_that_nobody_told_are_never_stored_garbled(tmp_path: Path, code_page: str) -> None:
    for language in LANGUAGES[code_page]:
        names = [*NAMES[language], "Ann"]
        assert names_read(tmp_path / "f", names, CodePage(code_page), CodePage.AUTO) == {"Ann": "Ann"}


@pytest.mark.parametrize("code_page", LANGUAGES)
def test_names_in_a_code_page_that_is_set_are_read_as_they_are(tmp_path: Path, code_page: str) -> None:
    page = CodePage(code_page)
    for language in LANGUAGES[code_page]:
        names = NAMES[language]
        assert names_read(tmp_path / "f", names, page, page) == {name: name for name in names}


@pytest.mark.parametrize("language", LANGUAGES["windows-1252"])
def test_names_in_windows_1252_are_read_without_being_told(tmp_path: Path, language: str) -> None:
    names = NAMES[language]
    assert names_read(tmp_path / "f", names, CodePage.WINDOWS_1252, CodePage.AUTO) == {name: name for name in names}


def test_utf8_is_utf8_whatever_code_page_is_set(tmp_path: Path) -> None:
    for page in CodePage:
        path = tmp_path / "f"
        path.write_bytes("unique_id,login_source,first_name\n1,OPSCOM,Zoé\n".encode())
        source = Source(path=path, name="users.csv", format=BUILT_IN, limits=LIMITS, code_page=page)
        with examine(source, today=NOW.date(), spool_directory=None) as judged:
            assert [frame["first_name"].to_list() for frame in judged.accepted()] == [["Zoé"]]


def test_trail_bytes_that_look_like_separators_are_no_separators(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes("unique_id|login_source|first_name\n1|OPSCOM|ポール\n".encode("cp932"))
    assert b"|" in "ポール".encode("cp932")
    source = Source(path=path, name="users.csv", format=BUILT_IN, limits=LIMITS, code_page=CodePage.SHIFT_JIS)
    with examine(source, today=NOW.date(), spool_directory=None) as judged:
        assert [frame["first_name"].to_list() for frame in judged.accepted()] == [["ポール"]]


def test_bytes_that_a_code_page_has_not_fail_their_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"unique_id,login_source,first_name\n1,OPSCOM,\x81\n2,OPSCOM,\x82\xa0\n3,OPSCOM,\xff\n")
    source = Source(path=path, name="users.csv", format=BUILT_IN, limits=LIMITS, code_page=CodePage.SHIFT_JIS)
    with examine(source, today=NOW.date(), spool_directory=None) as judged:
        assert [frame["first_name"].to_list() for frame in judged.accepted()] == [["あ"]]
        lines = [cells["import_line"].to_list() for cells, _ in judged.failed()]
    assert lines == [["1,OPSCOM,\\x81", "3,OPSCOM,\\xff"]]


def test_macroman_over_good_names_changes_nobody(tmp_path: Path) -> None:
    _, second = drop_case(tmp_path, 2)
    assert second.counts == (2, 0, 2, 0)
    assert second.users["1"]["first_name"] == "Zoé"
    assert "“ZoŽ”, “BŽlanger”" in second.errors[2]
    assert "Excel for Mac" in second.errors[2]
    assert "CSV UTF-8" in second.errors[2]


@pytest.mark.parametrize(("number", "failed"), [(6, {2, 3, 4, 6}), (9, {2, 3}), (11, {2, 3})])
def test_rows_with_letters_of_another_code_page_fail_and_the_others_do_not_wait(
    tmp_path: Path, number: int, failed: set[int]
) -> None:
    (dropped,) = drop_case(tmp_path, number)
    assert dropped.status == "imported"
    assert {*dropped.errors} == failed
    assert all("encoding" in error for error in dropped.errors.values())


def test_utf8_and_windows_1252_in_one_file_are_both_read(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 8)
    assert [user["first_name"] for user in dropped.users.values()] == ["Zoé", "René", "Noël", "Ann"]
    (remark,) = dropped.remarks
    assert remark[0] == "windows_1252"
    assert "“Ren\\xe9” → “René”" in remark[1]


def test_a_mark_that_says_utf8_over_other_bytes_asks_for_the_original(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 19)
    assert {*dropped.users} == {"2"}
    assert "open the original file, save it as “CSV UTF-8”" in dropped.errors[2]


def test_a_header_with_letters_of_an_unknown_encoding_refuses_the_file(tmp_path: Path) -> None:
    (dropped,) = drop(tmp_path, "unique_id,login_source,Prénom\n1,OPSCOM,Zoé\n".encode("mac-roman"))
    assert dropped.status == "refused"
    assert "CSV UTF-8" in dropped.refusal

"""Which names in an upload directory are taken, passed over, or told to the administrator."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.uploads.scanning import is_candidate, is_draft_of, is_temporary, scan


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "b.txt", "c.csv.gz", "C.Csv.Gz", "-rf.csv", "ü.csv", "\udcff.csv"])
def test_user_files_are_candidates_in_any_case(name: str) -> None:
    assert is_candidate(name)


@pytest.mark.parametrize(
    "name",
    [
        ".a.csv",
        ".in.a.csv",
        "a.csv.filepart",
        "a.csv.FILEPART",
        "a.csv.part",
        "a.csv.tmp",
        "a.csv~",
        "a.csv.crdownload",
    ],
)
def test_names_that_clients_write_under_are_temporary_and_no_candidates(name: str) -> None:
    assert is_temporary(name)
    assert not is_candidate(name)


@pytest.mark.parametrize("name", ["a.xlsx", "a.zip", "a.gz", "csv", "a.csv.bak", "a.csv "])
def test_other_names_are_neither(name: str) -> None:
    assert not is_temporary(name)
    assert not is_candidate(name)


@given(st.text(min_size=1))
def test_no_name_is_both_temporary_and_a_candidate(name: str) -> None:
    assert not (is_temporary(name) and is_candidate(name))


def test_a_scan_tells_candidates_from_odd_names_and_passes_over_the_rest(tmp_path: Path) -> None:
    for name in ("a.csv", "b.TXT", "c.csv.gz", "d.xlsx", "e.csv.filepart", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "bak").mkdir()
    (tmp_path / ".importing").mkdir()
    found = scan(tmp_path)
    assert sorted(found.candidates) == ["a.csv", "b.TXT", "c.csv.gz"]
    assert found.odd == ("d.xlsx",)


def test_a_scan_finds_the_drafts_of_import_files_and_no_other_hidden_files(tmp_path: Path) -> None:
    for name in ("a.csv.filepart", "b.tmp", ".in.c.csv", ".hidden", ".nfs0001"):
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "d.csv.part").mkdir()
    (tmp_path / "e.csv.part").symlink_to("a.csv.filepart")
    found = scan(tmp_path)
    assert {(each.name, each.size) for each in found.drafts} == {("a.csv.filepart", 5), ("b.tmp", 5), (".in.c.csv", 5)}
    assert (found.candidates, found.odd) == ((), ())


def test_of_each_folder_at_any_depth_the_first_user_file_is_odd(tmp_path: Path) -> None:
    for path in ("2026/07/b.csv", "2026/07/a.csv", "2026/08/c.txt", "2026/notes.pdf", "2026/.hidden/x.csv"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(scan(tmp_path).odd) == ["2026/07/a.csv", "2026/08/c.txt"]


@pytest.mark.parametrize("draft", ["a.csv.part", ".a.csv.x7Yz", ".in.a.csv", ".in.a.csv.", "a.csv~"])
def test_a_draft_is_known_by_the_name_that_it_will_have(draft: str) -> None:
    assert is_draft_of(draft, "a.csv")
    assert not is_draft_of(draft, "b.csv")
    assert not is_draft_of("x" + draft.lstrip("."), "a.csv")


def test_a_directory_is_odd_only_where_its_name_is_that_of_a_user_file(tmp_path: Path) -> None:
    (tmp_path / "2026").mkdir()
    (tmp_path / "students.csv").mkdir()
    found = scan(tmp_path)
    assert found.candidates == ()
    assert found.odd == ("students.csv",)


def test_a_scan_does_not_go_into_directories_or_follow_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "hidden.csv").touch()
    watched = tmp_path / "upload"
    watched.mkdir()
    (watched / "link").symlink_to(elsewhere)
    found = scan(watched)
    assert found.candidates == ()
    assert found.odd == ("link",)


def test_a_link_in_the_place_of_the_directory_is_not_scanned(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(NotADirectoryError):
        scan(tmp_path / "link")


def test_a_name_that_is_not_utf_8_is_found_and_leads_to_the_file(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\n.csv"
    os.close(os.open(raw, os.O_CREAT | os.O_WRONLY, 0o600))
    (name,) = scan(tmp_path).candidates
    assert os.fsencode(tmp_path / name) == raw


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "nowhere")

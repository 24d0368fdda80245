"""Where a file lies, found in real directories."""

import fcntl
import os
from pathlib import Path

from tests.rights import mode, obeying_file_modes
from watcher.stories.whereabouts import Whereabouts, whereabouts


def put(path: Path, content: bytes = b"1234567") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_found_wherever_it_lies(tmp_path: Path) -> None:
    put(tmp_path / "a.csv")
    put(tmp_path / ".importing" / "C1" / "a.csv")
    put(tmp_path / ".importing" / "C2" / "b.csv")
    put(tmp_path / ".quarantine" / "C3" / "a.csv")
    for name in ("a.20300101T120000Z.csv", "a.20300101T120000Z.1.csv", "b.20300101T120000Z.csv"):
        put(tmp_path / "bak" / name)
    assert whereabouts(tmp_path, "a.csv") == Whereabouts(
        bytes=7,
        claimed=("C1",),
        set_aside=("C3",),
        archived=("a.20300101T120000Z.1.csv", "a.20300101T120000Z.csv"),
    )


def test_drafts_of_it_files_of_its_name_in_folders_and_its_other_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "snapshot").hardlink_to(put(tmp_path / "a.csv"))
    for name in ("a.csv.part", ".in.a.csv", "ba.csv.part", "b.csv.part", "2026/07/a.csv", "2026/b.csv", "bak/a.csv"):
        put(tmp_path / name)
    found = whereabouts(tmp_path, "a.csv")
    assert found.links == 2
    assert {*found.drafts} == {("a.csv.part", 7), (".in.a.csv", 7)}
    assert found.folders == ("2026/07/a.csv",)
    assert whereabouts(tmp_path, "ba.csv.part").drafts == ()


def test_a_file_that_lies_nowhere_is_not_found(tmp_path: Path) -> None:
    for name in ("a.csv", "a" * 300 + ".csv"):
        assert whereabouts(tmp_path, name) == Whereabouts()


def test_who_writes_into_it_is_named(tmp_path: Path) -> None:
    with put(tmp_path / "a.csv").open("ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert whereabouts(tmp_path, "a.csv").writers == (os.getpid(),)
    assert whereabouts(tmp_path, "a.csv").writers == ()


def test_a_place_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    put(tmp_path / "bak")
    assert whereabouts(tmp_path, "a.csv").unseen == ("bak",)


def test_a_directory_that_cannot_be_looked_into_is_named_with_all_that_lies_in_it(tmp_path: Path) -> None:
    upload = put(tmp_path / "upload" / "bak" / "a.20300101T120000Z.csv").parent.parent
    with mode(upload, 0), obeying_file_modes():
        found = whereabouts(upload, "a.csv")
    assert found == Whereabouts(unseen=("the upload directory", ".importing", ".quarantine", "bak"))

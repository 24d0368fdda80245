"""Where a file lies, found in real directories."""

import fcntl
import os
from pathlib import Path

from watcher.whereabouts import Whereabouts, whereabouts


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


def test_a_file_that_lies_nowhere_is_not_found(tmp_path: Path) -> None:
    assert whereabouts(tmp_path, "a.csv") == Whereabouts()


def test_who_writes_into_it_is_named(tmp_path: Path) -> None:
    with put(tmp_path / "a.csv").open("ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert whereabouts(tmp_path, "a.csv").writers == (os.getpid(),)
    assert whereabouts(tmp_path, "a.csv").writers == ()


def test_a_place_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    put(tmp_path / "bak")
    assert whereabouts(tmp_path, "a.csv").unseen == ("bak",)

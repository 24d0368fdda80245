"""The modes of archived files, which somebody has opened to others."""

import stat
from pathlib import Path

import pytest

from importer.files.bak_files import OpenFiles, Seen, close_some, open_files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def bak(tmp_path: Path) -> Path:
    path = tmp_path / "bak"
    path.mkdir()
    path.chmod(0o2750)
    return path


def put(bak: Path, name: str, mode: int) -> Path:
    path = bak / name
    path.write_bytes(b"x")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("opened", "closed"), [(0o660, 0o640), (0o666, 0o644), (0o777, 0o755), (0o620, 0o600), (0o4666, 0o644)]
)
def test_the_right_to_write_is_taken_from_others_and_no_other_right(bak: Path, opened: int, closed: int) -> None:
    path = put(bak, "a.csv", opened)
    assert close_some(bak.parent, 0, 10) == Seen(1, 1)
    assert mode(path) == closed
    assert close_some(bak.parent, 0, 10) == Seen(1, 0)


def test_what_is_no_file_of_bak_is_left_alone(bak: Path, tmp_path: Path) -> None:
    outside = put(tmp_path, "outside", 0o666)
    (bak / "link").symlink_to(outside)
    (bak / "folder").mkdir(mode=0o700)
    (bak / "folder").chmod(0o777)
    assert close_some(tmp_path, 0, 10) == Seen(2, 0)
    assert (mode(outside), mode(bak / "folder")) == (0o666, 0o777)


def test_so_many_files_are_looked_at_in_a_row(bak: Path) -> None:
    paths = [put(bak, f"{number}.csv", 0o660) for number in range(5)]
    seen = [close_some(bak.parent, begin, 2) for begin in (0, 2, 4)]
    assert seen == [Seen(2, 2), Seen(2, 2), Seen(1, 1)]
    assert {mode(path) for path in paths} == {0o640}


def test_open_files_are_counted(bak: Path) -> None:
    for name, its in (("a", 0o640), ("b", 0o660), ("c", 0o644), ("d", 0o666)):
        put(bak, name, its)
    assert open_files(bak.parent, 10) == OpenFiles(writable=2, readable=0)
    bak.chmod(0o2755)
    assert open_files(bak.parent, 10) == OpenFiles(writable=2, readable=2)


def test_where_there_is_no_bak_there_is_nothing_to_close(tmp_path: Path) -> None:
    assert (close_some(tmp_path, 0, 10), open_files(tmp_path, 10)) == (Seen(0, 0), OpenFiles(0, 0))
    (tmp_path / "bak").symlink_to(tmp_path)
    assert close_some(tmp_path, 0, 10) == Seen(0, 0)

"""One look at a real file: what stat(2) and its locks say, and that nothing else is ever opened."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from importer.files.writers import is_in_locks
from importer.model import NotTakenWhy
from tests.rights import DEVICES, make_device, mode, obeying_file_modes
from watcher.uploads.evidence import look_at, look_at_all
from watcher.uploads.model import Sighting

CONTENT = b"unique_id\nU1\n"

_HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, getattr(fcntl, sys.argv[2]))
print("locked", flush=True)
sys.stdin.read()
"""


def holder(path: Path, lock: str) -> subprocess.Popen[bytes]:
    """Another process that holds a lock until its standard input ends."""
    command = [sys.executable, "-c", _HOLD, str(path), lock]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"locked\n"
    return started


def seen(directory: Path, name: str = "a.csv") -> Sighting:
    found = look_at(directory, name)
    assert isinstance(found, Sighting)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT)
    return path


def test_a_look_sees_what_stat_says(file: Path) -> None:
    status = file.stat()
    found = seen(file.parent)
    assert (found.name, found.is_locked, found.verdict, found.came_by_rename) == ("a.csv", False, None, False)
    assert (found.content.inode, found.content.size) == (status.st_ino, len(CONTENT))
    assert (found.content.modified_ns, found.changed_ns) == (status.st_mtime_ns, status.st_ctime_ns)


def test_a_write_lock_of_another_process_is_seen_until_it_is_gone(file: Path) -> None:
    with holder(file, "LOCK_EX") as other:
        assert seen(file.parent).is_locked
        other.communicate()
    assert not seen(file.parent).is_locked


def test_a_read_lock_says_nothing(file: Path) -> None:
    with holder(file, "LOCK_SH") as other:
        assert not seen(file.parent).is_locked
        other.communicate()


def test_a_look_leaves_no_lock_behind(file: Path) -> None:
    seen(file.parent)
    with file.open("r+b") as ours:
        fcntl.lockf(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_look_leaves_no_descriptor_behind(file: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    seen(file.parent)
    before = descriptors()
    for _ in range(20):
        seen(file.parent)
    assert descriptors() == before


def test_writing_and_setting_times_or_modes_show(file: Path) -> None:
    looks = [seen(file.parent)]
    with file.open("ab") as appending:
        appending.write(b"U2\n")
    looks.append(seen(file.parent))
    os.utime(file, ns=(1, 1))
    looks.append(seen(file.parent))
    assert looks[0].content.size < looks[1].content.size
    assert looks[2].content.modified_ns == 1
    assert looks[2].changed_ns > 1, "the sender cannot set it"


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _symlink(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(CONTENT)
    path.symlink_to(target)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _hard_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(CONTENT)
    path.hardlink_to(target)


def _directory(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "make",
    [
        *(_fifo, _symlink, _dangling, _loop, _directory, _socket),
        *(partial(make_device, kind=kind) for kind in DEVICES),
    ],
)
def test_what_is_no_plain_file_is_left_alone_and_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes only
    make(Path("x.csv"))
    assert look_at(tmp_path, "x.csv") is NotTakenWhy.NOT_A_PLAIN_FILE


def test_a_file_with_several_names_is_told_from_what_is_no_file(tmp_path: Path) -> None:
    _hard_link(tmp_path / "x.csv")
    assert look_at(tmp_path, "x.csv") is NotTakenWhy.HARD_LINKED


def test_a_missing_file_is_gone(tmp_path: Path) -> None:
    assert look_at(tmp_path, "a.csv") is NotTakenWhy.GONE
    assert look_at(tmp_path / "nowhere", "a.csv") is NotTakenWhy.GONE


def test_a_file_is_gone_where_its_directory_became_a_file(file: Path) -> None:
    assert look_at(file, "a.csv") is NotTakenWhy.GONE


def test_a_file_that_may_not_be_read_is_unreadable(file: Path) -> None:
    file.chmod(0)
    with obeying_file_modes():
        assert look_at(file.parent, "a.csv") is NotTakenWhy.UNREADABLE


def test_a_file_that_may_not_be_read_is_seen_while_somebody_writes_into_it(file: Path) -> None:
    with holder(file, "LOCK_EX") as other:
        file.chmod(0)
        with obeying_file_modes():
            assert seen(file.parent).is_locked
            other.communicate()
            assert look_at(file.parent, "a.csv") is NotTakenWhy.UNREADABLE


LOCKS = """\
1: POSIX  ADVISORY  WRITE 4711 fe:01:131 0 EOF
2: POSIX  ADVISORY  READ 4711 fe:01:132 0 EOF
3: FLOCK  ADVISORY  WRITE 4711 fe:01:133 0 EOF
4: OFDLCK ADVISORY  WRITE -1 00:1c:134 0 EOF
5: POSIX  ADVISORY  READ 4711 fe:01:135 0 EOF
5: -> POSIX  ADVISORY  WRITE 4712 fe:01:135 0 EOF
6: LEASE  ACTIVE    WRITE 4711 fe:01:136 0 EOF
a line that is none
"""


@pytest.mark.parametrize(
    ("device", "inode", "is_locked"),
    [
        ((254, 1), 131, True),
        ((254, 1), 13, False),
        ((254, 2), 131, False),
        ((254, 1), 132, False),
        ((254, 1), 133, False),
        ((0, 28), 134, True),
        ((254, 1), 135, False),
        ((254, 1), 136, False),
    ],
)
def test_the_kernel_s_list_tells_write_locks_by_device_and_inode(
    device: tuple[int, int], inode: int, *, is_locked: bool
) -> None:
    assert is_in_locks(LOCKS, os.makedev(*device), inode) == is_locked


def test_in_a_directory_that_may_not_be_searched_no_file_is_called_unreadable(file: Path) -> None:
    with mode(file.parent, 0), obeying_file_modes():
        assert look_at(file.parent, file.name) is NotTakenWhy.GONE


def test_files_of_a_directory_are_looked_at_together(file: Path) -> None:
    assert look_at_all(file.parent, [file.name, "b.csv"]) == [
        (file.name, look_at(file.parent, file.name)),
        ("b.csv", NotTakenWhy.GONE),
    ]


def test_behind_a_link_in_the_place_of_the_directory_there_is_nothing(file: Path) -> None:
    link = file.parent / "link"
    link.symlink_to(file.parent)
    assert look_at_all(link, [file.name]) == [(file.name, NotTakenWhy.GONE)]

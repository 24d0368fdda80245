"""Each fault of a disk or a directory, made on a real one, is told in its own words, with a command that shows it."""

import errno
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from importer.files.anchoring import own_directory
from importer.files.archiving import opened_bak
from importer.files.claiming import WORK_DIRECTORY
from importer.files.faults import fault
from importer.model import Detail
from importer.words.details import detail
from notifier.alert_texts import ALERT_TEXTS, CAUSES, is_full, text_of
from notifier.model import AlertKind
from tests.importing import mounted
from tests.rights import obeying_file_modes
from tests.servers.tools import environment, needs, run
from watcher.uploads.scanning import scan


def full(directory: Path) -> None:
    with (directory / "big").open("wb") as file:
        while file.write(bytes(1 << 16)):
            pass


def many(directory: Path) -> None:
    for number in range(10_000):
        (directory / str(number)).touch()


def made(directory: Path) -> None:
    with own_directory(directory, WORK_DIRECTORY) as work:
        (work / "new").touch()


def archived(directory: Path) -> None:
    with opened_bak(directory) as bak:
        (bak / "new").touch()


@contextmanager
def small(directory: Path) -> Iterator[Path]:
    with mounted(directory, "-t", "tmpfs", "-o", "size=256k", "tmpfs"):
        yield directory


@contextmanager
def few_inodes(directory: Path) -> Iterator[Path]:
    with mounted(directory, "-t", "tmpfs", "-o", "size=16m,nr_inodes=50", "tmpfs"):
        yield directory


@contextmanager
def read_only(directory: Path) -> Iterator[Path]:
    """As ReadWritePaths= leaves the rest: mounted over itself."""
    with mounted(directory, "--bind", "-o", "ro", str(directory)):
        yield directory


@contextmanager
def closed(directory: Path) -> Iterator[Path]:
    directory.chmod(0o555)
    with obeying_file_modes():
        yield directory


@contextmanager
def immutable(directory: Path) -> Iterator[Path]:
    image = directory.with_name("image")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    run([needs("mkfs.ext4"), "-q", str(image)], env=environment())
    with mounted(directory, "-o", "loop", str(image)):
        run([needs("chattr"), "+i", str(directory)], env=environment())
        try:
            yield directory
        finally:
            run(["chattr", "-i", str(directory)], env=environment())


@contextmanager
def file_in_its_place(directory: Path) -> Iterator[Path]:
    directory.rmdir()
    directory.write_bytes(b"unique_id")
    yield directory


@contextmanager
def file_on_the_way(directory: Path) -> Iterator[Path]:
    with file_in_its_place(directory):
        yield directory / "acme"


@contextmanager
def circle(directory: Path) -> Iterator[Path]:
    directory.rmdir()
    directory.symlink_to(directory)
    yield directory / "acme"


@contextmanager
def missing(directory: Path) -> Iterator[Path]:
    yield directory / "acme"


@contextmanager
def own_names_taken(directory: Path) -> Iterator[Path]:
    for name in (WORK_DIRECTORY, "bak"):
        (directory / name).symlink_to(directory.parent)
    yield directory


@pytest.mark.parametrize(
    ("broken", "act", "code"),
    [
        (small, full, "ENOSPC"),
        (few_inodes, many, "no_inodes"),
        *((read_only, act, "EROFS") for act in (full, made, archived)),
        *((closed, act, "EACCES") for act in (full, made, archived)),
        (immutable, made, "EACCES"),
        (file_in_its_place, scan, "ENOTDIR"),
        (file_on_the_way, scan, "ENOTDIR"),
        (circle, scan, "ENOTDIR"),
        (missing, scan, "ENOENT"),
        *((own_names_taken, act, "not_ours") for act in (made, archived)),
    ],
)
def test_a_fault_is_told_in_its_own_words_with_its_place_and_a_command_that_works_there(
    tmp_path: Path, broken: Callable[[Path], AbstractContextManager[Path]], act: Callable[[Path], object], code: str
) -> None:
    directory = tmp_path / "it's here"
    directory.mkdir()
    with broken(directory) as place:
        with pytest.raises(OSError, match=r".") as caught:
            act(place)
        told = fault(caught.value, place)
        assert isinstance(told, Detail)
        assert str(told).startswith(f"{place}: ")
        for kind in (AlertKind.DISK_FULL if is_full(told) else AlertKind.DISK, AlertKind.ARCHIVE):
            text, cause = text_of(kind, told), CAUSES[code]
            assert (text.means, text.cure) == (cause.means, cause.cure)
            assert shlex.split(text.command)[-1] == str(place)
            assert (text.title == cause.title) == (kind is not AlertKind.ARCHIVE)
        done = subprocess.run(shlex.split(text.command), env=environment(), check=False, capture_output=True, text=True)
        assert done.returncode == 0 or code in {"ENOENT", "ENOTDIR"}, done
        assert done.stdout


def test_a_quota_is_told_as_one(tmp_path: Path) -> None:
    """Made by strace: not every kernel knows quotas."""
    big = tmp_path / "big"
    tries = f"open({str(big)!r}, 'wb', 0).write(b'x')"
    strace = [needs("strace"), "-f", "-q", "-P", str(big), "-e", "trace=write", "-e", "inject=write:error=EDQUOT"]
    done = subprocess.run([*strace, sys.executable, "-c", tries], check=False, capture_output=True, text=True)
    assert "OSError: [Errno 122] Disk quota exceeded" in done.stderr
    told = fault(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path)
    assert is_full(told)
    assert text_of(AlertKind.DISK_FULL, told).title == CAUSES["EDQUOT"].title


def test_an_error_elsewhere_is_told_with_that_place(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "state" / "file").touch()
    assert str(fault(caught.value, tmp_path / "upload")) == f"{tmp_path / 'state'}: No such file or directory"
    assert str(fault(caught.value, None)) == f"{tmp_path / 'state'}: No such file or directory"
    assert str(fault(OSError(5, "Input/output error"), None)) == "Input/output error"


def test_an_alert_of_another_kind_or_of_unknown_words_keeps_its_own_text() -> None:
    for kind, told in ((AlertKind.DATABASE, detail("ENOSPC")), (AlertKind.DISK, "the moon"), (AlertKind.ARCHIVE, "")):
        assert text_of(kind, told) == ALERT_TEXTS[kind]

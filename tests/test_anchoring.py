"""Directories of ours in a folder of the client's, who puts links in their places at any step of the work."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from importer import claiming
from importer.anchoring import own_directory
from importer.archiving import BAK, ForBak, opened_bak, put_into_bak
from importer.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from importer.model import Claim
from importer.reimporting import reimport

Work = Callable[[Path], None]

ID = "20261122T101013Z-a"
NAME = "people.csv"
ARCHIVE, REPORT = "people.20261122T101013Z.csv", "people.20261122T101013Z.failed.csv"
DATA = b"unique_id\nU1\n"
OURS = (WORK_DIRECTORY, QUARANTINE_DIRECTORY, BAK)
STEPS = {
    *("open", "mkdir", "rmdir", "rename", "replace", "unlink", "chmod", "chown", "fsync", "rename_noreplace"),
    *("stat", "lstat", "fstat", "listdir", "scandir"),
}
"""Functions that go to the disk: between any two of them the client may come."""


def new_claim(upload: Path, room: Path) -> Claim:
    claimed = claiming.claim(Claim(id=ID, client="acme", directory=upload, name=NAME, workroom=room))
    assert isinstance(claimed, Claim)
    claiming.make_durable([claimed])
    claiming.count_attempt(claimed)
    return claimed


def drop(upload: Path) -> None:
    (upload / NAME).write_bytes(DATA)


def archive(upload: Path) -> None:
    """What an import does to the disk."""
    seen = claiming.fingerprint((upload / NAME).lstat())
    with claiming.workroom(upload) as room:
        claimed = new_claim(upload, room)
        copied = claiming.copy(claimed, seen=seen, max_bytes=100)
        claimed.report.write_bytes(b"unique_id,error\r\n")
        put_into_bak(ForBak(claim=claimed, archive=ARCHIVE, report=REPORT, sha256=copied.sha256))


def give_back(upload: Path) -> None:
    seen = claiming.fingerprint((upload / NAME).lstat())
    with claiming.workroom(upload) as room:
        claimed = new_claim(upload, room)
        with suppress(claiming.ChangedWhileTakenError):
            claiming.copy(claimed, seen=replace(seen, size=1), max_bytes=100)
        claiming.give_back(claimed)


def set_aside(upload: Path) -> None:
    with claiming.workroom(upload) as room:
        claiming.quarantine(new_claim(upload, room), "It ended the process.")


def retry(upload: Path) -> None:
    for found in claiming.set_aside(upload):
        claiming.retry(found, upload)


def drop_again(upload: Path) -> None:
    reimport(upload, NAME)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """Somebody else's files, under all names that ours have."""
    place = tmp_path / "somebody else's"
    for name in (
        f"{ID}/{NAME}",
        f"{ID}/.copy",
        f"{ID}/.failed.csv",
        f"{ID}/.attempts",
        f"{ID}/REASON",
        ARCHIVE,
        REPORT,
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"precious")
    return place


def contents(place: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(place)): (b"" if path.is_dir() else path.read_bytes(), path.lstat().st_mode)
        for path in sorted(place.rglob("*"))
    }


def swap(upload: Path, trap: Path) -> None:
    """What a client may do in a folder that is not sticky: our directories away, links in their places."""
    for name in OURS:
        with suppress(FileNotFoundError):
            (upload / name).rename(upload / f"{name}-away")
        (upload / name).symlink_to(trap)


@contextmanager
def interrupted(nth: int, act: Callable[[], None]) -> Iterator[None]:
    """Have something happen before the nth step of the block."""
    steps = count(1)

    def watch(frame: FrameType, event: str, called: object) -> None:
        if event not in {"call", "c_call"}:
            return
        name = frame.f_code.co_name if event == "call" else getattr(called, "__name__", "")
        if name in STEPS and next(steps) == nth:
            sys.setprofile(None)
            act()

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    ("before", "work"),
    [
        *(([drop], work) for work in (archive, give_back, set_aside)),
        ([drop, set_aside], retry),
        ([drop, archive], drop_again),
    ],
)
def test_at_no_step_a_link_in_the_place_of_our_directories_is_followed(
    tmp_path: Path, trap: Path, before: Sequence[Work], work: Work
) -> None:
    trapped = contents(trap)
    for nth in count(1):
        upload = tmp_path / f"upload-{nth}"
        upload.mkdir()
        for prepare in before:
            prepare(upload)
        with suppress(OSError), interrupted(nth, partial(swap, upload, trap)):
            work(upload)
        assert contents(trap) == trapped, f"step {nth}"
        ours = [path.read_bytes() for path in upload.rglob("*") if path.is_file()]
        assert DATA in ours, f"step {nth}"
        assert b"precious" not in ours, f"step {nth}"
        if not (upload / BAK).is_symlink():
            break
        shutil.rmtree(upload)
    assert nth > 8


@pytest.mark.parametrize("name", [WORK_DIRECTORY, QUARANTINE_DIRECTORY])
def test_bak_under_another_name_is_no_directory_to_work_in(tmp_path: Path, name: str) -> None:
    """It belongs to the service, but a client may read what lies in it."""
    with opened_bak(tmp_path):
        (tmp_path / BAK).rename(tmp_path / name)
    with (
        pytest.raises(PermissionError, match=f"^.*{name} is not a directory of the service's own; remove it"),
        own_directory(tmp_path, name),
    ):
        pass


def test_what_a_client_has_put_into_a_quarantine_of_its_own_is_not_taken_for_a_file(tmp_path: Path) -> None:
    place = tmp_path / QUARANTINE_DIRECTORY / ID
    place.mkdir(parents=True)
    (place / "link.csv").symlink_to("/etc/passwd")
    os.mkfifo(place / "fifo.csv")
    assert claiming.set_aside(tmp_path) == []

"""Taking a file: the rename, the proof that nobody writes into it, the copy, and the way back."""

import dataclasses
import fcntl
import hashlib
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from importer.files import claiming
from importer.files.attempts import Attempts
from importer.files.claiming import ChangedWhileTakenError, Copied
from importer.model import Claim, FileRefused, Fingerprint, NotTaken, NotTakenWhy, claim_id
from tests.importing import NOW, by_name, mounted
from tests.rights import DEVICES, make_device

DATA = b"uid\nU1\n"


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    directory = tmp_path / "upload"
    directory.mkdir()
    return directory


def new_claim(upload: Path, name: str = "people.csv", id_: str = "20261122T101013Z-a") -> Claim:
    return Claim(id=id_, client="acme", directory=upload, name=name)


def claim(new: Claim) -> Claim | NotTaken:
    with claiming.workroom(new.directory):
        return claiming.claim(new)


def taken(upload: Path, name: str = "people.csv", data: bytes = DATA) -> tuple[Claim, Fingerprint]:
    (upload / name).write_bytes(data)
    seen = claiming.fingerprint(os.lstat(upload / name))
    claimed = claim(new_claim(upload, name))
    assert isinstance(claimed, Claim)
    return claimed, seen


def left(upload: Path) -> list[Claim]:
    with claiming.workroom(upload) as room:
        return list(claiming.claims("acme", by_name(upload), room))


def copied(claimed: Claim, seen: Fingerprint, max_bytes: int = 100) -> Copied:
    return claiming.copy(claimed, seen=seen, max_bytes=max_bytes)


@contextmanager
def before(call: Callable[..., object], act: Callable[[], object]) -> Iterator[None]:
    """What another process does between two steps of ours: once, right before this thread asks that of the system."""

    def meet(_frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and called is call:
            sys.setprofile(None)
            act()

    sys.setprofile(meet)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_a_copy_for_which_there_is_no_room_leaves_the_room_to_others(upload: Path) -> None:
    with mounted(upload, "-t", "tmpfs", "-o", "size=96k", "tmpfs"):
        claimed, seen = taken(upload, data=b"x" * 60_000)
        assert claiming.count_attempt(claimed) == 1
        with pytest.raises(OSError, match="No space left"):
            copied(claimed, seen, max_bytes=100_000)
        assert not claimed.copy.exists()
        claiming.uncount_attempt(claimed)
        assert claiming.count_attempt(claimed) == 1
        assert claimed.original.stat().st_size == 60_000


def test_a_copy_that_cannot_be_made_is_the_disks_fault(upload: Path) -> None:
    with mounted(upload, "-t", "tmpfs", "-o", "nr_inodes=4", "tmpfs"):
        claimed, seen = taken(upload)
        with pytest.raises(OSError, match="No space left"):
            copied(claimed, seen)


def test_ids_sort_by_time_and_hold_a_token() -> None:
    assert claim_id(NOW, "a1b2") == "20261122T101013Z-a1b2"


def test_a_claimed_file_lies_in_a_directory_that_is_ours(upload: Path) -> None:
    claimed, seen = taken(upload)
    assert list(upload.iterdir()) == [upload / ".importing"]
    assert claimed.original.read_bytes() == DATA
    assert claiming.fingerprint(claimed.original.lstat()) == seen
    for directory in (claimed.work, claimed.work.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_file_that_is_gone_is_not_taken(upload: Path) -> None:
    assert claim(new_claim(upload)) == NotTaken(client="acme", name="people.csv", why=NotTakenWhy.GONE)
    assert [path.name for path in upload.rglob("*")] == [".importing"]


def test_a_file_that_goes_while_it_is_taken_leaves_nothing_behind(upload: Path) -> None:
    (upload / "people.csv").write_bytes(DATA)
    with claiming.workroom(upload) as room, before(os.mkdir, (upload / "people.csv").unlink):
        gone = claiming.claim(new_claim(upload))
        assert list(room.iterdir()) == []
    assert gone == NotTaken(client="acme", name="people.csv", why=NotTakenWhy.GONE)


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "directory", "fifo", "socket", *DEVICES])
def test_what_is_no_plain_file_is_left_alone(upload: Path, tmp_path: Path, kind: str) -> None:
    path, other = upload / "people.csv", tmp_path / "other.csv"
    other.write_bytes(DATA)
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(other),
        "dangling link": lambda: path.symlink_to("nowhere"),
        "hard link": lambda: path.hardlink_to(other),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "socket": lambda: os.mknod(path, stat.S_IFSOCK | 0o600),
        **{device: partial(make_device, path, device) for device in DEVICES},
    }
    make[kind]()
    before = path.lstat()
    why = NotTakenWhy.HARD_LINKED if kind == "hard link" else NotTakenWhy.NOT_A_PLAIN_FILE
    assert claim(new_claim(upload)) == NotTaken(client="acme", name="people.csv", why=why)
    assert path.lstat() == before
    assert {*upload.rglob("*")} == {path, upload / ".importing"}


def test_the_copy_has_the_bytes_and_their_hash(upload: Path) -> None:
    data = os.urandom(3 << 20)
    claimed, seen = taken(upload, data=data)
    assert copied(claimed, seen, 4 << 20) == Copied(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert claimed.copy.read_bytes() == data
    assert claimed.original.exists()


def test_a_copy_that_an_earlier_attempt_left_is_replaced(upload: Path) -> None:
    claimed, seen = taken(upload)
    claimed.copy.write_bytes(b"x" * 1000)
    copied(claimed, seen)
    assert claimed.copy.read_bytes() == DATA


@pytest.mark.parametrize("change", ["appended", "replaced", "truncated", "linked"])
def test_a_file_that_changed_since_it_was_seen_is_not_copied(upload: Path, tmp_path: Path, change: str) -> None:
    claimed, seen = taken(upload)
    if change == "appended":
        with claimed.original.open("ab") as file:
            file.write(b"U2\n")
    elif change == "replaced":
        os.utime(claimed.original, ns=(0, seen.modified_ns + 1))
    elif change == "truncated":
        os.truncate(claimed.original, 3)
    else:
        (tmp_path / "link").hardlink_to(claimed.original)
    with pytest.raises(ChangedWhileTakenError):
        copied(claimed, seen)


@pytest.mark.parametrize("kind", ["link", "fifo", "socket", "directory", *DEVICES])
def test_what_was_slipped_in_before_the_rename_is_given_back_without_being_opened(
    upload: Path, tmp_path: Path, kind: str
) -> None:
    claimed, seen = taken(upload)
    claimed.original.unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    make: dict[str, Callable[[], object]] = {
        "link": lambda: claimed.original.symlink_to(secret),
        "fifo": lambda: os.mkfifo(claimed.original),
        "socket": lambda: os.mknod(claimed.original, stat.S_IFSOCK | 0o600),
        "directory": claimed.original.mkdir,
        **{device: partial(make_device, claimed.original, device) for device in DEVICES},
    }
    make[kind]()
    with pytest.raises(ChangedWhileTakenError):
        copied(claimed, seen)
    assert not claimed.copy.exists()
    assert claiming.give_back(claimed)
    assert {path.name for path in upload.iterdir()} == {".importing", "people.csv"}
    assert not claimed.work.exists()


LOCKING = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def locked(file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", LOCKING, str(file)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"locked\n"
    return server


def test_a_file_that_its_server_holds_locked_is_not_copied(upload: Path) -> None:
    claimed, seen = taken(upload)
    with locked(claimed.original) as server:
        with pytest.raises(ChangedWhileTakenError):
            copied(claimed, seen)
        server.communicate()
    assert copied(claimed, seen).size == len(DATA)


def test_a_file_that_is_locked_while_it_is_copied_counts_as_changed(upload: Path) -> None:
    claimed, seen = taken(upload)
    with (
        ExitStack() as server,
        before(os.read, lambda: server.enter_context(locked(claimed.original))),
        pytest.raises(ChangedWhileTakenError),
    ):
        copied(claimed, seen)


def test_a_file_that_is_rewritten_while_it_is_copied_counts_as_changed(upload: Path) -> None:
    claimed, seen = taken(upload)
    with (
        before(os.read, lambda: claimed.original.write_bytes(DATA[::-1])),
        pytest.raises(ChangedWhileTakenError),
    ):
        copied(claimed, seen)


def test_files_are_told_apart_by_device_inode_size_and_time(upload: Path) -> None:
    (upload / "people.csv").write_bytes(DATA)
    status = (upload / "people.csv").stat()
    assert claiming.fingerprint(status) == Fingerprint(
        device=status.st_dev, inode=status.st_ino, size=7, modified_ns=status.st_mtime_ns
    )


def test_nothing_of_ours_ever_locks_the_senders_file(upload: Path) -> None:
    claimed, seen = taken(upload)
    with claimed.original.open("r+b") as file:
        question = struct.pack("@hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        copied(claimed, seen)
        answer = struct.unpack("@hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, question))
    assert answer[0] == fcntl.F_UNLCK


def test_a_file_that_is_as_large_as_allowed_is_copied(upload: Path) -> None:
    claimed, seen = taken(upload)
    assert copied(claimed, seen, len(DATA)).size == len(DATA)


def test_a_file_that_is_too_large_is_refused_without_being_copied(upload: Path) -> None:
    claimed, seen = taken(upload, data=b"x" * (1 << 20) + b"x")
    with pytest.raises(FileRefused) as caught:
        copied(claimed, seen, 1 << 20)
    assert caught.value.refusal.message == "the file is larger than 1 MB; split it and drop the parts"
    assert not claimed.copy.exists()


UNREADABLE = """
import os, sys
from pathlib import Path
from importer.files import claiming
from importer.model import Claim
claimed = Claim(id="a", client="acme", directory=Path(sys.argv[1]), name="people.csv")
seen = claiming.fingerprint(claimed.original.lstat())
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    claiming.copy(claimed, seen=seen, max_bytes=100)
except claiming.UnreadableError:
    sys.exit(9)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, and only root can be one")
def test_a_file_that_may_not_be_read_is_told_apart(upload: Path) -> None:
    claimed = new_claim(upload, id_="a")
    claimed.work.mkdir(parents=True)
    claimed.original.write_bytes(DATA)
    claimed.original.chmod(0o600)
    for place in (*claimed.work.parents, claimed.work):
        if place.owner() == "root" and "pytest" in str(place):
            place.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", UNREADABLE, str(upload)], check=False)
    assert done.returncode == 9


@pytest.mark.parametrize("name", [claiming.WORK_DIRECTORY, claiming.QUARANTINE_DIRECTORY])
def test_a_directory_that_somebody_else_made_is_not_used(upload: Path, tmp_path: Path, name: str) -> None:
    claimed, _ = taken(upload)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    if (upload / name).exists():
        (upload / name).rename(tmp_path / "before")
    (upload / name).symlink_to(moved)
    with pytest.raises(PermissionError, match="not a directory of the service's own"):
        left(upload) if name == claiming.WORK_DIRECTORY else claiming.quarantine(claimed, "It ended the process.")
    assert list(moved.iterdir()) == []


def test_what_is_put_in_the_place_of_the_work_directory_meanwhile_is_not_used(upload: Path, tmp_path: Path) -> None:
    """A client may rename what lies in a folder of its own, unless that is sticky."""
    (upload / "people.csv").write_bytes(DATA)
    seen = claiming.fingerprint(os.lstat(upload / "people.csv"))
    trap = tmp_path / "trap"
    with claiming.workroom(upload) as room:
        claimed = claiming.claim(dataclasses.replace(new_claim(upload), workroom=room))
        assert isinstance(claimed, Claim)
        (upload / claiming.WORK_DIRECTORY).rename(tmp_path / "away")
        (trap / claimed.id).mkdir(parents=True)
        (trap / claimed.id / ".copy").write_bytes(b"precious")
        (upload / claiming.WORK_DIRECTORY).symlink_to(trap)
        copied(claimed, seen)
        claiming.count_attempt(claimed)
        claiming.make_durable([claimed])
        claiming.release(claimed)
    assert (trap / claimed.id / ".copy").read_bytes() == b"precious"
    assert list((tmp_path / "away").iterdir()) == []


@pytest.mark.parametrize("planted", [".quarantine", ".quarantine/C1"])
def test_a_link_to_somebody_elses_files_is_no_quarantine(upload: Path, tmp_path: Path, planted: str) -> None:
    place = tmp_path / "elsewhere" / "C1"
    place.mkdir(parents=True)
    (place / "people.csv").write_bytes(DATA)
    (upload / planted).parent.mkdir(exist_ok=True)
    (upload / planted).symlink_to(place.parent if planted == ".quarantine" else place)
    with pytest.raises(NotADirectoryError):
        claiming.set_aside(upload)
    with pytest.raises(NotADirectoryError):
        claiming.retry(claiming.SetAside(claim_id="C1", name="people.csv"), upload)
    assert (place / "people.csv").exists()


def test_a_file_is_given_back_under_its_name(upload: Path) -> None:
    claimed, seen = taken(upload)
    copied(claimed, seen)
    assert claiming.give_back(claimed)
    assert (upload / "people.csv").read_bytes() == DATA
    assert not claimed.work.exists()


def test_a_file_whose_name_is_taken_by_a_newer_one_stays_with_us(upload: Path) -> None:
    claimed, seen = taken(upload)
    copied(claimed, seen)
    (upload / "people.csv").write_bytes(b"newer")
    assert not claiming.give_back(claimed)
    assert (upload / "people.csv").read_bytes() == b"newer"
    assert claimed.original.read_bytes() == DATA
    assert not claimed.copy.exists()


def test_claims_that_were_left_are_found_oldest_first_with_their_names(upload: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.csv"), "b.csv", "x" * 251 + ".csv"]
    for number, name in zip((2, 1, 3), names, strict=True):
        (upload / name).write_bytes(DATA)
        assert isinstance(claim(new_claim(upload, name, str(number))), Claim)
    assert left(upload) == [
        new_claim(upload, names[1], "1"),
        new_claim(upload, names[0], "2"),
        new_claim(upload, names[2], "3"),
    ]


def test_empty_work_directories_are_removed(upload: Path) -> None:
    assert left(upload) == []
    empty = new_claim(upload)
    empty.work.mkdir(parents=True)
    (empty.work / ".attempts").write_text("1", encoding="ascii")
    assert left(upload) == []
    assert not empty.work.exists()


def test_what_begins_with_a_dot_beside_the_claims_is_none(upload: Path) -> None:
    with claiming.workroom(upload) as room:
        (room / ".lock").write_bytes(DATA)
    assert left(upload) == []
    assert (upload / ".importing" / ".lock").exists()


@pytest.mark.parametrize("ours", [".copy", ".failed.csv"])
def test_a_work_directory_with_a_file_of_ours_is_kept(upload: Path, ours: str) -> None:
    kept, _ = taken(upload)
    kept.original.rename(kept.work / ours)
    assert left(upload) == []
    assert (kept.work / ours).read_bytes() == DATA


def test_a_claim_that_was_left_stays_with_its_work_directory(upload: Path, tmp_path: Path) -> None:
    taken(upload)
    with claiming.workroom(upload) as room:
        (found,) = claiming.claims("acme", by_name(upload), room)
        (upload / claiming.WORK_DIRECTORY).rename(tmp_path / "away")
        assert found.original.read_bytes() == DATA


@pytest.mark.parametrize("written", [{".copy", ".failed.csv"}, {".copy"}, {".failed.csv"}, set()])
def test_what_an_attempt_has_written_is_discarded_and_the_senders_file_kept(upload: Path, written: set[str]) -> None:
    claimed, _ = taken(upload)
    for name in written:
        (claimed.work / name).write_bytes(b"ours")
    claiming.discard(claimed)
    assert [*claimed.work.iterdir()] == [claimed.original]


def test_attempts_are_counted_and_taken_back(upload: Path) -> None:
    claimed, _ = taken(upload)
    assert [claiming.count_attempt(claimed) for _ in range(3)] == [1, 2, 3]
    for _ in range(9):
        claiming.uncount_attempt(claimed)
        assert claiming.count_attempt(claimed) == 3


def test_a_stop_gives_back_what_its_own_run_has_begun_and_nothing_else(upload: Path) -> None:
    claimed, _ = taken(upload)
    claiming.count_attempt(claimed, "ours")
    claiming.give_back_attempts(claimed.work.parent, "another")
    assert claiming.attempts_of(claimed, "later").is_suspect
    claiming.give_back_attempts(claimed.work.parent, "ours")
    assert claiming.attempts_of(claimed, "later") == Attempts()
    assert claiming.count_attempt(claimed, "later") == 1


def test_a_quarantined_file_lies_aside_with_a_note(upload: Path) -> None:
    claimed, _ = taken(upload)
    for _ in range(2):  # a crash may come after any of its steps
        claiming.quarantine(claimed, "It ended the process.")
    place = upload / ".quarantine" / claimed.id
    assert (place / "people.csv").read_bytes() == DATA
    assert (place / "REASON").read_text(encoding="utf-8") == "It ended the process.\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert not claimed.work.exists()


def test_a_file_of_the_quarantine_can_be_tried_again_once_its_name_is_free(upload: Path) -> None:
    claimed, _ = taken(upload)
    claiming.quarantine(claimed, "It ended the process.")
    (found,) = claiming.set_aside(upload)
    assert (found.claim_id, found.name) == (claimed.id, "people.csv")
    (upload / "people.csv").write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        claiming.retry(found, upload)
    (upload / "people.csv").unlink()
    claiming.retry(found, upload)
    assert (upload / "people.csv").read_bytes() == DATA
    assert list((upload / ".quarantine").iterdir()) == []
    assert list(claiming.set_aside(upload)) == []


def test_a_file_of_the_quarantine_can_be_tried_again_without_its_note(upload: Path) -> None:
    claimed, _ = taken(upload)
    claiming.quarantine(claimed, "It ended the process.")
    (upload / ".quarantine" / claimed.id / "REASON").unlink()
    (found,) = claiming.set_aside(upload)
    claiming.retry(found, upload)
    assert (upload / "people.csv").read_bytes() == DATA
    assert list((upload / ".quarantine").iterdir()) == []

"""Taking a file: rename it into a directory of ours, make sure nobody writes into it any more, copy its bytes.

Steps 3 and 4 of the protocol in importer/README.md. A plain read of the sender's file would race with a sender who
sends it again; a plain rename would leave an inode in bak that the sender still owns.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from importer.durability import fsync_directory
from importer.files import attempts
from importer.files.anchoring import Folder, anchored, own_directory
from importer.files.attempts import Attempts
from importer.files.renaming import rename_noreplace
from importer.files.writers import is_being_written
from importer.model import Claim, FileRefused, Fingerprint, NotTaken, NotTakenWhy
from importer.words.reasons import refusal, shown_size

WORK_DIRECTORY = ".importing"
QUARANTINE_DIRECTORY = ".quarantine"
_REASON = "REASON"
"""Beside a file in quarantine; nothing of that name is ever claimed, as it has no suffix."""

_ATTEMPTS = ".attempts"
_END_UNSEEN = ".end-not-seen"
"""Beside a file of which nothing has told the end of its upload, though something should have."""
_BLOCK_BYTES = 512
"""Of `st_blocks`. Source: stat(2)."""
_Thing = TypeVar("_Thing")
_Done = TypeVar("_Done")
_CHUNK_BYTES = 1 << 20
_WRITERS = 8
"""How many small files are made durable at once: they share the disk's writes, which they wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """Our copy of a claimed file: its size in bytes and the SHA-256 of its content, in hexadecimal."""

    size: int
    sha256: str


class ChangedWhileTakenError(Exception):
    """The sender was still writing, or wrote again, while the file was taken."""


class UnreadableError(Exception):
    """The service may rename the file but not read it; vsftpd's default local_umask=077 does that."""


NotCopied = ChangedWhileTakenError | FileRefused | UnreadableError


def workroom(directory: Path) -> AbstractContextManager[Path]:
    """Reach the directory of a client's claims, which is made where it is missing; see `Claim.workroom`.

    Raises:
        PermissionError: somebody else made it, who could change what lies in it.
        OSError: it cannot be made.
    """
    return own_directory(directory, WORK_DIRECTORY)


def claim(new: Claim) -> Claim | NotTaken:
    """Rename a file into the claim's own directory; `make_durable` is to follow.

    Raises:
        OSError: the client's directory cannot be written, or `workroom` was not entered.
    """
    source = new.folder / new.name
    try:
        status = source.lstat()
    except FileNotFoundError:
        return NotTaken(client=new.client, name=new.name, why=NotTakenWhy.GONE)
    if not is_plain(status):
        is_linked = stat.S_ISREG(status.st_mode)
        why = NotTakenWhy.HARD_LINKED if is_linked else NotTakenWhy.NOT_A_PLAIN_FILE
        return NotTaken(client=new.client, name=new.name, why=why)
    new.work.mkdir(mode=0o700)
    if new.is_end_unseen:
        (new.work / _END_UNSEEN).touch()
    try:
        rename_noreplace(source, new.original)
    except FileNotFoundError:
        release(new)
        return NotTaken(client=new.client, name=new.name, why=NotTakenWhy.GONE)
    return new


def make_durable(claims_: Sequence[Claim]) -> None:
    """Have claims of one client outlast a power loss: first where the files are, then where they were.

    Raises:
        OSError: the disk did not take it.
    """
    _some_at_once(fsync_directory, [each.work for each in claims_])
    for first in claims_[:1]:
        fsync_directory(first.work.parent)
        fsync_directory(first.folder)


def copy(claimed: Claim, *, seen: Fingerprint, max_bytes: int) -> Copied:
    """Copy the claimed file's bytes into a file of ours, and prove that nobody changed them meanwhile.

    Args:
        claimed: the claim; enough time has passed since it was made for a writer to show itself.
        seen: what the watcher saw when it decided that the upload is complete; what recovery saw after a restart.
        max_bytes: larger files are refused.

    Raises:
        ChangedWhileTakenError: somebody writes, or wrote, into it.
        FileRefused: it is larger than allowed.
        UnreadableError: it may not be read.
        OSError: the disk is full or broken.
    """
    with _opened(claimed.original) as source:
        before = os.fstat(source)
        if seen != fingerprint(before) or not is_plain(before) or is_being_written(source):
            raise ChangedWhileTakenError
        if before.st_size > max_bytes:
            raise FileRefused(refusal("file_too_large", limit=shown_size(max_bytes)))
        copied = _copy_bytes(source, claimed.copy)
        after = os.fstat(source)
        if _snapshot(before) != _snapshot(after) or copied.size != after.st_size or is_being_written(source):
            raise ChangedWhileTakenError
    fsync_directory(claimed.work)
    return copied


def copy_all(taken: Sequence[tuple[Claim, Fingerprint]], *, max_bytes: int) -> list[Copied | NotCopied]:
    """Copy files as `copy` does, some at once; what ends the copying of one of them is returned in its place.

    Raises:
        OSError: the disk is full or broken.
    """

    def copied(file: tuple[Claim, Fingerprint]) -> Copied | NotCopied:
        try:
            return copy(file[0], seen=file[1], max_bytes=max_bytes)
        except (ChangedWhileTakenError, FileRefused, UnreadableError) as why:
            return why

    return _some_at_once(copied, taken)


def _some_at_once(act: Callable[[_Thing], _Done], things: Sequence[_Thing]) -> list[_Done]:
    if len(things) < 2:
        return [act(thing) for thing in things]
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="claiming") as threads:
        return list(threads.map(act, things))


def fingerprint(status: os.stat_result) -> Fingerprint:
    """The identity and state of a file: a rename leaves both alone, a writer changes the state."""
    return Fingerprint(device=status.st_dev, inode=status.st_ino, size=status.st_size, modified_ns=status.st_mtime_ns)


def give_back(claimed: Claim) -> bool:
    """Put the sender's file back under its name; False where the name is taken by a newer file.

    Our copy goes: its bytes may be half of one upload and half of another.

    Raises:
        OSError: the directory cannot be written.
    """
    claimed.copy.unlink(missing_ok=True)
    try:
        rename_noreplace(claimed.original, claimed.folder / claimed.name)
    except FileExistsError:
        return False
    fsync_directory(claimed.folder)
    release(claimed)
    return True


def release(claimed: Claim) -> None:
    """Remove the claim's directory and what is left in it; there may be none."""
    shutil.rmtree(claimed.work, ignore_errors=True)


def claims(client: str, folder: Folder, room: Path) -> Iterator[Claim]:
    """The claims that an earlier run left in the client's `workroom`, oldest first; empty leftovers are removed."""
    for work in _works(room):
        names = [entry.name for entry in work.iterdir() if not entry.name.startswith(".")]
        name = names[0] if names else ""
        found = Claim(
            id=work.name,
            client=client,
            directory=folder.directory,
            name=name,
            anchor=folder.anchor,
            workroom=room,
            is_end_unseen=(work / _END_UNSEEN).exists(),
        )
        if names:
            yield found
        elif not found.copy.exists() and not found.report.exists():
            release(found)


def attempts_of(claimed: Claim, run: str) -> Attempts:
    """The attempts to import the file, as this run of the service judges them."""
    return attempts.as_found(_attempts(claimed.work), run)


def count_attempt(claimed: Claim, run: str = "", *, alone: bool = False) -> int:
    """Durably write down one more attempt, before it starts; returns its number, from 1.

    Args:
        claimed: the file's claim.
        run: of the service; another one that finds the attempt unfinished knows that the whole service has ended.
        alone: whether it is of a suspect, beside which nothing else is done.
    """
    now = attempts.begun(_attempts(claimed.work), run, alone=alone)
    _write_attempts(claimed.work, now)
    return now.ended + 1


def uncount_attempt(claimed: Claim) -> None:
    """Take back an attempt that ended in an outage, which is not the file's fault.

    Raises:
        OSError: the disk is full or broken.
    """
    _write_attempts(claimed.work, attempts.given_back(_attempts(claimed.work)))


def give_back_attempts(room: Path, run: str) -> None:
    """Take back what this run has begun in a client's `workroom`, because the service stops.

    Raises:
        OSError: the disk is full or broken.
    """
    for work in _works(room):
        with suppress(FileNotFoundError):  # the importing process may have done with it
            found = _attempts(work)
            if found.begun_by == run:
                _write_attempts(work, attempts.given_back(found))


def note_filled(claimed: Claim) -> None:
    """Durably note that the attempt in hand has filled the disk.

    Raises:
        OSError: the disk is broken.
    """
    _write_attempts(claimed.work, attempts.having_filled(_attempts(claimed.work)))


def filled(claimed: Claim) -> int:
    """How many attempts have filled the disk."""
    return _attempts(claimed.work).filled


def bytes_in_work(room: Path) -> int:
    """How many bytes on disk the claims in a client's `workroom` take."""
    return sum(bytes_in(work) for work in _works(room))


def _works(room: Path) -> list[Path]:
    """The directories of claims, oldest first; what else lies there begins with a dot."""
    return sorted(path for path in room.iterdir() if not path.name.startswith("."))


def bytes_in(directory: Path) -> int:
    """How many bytes on disk lie in a directory and below; what goes meanwhile is nothing."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(root, name).lstat().st_blocks * _BLOCK_BYTES
    return total


def discard(claimed: Claim) -> None:
    """Remove what an attempt has written, of which nothing was committed.

    Raises:
        OSError: the disk is broken.
    """
    claimed.copy.unlink(missing_ok=True)
    claimed.report.unlink(missing_ok=True)


def quarantine(claimed: Claim, why: str) -> None:
    """Set the sender's file aside, with a note beside it.

    Raises:
        PermissionError: somebody else made the quarantine; the file stays where it is.
        OSError: the directory cannot be written.
    """
    with own_directory(claimed.folder, QUARANTINE_DIRECTORY) as quarantined:
        place = quarantined / claimed.id
        place.mkdir(mode=0o700, exist_ok=True)
        (place / _REASON).write_text(f"{why}\n", encoding="utf-8")
        if claimed.original.exists():
            rename_noreplace(claimed.original, place / claimed.name)
        for directory in (place, quarantined, claimed.folder):
            fsync_directory(directory)
    release(claimed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A file in quarantine: the claim under which it came there, and its name."""

    claim_id: str
    name: str


def set_aside(directory: Path) -> list[SetAside]:
    """The files of a directory's quarantine, oldest first; whoever asks need not be the service.

    Raises:
        OSError: the quarantine cannot be read, or is a link.
    """
    try:
        with anchored(directory / QUARANTINE_DIRECTORY) as quarantined:
            return [each for place in sorted(quarantined.iterdir()) for each in _aside(place)]
    except FileNotFoundError:
        return []


def _aside(place: Path) -> Iterator[SetAside]:
    with anchored(place) as lying:
        for path in lying.iterdir():
            if path.name != _REASON and is_plain(path.lstat()):
                yield SetAside(claim_id=place.name, name=path.name)


@contextmanager
def lying_aside(found: SetAside, directory: Path) -> Iterator[Path]:
    """Reach a file of the quarantine, by a path that stays with its directory.

    Raises:
        OSError: it is not there any more, or may not be reached.
    """
    with (
        anchored(directory / QUARANTINE_DIRECTORY) as quarantined,
        anchored(quarantined / found.claim_id) as place,
    ):
        yield place / found.name


def retry(found: SetAside, directory: Path) -> None:
    """Put a file of the quarantine back under its name, as if it had just come.

    Raises:
        FileExistsError: a newer file has the name.
        OSError: a directory cannot be written.
    """
    with anchored(directory / QUARANTINE_DIRECTORY) as quarantined:
        with lying_aside(found, directory) as path:
            rename_noreplace(path, directory / found.name)
            fsync_directory(directory)
            (path.parent / _REASON).unlink(missing_ok=True)
        (quarantined / found.claim_id).rmdir()


def _attempts(work: Path) -> Attempts:
    try:
        return attempts.read((work / _ATTEMPTS).read_text(encoding="ascii"))
    except FileNotFoundError:
        return Attempts()


def _write_attempts(work: Path, now: Attempts) -> None:
    draft = work / f"{_ATTEMPTS}-{os.getpid()}"  # both processes of the service may write
    with draft.open("w", encoding="ascii") as file:
        file.write(attempts.written(now))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(work / _ATTEMPTS)
    fsync_directory(work)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except PermissionError:
        raise UnreadableError from None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link or a socket, put there between lstat and rename
            raise ChangedWhileTakenError from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy_bytes(source: int, target: Path) -> Copied:
    digest = hashlib.sha256()
    size = 0
    try:
        with target.open("wb") as file:
            while chunk := os.read(source, _CHUNK_BYTES):
                digest.update(chunk)
                size += file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        target.unlink(missing_ok=True)  # on a full disk it would be in the way of everything else
        raise
    return Copied(size=size, sha256=digest.hexdigest())


def is_plain(status: os.stat_result) -> bool:
    """A regular file with one name: anything else might change, block, or be somebody else's."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _snapshot(status: os.stat_result) -> tuple[Fingerprint, int]:
    return fingerprint(status), status.st_ctime_ns

"""Putting an imported file and its report into bak, which appears when it is first needed. Step 6 of the protocol.

Archived names are the sender's stem, the UTC second and, where that is taken, a number; they never overwrite.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path, PurePath

from importer.anchoring import anchored
from importer.model import Claim, shown_name
from importer.renaming import fsync_directory, rename_noreplace

BAK = "bak"
BAK_MODE = 0o2750
"""The client may look and fetch, not change; new files get the directory's group."""
FILE_MODE = 0o640
REPORT_SUFFIX = ".failed.csv"

_UNFINISHED_MODE = 0o700
"""What bak has until its group is right; a crash may come between."""
_NAME_BYTES = 255
_DRAFT_PREFIX = ".userdrop-"
_SEVERAL_SUFFIXES = (".csv.gz",)


class BakNotOursError(OSError):
    """bak is a link, no directory, or belongs to somebody else: what is put there would not be safe."""


def archive_names(name: str, at: datetime, is_taken: Callable[[str], bool]) -> tuple[str, str]:
    """The names in bak of a file and of its report: the first that are both free.

    Args:
        name: the sender's file name.
        at: when it was imported.
        is_taken: whether a name is used in bak, or promised to another file.
    """
    stem, extension = _split(shown_name(name).replace("\\", "_"))
    for number in count():
        stamp = f".{at:%Y%m%dT%H%M%SZ}{f'.{number}' if number else ''}"
        room = _NAME_BYTES - len(stamp) - max(len(extension.encode()), len(REPORT_SUFFIX))
        base = stem.encode()[:room].decode(errors="ignore") + stamp
        if not is_taken(base + extension) and not is_taken(base + REPORT_SUFFIX):
            return base + extension, base + REPORT_SUFFIX
    raise AssertionError  # count() does not end


@contextmanager
def opened_bak(directory: Path) -> Iterator[Path]:
    """The client's bak, made when it is not there, by a path that stays with it.

    Raises:
        BakNotOursError: somebody else made it.
        OSError: it cannot be made.
    """
    place = directory / BAK
    with suppress(FileExistsError):
        place.mkdir(mode=_UNFINISHED_MODE)
    with ExitStack() as stack:
        try:
            bak = stack.enter_context(anchored(place))
        except NotADirectoryError:
            raise _not_ours(place) from None
        status = bak.stat()
        if status.st_uid != os.geteuid():
            raise _not_ours(place)
        if stat.S_IMODE(status.st_mode) & ~stat.S_ISGID == _UNFINISHED_MODE:
            _finish(bak, directory)
        yield bak


def _not_ours(place: Path) -> BakNotOursError:
    return BakNotOursError(errno.EPERM, "bak is not a directory of the service's own", place)


def _finish(bak: Path, directory: Path) -> None:
    _give_group(bak, directory.stat().st_gid)
    try:
        bak.chmod(BAK_MODE)
    except PermissionError:  # systemd's RestrictSUIDSGID; what is put there is given its group in any case
        bak.chmod(BAK_MODE & 0o777)
    fsync_directory(directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForBak:
    """What goes to bak.

    Attributes:
        claim: whose files they are.
        archive: the name for the copy; where there is none, because the file was never read, for the original.
        report: the name for the failed-users CSV, None where there is none.
        sha256: of the copy: by it one that is in bak already is known.
    """

    claim: Claim
    archive: str
    report: str | None
    sha256: str


def put_into_bak(file: ForBak) -> None:
    """Move our copy and the report into bak, then drop the sender's original; finishes what a crash left half done.

    Raises:
        FileExistsError: somebody else's file has one of the names; nothing was overwritten.
        BakNotOursError: bak cannot be trusted.
        OSError: bak is full or read-only; what is there stays right, and the call may be repeated.
    """
    (hindrance,) = put_all_into_bak([file])
    if hindrance is not None:
        raise hindrance


def put_all_into_bak(files: Sequence[ForBak]) -> list[OSError | None]:
    """Do that for files of one client, with each directory made durable once; returns what kept each of them back."""
    try:
        with opened_bak(files[0].claim.folder) as bak:
            hindrances = [_hindrance(file, bak) for file in files]
            fsync_directory(bak)
        for file in (file for file, hindrance in zip(files, hindrances, strict=True) if hindrance is None):
            _clear(file.claim)
        work = files[0].claim.work.parent
        if work.exists():
            fsync_directory(work)
    except OSError as error:
        return [error] * len(files)
    return hindrances


def _hindrance(file: ForBak, bak: Path) -> OSError | None:
    try:
        _move_into(bak, file)
    except OSError as error:
        return error
    return None


def _move_into(bak: Path, file: ForBak) -> None:
    claim = file.claim
    moves: list[tuple[Path, Path]] = []
    if claim.copy.exists():
        moves.append((claim.copy, bak / file.archive))
    elif not (bak / file.archive).exists() or _sha256(bak / file.archive) != file.sha256:
        moves.append((claim.original, bak / file.archive))
    if file.report is not None:
        moves.append((claim.report, bak / file.report))
    for source, target in moves:
        if source.exists():
            _is_there(source, target)  # before the first of them moves
    for source, target in moves:
        _put(source, target)


def _clear(claim: Claim) -> None:
    claim.original.unlink(missing_ok=True)
    try:
        claim.work.rmdir()
    except OSError:
        shutil.rmtree(claim.work, ignore_errors=True)


def _is_there(source: Path, target: Path) -> bool:
    if not os.path.lexists(target):
        return False
    if target.is_symlink() or not _same_bytes(source, target):
        raise FileExistsError(errno.EEXIST, "somebody else's file has the name", target)
    return True


def _put(source: Path, target: Path) -> None:
    if not source.exists():
        if not target.exists():
            raise FileNotFoundError(errno.ENOENT, "neither in the work directory nor in bak", target.name)
        return
    if _is_there(source, target):
        fsync_directory(target.parent)
        source.unlink()
        return
    if source.stat().st_uid == os.geteuid():
        _give_group(source, target.parent.stat().st_gid)
        source.chmod(FILE_MODE)
    _move(source, target)


def _give_group(path: Path, group: int) -> None:
    """Under a directory with the setgid bit that is so already, and the unit's system call filter need not allow it."""
    if path.stat().st_gid != group:
        os.chown(path, -1, group)


def _move(source: Path, target: Path) -> None:
    try:
        rename_noreplace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across_mounts(source, target)


def _move_across_mounts(source: Path, target: Path) -> None:
    """Copy beside the target, make it durable, compare, and only then let the source go."""
    draft = target.with_name(f"{_DRAFT_PREFIX}{source.parent.name}")
    with source.open("rb") as original, draft.open("wb") as file:
        shutil.copyfileobj(original, file)
        file.flush()
        os.fsync(file.fileno())
    shutil.copystat(source, draft)
    draft.chmod(FILE_MODE)
    if not _same_bytes(source, draft):
        raise OSError(errno.EIO, "the copy in bak differs from the original", target)
    rename_noreplace(draft, target)
    fsync_directory(target.parent)
    source.unlink()


def _same_bytes(one: Path, other: Path) -> bool:
    return _sha256(one) == _sha256(other)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _split(name: str) -> tuple[str, str]:
    for suffix in _SEVERAL_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    return PurePath(name).stem, PurePath(name).suffix

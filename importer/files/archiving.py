"""Putting an imported file and its report into bak, which appears when it is first needed.

Step 6 of the protocol in importer/README.md. Archived names are the sender's stem, the UTC second and, where that is
taken, a number; they never overwrite.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from pathlib import Path, PurePath

from importer.durability import fsync_directory
from importer.files import mending
from importer.files.anchoring import owned
from importer.files.renaming import rename_noreplace
from importer.model import Claim, shown_name
from importer.words.details import DetailedError, detail

BAK = "bak"
FILE_MODE = 0o640
REPORT_SUFFIX = ".failed.csv"

_NAME_BYTES = 255
_DRAFT_PREFIX = ".userdrop-"
_MORE_AT_ONCE = 8
_PAIRS_AT_ONCE = 4_096
"""So many names are asked for together at most, where those that were asked for before are taken."""
_SEVERAL_SUFFIXES = (".csv.gz",)


def name_pairs(name: str, at: datetime) -> Iterator[tuple[str, str]]:
    """The names in bak that a file and its report may have, the best ones first; there is no end of them.

    Args:
        name: the sender's file name.
        at: when it was imported.
    """
    stem, extension = _split(shown_name(name).replace("\\", "_"))
    for number in count():
        stamp = f".{at:%Y%m%dT%H%M%SZ}{f'.{number}' if number else ''}"
        room = _NAME_BYTES - len(stamp) - max(len(extension.encode()), len(REPORT_SUFFIX))
        base = stem.encode()[:room].decode(errors="ignore") + stamp
        yield base + extension, base + REPORT_SUFFIX


def archive_names(
    names: Sequence[str], at: datetime, taken_of: Callable[[Sequence[tuple[str, str]]], Container[str]]
) -> list[tuple[str, str]]:
    """The names in bak of files and of their reports: for each file the first pair of which both are free.

    Args:
        names: the senders' file names, in their order; equal ones get different pairs.
        at: when they were imported.
        taken_of: which of the names of some pairs are used in bak, or promised to other files.
    """
    offers = {position: name_pairs(name, at) for position, name in enumerate(names)}
    found: dict[int, tuple[str, str]] = {}
    given: set[str] = set()
    number = 1
    while offers:
        offered = {position: [*islice(pairs, number)] for position, pairs in offers.items()}
        taken = taken_of([pair for pairs in offered.values() for pair in pairs])
        for position, pairs in offered.items():
            free = (pair for pair in pairs if not any(name in given or name in taken for name in pair))
            if pair := next(free, None):
                found[position] = pair
                given.update(pair)
                del offers[position]
        number = min(number * _MORE_AT_ONCE, _PAIRS_AT_ONCE // len(offers) or 1) if offers else number
    return [found[position] for position in range(len(names))]


@contextmanager
def opened_bak(directory: Path) -> Iterator[Path]:
    """Reach the client's bak, made where it is missing and mended where it was changed, by a path that stays with it.

    Raises:
        NotOursError: it is a link, no directory, or belongs to somebody else: what is put there would not be safe.
        OSError: it cannot be made.
    """
    with owned(directory / BAK) as bak:
        before = bak.stat()
        mending.mend_bak(bak, directory.stat().st_gid)
        if bak.stat() != before:
            fsync_directory(directory)
        yield bak


@dataclass(frozen=True, slots=True, kw_only=True)
class ForBak:
    """A file on its way to bak, and the names that it gets there.

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


def put_into_bak(files: Sequence[ForBak]) -> list[OSError | None]:
    """Move our copies and reports of one client into bak, then drop the sender's originals.

    This finishes what a crash left half done, and may be repeated. Each directory is made durable once.

    Returns:
        For each file what kept it back, or None: FileExistsError where somebody else's file has one of its names, which
        is not overwritten; NotOursError where bak cannot be trusted; OSError where it is full or read-only.
    """
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
    bak = target.parent.stat()
    if source.stat().st_uid == os.geteuid():
        source.chmod(FILE_MODE)
        if not mending.give_group(source, bak.st_gid) and bak.st_mode & stat.S_ISGID:
            _copy_over(source, target)  # which gets the group by itself
            return
    _move(source, target)


def _move(source: Path, target: Path) -> None:
    try:
        rename_noreplace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_over(source, target)


def _copy_over(source: Path, target: Path) -> None:
    """Copy beside the target, make it durable, compare, and only then let the source go."""
    draft = target.with_name(f"{_DRAFT_PREFIX}{source.parent.name}")
    draft.unlink(missing_ok=True)
    with source.open("rb") as original, draft.open("xb") as file:
        shutil.copyfileobj(original, file)
        file.flush()
        os.fsync(file.fileno())
    shutil.copystat(source, draft)
    draft.chmod(FILE_MODE)
    if not _same_bytes(source, draft):
        raise DetailedError(errno.EIO, detail("copy_differs"), target)
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

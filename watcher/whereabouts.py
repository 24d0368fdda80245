"""Where a file of a client lies now, as whoever asks sees it."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from importer.anchoring import anchored
from importer.archiving import BAK
from importer.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from importer.locking import PROC_LOCKS, writers
from importer.reimporting import uploaded_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a file of that name was found.

    Attributes:
        bytes: its size in the upload directory; None where it does not lie there.
        is_plain: whether it is a regular file there.
        writers: processes that hold a write lock on it there.
        claimed: ids of the claims by which it was taken and not yet finished.
        set_aside: ids of the claims of the quarantine.
        archived: its names in bak.
        unseen: the places into which whoever asks may not look.
    """

    bytes: int | None = None
    is_plain: bool = True
    writers: tuple[int, ...] = ()
    claimed: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def whereabouts(directory: Path, name: str, locks: Path = PROC_LOCKS) -> Whereabouts:
    """Look for a file.

    Args:
        directory: the client's.
        name: the upload's, or the one that it has in bak.
        locks: the kernel's list of locks.

    Raises:
        OSError: the directory cannot be read.
    """
    unseen: list[str] = []
    status = _status(directory / name)
    return Whereabouts(
        bytes=None if status is None else status.st_size,
        is_plain=status is None or stat.S_ISREG(status.st_mode),
        writers=() if status is None else writers(locks.read_text(), status.st_dev, status.st_ino),
        claimed=_look(unseen, directory / WORK_DIRECTORY, lambda place: _claims(place, name)),
        set_aside=_look(unseen, directory / QUARANTINE_DIRECTORY, lambda place: _claims(place, name)),
        archived=_look(unseen, directory / BAK, lambda place: _archives(place, name)),
        unseen=tuple(unseen),
    )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _look(unseen: list[str], place: Path, find: Callable[[Path], Iterable[str]]) -> tuple[str, ...]:
    try:
        with anchored(place) as lying:
            return tuple(sorted(find(lying)))
    except FileNotFoundError:
        return ()
    except OSError:
        unseen.append(place.name)
        return ()


def _claims(place: Path, name: str) -> Iterator[str]:
    """The claims that hold a file of that name."""
    return (claim.name for claim in place.iterdir() if os.path.lexists(claim / name))


def _archives(bak: Path, name: str) -> Iterator[str]:
    return (each.name for each in bak.iterdir() if name in {each.name, uploaded_name(each.name)})

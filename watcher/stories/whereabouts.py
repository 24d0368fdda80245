"""The places where a file of a client lies now, as whoever asks sees them."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from importer.files.anchoring import anchored
from importer.files.archiving import BAK
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from importer.files.reimporting import uploaded_name
from importer.files.writers import PROC_LOCKS, writers
from watcher.uploads.scanning import files_below, is_candidate, is_draft_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """The places in which a file of some name was found.

    Attributes:
        bytes: the file's size in the upload directory; None where it does not lie there.
        is_plain: whether it is a regular file there.
        writers: processes that hold a write lock on it there.
        claimed: ids of the claims by which it was taken and not yet finished.
        set_aside: ids of the claims of the quarantine.
        archived: the file's names in bak.
        unseen: the places into which whoever asks may not look.
        links: the number of names that the file in the upload directory has.
        drafts: the temporary names in the upload directory that are made of the file's name, each with its bytes.
        folders: the paths of files of that name in folders of the upload directory.
    """

    bytes: int | None = None
    is_plain: bool = True
    writers: tuple[int, ...] = ()
    claimed: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    links: int = 1
    drafts: tuple[tuple[str, int], ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def is_anywhere(self) -> bool:
        """Whether the file was found in some place."""
        return self.bytes is not None or any((self.claimed, self.set_aside, self.archived, self.drafts, self.folders))


def whereabouts(directory: Path, name: str, locks: Path = PROC_LOCKS) -> Whereabouts:
    """Look for a file of a client in all places.

    Args:
        directory: the client's directory.
        name: the name of the upload, or the name that it has in bak.
        locks: the kernel's list of locks.
    """
    unseen: list[str] = []
    status = _status(unseen, directory / name)
    return Whereabouts(
        bytes=None if status is None else status.st_size,
        is_plain=status is None or stat.S_ISREG(status.st_mode),
        writers=() if status is None else writers(locks.read_text(), status.st_dev, status.st_ino),
        claimed=_look(unseen, directory / WORK_DIRECTORY, lambda place: _claims(place, name)),
        set_aside=_look(unseen, directory / QUARANTINE_DIRECTORY, lambda place: _claims(place, name)),
        archived=_look(unseen, directory / BAK, lambda place: _archives(place, name)),
        links=1 if status is None else status.st_nlink,
        drafts=tuple(_drafts(directory, name)),
        folders=tuple(_in_folders(directory, name)),
        unseen=tuple(unseen),
    )


def _drafts(directory: Path, name: str) -> Iterator[tuple[str, int]]:
    """The files by whose names clients write what they rename to that name in the end."""
    if not is_candidate(name):
        return
    with suppress(OSError), anchored(directory) as anchor, os.scandir(anchor) as entries:
        for entry in entries:
            if is_draft_of(entry.name, name) and entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False).st_size


def _in_folders(directory: Path, name: str) -> list[str]:
    """The paths of files of that name in folders that are neither hidden nor bak."""
    found: list[str] = []
    with suppress(OSError), anchored(directory) as anchor, os.scandir(anchor) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False) and entry.name != BAK and not entry.name.startswith(".")
            found += [] if not is_folder else map(str, files_below(anchor / entry.name, name.__eq__))
    return sorted(found)


def _status(unseen: list[str], path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            unseen.append("the upload directory")
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

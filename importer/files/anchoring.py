"""A client's folder and the directories in it, in whose places a link or another directory may be put at any time.

They are opened once, and then gone to by way of the descriptor: what happens to their names meanwhile leads nowhere.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from importer.files import mending
from importer.words.details import DetailedError, detail

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FLAGS_OF_CLOSED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""These open a directory that its mode closes to its owner, too."""


class NotOursError(DetailedError, PermissionError):
    """A directory that the service needs for itself was made by somebody else."""


@contextmanager
def anchored(directory: Path) -> Iterator[Path]:
    """A path that stays with a directory while the block lasts. Source: proc(5), /proc/pid/fd.

    Raises:
        FileNotFoundError: there is none.
        NotADirectoryError: it is a link, or something else.
        OSError: it may not be read.
    """
    with _opened(directory, _FLAGS) as path:
        yield path


@contextmanager
def _opened(directory: Path, flags: int) -> Iterator[Path]:
    descriptor = os.open(directory, flags)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A client's upload directory, opened.

    Attributes:
        directory: its path, by which the ledger and messages know it; what it leads to may change.
        anchor: a path that stays with the directory that was opened.
    """

    directory: Path
    anchor: Path


@contextmanager
def opened_folder(directory: Path) -> Iterator[Folder]:
    """A client's upload directory, for one job.

    Raises:
        OSError: as of `anchored`.
    """
    with anchored(directory) as anchor:
        yield Folder(directory=directory, anchor=anchor)


@contextmanager
def own_directory(parent: Path, name: str) -> Iterator[Path]:
    """Reach a directory that only the service may enter, and make it where it is missing, by a path that stays with it.

    Where somebody has opened it to others, or closed it to the service, its mode is put right.

    Raises:
        PermissionError: somebody else made it, who could change what lies in it, or it is a link, or it is another one
            of ours, such as bak, to which a client has given its name.
        OSError: it cannot be made.
    """
    with owned(parent / name) as path:
        if not mending.close(path):
            raise NotOursError(errno.EPERM, detail("not_ours", name=name), parent / name)
        yield path


@contextmanager
def owned(place: Path) -> Iterator[Path]:
    """Reach a directory of the service's own, and make it where it is missing, by a path that stays with it.

    Raises:
        PermissionError: somebody else made it, or it is a link, or no directory.
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        place.mkdir(mode=mending.OWN_MODE)
    with ExitStack() as stack:
        try:
            path = stack.enter_context(_opened(place, _FLAGS_OF_CLOSED))
        except NotADirectoryError:
            raise NotOursError(errno.EPERM, detail("not_ours", name=place.name), place) from None
        if path.stat().st_uid != os.geteuid():
            raise NotOursError(errno.EPERM, detail("not_ours", name=place.name), place)
        yield path

"""A client's folder and the directories in it, in whose places a link or another directory may be put at any time.

They are opened once, and then gone to by way of the descriptor: what happens to their names meanwhile leads nowhere.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def anchored(directory: Path) -> Iterator[Path]:
    """A path that stays with a directory while the block lasts. Source: proc(5), /proc/pid/fd.

    Raises:
        FileNotFoundError: there is none.
        NotADirectoryError: it is a link, or something else.
        OSError: it may not be read.
    """
    descriptor = os.open(directory, _FLAGS)
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
    """The same of a directory that only the service may enter, and that is made where it is missing.

    Raises:
        PermissionError: somebody else made it, who could change what lies in it, or it is a link, or it is another one
            of ours, such as bak, to which a client has given its name.
        OSError: it cannot be made.
    """
    place = parent / name
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    with ExitStack() as stack:
        try:
            path = stack.enter_context(anchored(place))
        except NotADirectoryError:
            raise _not_ours(place) from None
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
            raise _not_ours(place)
        yield path


def _not_ours(place: Path) -> PermissionError:
    return PermissionError(errno.EPERM, f"{place.name} is not a directory of the service's own; remove it", place)

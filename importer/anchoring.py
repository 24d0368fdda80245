"""Directories in a client's folder, where a client may put a link or another directory in their place at any time.

They are opened once, and then gone to by way of the descriptor: what happens to their names meanwhile leads nowhere.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

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


@contextmanager
def own_directory(parent: Path, name: str) -> Iterator[Path]:
    """The same of a directory that only the service may enter, and that is made where it is missing.

    Raises:
        PermissionError: somebody else made it, who could change what lies in it, or it is a link.
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
        if path.stat().st_uid != os.geteuid():
            raise _not_ours(place)
        yield path


def _not_ours(place: Path) -> PermissionError:
    return PermissionError(errno.EPERM, f"{place.name} is not a directory of the service's own; remove it", place)

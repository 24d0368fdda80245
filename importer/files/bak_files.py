"""The modes of the files in bak, put right where somebody has opened them to others, as by `chmod -R`.

Archived files are what was imported, so that nobody but the service may change them. Rights to read that somebody has
given or taken stay, as those of bak itself do.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from importer.files.anchoring import anchored
from importer.files.archiving import BAK

_WRITING = stat.S_IWGRP | stat.S_IWOTH
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Seen:
    """The number of files that were looked at, and of those that were closed."""

    files: int
    closed: int


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """The number of files in bak into which others may write, and of those that everybody on the machine may read."""

    writable: int
    readable: int


def close_some(directory: Path, begin: int, most: int) -> Seen:
    """Take the right to write from all but the owner of files of ours in a client's bak.

    Args:
        directory: the client's directory.
        begin: the number of files that were looked at before, and are passed over.
        most: the number of files that are looked at at most.
    """
    files = closed = 0
    with suppress(OSError), _entries(directory) as (bak, entries):
        for entry in islice(entries, begin, begin + most):
            files += 1
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mode & _WRITING:
                    closed += _close(bak / entry.name)
    return Seen(files, closed)


def open_files(directory: Path, most: int) -> OpenFiles:
    """Count the open ones among the first files in a client's bak; none where that may not be looked into."""
    writable = readable = 0
    with suppress(OSError), _entries(directory) as (bak, entries):
        is_open = bool(bak.stat().st_mode & stat.S_IXOTH)
        for entry in islice(entries, most):
            with suppress(OSError):
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISREG(mode):
                    writable += bool(mode & _WRITING)
                    readable += is_open and bool(mode & stat.S_IROTH)
    return OpenFiles(writable, readable)


@contextmanager
def _entries(directory: Path) -> Iterator[tuple[Path, Iterator[os.DirEntry[str]]]]:
    with anchored(directory) as folder, anchored(folder / BAK) as bak, os.scandir(bak) as entries:
        yield bak, entries


def _close(path: Path) -> bool:
    """Close a file, if it is a regular one of ours; returns whether it was open."""
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or not status.st_mode & _WRITING:
            return False
        Path(f"/proc/self/fd/{descriptor}").chmod(status.st_mode & 0o777 & ~_WRITING)
    finally:
        os.close(descriptor)
    return True

"""Looks at files: what stat(2) and a file's locks say at one moment."""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from importer.files.anchoring import anchored
from importer.files.claiming import fingerprint, is_plain
from importer.files.writers import is_being_written, seems_being_written
from importer.model import NotTakenWhy
from watcher.uploads.model import Sighting

_REPLACED = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR}
"""The errors of open(2) for a link, a socket or a device that has taken the file's name meanwhile."""

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES}
"""The errors of lstat(2) for a file that has gone, or whose directory has, or may not be searched; and of open(2) for a
directory that has gone or become a link."""


def look_at_all(directory: Path, names: Sequence[str]) -> list[tuple[str, Sighting | NotTakenWhy]]:
    """Look once at each of some files of a client's directory, which is opened once, and not where it is a link now."""
    try:
        with anchored(directory) as anchor:
            return [(name, look_at(anchor, name)) for name in names]
    except OSError as error:
        return [(name, _missed(error)) for name in names]


def can_be_entered(directory: Path) -> bool:
    """Whether a client's directory is there and is no link."""
    try:
        with anchored(directory):
            return True
    except OSError:
        return False


def look_at(directory: Path, name: str) -> Sighting | NotTakenWhy:
    """Look at a file: what is to be seen of it now, or why it cannot be imported.

    Nothing blocks: a FIFO or a device is never opened, and the file is opened just to ask for its locks. One that may
    not be read is unreadable only when nobody writes into it any more, as its mode may be set at the end. In a
    directory that may not be searched there is nothing, which is told of the directory.
    """
    path = directory / name
    try:
        status = path.lstat()
    except OSError as error:
        return _missed(error)
    try:
        if not is_plain(status):
            return why_not_plain(status)
        is_locked = _is_locked(path, status)
    except (FileNotFoundError, NotADirectoryError):
        return NotTakenWhy.GONE
    except OSError as error:
        return NotTakenWhy.NOT_A_PLAIN_FILE if error.errno in _REPLACED else NotTakenWhy.UNREADABLE
    return Sighting(name=name, content=fingerprint(status), changed_ns=status.st_ctime_ns, is_locked=is_locked)


def why_not_plain(status: os.stat_result) -> NotTakenWhy:
    """Why something is no regular file with one name."""
    return NotTakenWhy.HARD_LINKED if stat.S_ISREG(status.st_mode) else NotTakenWhy.NOT_A_PLAIN_FILE


def _missed(error: OSError) -> NotTakenWhy:
    return NotTakenWhy.GONE if error.errno in _NOT_THERE else NotTakenWhy.UNREADABLE


def _is_locked(path: Path, status: os.stat_result) -> bool | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        if not seems_being_written(status):
            raise
        return True
    try:
        return is_being_written(descriptor)
    finally:
        os.close(descriptor)

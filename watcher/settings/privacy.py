"""The files that the service keeps for itself: its state directory, its database, the mails that it writes as files.

What is new is private by the process's umask. What an earlier start, another umask or an administrator has left open is
closed at the start, where it belongs to the service; of the rest the doctor tells.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from importer.database.engines import sqlite_file
from importer.database.former import DATABASE_FILE
from importer.files.claiming import is_plain
from watcher.base.instance import LOCK_FILE, NODE_FILE, UPLOADS_FILE
from watcher.settings.variables import Settings

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600

_UMASK = 0o077
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OF_DATABASE = ("", "-wal", "-shm", "-journal", ".lock")
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""A descriptor by which nothing is read: to close one of a database would let go of SQLite's locks on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Private:
    """The places that are the service's own.

    Attributes:
        state_dir: the service's state directory.
        mail_dir: where mails are written as .eml files, or were.
        database: the database's URL.
    """

    state_dir: Path
    mail_dir: Path
    database: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The private places that the settings name."""
        return cls(state_dir=settings.state_dir, mail_dir=settings.mail_dir, database=settings.database)

    def directories(self) -> Iterator[Path]:
        """The private directories that exist."""
        yield from (path.resolve() for path in (self.state_dir, self.mail_dir) if path.is_dir())

    def files(self) -> Iterator[Path]:
        """The private files that exist; of the directories' other files nothing is known."""
        named = [self.state_dir / name for name in (LOCK_FILE, NODE_FILE, UPLOADS_FILE, DATABASE_FILE)]
        if path := sqlite_file(self.database):
            named += [Path(f"{path.resolve()}{suffix}") for suffix in _OF_DATABASE]
        yield from filter(os.path.lexists, named)
        if self.mail_dir.is_dir():
            yield from (Path(entry) for entry in _entries(self.mail_dir) if ".eml" in entry.name)


@contextmanager
def closed_to_others() -> Iterator[None]:
    """Close to others whatever this process makes while the block runs, unless its mode is set afterwards."""
    before = os.umask(_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def close_to_others(private: Private) -> None:
    """Take from others what the service owns; what it may not change is left, as is a directory with those of others.

    Call it before the database is opened.
    """
    for path in private.directories():
        if not [*_others_directories(path, private)]:
            _close(path, DIRECTORY_MODE)
    for path in private.files():
        _close(path, FILE_MODE)


def _others_directories(directory: Path, private: Private) -> Iterator[Path]:
    """Sub-directories that are not the service's: somebody may have to pass through the directory to get there."""
    own = {*private.directories()}
    yield from (
        Path(entry) for entry in _entries(directory) if entry.is_dir(follow_symlinks=False) and Path(entry) not in own
    )


def _close(path: Path, mode: int) -> None:
    """Close a file to others; one that has another name elsewhere stays as it is, as it would be closed there, too."""
    with suppress(OSError):
        descriptor = os.open(path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            is_own = status.st_uid == os.geteuid() and (stat.S_ISDIR(status.st_mode) or is_plain(status))
            if is_own and status.st_mode & _OTHERS:
                Path(f"/proc/self/fd/{descriptor}").chmod(mode)
        finally:
            os.close(descriptor)


def open_directories(private: Private) -> Iterator[Path]:
    """Directories of the service that others may enter or list."""
    yield from (path for path in private.directories() if path.stat().st_mode & _OTHERS)


def open_files(private: Private) -> Iterator[Path]:
    """Files that others may read or write, in directories that do not keep them from it."""
    closed = {path for path in private.directories() if not path.stat().st_mode & _OTHERS}
    for path in private.files():
        with suppress(OSError):  # it went meanwhile
            if path.parent.resolve() not in closed and path.lstat().st_mode & _OTHERS:
                yield path


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a directory; none where it may not be read."""
    with suppress(OSError), os.scandir(directory) as entries:
        yield from entries

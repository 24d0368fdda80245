"""The examination of the service: its account, its files, and whether it runs.

No lock is taken, as that would keep a service from starting.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from importer.files.writers import locks_on
from watcher.base.control import asked
from watcher.base.instance import LOCK_FILE
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.doctor.reach import threads
from watcher.settings.privacy import DIRECTORY_MODE, FILE_MODE, Private, open_directories, open_files

NAME = "service"
ACCOUNT = "account"
STATE = "state directory"
PRIVACY = "privacy"

_SHOWN = 5


def examined(own: Private, locks: Path) -> Iterator[Finding]:
    """Examine the service itself.

    Args:
        own: the places that are the service's own.
        locks: the text file that tells of all locks, /proc/locks.
    """
    yield account(os.geteuid())
    yield from _state(own.state_dir)
    yield from private(own)
    yield running(own.state_dir, locks)
    yield from _threads(own.state_dir, locks)


def account(number: int) -> Finding:
    """Judge whether the doctor runs as a user for whom rights mean what they mean for the service."""
    if number == 0:
        what = "root asks, who may do what the service may not, so that missing rights do not show"
        return warning(ACCOUNT, what, "ask as the service's user, as deploy/install's /usr/local/bin/userdrop does")
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    return ok(ACCOUNT, f"{name} asks; the service should run as the same user")


def number(state_dir: Path, upload_dir: Path) -> int:
    """The number of the service's user: the user who asks or, where that is root, the owner of its directories."""
    owners = [path.stat().st_uid for path in (state_dir, upload_dir) if path.exists()]
    return os.geteuid() or next(filter(None, owners), 0)


def _state(state_dir: Path) -> Iterator[Finding]:
    if not state_dir.exists():
        yield ok(STATE, f"there is no {state_dir} yet; `userdrop run` makes it at its start")
    elif not state_dir.is_dir() or not os.access(state_dir, os.R_OK | os.W_OK | os.X_OK):
        cure = f"chown the service's user {state_dir}; chmod 700 {state_dir}"
        yield broken(STATE, f"{state_dir} is no directory that may be written", cure)


def private(own: Private) -> Iterator[Finding]:
    """Judge what others may enter, list, read or write; the service closes at its start what belongs to it."""
    for path in open_directories(own):
        what = f"others may enter or list {path}, whose mode is {stat.S_IMODE(path.stat().st_mode):04o}"
        yield warning(
            PRIVACY, what, f"chmod {DIRECTORY_MODE:o} {path}; where others need it, have one of the service's own"
        )
    for path in islice(open_files(own), _SHOWN):
        what = f"others may read or write {path}, whose mode is {stat.S_IMODE(path.stat().st_mode):04o}"
        yield warning(PRIVACY, what, f"chmod {FILE_MODE:o} {path}")


def running(state_dir: Path, locks: Path) -> Finding:
    """Judge whether an instance holds the state directory."""
    try:
        process = _holder(state_dir, locks)
    except OSError as error:
        return warning(NAME, f"whether it runs is not known: {error.strerror}", f"check {error.filename}")
    if process is None and not _answers(state_dir):
        return warning(NAME, f"no service runs on {state_dir}", "start it: systemctl start userdrop")
    if process is None:  # /proc/locks has other devices than stat(2) where files lie on overlay or btrfs
        return ok(
            NAME, f"it answers at its socket in {state_dir}; a second `userdrop run` is refused with exit code 75"
        )
    return ok(NAME, f"it runs as process {process}; a second `userdrop run` is refused with exit code 75")


def _answers(state_dir: Path) -> bool:
    try:
        return asked(state_dir, "status") is not None
    except OSError:
        return False


def _threads(state_dir: Path, locks: Path) -> Iterator[Finding]:
    with suppress(OSError):  # that it is not known which process it is has been told
        process = _holder(state_dir, locks)
        found = None if process is None else threads(process, processors=os.cpu_count() or 1)
        yield from [found] if found is not None else []


def _holder(state_dir: Path, locks: Path) -> int | None:
    """The process that holds the state directory, by the kernel's list of locks. Source: proc_locks(5).

    Raises:
        OSError: that cannot be known.
    """
    try:
        status = (state_dir / LOCK_FILE).stat()
        text = locks.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    return next((int(lock[4]) for lock in locks_on(text, status.st_dev, status.st_ino) if lock[1] == "FLOCK"), None)

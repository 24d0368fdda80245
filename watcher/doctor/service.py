"""Who asks, and whether the service runs; no lock is taken, as that would keep a service from starting."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from importer.locking import locks_on
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.instance import LOCK_FILE

NAME = "service"
ACCOUNT = "account"
STATE = "state directory"


def examined(state_dir: Path, locks: Path) -> Iterator[Finding]:
    """What can be said of the service as such.

    Args:
        state_dir: the service's own directory.
        locks: the text file that tells of all locks, /proc/locks.
    """
    yield account(os.geteuid())
    yield from _state(state_dir)
    yield running(state_dir, locks)


def account(number: int) -> Finding:
    """Whether what the doctor may do is what the service may do."""
    if number == 0:
        what = "root asks, who may do what the service may not, so that missing rights do not show"
        return warning(ACCOUNT, what, "ask as the service's user, as deploy/install's /usr/local/bin/userdrop does")
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    return ok(ACCOUNT, f"{name} asks; the service should run as the same user")


def _state(state_dir: Path) -> Iterator[Finding]:
    if not state_dir.exists():
        yield ok(STATE, f"there is no {state_dir} yet; `userdrop run` makes it at its start")
    elif not state_dir.is_dir() or not os.access(state_dir, os.R_OK | os.W_OK | os.X_OK):
        cure = f"chown the service's user {state_dir}; chmod 700 {state_dir}"
        yield broken(STATE, f"{state_dir} is no directory that may be written", cure)
    elif state_dir.stat().st_mode & 0o022:
        yield warning(STATE, f"others may write to {state_dir}", f"chmod 700 {state_dir}")


def running(state_dir: Path, locks: Path) -> Finding:
    """Whether an instance holds the state directory, by the kernel's list of locks. Source: proc_locks(5)."""
    stopped = warning(NAME, f"no service runs on {state_dir}", "start it: systemctl start userdrop")
    try:
        status = (state_dir / LOCK_FILE).stat()
        text = locks.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return stopped
    except OSError as error:
        return warning(NAME, f"whether it runs is not known: {error.strerror}", f"check {error.filename}")
    for lock in locks_on(text, status.st_dev, status.st_ino):
        if lock[1] == "FLOCK":
            return ok(NAME, f"it runs as process {lock[4]}; a second `userdrop run` is refused with exit code 75")
    return stopped

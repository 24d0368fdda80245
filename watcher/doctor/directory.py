"""The upload directory: what an import does there is done with a hidden file, and undone.

Nothing is left behind that was not there before, as the doctor may run as another user than the service. The hidden
files have the name of canaries, which a running service does not heed.
"""

import errno
import grp
import os
import pwd
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler

from importer.archiving import BAK
from importer.claiming import WORK_DIRECTORY, is_plain
from importer.locking import PROC_LOCKS, is_in_locks
from importer.renaming import fsync_directory, rename_noreplace
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.mounts import file_system, hears_other_hosts
from watcher.observing import CANARY, Observers
from watcher.scanning import scan
from watcher.supervision import HEARING_SECONDS
from watcher.watching import INOTIFY_CURES, MOUNTINFO

NAME = "upload directory"
FILE_SYSTEM = "file system"
EVENTS = "inotify"
NEWEST = "newest upload"
ROOM = "room for imports"

INOTIFY_LIMITS = Path("/proc/sys/fs/inotify")

_RIGHT_MODE = 0o3770
_PROBE_BYTES = 64 << 10
"""More than a file system keeps for a file without asking the disk for room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the kernel tells what it knows; tests put their own texts there."""

    mountinfo: Path = MOUNTINFO
    locks: Path = PROC_LOCKS
    inotify: Path = INOTIFY_LIMITS


def examined(given: Path, *, max_bytes: int, around: Surroundings) -> Iterator[Finding]:
    """What can be said of an upload directory; where it is none at all, just that.

    Args:
        given: as it is configured.
        max_bytes: of the largest file that is imported.
        around: where the kernel tells what it knows.
    """
    try:
        directory = given.resolve(strict=True)
        with os.scandir(directory):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        yield _unusable(given, error)
        return
    yield rights(directory, os.geteuid())
    yield from own_directories(directory)
    yield proved(directory)
    yield room(directory, max_bytes)
    yield kind_of_file_system(directory, around.mountinfo)
    yield limits(around.inotify)
    yield heard(directory)
    yield newest_readable(directory, around.locks)


def _unusable(given: Path, error: OSError | RuntimeError) -> Finding:
    why = (error.strerror if isinstance(error, OSError) else None) or "it cannot be resolved"
    cure = (
        f"make it: install -d -o {_user(os.geteuid())} -g FTP-GROUP -m {_RIGHT_MODE:o} {given};"
        " or set USERDROP_UPLOAD_DIR to where vsftpd writes"
    )
    return broken(NAME, f"{given}: {why}", cure)


def rights(directory: Path, service: int) -> Finding:
    """Whether owner and mode let the service work and keep clients from what is not theirs."""
    status = directory.stat()
    mode = stat.S_IMODE(status.st_mode)
    seen = f"{directory} belongs to {_user(status.st_uid)}:{_group(status.st_gid)} with mode {mode:04o}"
    chmod = f"chmod {_RIGHT_MODE:o} {directory}"
    if service not in (0, status.st_uid):
        by_group = bool(mode & stat.S_IWGRP) and status.st_gid in {os.getegid(), *os.getgroups()}
        if mode & stat.S_ISVTX or not by_group:  # where it is sticky, only its owner may rename others' files
            return broken(
                NAME, f"{seen}; the service is {_user(service)}", f"chown {_user(service)} {directory}; {chmod}"
            )
    faults = [
        (not mode & stat.S_ISVTX, "clients can remove or rename bak and one another's files"),
        (not mode & stat.S_ISGID, "files do not get its group by themselves"),
        (bool(mode & stat.S_IWOTH), "everybody on this machine may drop files"),
    ]
    told = [fault for is_there, fault in faults if is_there]
    return warning(NAME, f"{seen}: {', '.join(told)}", chmod) if told else ok(NAME, seen)


def own_directories(directory: Path) -> Iterator[Finding]:
    """Whether bak and the work directory, where they are there, are the service's own."""
    owner = directory.stat().st_uid
    for name in (BAK, WORK_DIRECTORY):
        path = directory / name
        if not os.path.lexists(path):
            continue
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {os.geteuid(), owner}:
            what = f"{path} is {_kind(status)} of {_user(status.st_uid)}, so that what is put there would not be safe"
            yield broken(name, what, f"rename or remove {path}; the service makes its own")


def _kind(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "a link"
    return "a directory" if stat.S_ISDIR(status.st_mode) else "no directory, but something"


def proved(directory: Path) -> Finding:
    """Make a file, rename it as a claim and as an archived file is renamed, and remove it."""
    steps: list[str] = []
    try:
        with _somewhere(directory, WORK_DIRECTORY) as work, _somewhere(directory, BAK) as bak:
            _walk(directory, work, bak, steps)
    except OSError as error:
        return _hindered(directory, error, steps)
    return ok(NAME, f"a file was made, renamed into {WORK_DIRECTORY} and {BAK}, and removed, on one device")


def _walk(directory: Path, work: Path, bak: Path, steps: list[str]) -> None:
    name = f"{CANARY}doctor-{secrets.token_hex(8)}"
    places = [directory / name, work / name, bak / name]
    try:
        steps.append(f"make a file in {directory}")
        _write(places[0])
        for source, target in pairwise(places):
            steps.append(f"rename a file from {source.parent} to {target.parent}")
            _move(source, target)
        steps.append(f"remove a file from {bak}")
        places[-1].unlink()
    finally:
        for path in places:
            with suppress(OSError):
                path.unlink()


def _move(source: Path, target: Path) -> None:
    try:
        rename_noreplace(source, target)
    except OSError as error:
        if error.errno == errno.EXDEV:  # what another mount lacks beside shows only when something is made there
            _write(target)
        raise
    fsync_directory(target.parent)


def _write(path: Path) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(descriptor, bytes(_PROBE_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if written < _PROBE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def _somewhere(directory: Path, name: str) -> Iterator[Path]:
    """The directory of that name, or one in its place that goes again."""
    path = directory / name
    if path.is_dir() and not path.is_symlink():
        yield path
        return
    path = directory / f"{CANARY}doctor-{secrets.token_hex(8)}-{name.lstrip('.')}"
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        path.rmdir()


def _hindered(directory: Path, error: OSError, steps: list[str]) -> Finding:
    step = steps[-1] if steps else f"make a directory in {directory}"
    name = BAK if step.endswith(f"/{BAK}") else NAME
    what = f"cannot {step}: {error.strerror or type(error).__name__}"
    match error.errno:
        case errno.EROFS:
            cure = "mount the file system read-write, or add the directory to the unit's ReadWritePaths"
        case errno.ENOSPC | errno.EDQUOT:
            cure = f"make room on the file system of {directory}; `df {directory}` and `df -i {directory}` show it"
        case errno.EXDEV if name == BAK:
            return warning(
                name, f"{what}; each file is copied there instead", f"have {BAK} on the device of {directory}"
            )
        case errno.EXDEV:
            cure = f"have {WORK_DIRECTORY} on the device of {directory}: unmount what is mounted there"
        case errno.EACCES | errno.EPERM:
            owner = _user(os.geteuid())
            cure = (
                f"chown {owner} {directory} and chmod {_RIGHT_MODE:o} {directory}; {BAK} in it: chmod 2750, same owner"
            )
        case _:
            cure = f"check the disk and the mount of {directory}; `dmesg` may tell more"
    return broken(name, what, cure)


def room(directory: Path, max_bytes: int) -> Finding:
    """Whether a copy of the largest file has room."""
    try:
        known = os.statvfs(directory)
    except OSError as error:
        return broken(ROOM, f"{directory}: {error.strerror}", f"check the mount of {directory}")
    free = known.f_bavail * known.f_frsize
    seen = f"{free >> 20:,} MB are free on the file system of {directory}"
    if known.f_files and not known.f_favail:
        return broken(ROOM, f"there are no inodes free on the file system of {directory}", "remove files")
    if free < max_bytes:
        what = f"{seen}; a file may have {max_bytes >> 20:,} MB and is copied once"
        return warning(ROOM, what, "make room, or lower USERDROP_MAX_FILE_MB")
    return ok(ROOM, seen)


def kind_of_file_system(directory: Path, mountinfo: Path) -> Finding:
    """Whether the kernel tells of all that is done to the files, and by their locks who writes."""
    try:
        type_ = file_system(os.fsdecode(mountinfo.read_bytes()), directory)
    except OSError as error:
        return warning(FILE_SYSTEM, f"{mountinfo}: {error.strerror}", "run the doctor where /proc is mounted")
    if hears_other_hosts(type_):
        return ok(FILE_SYSTEM, f"{directory} lies on {type_ or 'a file system of unknown type'}")
    what = (
        f"{directory} lies on {type_}, which does not tell what other hosts do: it is scanned every few seconds,"
        " and uploads that are not renamed wait the long quiet time"
    )
    cure = "run userdrop on the host whose disk it is, or set USERDROP_VSFTPD_LOG to a log that can be read here"
    return warning(FILE_SYSTEM, what, cure)


def limits(inotify: Path) -> Finding:
    """The kernel's limits; whether they are reached shows when a watch is made."""
    names = ("max_user_instances", "max_user_watches", "max_queued_events")
    try:
        values = {name: int((inotify / name).read_text(encoding="ascii")) for name in names}
    except (OSError, ValueError):
        return warning(EVENTS, f"the limits in {inotify} cannot be read", "run the doctor where /proc/sys is mounted")
    seen = ", ".join(f"fs.inotify.{name}={value}" for name, value in values.items())
    queued = values["max_queued_events"]
    if queued < 1024:
        cure = "sysctl -w fs.inotify.max_queued_events=16384, and the same in /etc/sysctl.d"
        return warning(EVENTS, f"{seen}: bursts of files overflow the queue, and all is scanned again", cure)
    return ok(EVENTS, seen)


class _Ear(FileSystemEventHandler):
    """Runs in watchdog's thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.heard = threading.Event()

    def dispatch(self, event: FileSystemEvent) -> None:
        if os.fsdecode(event.src_path).endswith(self._name):
            self.heard.set()


def heard(directory: Path, *, seconds: float = HEARING_SECONDS) -> Finding:
    """Watch the directory as the service does, make a canary, and wait for its event."""
    name = f"{CANARY}doctor-{secrets.token_hex(8)}"
    ear, observers = _Ear(name), Observers()
    try:
        joined = observers.join(ear, directory, None)
    except RuntimeError:
        return broken(EVENTS, "no more threads can be made", "raise the unit's TasksMax")
    except OSError as error:
        why = error.strerror or type(error).__name__
        cure = INOTIFY_CURES.get(error.errno or 0) or f"check the rights of {directory}"
        return broken(EVENTS, f"{directory} cannot be watched: {why}; it is scanned every few seconds meanwhile", cure)
    try:
        path = directory / name
        path.touch(mode=0o600, exist_ok=False)
        path.unlink()
        is_heard = ear.heard.wait(seconds)
    except OSError as error:
        why = error.strerror or type(error).__name__
        return warning(EVENTS, f"whether events come could not be proved: {why}", f"see {NAME}")
    finally:
        observers.leave(*joined)
    if is_heard:
        return ok(EVENTS, "a canary's event was heard")
    what = f"a canary's event was not heard for {seconds:g} s; the directory is scanned every few seconds meanwhile"
    return warning(EVENTS, what, "check the file system: those of other hosts and of some containers tell no events")


def newest_readable(directory: Path, locks: Path) -> Finding:
    """Whether the newest of the files that wait, and are not just coming, may be read."""
    newest = _newest(directory, locks)
    if newest is None:
        return ok(NEWEST, "no complete upload waits, so none could be tried")
    path, status = newest
    owner = f"{_user(status.st_uid)}:{_group(status.st_gid)}"
    seen = f"the newest of them belongs to {owner} with mode {stat.S_IMODE(status.st_mode):04o}"
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except PermissionError:
        cure = (
            "set local_umask=027 in vsftpd.conf (anon_umask for virtual users) and restart vsftpd;"
            f" usermod -aG {_group(status.st_gid)} {_user(os.geteuid())} and restart userdrop;"
            " chmod g+r the files that are there already"
        )
        return broken(NEWEST, f"an upload cannot be read; {seen}", cure)
    except FileNotFoundError:
        return ok(NEWEST, "it was taken while it was looked at")
    except OSError as error:
        return broken(NEWEST, f"an upload cannot be opened: {error.strerror}", "check the disk; `dmesg` may tell more")
    try:
        os.read(descriptor, 1)
    except OSError as error:
        return broken(NEWEST, f"an upload cannot be read: {error.strerror}", "check the disk; `dmesg` may tell more")
    finally:
        os.close(descriptor)
    return ok(NEWEST, f"{seen} and can be read")


def _newest(directory: Path, locks: Path) -> tuple[Path, os.stat_result] | None:
    try:
        text = locks.read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    found = []
    for name in scan(directory).candidates:
        with suppress(OSError):
            status = (directory / name).lstat()
            if is_plain(status) and not is_in_locks(text, status.st_dev, status.st_ino):
                found.append((directory / name, status))
    return max(found, key=lambda each: each[1].st_ctime_ns, default=None)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)

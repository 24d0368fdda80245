"""The examination of the upload directory: all that an import does there is done with a hidden file, and undone.

Nothing is left behind that was not there before, as the doctor may run as another user than the service. The hidden
files have the name of canaries, which a running service does not heed.
"""

import errno
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from shlex import quote

from watchdog.observers.inotify_c import InotifyEvent, WatchCallback, WatchDescriptor

from importer.durability import fsync_directory
from importer.files import mending
from importer.files.archiving import BAK
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY, is_plain
from importer.files.faults import has_few_inodes
from importer.files.renaming import rename_noreplace
from importer.files.writers import PROC_LOCKS, is_in_locks
from watcher.doctor import cures
from watcher.doctor.cures import group_of, shown_group, user
from watcher.doctor.findings import Finding, State, broken, ok, warning
from watcher.doctor.reach import EVENTS, INOTIFY_LIMITS
from watcher.uploads.mounts import file_system, hears_other_hosts, read_only_by
from watcher.uploads.observing import CANARY, Observers
from watcher.uploads.scanning import scan
from watcher.uploads.supervision import HEARING_SECONDS
from watcher.uploads.watching import INOTIFY_CURES, MOUNTINFO

NAME = "upload directory"
FILE_SYSTEM = "file system"
NEWEST = "newest upload"
ROOM = "room for imports"

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_PROBE_BYTES = 64 << 10
"""More bytes than a file system keeps for a file without asking the disk for room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The files in which the kernel tells what it knows; tests put their own texts there."""

    mountinfo: Path = MOUNTINFO
    locks: Path = PROC_LOCKS
    inotify: Path = INOTIFY_LIMITS


def examined(given: Path, *, max_bytes: int, around: Surroundings) -> Iterator[Finding]:
    """Examine an upload directory; where it is no directory at all, there is just that finding.

    Args:
        given: the directory's path as it is configured.
        max_bytes: bytes of the largest file that is imported.
        around: the files in which the kernel tells what it knows.
    """
    try:
        directory = given.resolve(strict=True)
        with os.scandir(directory):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        yield cures.unusable(NAME, given, error)
        return
    trial = proved(directory, around.mountinfo)
    yield from rights(directory, os.geteuid(), trial)
    yield from own_directories(directory)
    yield trial.finding
    yield room(directory, max_bytes)
    yield kind_of_file_system(directory, around.mountinfo)
    yield heard(directory)
    yield newest_readable(directory, around.locks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of doing with a file all that an import does.

    Attributes:
        finding: how far it got.
        gets_group: whether a new file had the directory's group; None where none could be made.
    """

    finding: Finding
    gets_group: bool | None


def rights(directory: Path, service: int, trial: Trial) -> Iterator[Finding]:
    """Judge whether owner and mode keep clients from what is not theirs; what the service may do itself was tried.

    Args:
        directory: the upload directory.
        service: the number of the service's user.
        trial: what the service may do there.
    """
    status = directory.stat()
    mode = stat.S_IMODE(status.st_mode)
    seen = f"{directory} belongs to {user(status.st_uid)}:{shown_group(status.st_gid)} with mode {mode:04o}"
    if service not in (0, status.st_uid):
        yield from _of_another(directory, seen, service, trial)
        return
    faults = [
        (
            bool(mode & _WRITABLE) and not mode & stat.S_ISVTX,
            "clients can remove or rename bak and one another's files",
            "+t",
        ),
        (
            trial.gets_group is False,
            "files do not get its group (setgid), and clients cannot read bak",
            "g+s",
        ),
        (bool(mode & stat.S_IWOTH), "everybody on this machine may drop files", "o-w"),
    ]
    told = [fault for is_there, fault, _ in faults if is_there]
    change = ",".join(change for is_there, _, change in faults if is_there)
    cure = f"chmod {change} {quote(str(directory))}"
    if trial.gets_group is False and (directory / BAK).exists():
        cure += "; chgrp --reference={0} {0}/{1}; chmod 2750 {0}/{1}".format(quote(str(directory)), BAK)
    yield warning(NAME, f"{seen}: {', '.join(told)}", cure) if told else ok(NAME, seen)


def _of_another(directory: Path, seen: str, service: int, trial: Trial) -> Iterator[Finding]:
    """Judge a directory of another user: in one that is sticky, only its owner may rename others' files."""
    home = next(cures.of_homes(directory), None)
    if home is not None:
        yield broken(NAME, f"{seen} and is the home of {home}", cures.beside_homes(directory / "incoming"))
    elif directory.stat().st_mode & stat.S_ISVTX:
        what = f"{seen}; the service, which is {user(service)}, may not rename files of others there"
        cure = f"chown {user(service)} {quote(str(directory))}; its group goes on to write there"
        yield broken(NAME, what, cure)
    elif trial.finding.state is not State.BROKEN:
        yield ok(NAME, f"{seen}; the service may work there, and who else may write there can rename bak")


def own_directories(directory: Path) -> Iterator[Finding]:
    """Judge whether the names that the service needs for itself are its own, where they exist."""
    service = os.geteuid() or directory.stat().st_uid
    for name in (BAK, WORK_DIRECTORY, QUARANTINE_DIRECTORY):
        path = directory / name
        if not os.path.lexists(path):
            continue
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid in {os.geteuid(), service}:
            if name != BAK and status.st_uid == os.geteuid() and _is_open_to_others(path, status):
                yield broken(name, f"{path} has in it what the service has not put there", f"{_aside(path)}")
            continue
        what = f"{path} is {_kind(status)} of {user(status.st_uid)}, so that what is put there would not be safe"
        back = f"where its owner was changed by mistake: chown -R {user(service)} {quote(str(path))}; else "
        yield broken(name, what, f"{back if stat.S_ISDIR(status.st_mode) else ''}{_aside(path)}")


def _aside(path: Path) -> str:
    place, old = quote(str(path)), quote(f"{path}.old")
    return f"rename it, as files of clients may lie in it: mv {place} {old}; the service makes its own"


def _is_open_to_others(path: Path, status: os.stat_result) -> bool:
    """Whether others may have put something there, so that the service does not put its mode right."""
    with suppress(PermissionError):
        return stat.S_IMODE(status.st_mode) & 0o777 != mending.OWN_MODE and not mending.holds_own_claims(path)
    return False


def _kind(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "a link"
    return "a directory" if stat.S_ISDIR(status.st_mode) else "no directory, but something"


def proved(directory: Path, mountinfo: Path = MOUNTINFO) -> Trial:
    """Make a file, rename it as a claim and as an archived file is renamed, and remove it."""
    steps: list[str] = []
    groups: list[int] = []
    try:
        with _somewhere(directory, WORK_DIRECTORY) as work, _somewhere(directory, BAK) as bak:
            _walk(directory, work, bak, steps, groups)
        found = ok(NAME, f"a file was made, renamed into {WORK_DIRECTORY} and {BAK}, and removed, on one device")
    except OSError as error:
        found = _hindered(directory, error, steps, mountinfo)
    return Trial(finding=found, gets_group=_gets_group(directory.stat(), groups[0]) if groups else None)


def _gets_group(directory: os.stat_result, group_of_file: int) -> bool:
    """Whether a file has its directory's group; of two that the unit's PrivateUsers= hides nobody knows whether."""
    is_equal = group_of_file == directory.st_gid and not cures.is_hidden(directory.st_gid)
    return is_equal or bool(directory.st_mode & stat.S_ISGID)


def _walk(directory: Path, work: Path, bak: Path, steps: list[str], groups: list[int]) -> None:
    name = f"{CANARY}doctor-{secrets.token_hex(8)}"
    places = [directory / name, work / name, bak / name]
    try:
        steps.append(f"make a file in {directory}")
        _write(places[0])
        groups.append(places[0].stat().st_gid)
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
    """Yield the directory of some name, or a temporary one in its place; of its own the service mends the mode."""
    path = directory / name
    is_there = os.path.isdir(path) and not path.is_symlink()  # noqa: PTH112 - Path's fails where it may not look
    if is_there and not _is_mended(path.stat()):
        yield path
        return
    path = directory / f"{CANARY}doctor-{secrets.token_hex(8)}-{name.lstrip('.')}"
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        path.rmdir()


def _is_mended(status: os.stat_result) -> bool:
    """Whether the service puts the mode of its own directory right before it works there."""
    return status.st_uid == os.geteuid() and status.st_mode & stat.S_IRWXU != stat.S_IRWXU


def _hindered(directory: Path, error: OSError, steps: list[str], mountinfo: Path) -> Finding:
    step = steps[-1] if steps else f"make a directory in {directory}"
    name = BAK if step.endswith(f"/{BAK}") else NAME
    what = f"cannot {step}: {error.strerror or type(error).__name__}"
    match error.errno:
        case errno.EXDEV if name == BAK:
            return warning(
                name, f"{what}; each file is copied there instead", f"have {BAK} on the device of {directory}"
            )
        case errno.EXDEV:
            return broken(
                name, what, f"have {WORK_DIRECTORY} on the device of {directory}: unmount what is mounted there"
            )
        case _:
            place = directory / BAK if name == BAK else directory
            return broken(name, what, cures.hindered(place, error, _read_only(place, mountinfo)))


def _read_only(directory: Path, mountinfo: Path) -> Path | None:
    try:
        return read_only_by(os.fsdecode(mountinfo.read_bytes()), directory)
    except OSError:
        return None


def room(directory: Path, max_bytes: int) -> Finding:
    """Judge whether a copy of the largest file has room."""
    try:
        known = os.statvfs(directory)
    except OSError as error:
        return broken(ROOM, f"{directory}: {error.strerror}", f"check the mount of {directory}")
    free = known.f_bavail * known.f_frsize
    seen = f"{free >> 20:,} MB are free on the file system of {directory}"
    if has_few_inodes(known):
        what = f"{known.f_favail:,} inodes are free on the file system of {directory}, and each file takes one"
        return broken(ROOM, what, "find a directory with very many files (du --inodes), and move some to another disk")
    if free < max_bytes:
        what = f"{seen}; a file may have {max_bytes >> 20:,} MB and is copied once"
        return warning(ROOM, what, "make room, or lower USERDROP_MAX_FILE_MB")
    return ok(ROOM, seen)


def kind_of_file_system(directory: Path, mountinfo: Path) -> Finding:
    """Judge whether the kernel tells of all that is done to the files, and by their locks who writes."""
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


class _Ear(WatchCallback):
    """Listens in watchdog's thread."""

    def __init__(self, name: str) -> None:
        self._name = os.fsencode(name)
        self.heard = threading.Event()

    def on_event(self, event: InotifyEvent) -> None:
        if event.name == self._name:
            self.heard.set()

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Note that the directory was removed, so that nothing is heard."""

    def on_queue_overflow(self) -> None:
        """Note that events were lost: others' may have drowned the canary's."""


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
        cure = str(INOTIFY_CURES.get(error.errno or 0) or f"check the rights of {directory}")
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
        observers.leave(joined)
    if is_heard:
        return ok(EVENTS, "a canary's event was heard")
    what = f"a canary's event was not heard for {seconds:g} s; the directory is scanned every few seconds meanwhile"
    return warning(EVENTS, what, "check the file system: those of other hosts and of some containers tell no events")


def newest_readable(directory: Path, locks: Path) -> Finding:
    """Judge whether the newest file that waits, and is not just coming, may be read."""
    newest = _newest(directory, locks)
    if newest is None:
        return ok(NEWEST, "no complete upload waits, so none could be tried")
    path, status = newest
    owner = f"{user(status.st_uid)}:{shown_group(status.st_gid)}"
    seen = f"the newest of them belongs to {owner} with mode {stat.S_IMODE(status.st_mode):04o}"
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except PermissionError:
        cure = (
            "set local_umask=027 in vsftpd.conf (anon_umask for virtual users) and restart vsftpd;"
            f" usermod -aG {group_of(directory, status.st_gid)} {user(os.geteuid())} and restart userdrop;"
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

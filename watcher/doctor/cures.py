"""What to do about a directory that the service cannot use. No cure takes a directory or a file from anybody."""

import errno
import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from watcher.doctor.findings import Finding, broken

HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome=yes hides from the service. Source: systemd.exec(5)."""

_RIGHT_MODE = 0o3770
_GROUPS_SEEN, _HIDDEN_GROUP = Path("/proc/self/gid_map"), Path("/proc/sys/kernel/overflowgid")
_ALL_GROUPS = ["0", "0", "4294967295"]


def unusable(name: str, given: Path, error: OSError | RuntimeError) -> Finding:
    """Tell of an upload directory that is not there, is none, or may not be entered.

    Args:
        name: what the finding is about.
        given: the directory's path as it is configured.
        error: what the system said.
    """
    why = (error.strerror if isinstance(error, OSError) else None) or "it cannot be resolved"
    return broken(name, f"{given}: {why}", _made_usable(given, error))


def _made_usable(given: Path, error: OSError | RuntimeError) -> str:
    set_it = "set USERDROP_UPLOAD_DIR to where vsftpd writes"
    if any(given.is_relative_to(each) for each in HIDDEN) and isinstance(error, PermissionError | FileNotFoundError):
        return f"the unit's ProtectHome= hides what lies there; {beside_homes(given)}"
    match error:
        case FileNotFoundError() if not os.path.lexists(given):
            owner = user(os.geteuid())
            return (
                f"mount what should be mounted there; or make it: install -d -o {owner} -g FTP-GROUP"
                f" -m {_RIGHT_MODE:o} {quote(str(given))}; or {set_it}"
            )
        case PermissionError():
            return f"{_let_through(given)}; or {set_it}"
        case OSError(errno=errno.EIO | errno.ESTALE):
            return f"check the disk and the mount of {given}; `dmesg` may tell more"
        case _:
            return f"see what is on the way to it: namei -l {quote(str(given))}; put the directory back, or {set_it}"


def _let_through(given: Path) -> str:
    """The command that lets the service through the first directory on the way that it may not enter."""
    closed = next((each for each in reversed(given.parents) if not os.access(each, os.X_OK, effective_ids=True)), None)
    if closed is None and given.stat().st_uid == os.geteuid():
        return f"let the service in: chmod u+rwx {quote(str(given))}"
    if closed is None:
        return f"let the service in: {let_in(given)}"
    return f"let the service through: setfacl --modify user:{user(os.geteuid())}:x {quote(str(closed))}"


def let_in(directory: Path) -> str:
    """The command that lets the service work in somebody's directory, and read the files that come into it."""
    name, place = user(os.geteuid()), quote(str(directory))
    return f"setfacl --modify user:{name}:rwx,default:user:{name}:rwx {place}"


def beside_homes(directory: Path) -> str:
    """What to do instead of having a home, or a directory in one, as an upload directory."""
    return (
        "homes are no upload directories: have a folder for the client in /srv/userdrop/upload, made by deploy/client,"
        f" and mount it where the client writes: mount --bind /srv/userdrop/upload/CLIENT {quote(str(directory))}"
        " (in /etc/fstab with the option bind)"
    )


def of_homes(directory: Path) -> Iterator[str]:
    """The users whose home a directory is, who own it."""
    owner = directory.stat().st_uid
    yield from (each.pw_name for each in pwd.getpwall() if each.pw_uid == owner != 0 and Path(each.pw_dir) == directory)


def hindered(directory: Path, error: OSError, read_only: Path | None) -> str:  # noqa: PLR0911 - one for each errno
    """What to do where a trial in an upload directory failed.

    Args:
        directory: the upload directory, or bak.
        error: what the system said.
        read_only: the mount point of a file system that is itself read-only; None where it is not.
    """
    place = quote(str(directory))
    match error.errno:
        case errno.EROFS if read_only is None:
            return (
                f"the unit's ProtectSystem= keeps the service from writing there: deploy/install --upload-dir {place}"
                " adds it to ReadWritePaths= in a drop-in; where a mount of your own is read-only, mount it read-write"
            )
        case errno.EROFS:
            return (
                "mount the file system read-write, after a look into `dmesg` for faults of the disk:"
                f" mount -o remount,rw {quote(str(read_only))}"
            )
        case errno.EDQUOT:
            return (
                f"raise the quota of {user(os.geteuid())} and of the directory's group on the file system of"
                f" {directory}; `repquota -s` shows it"
            )
        case errno.ENOSPC:
            return f"make room on the file system of {directory}; `df {place}` and `df -i {place}` show it"
        case errno.EACCES if directory.stat().st_uid == os.geteuid():
            return f"chmod u+rwx {place}"
        case errno.EACCES | errno.EPERM:
            return f"let the service in: {let_in(directory)}"
        case _:
            return f"check the disk and the mount of {directory}; `dmesg` may tell more"


def user(number: int) -> str:
    """The name of a user, or else the number."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group(number: int) -> str:
    """The name of a group, or else the number."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def is_hidden(number: int) -> bool:
    """Whether a group is one of those that the unit's PrivateUsers= has the kernel hide. Source: user_namespaces(7)."""
    sees_all = _GROUPS_SEEN.read_text(encoding="ascii").split() == _ALL_GROUPS
    return not sees_all and number == int(_HIDDEN_GROUP.read_text(encoding="ascii"))


def shown_group(number: int) -> str:
    """The name of a group for a sentence; that of one that is hidden is not known."""
    return "(hidden by PrivateUsers=)" if is_hidden(number) else group(number)


def group_of(path: Path, number: int) -> str:
    """The name of a file's group for a command, which finds out one that is hidden."""
    return f'"$(stat --format=%G {quote(str(path))})"' if is_hidden(number) else group(number)

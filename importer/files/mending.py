"""The modes and groups of the service's own directories, put right where somebody has changed them, as by `chmod -R`.

Each function takes a path that stays with its directory, and touches only what belongs to the service.
"""

import errno
import os
import stat
import struct
from pathlib import Path

OWN_MODE = 0o700
BAK_MODE = 0o2750
"""The client may look and fetch, not change; new files get the directory's group."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITING = stat.S_IWGRP | stat.S_IWOTH
_ACL = "system.posix_acl_access"
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20
"""Tags of entries of a list. Source: linux/posix_acl.h."""
_LEAST = ((_OWNER, 0, 0xFFFFFFFF), (_GROUP, 0, 0xFFFFFFFF), (_OTHER, 0, 0xFFFFFFFF))
_NOT_GIVEN = {errno.EPERM, errno.EINVAL}
"""By a system call filter, or where the group is not known in the user namespace of the unit's PrivateUsers=."""


def put_mode(directory: Path, mode: int) -> None:
    """Give a directory of ours a mode; its setgid bit is kept, or set, as far as that is allowed.

    systemd's RestrictSUIDSGID= forbids any mode with that bit. An access control list sets all bits but that one, so
    that files go on to get the directory's group. Who is named in the list stays there.

    Raises:
        OSError: the mode cannot be given.
    """
    now = stat.S_IMODE(directory.stat().st_mode)
    if now == mode:
        return
    try:
        directory.chmod(mode)
    except PermissionError:
        if now & 0o777 == mode & 0o777:
            return
        if not now & stat.S_ISGID or not _set_by_list(directory, mode):
            directory.chmod(mode & 0o777)


def _set_by_list(directory: Path, mode: int) -> bool:
    try:
        kept = [*_ENTRY.iter_unpack(os.getxattr(directory, _ACL)[_HEADER.size :])]
    except OSError:
        kept = [*_LEAST]
    middle = _MASK if any(tag == _MASK for tag, _, _ in kept) else _GROUP
    bits = {_OWNER: mode >> 6 & 7, middle: mode >> 3 & 7, _OTHER: mode & 7}
    entries = [_ENTRY.pack(tag, bits.get(tag, now), number) for tag, now, number in kept]
    try:
        os.setxattr(directory, _ACL, _HEADER.pack(2) + b"".join(entries))
    except OSError:  # the file system knows no lists, or the unit's PrivateUsers= not who is named
        return False
    return True


def give_group(path: Path, group: int) -> bool:
    """Give something of ours a group, which it mostly has by the setgid bit above it; False where that is not allowed.

    Raises:
        OSError: the disk is broken.
    """
    if path.stat().st_gid == group:
        return True
    try:
        os.chown(path, -1, group)
    except OSError as error:
        if error.errno not in _NOT_GIVEN:
            raise
        return False
    return True


def close(directory: Path) -> bool:
    """Close a directory of claims to everybody else; False where others may have put something there, which stays.

    What lies in bak, to which a client may have given the name, or what somebody has put there while it was open, is
    not taken for claims of ours; the directory is then left as it was.

    Raises:
        OSError: the mode cannot be given.
    """
    before = stat.S_IMODE(directory.stat().st_mode)
    if before & 0o777 == OWN_MODE:
        return True
    put_mode(directory, before | OWN_MODE)  # it may be closed to the service itself
    if holds_own_claims(directory):
        for each in (directory, *_claims(directory)):
            put_mode(each, OWN_MODE | each.stat().st_mode & stat.S_ISGID)
        if holds_own_claims(directory) and all(map(_has_own_notes, _claims(directory))):
            return True
    put_mode(directory, before)
    return False


def _claims(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if not path.name.startswith(".")]


def holds_own_claims(directory: Path) -> bool:
    """Whether all that is visible are directories of ours, and all that is hidden are plain files of ours.

    Raises:
        OSError: the directory cannot be read.
    """
    return all(
        _is_ours(path, stat.S_IFREG if path.name.startswith(".") else stat.S_IFDIR) for path in directory.iterdir()
    )


def _has_own_notes(claim: Path) -> bool:
    """Whether no link lies in a claim, and all that is hidden are plain files of ours; the other is the sender's."""
    return all(
        _is_ours(path, stat.S_IFREG) if path.name.startswith(".") else not path.is_symlink() for path in claim.iterdir()
    )


def _is_ours(path: Path, kind: int) -> bool:
    status = path.lstat()
    return status.st_uid == os.geteuid() and stat.S_IFMT(status.st_mode) == kind


def mend_bak(bak: Path, group: int) -> None:
    """Put right what keeps bak from its purpose: others may not write there, and its files get the directory's group.

    Rights to read that somebody has given or taken stay, and so does a group that somebody has chosen.

    Args:
        bak: the directory, which is ours.
        group: that of the upload directory.

    Raises:
        OSError: the mode cannot be given.
    """
    status = bak.stat()
    mode = stat.S_IMODE(status.st_mode)
    is_unfinished = mode & ~stat.S_ISGID == OWN_MODE
    if is_unfinished or status.st_gid == os.getegid():
        give_group(bak, group)
    reading = (mode & 0o444) >> 2 | mode & 0o444  # who may list it may enter it
    put_mode(bak, BAK_MODE if is_unfinished else (mode | reading | stat.S_ISGID | OWN_MODE) & ~_WRITING)

"""Who else is writing into a file, by its locks. Nothing here ever holds a lock: that would make the sender wait."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_F_OFD_GETLK = 36
_NO_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_FLOCK = "@hhqqi4x"
"""struct flock on 64-bit Linux: type, whence, start, length, pid."""
PROC_LOCKS = Path("/proc/locks")


def is_being_written(descriptor: int) -> bool | None:
    """Whether another process holds a write lock on the open file, as vsftpd does during an upload.

    None where the file system knows no locks.

    Source: vsftpd.conf(5) `lock_upload_files`; fcntl(2) "Open file description locks". Works across PID namespaces.

    Raises:
        OSError: the descriptor is none.
    """
    question = struct.pack(_FLOCK, fcntl.F_RDLCK, 0, 0, 0, 0)
    try:
        answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, _F_OFD_GETLK, question))
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return bool(answer[0] != fcntl.F_UNLCK)


def seems_being_written(status: os.stat_result) -> bool | None:
    """Whether a file is being written that may not be opened: True, or None where that cannot be known.

    The kernel's list leaves out what processes of other PID namespaces hold, so that it proves no file to be free.

    Raises:
        OSError: there is no such list.
    """
    return is_in_locks(PROC_LOCKS.read_text(), status.st_dev, status.st_ino) or None


def is_in_locks(locks: str, device: int, inode: int) -> bool:
    """Whether the text of /proc/locks tells of a write lock of fcntl(2) on a file."""
    return any(map(_is_write_lock, locks_on(locks, device, inode)))


def writers(locks: str, device: int, inode: int) -> tuple[int, ...]:
    """The processes that hold a write lock on the file, as far as it has one: -1 stands for a lock of an open file."""
    return tuple(int(lock[4]) for lock in locks_on(locks, device, inode) if _is_write_lock(lock))


def _is_write_lock(lock: list[str]) -> bool:
    return lock[1] in {"POSIX", "OFDLCK"} and lock[3] == "WRITE"


def locks_on(locks: str, device: int, inode: int) -> Iterator[list[str]]:
    """The fields of the lines of /proc/locks that tell of locks held on a file. Source: proc_locks(5).

    They are like `1: POSIX ADVISORY WRITE 4711 fe:01:131 0 EOF`; who still waits for a lock has `->` before POSIX.
    """
    file = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for fields in map(str.split, locks.splitlines()):
        if len(fields) == 8 and fields[5] == file:
            yield fields

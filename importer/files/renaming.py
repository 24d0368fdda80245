"""Renames that never overwrite."""

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_libc = ctypes.CDLL(None, use_errno=True)


def rename_noreplace(source: Path, target: Path) -> None:
    """Rename within a file system; the target must not exist.

    Source: renameat2(2). Where the file system knows no RENAME_NOREPLACE, a hard link does the same in two steps.

    Raises:
        FileExistsError: the target is there; nothing was changed.
        OSError: with EXDEV, among others, where the two are on different mounts.
    """
    old, new = os.fsencode(source), os.fsencode(target)
    if _libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(number, os.strerror(number), source, None, target)
    os.link(source, target, follow_symlinks=False)
    source.unlink()

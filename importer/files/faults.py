"""What failed of a disk or a directory, and where, as the administrator is told it."""

import errno
import os
from pathlib import Path

from importer.model import Detail
from importer.words.details import detail, os_error_detail

FEW_FILES = 1_000
"""A file system on which fewer files can be made has as good as no inodes left."""

_OPENED = "/proc/self/fd/"


def has_few_inodes(status: os.statvfs_result) -> bool:
    """Whether hardly any file can be made, whatever is free; some file systems keep no count. Source: statvfs(3)."""
    return status.f_files > 0 and status.f_favail < FEW_FILES


def fault(error: OSError, directory: Path | None) -> Detail | str:
    """Tell what failed, with the directory in which it did.

    Args:
        error: what the system said.
        directory: where the work was done, unless the error names another place; None where that is unknown.
    """
    named = _place(error)
    where = directory if named is None or (directory is not None and named.is_relative_to(directory)) else named.parent
    why = os_error_detail(error)
    if where is None:
        return why
    if error.errno == errno.ENOSPC and _is_without_inodes(where):
        why = detail("no_inodes")
    return detail("at", where=str(where), why=why)


def _place(error: OSError) -> Path | None:
    """The path that an error names; one by way of a descriptor leads nowhere that people know."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    return Path(name) if name.startswith("/") and not name.startswith(_OPENED) else None


def _is_without_inodes(directory: Path) -> bool:
    try:
        return has_few_inodes(os.statvfs(directory))
    except OSError:
        return False

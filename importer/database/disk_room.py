"""A guard for SQLite on a full disk, where some file systems would end the process instead of saying so.

SQLite maps its `-shm` file into memory, and even who reads writes there. On a file system that copies on write each
changed page takes room again, and where there is none the kernel ends the process by SIGBUS. Others have given the room
for good when the file was made; there SQLite itself says that the disk is full, and who reads goes on.
"""

import ctypes
import os
import sqlite3
import sys
from pathlib import Path

from sqlalchemy.exc import OperationalError

ROOM_BYTES = 8 << 20
"""The bytes that must be free; where fewer are, as btrfs counts them, a page may find no room."""

_BTRFS = 0x9123683E
_LONGEST_ANSWER = 256
_TYPE_BYTES = ctypes.sizeof(ctypes.c_long)


def demand_room(directory: Path) -> None:
    """Make sure that SQLite's shared memory can be written in a directory.

    Raises:
        sqlalchemy.exc.OperationalError: writing might end the process; the error is SQLite's own for a full disk.
    """
    if _copies_on_write(directory) and _free(directory) < ROOM_BYTES:
        statement = "BEGIN"
        what = f"database or disk is full: less than {ROOM_BYTES >> 20} MB are free where it lies"
        raise OperationalError(statement, None, sqlite3.OperationalError(what))


def _free(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _copies_on_write(directory: Path) -> bool:
    """Whether a file system copies on write, by its magic number. Source: statfs(2)."""
    answer = ctypes.create_string_buffer(_LONGEST_ANSWER)
    if ctypes.CDLL(None).statfs(os.fsencode(directory), answer) != 0:
        return False
    return int.from_bytes(answer.raw[:_TYPE_BYTES], sys.byteorder) == _BTRFS

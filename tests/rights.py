"""Root reads and enters everything, where tests need somebody who does not; and makes devices, which others cannot."""

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.tools import unavailable

DEVICES = {"character device": (stat.S_IFCHR, 1, 5), "block device": (stat.S_IFBLK, 7, 0)}
"""/dev/zero, which has no end, and a loop device. Source: the kernel's devices.txt."""

_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)
_Sets = ctypes.c_uint32 * 6
_Header = ctypes.c_uint32 * 2


@contextmanager
def obeying_file_modes() -> Iterator[None]:
    """This thread, and those it starts meanwhile, without root's power over file modes. Source: capabilities(7)."""
    sets = _Sets()
    _call("capget", sets)
    before = sets[0]
    sets[0] = before & ~(1 << _CAP_DAC_OVERRIDE | 1 << _CAP_DAC_READ_SEARCH)
    _call("capset", sets)
    try:
        yield
    finally:
        sets[0] = before
        _call("capset", sets)


@contextmanager
def mode(path: Path, mode_: int) -> Iterator[None]:
    """A file or directory with another mode; for asynchronous tests, too."""
    before = path.stat().st_mode
    path.chmod(mode_)
    try:
        yield
    finally:
        path.chmod(before)


def make_device(path: Path, kind: str) -> None:
    """A device of that kind; the test is skipped where that needs more rights."""
    type_, major, minor = DEVICES[kind]
    try:
        os.mknod(path, type_ | 0o600, os.makedev(major, minor))
    except PermissionError:
        unavailable("a device needs root")


def _call(name: str, sets: "ctypes.Array[ctypes.c_uint32]") -> None:
    if getattr(_libc, name)(_Header(_VERSION_3, 0), sets) != 0:
        raise OSError(ctypes.get_errno(), name)

"""The file system on which a directory lies, by the text of /proc/self/mountinfo. Source: proc(5), mountinfo."""

import re
from pathlib import Path
from typing import NamedTuple

_TOLD_BY_OTHERS = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse",
    "gfs2",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "prl_fs",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
}
"""File systems that are written to from other hosts, too, of which inotify(7) reports nothing."""

_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system(mountinfo: str, directory: Path) -> str:
    """The type of the file system that an absolute, resolved path lies on, empty where that is not known.

    The longest mount point wins, and of several mounts on one point the last, which lies on top.
    """
    found = _mount(mountinfo, directory)
    return found.type if found else ""


def read_only_by(mountinfo: str, directory: Path) -> Path | None:
    """The mount point of a file system that is itself read-only; None where it is at most one of its mounts that is.

    systemd's ProtectSystem= makes such mounts of a file system to which others go on to write.
    """
    found = _mount(mountinfo, directory)
    return found.point if found and "ro" in found.options.split(",") else None


class _Mount(NamedTuple):
    point: Path
    type: str
    options: str


def _mount(mountinfo: str, directory: Path) -> _Mount | None:
    found = None
    for line in mountinfo.splitlines():
        head, _, tail = line.partition(" - ")
        fields, types = head.split(" "), tail.split(" ")
        if len(fields) < 5:
            continue
        point = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        if directory.is_relative_to(point) and (found is None or len(point.parts) >= len(found.point.parts)):
            found = _Mount(point, types[0], types[2] if len(types) > 2 else "")
    return found


def hears_other_hosts(type_: str) -> bool:
    """Whether inotify reports all that is done in such a file system, and its locks are those of all writers."""
    return type_ not in _TOLD_BY_OTHERS and not type_.startswith("fuse.")

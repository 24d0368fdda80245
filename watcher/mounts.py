"""Which file system a directory lies on, by the text of /proc/self/mountinfo. Source: proc(5), section mountinfo."""

import re
from pathlib import Path

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
"""inotify(7): it reports only what user-space programs on this host do; these are written to from elsewhere, too."""

_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system(mountinfo: str, directory: Path) -> str:
    """The type of the file system that an absolute, resolved path lies on, empty where that is not known.

    The longest mount point wins, and of several mounts on one point the last, which lies on top.
    """
    found: tuple[int, str] = (0, "")
    for line in mountinfo.splitlines():
        head, _, tail = line.partition(" - ")
        fields, types = head.split(" "), tail.split(" ")
        if len(fields) < 5:
            continue
        point = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        if directory.is_relative_to(point) and len(point.parts) >= found[0]:
            found = (len(point.parts), types[0])
    return found[1]


def hears_other_hosts(type_: str) -> bool:
    """Whether inotify reports all that is done in such a file system, and its locks are those of all writers."""
    return type_ not in _TOLD_BY_OTHERS and not type_.startswith("fuse.")

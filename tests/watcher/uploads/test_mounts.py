"""The file system under a directory, by the lines that the kernel writes of its mounts."""

from pathlib import Path

import pytest

from watcher.uploads.mounts import file_system, hears_other_hosts, read_only_by

MOUNTINFO = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /srv/ftp rw,relatime shared:5 master:2 - nfs4 server:/export rw,vers=4.2
31 30 0:27 / /srv/ftp/fast rw - tmpfs none rw
32 22 0:28 / /mnt/a\040b\134 rw - cifs //server/share rw
33 22 254:1 /data /mnt/over rw - ext4 /dev/vda1 rw
34 33 0:30 / /mnt/over rw - fuse.sshfs user@host:/ rw
a line that is none
"""


@pytest.mark.parametrize(
    ("directory", "type_"),
    [
        ("/home/upload", "ext4"),
        ("/srv/ftp", "nfs4"),
        ("/srv/ftp/upload", "nfs4"),
        ("/srv/ftp/fast/upload", "tmpfs"),
        ("/srv/ftpd", "ext4"),
        ("/mnt/a b\\/upload", "cifs"),
        ("/mnt/over/upload", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_that_lies_on_top_counts(directory: str, type_: str) -> None:
    assert file_system(MOUNTINFO, Path(directory)) == type_


def test_a_read_only_file_system_is_told_from_a_read_only_mount_of_it() -> None:
    given = """
22 1 254:1 / / rw - ext4 /dev/vda1 rw
30 22 254:1 /srv /srv ro - ext4 /dev/vda1 rw
31 22 254:2 / /data rw - ext4 /dev/vdb1 ro,errors=remount-ro
"""
    assert read_only_by(given, Path("/srv/upload")) is None
    assert read_only_by(given, Path("/data/upload")) == Path("/data")
    assert read_only_by("", Path("/data/upload")) is None


def test_without_a_mount_the_type_is_not_known() -> None:
    assert file_system("", Path("/srv")) == ""
    assert hears_other_hosts("")


def test_the_kernel_s_own_lines_are_understood() -> None:
    assert file_system(Path("/proc/self/mountinfo").read_text(), Path("/proc/self")) == "proc"


@pytest.mark.parametrize("type_", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse", "fuse.sshfs", "virtiofs"])
def test_of_what_other_hosts_do_there_nothing_is_heard(type_: str) -> None:
    assert not hears_other_hosts(type_)


@pytest.mark.parametrize("type_", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "f2fs"])
def test_local_file_systems_tell_everything(type_: str) -> None:
    assert hears_other_hosts(type_)

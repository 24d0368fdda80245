"""The rights that a file's mode and its access control list grant. Source: acl(5).

The list is read as the kernel keeps it: Python has no door to it, and the tools' package may not be there.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

READ, WRITE, ENTER = 4, 2, 1

_ATTRIBUTE, _INHERITED = "system.posix_acl_access", "system.posix_acl_default"
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER, _GROUP_OWNER, _GROUP = 0x02, 0x04, 0x08
"""Tags of entries; those of the owner and of others say what the mode says. Source: linux/posix_acl.h."""
_HAS_NONE = {errno.ENODATA, errno.EOPNOTSUPP}
_NOBODY: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that logs in: the user's name and number, the primary group, and all groups that a session has."""

    name: str
    number: int
    group: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The grants of a file's mode and list; a grant is a sum of READ, WRITE and ENTER.

    Attributes:
        owner: the number of the owning user.
        group: the number of the owning group.
        mode: permission bits; where there is a list, those of the group are its mask.
        of_group: the grant of the owning group, before the mask.
        users: number of a named user → grant, before the mask.
        groups: number of a named group → grant, before the mask.
    """

    owner: int
    group: int
    mode: int
    of_group: int
    users: Mapping[int, int] = field(default_factory=lambda: _NOBODY)
    groups: Mapping[int, int] = field(default_factory=lambda: _NOBODY)

    def allow(self, account: Account, wanted: int) -> bool:
        """Whether an account has all rights that are wanted. The first class to which it belongs decides.

        Linux does not look into the list where its mask grants nothing. Source: acl_permission_check in fs/namei.c.
        """
        mask = self.mode >> 3 & 7
        if account.number == self.owner:
            return not wanted & ~(self.mode >> 6)
        if mask and account.number in self.users:
            return not wanted & ~(self.users[account.number] & mask)
        granted = [*self._by_group(account, mask)]
        if granted:
            return any(not wanted & ~(each & mask) for each in granted)
        return not wanted & ~self.mode

    def _by_group(self, account: Account, mask: int) -> Iterator[int]:
        if self.group in account.groups:
            yield self.of_group
        if mask:
            yield from (grant for group, grant in self.groups.items() if group in account.groups)


def rights_of(path: Path) -> Rights:
    """Read the rights of a file or directory; links are not followed.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    status = path.lstat()
    entries = [] if stat.S_ISLNK(status.st_mode) else [*_entries(path)]
    of_group = next((grant for tag, grant, _ in entries if tag == _GROUP_OWNER), status.st_mode >> 3 & 7)
    return Rights(
        owner=status.st_uid,
        group=status.st_gid,
        mode=stat.S_IMODE(status.st_mode) & 0o777,
        of_group=of_group,
        users={number: grant for tag, grant, number in entries if tag == _USER},
        groups={number: grant for tag, grant, number in entries if tag == _GROUP},
    )


def is_inherited(directory: Path) -> bool:
    """Whether new files take over an access control list of their directory, in place of the umask."""
    try:
        return bool(os.getxattr(directory, _INHERITED))
    except OSError:
        return False


def _entries(path: Path) -> Iterator[tuple[int, int, int]]:
    """The tag, grant and number of each entry of the list; none where there is no list."""
    try:
        kept = os.getxattr(path, _ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _HAS_NONE:
            raise
        return
    yield from _ENTRY.iter_unpack(kept[_HEADER.size :])

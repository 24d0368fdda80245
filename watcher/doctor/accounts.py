"""The accounts with which clients log in, and what each of them gets at: tried by root, or else worked out."""

import grp
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from watcher.doctor.acls import Account, Rights, rights_of
from watcher.doctor.findings import Finding
from watcher.doctor.grounds import AllRights, Grounds, grounds_of, worked_out
from watcher.doctor.neighbours import Survey, judged
from watcher.doctor.trying import tried

_UID_MAP, _HIDDEN_GROUP = Path("/proc/self/uid_map"), Path("/proc/sys/kernel/overflowgid")
_ALL_NUMBERS = ["0", "0", "4294967295"]
"""The mapping of users and groups where no sandbox hides any. Source: user_namespaces(7)."""


def examined(directory: Path, folders: Mapping[str, Path], service: int) -> Iterator[Finding]:
    """Examine whether each account is kept from the folders of other clients.

    Args:
        directory: the upload directory.
        folders: client → its folder.
        service: the number of the service's user.

    Raises:
        OSError: the directory cannot be read.
    """
    grounds = grounds_of(directory.resolve(), folders)
    rights = {path: found for path in grounds.paths if (found := _rights(path)) is not None}
    seen = sees_all()
    survey = surveyed(grounds, rights, accounts(grounds, rights, service)) if seen else _unseen(grounds, rights)
    yield from judged(survey)


def sees_all() -> bool:
    """Whether no sandbox hides users and groups from this process."""
    return _UID_MAP.read_text(encoding="ascii").split() == _ALL_NUMBERS


def let_in(directory: Path, service: int) -> list[Account]:
    """The accounts, by name, that a directory lets in by their names or groups, but for root and the service.

    Args:
        directory: the upload directory, or a client's folder.
        service: the number of the service's user.
    """
    rights = _rights(directory.resolve())
    if rights is None:
        return []
    groups = {*rights.groups, *_owning_group(rights, _account(service).group)}
    found = map(_account, ({*rights.users} | _members(groups)) - {0, service})
    return sorted(found, key=lambda each: each.name)


def _rights(path: Path) -> Rights | None:
    try:
        return rights_of(path)
    except OSError:  # it went meanwhile, or may not be looked at
        return None


def surveyed(grounds: Grounds, rights: AllRights, found: list[Account]) -> Survey:
    """Survey what accounts get at: by trying, where this process may become each of them."""
    tries = [tried(each, grounds) for each in found] if os.geteuid() == 0 else [None]
    done = [each for each in tries if each is not None]
    is_tried = len(done) == len(tries)
    reaches = done if is_tried else [worked_out(each, grounds, rights) for each in found]
    return Survey(directory=grounds.directory, folders=len(grounds.folders), reaches=reaches, is_tried=is_tried)


def _unseen(grounds: Grounds, rights: AllRights) -> Survey:
    """Survey what can be seen in a sandbox: the folders that a group gets into which the sandbox hides."""
    hidden = int(_HIDDEN_GROUP.read_text(encoding="ascii"))
    found = {client: rights.get(places[0].path) for client, places in grounds.folders.items() if places}
    strangers = [client for client, each in found.items() if each and each.group == hidden and each.of_group]
    return Survey(
        directory=grounds.directory, folders=len(found), reaches=(), is_tried=False, sees_all=False, strangers=strangers
    )


def accounts(grounds: Grounds, rights: AllRights, service: int) -> list[Account]:
    """The accounts, by name, that get into a folder or have put a file there, but for root and the service."""
    own_group = _account(service).group
    numbers: set[int] = set()
    groups: set[int] = set()
    for each in (rights[place.path] for place in grounds.places if place.path in rights):
        numbers |= {each.owner, *each.users}
        groups |= {*each.groups, *_owning_group(each, own_group)}
    numbers |= {
        rights[each].owner for each in (place.sample for place in grounds.places) if each is not None and each in rights
    }
    numbers |= _members(groups)
    return sorted(map(_account, numbers - {0, service}), key=lambda each: each.name)


def _owning_group(rights: Rights, own_group: int) -> Iterator[int]:
    """The group of a folder; where clients come in by name, others in the service's own group are trusted."""
    is_trusted = rights.group == own_group and (rights.users or rights.groups)
    if rights.of_group and not is_trusted:
        yield rights.group


def _members(groups: set[int]) -> set[int]:
    """The numbers of the users who are in one of the groups."""
    named = {name for each in grp.getgrall() if each.gr_gid in groups for name in each.gr_mem}
    return {each.pw_uid for each in pwd.getpwall() if each.pw_gid in groups or each.pw_name in named}


def _account(number: int) -> Account:
    """The account of a user; one without a name any more has one group, which it is taken to share with nobody."""
    try:
        known = pwd.getpwuid(number)
    except KeyError:
        return Account(name=str(number), number=number, group=number, groups=frozenset({number}))
    groups = os.getgrouplist(known.pw_name, known.pw_gid)
    return Account(name=known.pw_name, number=number, group=known.pw_gid, groups=frozenset(groups))

"""What there is already of a client that is to be added, listed or removed: folders, accounts, and the SSH server."""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from importer.files.archiving import BAK
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from watcher.commands.client_model import (
    GROUP,
    KEYS,
    PRIVILEGE_SEPARATION,
    SHELL,
    SHELLS,
    SSHD_RULES,
    ClientAccount,
    Directory,
    Machine,
    Site,
    comment_of,
)
from watcher.doctor.acls import rights_of

_OWN = (BAK, WORK_DIRECTORY, QUARANTINE_DIRECTORY)
_SHADOW = Path("/etc/shadow")
_SYSTEMD = Path("/run/systemd/system")
_UNITS = (Path("/lib/systemd/system"), Path("/usr/lib/systemd/system"), Path("/etc/systemd/system"))
_NEVER_OPENED = {"*", ""}


def site_of(upload: Path, service: pwd.struct_passwd, client: str = "") -> Site:
    """Look at the upload directory.

    Args:
        upload: the upload directory.
        service: the service's user.
        client: the client whose folder is looked into; empty for none.

    Raises:
        OSError: it is not there.
    """
    upload = upload.resolve(strict=True)
    places = [upload / name for name in _OWN] + ([upload / client / name for name in _OWN] if client else [])
    own = {path: each for path in places if (each := _directory(path)) is not None}
    with os.scandir(upload) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.name not in {*_OWN}]
    return Site(
        upload=upload,
        rights=_known(upload),
        above={path: _known(path) for path in upload.parents},
        service=service.pw_name,
        group_name=grp.getgrgid(service.pw_gid).gr_name,
        folders={name: each for name in sorted(names) if (each := _directory(upload / name)) is not None},
        own={path: each for path, each in own.items() if _is_own(each, service)},
        strange=tuple(path for path, each in own.items() if path.parent != upload and not _is_own(each, service)),
        machine=_machine(),
    )


def _is_own(place: Directory, service: pwd.struct_passwd) -> bool:
    return place.is_directory and place.owned_by == service.pw_name


def _known(path: Path) -> Directory:
    status = path.lstat()
    return Directory(
        owned_by=_user(status.st_uid),
        group_name=_group(status.st_gid),
        mode=stat.S_IMODE(status.st_mode),
        is_directory=stat.S_ISDIR(status.st_mode),
    )


def _directory(path: Path) -> Directory | None:
    try:
        return _known(path)
    except FileNotFoundError:
        return None


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _machine() -> Machine:
    has_sshd = shutil.which("sshd") is not None
    unit = next((name for name in ("ssh.service", "sshd.service") if any((at / name).exists() for at in _UNITS)), "")
    return Machine(
        groups=frozenset({GROUP} & {each.gr_name for each in grp.getgrall()}),
        has_shell=SHELL.exists(),
        is_shell_listed=str(SHELL) in _lines(SHELLS),
        has_sshd=has_sshd,
        sshd_rules=SSHD_RULES.read_text(encoding="utf-8", errors="replace") if SSHD_RULES.exists() else None,
        sshd_unit=unit if _SYSTEMD.is_dir() else "",
        has_privilege_separation=PRIVILEGE_SEPARATION.is_dir(),
        has_setfacl=shutil.which("setfacl") is not None,
    )


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def accounts_of(site: Site, names: Iterable[str], *, today: int) -> list[ClientAccount]:
    """Look at those of the accounts that are there.

    Args:
        site: the upload directory.
        names: the accounts' names.
        today: the number of the day, counted from 1970.
    """
    shadow = {fields[0]: fields for line in _lines(_SHADOW) if len(fields := line.split(":")) >= 8}
    folders = let_in(site)
    found = []
    for name in names:
        with suppress(KeyError):
            found.append(_account(pwd.getpwnam(name), shadow.get(name), folders, today))
    return found


def _account(
    known: pwd.struct_passwd, shadow: list[str] | None, folders: dict[str, list[int]], today: int
) -> ClientAccount:
    name = known.pw_name
    word, expires = (shadow[1], shadow[7]) if shadow else ("", "")
    maker, _, client = known.pw_gecos.split(",")[0].rpartition(" ")
    is_ours = comment_of(client) == f"{maker} {client}" and _group_has(name)
    return ClientAccount(
        name=name,
        client=client if is_ours else "",
        is_root=known.pw_uid == 0,
        groups=frozenset(map(_group, os.getgrouplist(name, known.pw_gid))),
        folders=tuple(folder for folder, numbers in folders.items() if known.pw_uid in numbers),
        is_open=word.lstrip("!") not in _NEVER_OPENED or (KEYS / name).exists(),
        is_removed=word.startswith("!") or (expires.isdigit() and int(expires) <= today),
    )


def _group_has(name: str) -> bool:
    return any(each.gr_name == GROUP and name in each.gr_mem for each in grp.getgrall())


def has_key(account: str) -> bool:
    """Whether an account logs in with a key that `client add` was given."""
    return (KEYS / account).exists()


def let_in(site: Site) -> dict[str, list[int]]:
    """Client → the numbers of the users whom its folder lets in by name."""
    found = {}
    for client, each in site.folders.items():
        if each.is_directory:
            found[client] = [*rights_of(site.upload / client).users]
    return found


def names_of(numbers: Iterable[int]) -> list[str]:
    """The names of users, in order; one that is gone is named by its number."""
    return sorted(map(_user, numbers))


def group_exists(name: str) -> bool:
    """Whether there is a group of that name."""
    return any(each.gr_name == name for each in grp.getgrall())

"""The users of vsftpd, as far as this machine's files tell of them."""

import os
import pwd
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from watcher.doctor.acls import ENTER, WRITE, Account, rights_of
from watcher.doctor.ftp_logins import Login, begins_in
from watcher.doctor.ftp_logins import is_jailed as kept_in_jail
from watcher.doctor.vsftpd_conf import Configuration

_PAM, _SHELLS = Path("/etc/pam.d"), Path("/etc/shells")
_LISTFILE = re.compile(r"\bpam_listfile\.so\b(?=.*\bitem=user\b)(?=.*\bsense=deny\b).*\bfile=(\S+)")


def with_own_files(main: Configuration, names: list[str]) -> dict[str, Configuration]:
    """User → what is in force for it; with guests, whoever has a file of its own is a user as well.

    Args:
        main: the main file.
        names: the accounts that are known to be clients'.

    Raises:
        OSError: a user's file may not be read.
    """
    directory = main.value("user_config_dir")
    files: dict[str, Path] = {}
    if directory:
        with suppress(FileNotFoundError), os.scandir(directory) as entries:
            files = {
                entry.name: Path(entry) for entry in sorted(entries, key=lambda each: each.name) if entry.is_file()
            }
    users = dict.fromkeys([*names, *(files if main.is_on("guest_enable") or not names else ())])
    return {name: _with_own(main, files.get(name)) for name in users}


def _with_own(main: Configuration, path: Path | None) -> Configuration:
    if path is None:
        return main
    return main.with_file(path, path.read_text(encoding="utf-8", errors="replace"))


def logins(
    main: Configuration, users: Mapping[str, Configuration], folders: Mapping[str, Path | None]
) -> Iterator[Login]:
    """Look at what there is for each user's session.

    Args:
        main: the main file.
        users: user → what is in force for it.
        folders: user → the directory from which its files are imported; None where it is not known.
    """
    exceptions = _lines(Path(main.value("chroot_list_file"))) if main.is_on("chroot_list_enable") else []
    for user, conf in users.items():
        is_guest = conf.is_on("guest_enable")
        account = conf.value("guest_username") if is_guest else user
        try:
            known = pwd.getpwnam(account)
        except KeyError:
            yield Login(user=user, conf=conf, account=account, is_known=False)
            continue
        refused, cure = _own_file_refused(main, user)
        if not refused and not is_guest:
            refused, cure = _refused(main, user, known.pw_shell)
        jailed = kept_in_jail(main, conf, is_listed=user in exceptions)
        login = _login(user, conf, known, folders.get(user), is_jailed=jailed)
        yield replace(login, refused=refused, refused_cure=cure)


def _login(user: str, conf: Configuration, known: pwd.struct_passwd, folder: Path | None, *, is_jailed: bool) -> Login:
    groups = frozenset(os.getgrouplist(known.pw_name, known.pw_gid))
    account = Account(name=known.pw_name, number=known.pw_uid, group=known.pw_gid, groups=groups)
    token = conf.value("user_sub_token")
    home = Path(known.pw_dir.replace(token, user) if token else known.pw_dir)
    where = Path(begins_in(conf, user, known.pw_dir))
    if not is_jailed and not _may(account, where, ENTER):
        where = home
    return Login(
        user=user,
        conf=conf,
        account=account.name,
        is_known=True,
        home_directory=home,
        has_home=_may(account, home, ENTER),
        begins_in=where,
        may_enter=_may(account, where, ENTER),
        is_jailed=is_jailed,
        may_write_root=_may(account, where, WRITE),
        folder=folder,
        may_write=folder is None or _may(account, folder, WRITE | ENTER),
    )


def _may(account: Account, path: Path, wanted: int) -> bool:
    """Whether an account has rights to a directory, to which it may come; where nothing can be seen, it is taken to."""
    try:
        real = path.resolve(strict=True)
        way = all(rights_of(each).allow(account, ENTER) for each in real.parents)
        return real.is_dir() and way and rights_of(real).allow(account, wanted)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def is_usable(path: Path) -> bool:
    """Whether vsftpd takes a file as a configuration: one of root's. Source: vsf_parseconf_load_file."""
    status = path.stat()
    return stat.S_ISREG(status.st_mode) and status.st_uid == 0


def _own_file_refused(main: Configuration, user: str) -> tuple[str, str]:
    """Why a user's own file keeps it out, whatever is in it, and what to do; empty where it does not."""
    path = Path(main.value("user_config_dir")) / user
    with suppress(OSError):
        if main.value("user_config_dir") and not is_usable(path):
            return f"500 OOPS, as {path} is not a file of root's", f"chown root {path}, or move it away"
    return "", ""


def _refused(main: Configuration, user: str, shell: str) -> tuple[str, str]:
    """Why vsftpd or PAM does not let a user in, and what to do; empty where nothing is known to."""
    if main.is_on("userlist_enable"):
        path = main.value("userlist_file")
        is_listed = user in _lines(Path(path))
        if is_listed and main.is_on("userlist_deny"):
            return f"530, as {path} names it", f"take it out of {path}, or {main.change('userlist_deny', 'NO')}"
        if not is_listed and not main.is_on("userlist_deny"):
            return f"530, as {path} does not name it, and {main.seen('userlist_deny')}", f"add it to {path}"
    rules = [*_rules(main.value("pam_service_name"))]
    for rule in rules:
        found = _LISTFILE.search(rule)
        if found is not None and user in _lines(Path(found[1])):
            return f"530, as {found[1]} names it", f"take it out of {found[1]}"
    asks_shell = any("pam_shells.so" in rule for rule in rules)
    if asks_shell and shell and shell not in _lines(_SHELLS):
        cure = "give it a shell that is named there, as `userdrop client add` does with one that ends at once"
        return f"530, as its shell {shell} is not in {_SHELLS}, and pam_shells asks for that", cure
    return "", ""


def _rules(service: str, depth: int = 0) -> Iterator[str]:
    """The rules of a PAM service, with those of the files that it includes. Source: pam.conf(5)."""
    for line in _lines(_PAM / service):
        words = line.split()
        if words[0] == "@include" and depth < 5:
            yield from _rules(words[1], depth + 1)
        elif words[1:2] in (["include"], ["substack"]) and depth < 5:
            yield from _rules(words[2], depth + 1)
        else:
            yield line


def _lines(path: Path) -> list[str]:
    """The lines of a list, without comments; none where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]

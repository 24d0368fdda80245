"""Judgements on the logins of vsftpd: whether a user gets in, where the session begins, and what it may write. Pure.

Source: twoprocess.c and secutil.c of vsftpd 3.0.3, and measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.doctor.ftp_server import has_anonymous_rights, listed, merged
from watcher.doctor.vsftpd_conf import Configuration

NAME = "vsftpd logins"
USER = "$USER"
"""The user of a session, in the root of the log's paths as the service's settings have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user who logs in, and what there is for its session.

    Attributes:
        user: the name by which the user logs in.
        conf: what is in force for the user.
        account: the name of the account whose rights the session has.
        is_known: whether there is that account.
        refused: how and why the user is not let in, as a phrase; empty where nothing is known to refuse it.
        refused_cure: what to do about that.
        home_directory: the home directory of the account.
        has_home: whether the account may enter its home.
        begins_in: the directory in which the session begins.
        may_enter: whether the account may enter that.
        is_jailed: whether the session cannot leave that.
        may_write_root: whether the account may write to that.
        folder: the directory from which the user's files are imported; None where it is not known.
        may_write: whether the account may write to the folder.
    """

    user: str
    conf: Configuration
    account: str
    is_known: bool
    refused: str = ""
    refused_cure: str = ""
    home_directory: Path = Path("/")
    has_home: bool = True
    begins_in: Path = Path("/")
    may_enter: bool = True
    is_jailed: bool = True
    may_write_root: bool = True
    folder: Path | None = None
    may_write: bool = True


def begins_in(conf: Configuration, user: str, home: str) -> str:
    """The directory in which a session begins.

    Args:
        conf: what is in force for the user.
        user: the name by which the user logs in.
        home: the home of the account whose rights the session has.
    """
    directory = conf.value("local_root") or home
    token = conf.value("user_sub_token")
    return directory.replace(token, user) if token else directory


def is_jailed(main: Configuration, conf: Configuration, *, is_listed: bool) -> bool:
    """Whether sessions of a user are kept in a jail, which the user's own file does not decide.

    Args:
        main: the main file alone.
        conf: what is in force for the user.
        is_listed: whether the list of exceptions names the user.
    """
    is_exception = main.is_on("chroot_list_enable") and is_listed
    return has_anonymous_rights(conf) or main.is_on("chroot_local_user") != is_exception


def judged(logins: Sequence[Login], main: Configuration, log_root: str | None) -> Iterator[Finding]:
    """Judge the logins.

    Args:
        logins: the users who are known.
        main: the main file.
        log_root: the directory that sessions see as /, as the service reads the log; None where it reads none.
    """
    if not main.is_on("local_enable"):
        if not (main.is_on("anonymous_enable") and main.is_on("anon_upload_enable")):
            what = f"{main.seen('local_enable')}: nobody with an account can log in, nor a guest"
            yield broken("vsftpd local_enable", what, main.change("local_enable", "YES"))
        return
    found = [(each.user, finding) for each in logins for finding in _of(each, log_root)]
    yield from merged(found, len(logins))
    if logins and not found:
        names = listed([each.user for each in logins])
        yield ok(NAME, f"{names}: nothing is seen that keeps them from logging in and uploading; no password was tried")


def _of(login: Login, log_root: str | None) -> Iterator[Finding]:
    hindrance = _hindrance(login)
    if hindrance is not None:
        yield hindrance
        return
    yield from _place(login)
    if not login.is_jailed:
        what = "sessions are not kept in their folder, and see all files of this machine that everybody may read"
        cure = login.conf.change("chroot_local_user", "YES")
        yield warning("vsftpd chroot_local_user", what, f"{cure}; with allow_writeable_chroot=YES")
    if log_root is not None:
        yield from _logged(login, log_root)


def _hindrance(login: Login) -> Finding | None:
    """What keeps a user from logging in at all."""
    conf, where = login.conf, login.begins_in
    if not login.is_known:
        what = f"there is no account {login.account}, so that a login ends with 500 OOPS: cannot locate user entry"
        return broken(NAME, what, f"make it, or {conf.change('guest_username', 'AN-ACCOUNT')}")
    if login.refused:
        return broken(NAME, f"the user is not let in: {login.refused}", login.refused_cure)
    if not login.has_home:
        home = login.home_directory
        what = f"{login.account} cannot enter its home {home}: a login ends with 500 OOPS: cannot change directory"
        return broken(NAME, what, f"give it a home that is there: usermod --home {where} {login.account}")
    if not login.may_enter:
        what = f"{login.account} cannot enter {where}, where its session begins: a login ends with 500 OOPS"
        return broken(NAME, what, "let it in, or correct local_root and user_sub_token")
    if login.is_jailed and login.may_write_root and not conf.is_on("allow_writeable_chroot"):
        name = "allow_writeable_chroot"
        what = f"{conf.seen(name)}, and {login.account} may write to {where}: each login ends with 500 OOPS"
        return broken(f"vsftpd {name}", what, conf.change(name, "YES"))
    return None


def _place(login: Login) -> Iterator[Finding]:
    where, folder = login.begins_in, login.folder
    if folder is None:
        return
    if login.is_jailed and not folder.is_relative_to(where):
        what = f"sessions begin in {where} and cannot leave it, but files are imported from {folder}"
        yield broken(NAME, what, "have local_root and user_sub_token lead to the folder")
    elif not login.may_write:
        what = f"{login.account} may not write to {folder}, so that uploads are refused (553)"
        yield broken(NAME, what, "make it a member of the folder's group, or run `userdrop client add` for its folder")
    elif where != folder:
        what = f"sessions begin in {where}; what is not uploaded to {folder} is not imported"
        yield warning(NAME, what, "have local_root lead to the folder, or tell clients its name")


def _logged(login: Login, log_root: str) -> Iterator[Finding]:
    """Paths in the log begin at the session's root; where they are read as others the log tells nothing."""
    told = str(login.begins_in) if login.is_jailed else "/"
    if log_root.replace(USER, login.user) == told:
        return
    token = login.conf.value("user_sub_token")
    general = login.conf.value("local_root").replace(token, USER) if token and login.is_jailed else told
    what = (
        f"the log's paths begin at {told}, but are read as if at {log_root}, so that the log tells nothing of uploads"
    )
    yield broken("vsftpd log", what, f"set USERDROP_VSFTPD_LOG_ROOT={general or told}, and restart the service")

"""Judgements on vsftpd's configuration: what its text means for imports. Pure.

Source: vsftpd.conf(5), and measured with 3.0.3.
Defaults are the program's own; where the manual page names another one (`strict_ssl_read_eof`), it is mistaken.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from watcher.doctor.findings import Finding, State, broken, ok, warning
from watcher.doctor.vsftpd_conf import Configuration

_OTHERS_READ, _OTHERS_WRITE, _GROUP_READS = 0o004, 0o002, 0o040
_SHOWN = 3
_TO_UPLOAD, _TO_RENAME, _TO_READ = ("PBSZ", "PROT", "TYPE", "STOR"), ("RNFR", "RNTO"), ("CWD", "LIST", "RETR")
_PASSIVE = ("PASV", "EPSV")
_RENAMES = (
    "clients that upload under a temporary name, as their page tells them, leave it there, and it is never imported"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The needs of the service's own settings, and what is known of the server.

    Attributes:
        log: the log that is read; None for none.
        long_quiet_seconds: the long quiet time.
        version: the server's version, such as 3.0.3; empty where it is not known.
    """

    log: Path | None
    long_quiet_seconds: float
    version: str = ""


def judged(
    configuration: Configuration,
    needs: Needs,
    users: Mapping[str, Configuration] | None = None,
    inheriting: Collection[str] = (),
) -> Iterator[Finding]:
    """Judge a configuration; yields a finding for each rule.

    Args:
        configuration: the main file.
        needs: what the service's own settings need.
        users: user → what is in force for it, with the file that it has of its own; None where no user is known.
        inheriting: users whose folder has an access control list that new files take over, whatever the umask is.
    """
    yield from of_server(configuration, needs)
    yield from of_users(configuration, needs, users, inheriting)


def of_server(configuration: Configuration, needs: Needs) -> Iterator[Finding]:
    """Judge what is the same for all users."""
    rules: Iterable[Iterator[Finding]] = (
        _unusable(configuration, needs),
        _anonymous_umask(configuration),
        _log(configuration, needs),
        _patience(configuration, needs),
        _tls(configuration),
    )
    for rule in rules:
        yield from rule


def of_users(
    configuration: Configuration,
    needs: Needs,
    users: Mapping[str, Configuration] | None = None,
    inheriting: Collection[str] = (),
) -> Iterator[Finding]:
    """Judge what users may have of their own; see `judged`."""
    for user, own in (users or {}).items():
        for wrong in own.unusable[len(configuration.unusable) :][:1]:
            what = f"line {wrong.number} of {wrong.path}: {wrong.why}; {user} cannot log in with it"
            yield broken("vsftpd configuration", what, f"change the line to {wrong.cure}")
    yield from _of_users(users or {"": configuration}, needs, inheriting)


def _of_users(users: Mapping[str, Configuration], needs: Needs, inheriting: Collection[str]) -> Iterator[Finding]:
    """What is judged for each user; what is found of several is told once, with names unless it is all of them."""
    whose: list[tuple[str, Finding]] = []
    for user, each in users.items():
        rules: Iterable[Iterator[Finding]] = (
            _writing(each),
            iter([_inherited(each)]) if user in inheriting else _umask(each),
            _locks(each, needs),
            _ends(each),
            _failed_uploads(each, needs),
            _chmod(each),
            _guests(each),
            _commands(each),
        )
        for rule in rules:
            whose.extend((user, finding) for finding in rule)
    yield from merged(whose, len(users))


def merged(found: Iterable[tuple[str, Finding]], number: int) -> Iterator[Finding]:
    """Tell once what was found of several users, with their names unless it is all of them.

    Args:
        found: users and what was found of each.
        number: the number of all users.
    """
    whose: dict[Finding, list[str]] = {}
    for user, finding in found:
        whose.setdefault(finding, []).append(user)
    for finding, names in whose.items():
        if len(names) == number:
            yield finding
        else:
            yield replace(finding, what=f"for {listed(names)}: {finding.what}")


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} others" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _unusable(conf: Configuration, needs: Needs) -> Iterator[Finding]:
    name = "vsftpd configuration"
    for each in conf.unusable[:_SHOWN]:
        what = f"line {each.number} of {each.path}: {each.why}; vsftpd does not start with it"
        yield broken(name, what, f"change the line to {each.cure}, then restart vsftpd")
    if len(conf.unusable) > _SHOWN:
        what = (
            f"{len(conf.unusable) - _SHOWN} further lines cannot be used, from line {conf.unusable[_SHOWN].number} on"
        )
        yield broken(
            name, what, f"correct them in {conf.path}; where all lines end in CR LF, sed -i 's/\\r$//' mends it"
        )
    if conf.unknown:
        what = f"{conf.unknown[0]} is no setting of vsftpd 3.0.3, which does not start with it; later ones may know it"
        if needs.version == "3.0.3":
            yield broken(name, what, f"take the line out of {conf.path}, then restart vsftpd")


def _writing(conf: Configuration) -> Iterator[Finding]:
    name = "write_enable"
    if not conf.is_on(name):
        yield broken(f"vsftpd {name}", f"{conf.seen(name)}: nobody can upload", conf.change(name, "YES"))


def has_anonymous_rights(conf: Configuration) -> bool:
    """Whether sessions are guests' with the rights of anonymous users."""
    return conf.is_on("guest_enable") and not conf.is_on("virtual_use_local_privs")


def _guests(conf: Configuration) -> Iterator[Finding]:
    """Judge what guests may do, unless virtual users have the rights of local ones. Source: postlogin.c."""
    if not has_anonymous_rights(conf):
        return
    rights = f"or {conf.change('virtual_use_local_privs', 'YES')}"
    for name, state, what in (
        ("anon_upload_enable", State.BROKEN, "guests cannot upload (550)"),
        ("anon_other_write_enable", State.BROKEN, f"guests cannot rename (550): {_RENAMES}"),
    ):
        if not conf.is_on(name):
            yield Finding(
                f"vsftpd {name}", state, f"{conf.seen(name)}: {what}", f"{conf.change(name, 'YES')}; {rights}"
            )
    name = "anon_world_readable_only"
    if conf.is_on(name):
        what = f"{conf.seen(name)}: guests cannot fetch from bak, whose files others may not read"
        yield warning(f"vsftpd {name}", what, f"{conf.change(name, 'NO')}; {rights}")
    name = "chown_uploads"
    if conf.is_on(name):
        yield from _chowned(conf, name)


def _chowned(conf: Configuration, name: str) -> Iterator[Finding]:
    mode = conf.number("chown_upload_mode")
    what = f"{conf.seen(name)}: uploads become {conf.value('chown_username')}'s with mode {mode:04o}"
    if mode & _GROUP_READS:
        told = f"{what}, and in a sticky directory their sender cannot rename them: {_RENAMES}"
    else:
        told = f"{what}, which keeps the service out"
    yield broken(f"vsftpd {name}", told, conf.change(name, "NO"))


def _commands(conf: Configuration) -> Iterator[Finding]:
    """Judge which commands sessions may give. Source: postlogin.c, where blanks count and an empty name ends a list."""
    barred = set(_items(conf.value("cmds_denied")))
    given = conf.value("cmds_allowed")
    allowed = set(_items(given))

    def may(command: str) -> bool:
        return command not in barred and (not given or command in allowed)

    needed = _TO_UPLOAD if conf.is_on("ssl_enable") else _TO_UPLOAD[2:]
    missing = [each for each in needed if not may(each)]
    if not any(map(may, _PASSIVE)):
        missing += _PASSIVE
    for commands, state, what in (
        (missing, State.BROKEN, "nobody can upload"),
        ([each for each in _TO_RENAME if not may(each)], State.BROKEN, f"nobody can rename: {_RENAMES}"),
        ([each for each in _TO_READ if not may(each)], State.WARNING, "clients cannot look into bak and fetch from it"),
    ):
        if commands:
            name = "cmds_denied" if barred & set(commands) else "cmds_allowed"
            cure = f"let {', '.join(commands)} through in {name}, with commas and no blanks between, and restart vsftpd"
            yield Finding(f"vsftpd {name}", state, f"{conf.seen(name)} refuses {', '.join(commands)}: {what}", cure)


def _items(value: str) -> Iterator[str]:
    for item in value.split(","):
        if not item:
            return
        yield item


def _inherited(conf: Configuration) -> Finding:
    name = "anon_umask" if has_anonymous_rights(conf) else "local_umask"
    return ok(f"vsftpd {name}", f"{conf.seen(name)} decides nothing: files take over the access list of their folder")


def _umask(conf: Configuration) -> Iterator[Finding]:
    """Judge the umask; guests have the anonymous user's, unless virtual users have the rights of local ones."""
    if not (has_anonymous_rights(conf) and conf.is_on("chown_uploads")):
        yield _judged_umask(conf, "anon_umask" if has_anonymous_rights(conf) else "local_umask")


def _anonymous_umask(conf: Configuration) -> Iterator[Finding]:
    if conf.is_on("anonymous_enable") and conf.is_on("anon_upload_enable") and not has_anonymous_rights(conf):
        yield _judged_umask(conf, "anon_umask")


def _judged_umask(conf: Configuration, name: str) -> Finding:
    umask, opened = conf.number(name), conf.number("file_open_mode")
    mode = opened & ~umask
    seen = f"{conf.seen(name)}: uploads have the mode {mode:04o}"
    if not opened & _GROUP_READS:
        return broken(f"vsftpd {name}", f"{seen}, which keeps the service out", conf.change("file_open_mode", "0666"))
    if not mode & _GROUP_READS:
        return broken(f"vsftpd {name}", f"{seen}, which keeps the service out", conf.change(name, "027"))
    if mode & (_OTHERS_READ | _OTHERS_WRITE):
        return warning(f"vsftpd {name}", f"{seen}, so others on this machine may use them", conf.change(name, "027"))
    return ok(f"vsftpd {name}", seen)


def _locks(conf: Configuration, needs: Needs) -> Iterator[Finding]:
    name = "lock_upload_files"
    if conf.is_on(name):
        yield ok(f"vsftpd {name}", conf.seen(name))
        return
    what = f"{conf.seen(name)}: a lock does not tell which uploads are still coming"
    if needs.log is None:
        cure = f"{conf.change(name, 'YES')}; otherwise the part of a stalled upload is imported"
        yield broken(f"vsftpd {name}", what, cure)
    else:
        yield warning(f"vsftpd {name}", what, conf.change(name, "YES"))


def _ends(conf: Configuration) -> Iterator[Finding]:
    name = "strict_ssl_read_eof"
    if conf.is_on(name):
        yield ok(f"vsftpd {name}", conf.seen(name))
    else:
        what = f"{conf.seen(name)}: vsftpd calls uploads complete that were cut off"
        cure = f"{conf.change(name, 'YES')}; clients that then get error 426 do not end TLS properly and need an update"
        yield warning(f"vsftpd {name}", what, cure)


def _failed_uploads(conf: Configuration, needs: Needs) -> Iterator[Finding]:
    name = "delete_failed_uploads"
    if conf.is_on(name) and needs.log is not None:
        what = f"{conf.seen(name)}: an upload that was cut off is gone before its sender can be told or go on with it"
        yield warning(f"vsftpd {name}", what, conf.change(name, "NO"))
    else:
        yield ok(f"vsftpd {name}", conf.seen(name))


def _log(conf: Configuration, needs: Needs) -> Iterator[Finding]:
    name = "vsftpd log"
    is_read = needs.log is not None
    missing = _missing_for_log(conf)
    if missing is not None:
        setting, value = missing
        what = f"{conf.seen(setting)}: vsftpd writes no vsftpd_log_file, which alone tells an upload that was cut off"
        cure = conf.change(setting, value)
        if is_read:
            yield broken(name, what, cure)
        else:
            yield warning(name, what, f"{cure}, and set USERDROP_VSFTPD_LOG={conf.value('vsftpd_log_file')}")
        return
    written = conf.value("vsftpd_log_file")
    if needs.log is None:
        what = f"vsftpd writes {written}, but it is not read, so that an upload that was cut off is not known as such"
        yield warning(name, what, f"set USERDROP_VSFTPD_LOG={written}")
    elif needs.log != Path(written):
        what = f"vsftpd writes {written}, but {needs.log} is read"
        yield broken(name, what, f"set USERDROP_VSFTPD_LOG={written}")
    else:
        yield ok(name, f"{conf.seen('xferlog_enable')}, {conf.seen('dual_log_enable')}: vsftpd writes {written}")


def _missing_for_log(conf: Configuration) -> tuple[str, str] | None:
    """The setting that keeps vsftpd from writing the log that can be read, and the value it should have."""
    if not conf.is_on("xferlog_enable"):
        return "xferlog_enable", "YES"
    if conf.is_on("xferlog_std_format") and not conf.is_on("dual_log_enable"):
        return "dual_log_enable", "YES"
    return ("syslog_enable", "NO") if conf.is_on("syslog_enable") else None


def _patience(conf: Configuration, needs: Needs) -> Iterator[Finding]:
    name = "data_connection_timeout"
    seconds = conf.number(name)
    if needs.long_quiet_seconds <= 2 * seconds:
        what = f"{conf.seen(name)}: a sender may be silent for {2 * seconds} s, but a file is taken before that"
        cure = f"set USERDROP_LONG_QUIET_SECONDS={2 * seconds + 1}, or {conf.change(name, '300')}"
        yield warning(f"vsftpd {name}", what, cure)


def _chmod(conf: Configuration) -> Iterator[Finding]:
    name = "chmod_enable"
    if conf.is_on(name):
        what = f"{conf.seen(name)}: a client can make its uploads unreadable for the service, or readable for all"
        yield warning(f"vsftpd {name}", what, conf.change(name, "NO"))
    else:
        yield ok(f"vsftpd {name}", conf.seen(name))


def _tls(conf: Configuration) -> Iterator[Finding]:
    name = "vsftpd TLS"
    if not conf.is_on("ssl_enable"):
        what = f"{conf.seen('ssl_enable')}: passwords and users' data travel in clear text"
        cure = f"{conf.change('ssl_enable', 'YES')}; it needs rsa_cert_file and rsa_private_key_file"
        yield warning(name, what, cure)
        return
    faults = [(each, "YES") for each in ("force_local_logins_ssl", "force_local_data_ssl") if not conf.is_on(each)]
    faults += [(each, "NO") for each in ("ssl_sslv2", "ssl_sslv3") if conf.is_on(each)]
    for each, value in faults:
        yield warning(name, f"{conf.seen(each)}: data may travel unprotected", conf.change(each, value))
    if not faults:
        yield ok(name, conf.seen("ssl_enable"))

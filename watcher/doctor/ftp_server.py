"""What vsftpd's configuration means for imports: pure judgements on its text.

Source: vsftpd.conf(5), and measured with 3.0.3.
Defaults are the program's own; where the manual page names another one (`strict_ssl_read_eof`), it is mistaken.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from watcher.doctor.findings import Finding, broken, ok, warning

_DEFAULTS = {
    "anonymous_enable": "YES",
    "anon_upload_enable": "NO",
    "anon_umask": "077",
    "chmod_enable": "YES",
    "data_connection_timeout": "300",
    "delete_failed_uploads": "NO",
    "dual_log_enable": "NO",
    "file_open_mode": "0666",
    "force_local_data_ssl": "YES",
    "force_local_logins_ssl": "YES",
    "guest_enable": "NO",
    "local_umask": "077",
    "lock_upload_files": "YES",
    "ssl_enable": "NO",
    "ssl_sslv2": "NO",
    "ssl_sslv3": "NO",
    "strict_ssl_read_eof": "YES",
    "syslog_enable": "NO",
    "virtual_use_local_privs": "NO",
    "vsftpd_log_file": "/var/log/vsftpd.log",
    "write_enable": "NO",
    "xferlog_enable": "NO",
    "xferlog_std_format": "NO",
}
_OTHERS_READ, _OTHERS_WRITE, _GROUP_READS = 0o004, 0o002, 0o040
_RESTART = "then restart vsftpd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration's text, understood.

    Attributes:
        path: where it lies.
        given: name → value; of a name that is set twice, the last, as vsftpd does.
        lines: name → number of that line, from 1.
    """

    path: Path
    given: Mapping[str, str]
    lines: Mapping[str, int]

    def value(self, name: str) -> str:
        """The value in force."""
        return self.given.get(name, _DEFAULTS[name])

    def is_on(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.value(name).upper() in {"YES", "TRUE", "1"}

    def number(self, name: str) -> int | None:
        """A number, octal where it begins with 0, decimal else; None where it is none. Source: parseconf.c."""
        value = self.value(name)
        if re.fullmatch(r"0[0-7]*", value):
            return int(value, 8)
        return int(value) if re.fullmatch(r"[1-9][0-9]*", value) else None

    def seen(self, name: str) -> str:
        """A setting as it is in force."""
        where = "" if name in self.given else ", vsftpd's default"
        return f"{name}={self.value(name)}{where}"

    def change(self, name: str, value: str) -> str:
        """What to do with the file so that the value is in force."""
        if name in self.lines:
            return f"change line {self.lines[name]} of {self.path} to {name}={value}, {_RESTART}"
        return f"add the line {name}={value} to {self.path}, {_RESTART}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the service's own settings ask of vsftpd: the log that is read, None for none, and the long quiet time."""

    log: Path | None
    long_quiet_seconds: float


def understood(path: Path, text: str) -> Configuration:
    """The configuration in a text of lines NAME=VALUE."""
    given: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            given[name] = value.strip()
            lines[name] = number
    return Configuration(path=path, given=given, lines=lines)


def judged(configuration: Configuration, needs: Needs) -> Iterator[Finding]:
    """A finding for each rule."""
    rules: Iterable[Iterator[Finding]] = (
        _writing(configuration),
        _umask(configuration),
        _locks(configuration, needs),
        _ends(configuration),
        _failed_uploads(configuration, needs),
        _log(configuration, needs),
        _patience(configuration, needs),
        _chmod(configuration),
        _tls(configuration),
    )
    for rule in rules:
        yield from rule


def _writing(conf: Configuration) -> Iterator[Finding]:
    if not conf.is_on("write_enable"):
        yield broken(
            "vsftpd write_enable", f"{conf.seen('write_enable')}: nobody can upload", conf.change("write_enable", "YES")
        )


def _umask(conf: Configuration) -> Iterator[Finding]:
    """Who is a guest has the anonymous user's umask, unless virtual users have the rights of local ones."""
    is_guest = conf.is_on("guest_enable") and not conf.is_on("virtual_use_local_privs")
    is_anonymous = conf.is_on("anonymous_enable") and conf.is_on("anon_upload_enable")
    for name in dict.fromkeys(["anon_umask" if is_guest else "local_umask", *(["anon_umask"] if is_anonymous else [])]):
        yield _judged_umask(conf, name)


def _judged_umask(conf: Configuration, name: str) -> Finding:
    umask, opened = conf.number(name), conf.number("file_open_mode")
    if umask is None or opened is None:
        return broken(f"vsftpd {name}", f"{conf.seen(name)} is no number", conf.change(name, "027"))
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
    if seconds is not None and needs.long_quiet_seconds <= 2 * seconds:
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

"""A configuration of vsftpd, read as vsftpd 3.0.3 reads it. Pure.

Source: parseconf.c, and measured. Of a name that is set twice the last value counts. Blanks before a name are passed
over, and so are those around a value that is text; all others belong to the name or the value. A line that cannot be
used keeps vsftpd from starting or, in a user's own file, that user from logging in.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SWITCHES = {
    "YES": (
        "anonymous_enable anon_world_readable_only check_shell chmod_enable dirlist_enable download_enable"
        " force_local_data_ssl force_local_logins_ssl ftp_enable isolate isolate_network lock_upload_files mdtm_write"
        " pasv_enable port_enable require_ssl_reuse seccomp_sandbox ssl_request_cert ssl_tlsv1 strict_ssl_read_eof"
        " use_sendfile userlist_deny"
    ),
    "NO": (
        "allow_anon_ssl allow_writeable_chroot anon_mkdir_write_enable anon_other_write_enable anon_upload_enable"
        " ascii_download_enable ascii_upload_enable async_abor_enable background chown_uploads chroot_list_enable"
        " chroot_local_user connect_from_port_20 debug_ssl delete_failed_uploads deny_email_enable dirmessage_enable"
        " dual_log_enable force_anon_data_ssl force_anon_logins_ssl force_dot_files guest_enable hide_ids http_enable"
        " implicit_ssl listen listen_ipv6 local_enable log_ftp_protocol ls_recurse_enable no_anon_password no_log_lock"
        " one_process_model passwd_chroot_enable pasv_addr_resolve pasv_promiscuous port_promiscuous ptrace_sandbox"
        " require_cert run_as_launching_user secure_email_list_enable session_support setproctitle_enable ssl_enable"
        " ssl_sslv2 ssl_sslv3 strict_ssl_write_shutdown syslog_enable tcp_wrappers text_userdb_names"
        " tilde_user_enable use_localtime userlist_enable utf8_filesystem validate_cert virtual_use_local_privs"
        " write_enable xferlog_enable xferlog_std_format"
    ),
}
_NUMBERS = {
    "accept_timeout": "60",
    "anon_max_rate": "0",
    "anon_umask": "077",
    "chown_upload_mode": "0600",
    "connect_timeout": "60",
    "data_connection_timeout": "300",
    "delay_failed_login": "1",
    "delay_successful_login": "0",
    "file_open_mode": "0666",
    "ftp_data_port": "20",
    "idle_session_timeout": "300",
    "listen_port": "21",
    "local_max_rate": "0",
    "local_umask": "077",
    "max_clients": "2000",
    "max_login_fails": "3",
    "max_per_ip": "50",
    "pasv_max_port": "0",
    "pasv_min_port": "0",
    "trans_chunk_size": "0",
}
_TEXTS = {
    "chown_username": "root",
    "chroot_list_file": "/etc/vsftpd.chroot_list",
    "ftp_username": "ftp",
    "guest_username": "ftp",
    "pam_service_name": "vsftpd",
    "rsa_cert_file": "/usr/share/ssl/certs/vsftpd.pem",
    "secure_chroot_dir": "/var/run/vsftpd/empty",
    "userlist_file": "/etc/vsftpd.user_list",
    "vsftpd_log_file": "/var/log/vsftpd.log",
    "xferlog_file": "/var/log/xferlog",
    **dict.fromkeys(
        re.findall(
            r"\w+",
            "anon_root banned_email_file banner_file ca_certs_file cmds_allowed cmds_denied deny_file download_file"
            " dsa_cert_file dsa_private_key_file email_password_file ftpd_banner hide_file listen_address"
            " listen_address6 local_root message_file nopriv_user pasv_address rsa_private_key_file ssl_ciphers"
            " upload_file user_config_dir user_sub_token",
        ),
        "",
    ),
}
_OF_SWITCHES = {name: value for value, names in _SWITCHES.items() for name in names.split()}
_DEFAULTS = {**_OF_SWITCHES, **_NUMBERS, **_TEXTS}
_ON, _OFF = {"YES", "TRUE", "1"}, {"NO", "FALSE", "0"}
_BLANKS = " \t\n\v\f\r"
_LATER = re.compile(r"ssl_tlsv1_[123]|ssl_sni_hostname|ssl_ecdh\w*|ssl_dh\w*")
"""Names that versions after 3.0.3 know, or may know."""
_RESTART = "then restart vsftpd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A line that vsftpd cannot use.

    Attributes:
        path: the file.
        number: the line's number, from 1.
        why: what is wrong with it, as a phrase.
        cure: what the line should be.
    """

    path: Path
    number: int
    why: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration of vsftpd, understood.

    Attributes:
        path: the main file's path.
        given: name → value; of a name that is set twice, the last, as vsftpd does.
        lines: name → file and number of that line, from 1.
        unusable: the lines because of which vsftpd does not start, or a user cannot log in.
        unknown: names that this version of the doctor does not know and vsftpd may know, in the order of the file.
    """

    path: Path
    given: Mapping[str, str]
    lines: Mapping[str, tuple[Path, int]]
    unusable: tuple[Unusable, ...] = ()
    unknown: tuple[str, ...] = field(default=())

    def value(self, name: str) -> str:
        """The value of a setting in force."""
        return self.given.get(name, _DEFAULTS[name])

    def is_on(self, name: str) -> bool:
        """Whether a setting that is a switch is on."""
        return self.value(name).upper() in _ON

    def number(self, name: str) -> int:
        """The number of a setting, octal where the value begins with 0; what follows the digits is passed over."""
        value = self.value(name)
        if value.startswith("0"):
            return int(value[: len(value) - len(value.lstrip("01234567"))], 8)
        digits = re.match(r"[0-9]+", value.lstrip(_BLANKS))
        return 0 if digits is None else int(digits[0])

    def seen(self, name: str) -> str:
        """The text that shows a setting as it is in force."""
        where = "" if name in self.given else ", vsftpd's default"
        return f"{name}={self.value(name)}{where}"

    def change(self, name: str, value: str) -> str:
        """The text that says what to do with the file so that a value is in force."""
        if name in self.lines:
            path, number = self.lines[name]
            return f"change line {number} of {path} to {name}={value}, {_RESTART}"
        return f"add the line {name}={value} to {self.path}, {_RESTART}"

    def with_file(self, path: Path, text: str) -> "Configuration":
        """The configuration of a user who has a file of its own, which is read after the main one."""
        own = understood(path, text)
        return Configuration(
            path=self.path,
            given={**self.given, **own.given},
            lines={**self.lines, **own.lines},
            unusable=(*self.unusable, *own.unusable),
            unknown=(*self.unknown, *own.unknown),
        )


def understood(path: Path, text: str) -> Configuration:
    """Understand a configuration's text, whose lines are NAME=VALUE."""
    given: dict[str, str] = {}
    lines: dict[str, tuple[Path, int]] = {}
    unusable: list[Unusable] = []
    unknown: list[str] = []
    for number, line in _lines(text):
        name, _, value = line.lstrip(_BLANKS).partition("=")
        if name not in _DEFAULTS and _LATER.fullmatch(name):
            unknown.append(name)
        elif (wrong := _wrong(name, value)) is not None:
            unusable.append(Unusable(path=path, number=number, why=wrong[0], cure=wrong[1]))
        else:
            given[name] = value.strip(_BLANKS) if name in _TEXTS else value
            lines[name] = path, number
    return Configuration(path=path, given=given, lines=lines, unusable=tuple(unusable), unknown=tuple(unknown))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip(_BLANKS) and not line.startswith("#"):
            yield number, line


def _wrong(name: str, value: str) -> tuple[str, str] | None:
    """What is wrong with a setting, and what the line should be; None where vsftpd can use it."""
    if name not in _DEFAULTS:
        return _wrong_name(name, value)
    if name in _TEXTS:
        is_blank = bool(value) and not value.strip(_BLANKS)
        return ("vsftpd crashes at a value of blanks", f"{name}={_DEFAULTS[name]}") if is_blank else None
    if not value:
        return f"{name} has no value", f"{name}={_DEFAULTS[name]}"
    if name in _OF_SWITCHES and value.upper() not in _ON | _OFF:
        bare = value.strip(_BLANKS)
        meant = bare if bare.upper() in _ON | _OFF else _DEFAULTS[name]
        return f"{value!r} is neither YES nor NO, as blanks count", f"{name}={meant}"
    return None


def _wrong_name(name: str, value: str) -> tuple[str, str]:
    meant = name.strip(_BLANKS).lower()
    if meant in _DEFAULTS:
        return (
            f"{name!r} is no name of a setting, in which blanks and capitals count",
            f"{meant}={value.strip(_BLANKS)}",
        )
    if meant.startswith("#"):
        return "blanks stand before the #, and so it is no comment", "one that begins with #"
    return f"{meant!r} is no setting of vsftpd 3.0.3", "one that begins with #"

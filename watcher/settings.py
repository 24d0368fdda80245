"""Settings: environment variables whose names begin with USERDROP_, and nothing else.

The one room that reads the environment. Every mistake is reported at once, an unknown name included: a setting that
is silently ignored is found out at three in the morning.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PREFIX = "USERDROP_"
FILE_SUFFIX = "_FILE"
SECRETS = ("database_url", "smtp_password", "http_token")
"""Settings that may also come from a file, named by the same variable with _FILE at its end, or from a credential of
systemd that has the field's name. Source: systemd.exec(5), LoadCredential=.
"""
_CREDENTIALS = "CREDENTIALS_DIRECTORY"

CLIENT_PREFIX = f"{PREFIX}CLIENTS__"
"""Followed by a client's key, see `watcher.folders`, by two underscores and a setting."""

SHORTEST_TOKEN = 16
DEFAULT_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
_KEY = re.compile(r"[A-Z0-9_]+")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


class SettingsMistakesError(ValueError):
    """Settings that cannot be used; `mistakes` holds one sentence each, all of them."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def _addresses(value: object) -> object:
    return tuple(part for part in re.split(r"[,;\s]+", value) if part) if isinstance(value, str) else value


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        message = "should be an e-mail address like admin@example.org"
        raise ValueError(message)
    return value


_LISTEN = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")


def _listen(value: str) -> str:
    _address_and_port(value)
    return value


def _address_and_port(value: str) -> tuple[str, int]:
    """Where to listen.

    Raises:
        ValueError: it says no address of this machine and port.
    """
    found = _LISTEN.fullmatch(value)
    try:
        address = ip_address((found["six"] or found["four"]) if found else "")
    except ValueError:
        address = None
    if found is None or address is None or (address.version == 6) != bool(found["six"]) or not _is_port(found["port"]):
        message = "should be an IP address and a port like 127.0.0.1:9464 or [::1]:9464"
        raise ValueError(message)
    return str(address), int(found["port"])


def _is_port(text: str) -> bool:
    return 0 < int(text) < 65536


def _is_loopback(value: str) -> bool:
    """Whether only this machine can reach it; True for what is a mistake of another kind."""
    try:
        return ip_address(_address_and_port(value)[0]).is_loopback
    except ValueError:
        return True


def _token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if len(token) < SHORTEST_TOKEN or not all("!" <= character <= "~" for character in token):
        message = (
            f"should have at least {SHORTEST_TOKEN} ASCII characters and no blanks, like `openssl rand -hex 32` gives"
        )
        raise ValueError(message)
    return value


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        message = "should be a time zone like America/Toronto"
        raise ValueError(message) from None
    return value


def _known_database(value: SecretStr) -> SecretStr:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - most commands need no database, and start faster without
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    from importer.engines import DRIVERS  # noqa: PLC0415

    try:
        url = make_url(value.get_secret_value())
    except ArgumentError:
        url = None
    if url is not None and url.drivername in DRIVERS:
        return value
    known = "sqlite:////var/lib/userdrop/userdrop.db or postgresql+psycopg://user:password@host/database"
    is_other_driver = url is not None and url.get_backend_name() in {"postgres", "postgresql"}
    message = "should begin with postgresql+psycopg://" if is_other_driver else f"should be a database URL like {known}"
    raise ValueError(message)


_Address = Annotated[str, AfterValidator(_address)]
_AddressList = Annotated[tuple[_Address, ...], NoDecode, BeforeValidator(_addresses), Field(min_length=1)]
_OptionalAddresses = Annotated[tuple[_Address, ...], NoDecode, BeforeValidator(_addresses)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_TimeZone = Annotated[str, AfterValidator(_known_timezone)]


class ClientSettings(BaseModel):
    """What one client has of its own; None where the common setting is meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    failed_import_email: _AddressList | None = None
    reply_to_admin_email: _Address | None = None
    quiet_seconds: _Seconds | None = None
    long_quiet_seconds: _Seconds | None = None
    sftp: bool | None = None
    language: Literal["en", "fr"] | None = None
    timezone: _TimeZone | None = None
    success_email: _OptionalAddresses | None = None
    mail_attach: Literal["always", "never"] | None = None


class Settings(BaseSettings):
    """What is in force. Each field is the variable of the same name, in capitals, after USERDROP_."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    upload_dir: Path = Field(default=Path("var/upload"), description="the directory into which vsftpd writes")
    interval_minutes: int = Field(
        default=5, ge=1, le=60, description="minutes between two import runs: 1 or 5; 1 to 60 are possible"
    )
    client_folders: bool = Field(
        default=False,
        description="true: each folder in the upload directory is a client, with a bak, users and mails of its own",
    )
    failed_import_email: _AddressList = Field(
        default=("failed-imports@localhost",),
        description="who gets the failed users and refused files of clients; several addresses with commas between",
    )
    reply_to_admin_email: _Address = Field(
        default="userdrop-admin@localhost",
        description="From and Reply-To of every mail, and who gets every alert",
    )
    success_email: _OptionalAddresses = Field(
        default=(), description="who gets a mail about files whose rows were all imported; nobody by default"
    )
    mail_attach: Literal["always", "never"] = Field(
        default="always",
        description="whether failed users travel by mail; never: mails say where in bak they lie",
    )
    language: Literal["en", "fr"] = Field(default="en", description="of mails and of reasons in reports: en or fr")
    timezone: _TimeZone = Field(default="UTC", description="in which mails tell times, like America/Toronto")
    template_dir: Path | None = Field(
        default=None, description="a directory of templates that stand in for those in notifier/templates"
    )
    min_free_mb: int = Field(
        default=1024, ge=0, description="less free space than this where files or the database lie is an alert; in MB"
    )
    database_url: Annotated[SecretStr, AfterValidator(_known_database)] | None = Field(
        default=None,
        description="the database (sqlite:///… or postgresql+psycopg://…); by default SQLite in the state directory",
    )
    state_dir: Path = Field(default=Path("var/state"), description="the service's own directory: database and lock")
    mail_dir: Path = Field(
        default=Path("var/mail"), description="where mails are written as .eml files until USERDROP_SMTP_HOST is set"
    )
    smtp_host: str | None = Field(default=None, description="the mail server")
    smtp_port: int | None = Field(
        default=None, ge=1, le=65535, description="its port; by default 587, 465 or 25 after the TLS mode"
    )
    smtp_tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls", description="starttls (required, not just tried), implicit, or none"
    )
    smtp_user: str | None = Field(default=None, description="login at the mail server")
    smtp_password: SecretStr | None = Field(default=None, description="password at the mail server")
    smtp_ca_file: Path | None = Field(
        default=None, description="certificates to trust instead of the system's, as a PEM file"
    )
    format_file: Path | None = Field(
        default=None, description="a TOML file that replaces or extends the built-in columns"
    )
    default_login_source: str | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="what new users get whose file names no login source; then that column is not needed",
    )
    unchanged_rows: Literal["skip", "write"] = Field(
        default="skip",
        description="rows that repeat what the client's files last said of a user: skip leaves edits made elsewhere, "
        "write brings the file's values back",
    )
    max_file_mb: int = Field(default=512, ge=1, description="larger files are refused; in MB")
    file_memory_mb: int = Field(
        default=2048, ge=512, description="memory that reading, validating and storing may take; in MB"
    )
    file_cpu_seconds: int = Field(default=900, ge=10, description="processor time that a file may take")
    file_seconds: float = Field(
        default=1800,
        ge=10,
        allow_inf_nan=False,
        description="how long a file may take; one that takes too much three times is set aside in .quarantine",
    )
    worker_files: int = Field(
        default=20_000, ge=1, description="after so many files the importing process is replaced by a fresh one"
    )
    bak_days: int | None = Field(
        default=None, ge=1, description="files leave bak after so many days; by default they stay for ever"
    )
    report_days: int | None = Field(default=None, ge=1, description="the same for the failed-users CSVs in bak")
    vsftpd_log: Path | None = Field(
        default=None, description="vsftpd_log_file: tells complete uploads from interrupted ones at once"
    )
    vsftpd_log_root: Path | None = Field(
        default=None,
        description="the directory that sessions see as /, in which $USER is the session's user; by default the upload "
        "directory",
    )
    vsftpd_conf: Path = Field(
        default=Path("/etc/vsftpd.conf"), description="vsftpd's configuration, for `userdrop doctor` to examine"
    )
    sftp: bool = Field(
        default=False,
        description="true: uploads come by SFTP as well, whose server neither locks files nor logs their end, so that "
        "all but renamed files wait the long quiet time",
    )
    quiet_seconds: _Seconds = Field(
        default=30,
        description="an upload is complete when nothing changed and nobody wrote for so long",
    )
    long_quiet_seconds: _Seconds = Field(
        default=601,
        description="the same where locks or the server's log leave doubt; above 2 x data_connection_timeout",
    )
    http_listen: Annotated[str, AfterValidator(_listen)] | None = Field(
        default=None,
        description="where metrics (/metrics), health (/healthz, /readyz) and a page for people (/) are served, like "
        "127.0.0.1:9464 or [::1]:9464; by default nowhere",
    )
    http_token: Annotated[SecretStr, AfterValidator(_token)] | None = Field(
        default=None,
        description="what readers of all that but /healthz show, as a bearer token or as the password of any user; "
        "required where USERDROP_HTTP_LISTEN is no loopback address",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="what is logged")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console (coloured), or auto: console on a terminal"
    )
    clients: Annotated[Mapping[str, ClientSettings], NoDecode] = Field(
        default_factory=dict,
        description="a client's own setting instead of the common one; KEY is the name of its folder in capitals, with "
        "everything but letters and digits as _. So too REPLY_TO_ADMIN_EMAIL, QUIET_SECONDS, LONG_QUIET_SECONDS, SFTP,"
        " LANGUAGE, TIMEZONE, SUCCESS_EMAIL, MAIL_ATTACH",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if mistakes := [*_misfits({name: getattr(self, name) for name in self.model_fields_set})]:
            raise ValueError("\n".join(mistakes))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, and files that it names for secrets."""
        del dotenv_settings, file_secret_settings
        return init_settings, _ClientVariables(settings_cls), env_settings, _SecretFiles(settings_cls)

    @property
    def interval(self) -> timedelta:
        """From tick to tick."""
        return timedelta(minutes=self.interval_minutes)

    @property
    def database(self) -> str:
        """The database URL in force, password included."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.state_dir.absolute() / 'userdrop.db'}"

    @property
    def port(self) -> int:
        """The mail server's port in force."""
        return self.smtp_port or DEFAULT_PORTS[self.smtp_tls]

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Address and port of the HTTP server; None where there is to be none."""
        return None if self.http_listen is None else _address_and_port(self.http_listen)

    def quiet_times(self, client: ClientSettings) -> tuple[float, float]:
        """The quiet time and the long one of a client, in seconds; the long one is never the shorter."""
        quiet = client.quiet_seconds or self.quiet_seconds
        return quiet, max(client.long_quiet_seconds or self.long_quiet_seconds, quiet)


_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_TRUE = {"true", "1", "yes", "on", "y", "t"}
SESSION_USER = "$USER"
"""In the log's root: whose session it was. Source: vsftpd.conf(5) user_sub_token, where it is usual."""


def _misfits(given: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each group of settings that do not fit together.

    Args:
        given: those that are set, by field: values, or their text where others could not be understood.
    """
    unset = sorted({"failed_import_email", "reply_to_admin_email"} - given.keys())
    if given.get("smtp_host") is not None and unset:
        yield f"{variable('smtp_host')} is set, so {' and '.join(map(variable, unset))} must be set too"
    has_password = given.get("smtp_password") is not None
    if given.get("smtp_tls") == "none" and has_password and given.get("smtp_host") not in _LOOPBACK:
        yield f"{variable('smtp_tls')}=none would send the password in clear text; use starttls or implicit"
    upload = Path(given.get("upload_dir", Settings.model_fields["upload_dir"].default))
    root = Path(str(given.get("vsftpd_log_root") or upload).partition(SESSION_USER)[0])
    if given.get("vsftpd_log") is not None and not upload.resolve().is_relative_to(root.resolve()):
        yield f"{variable('vsftpd_log_root')}: should be {variable('upload_dir')} or a directory above it"
    if not _is_loopback(given.get("http_listen") or "") and given.get("http_token") is None:
        yield f"{variable('http_listen')} is open to other machines, so {variable('http_token')} must be set too"
    if given.get("clients") and str(given.get("client_folders")).lower() not in _TRUE:
        names = " and ".join(f"{CLIENT_PREFIX}{key}__*" for key in sorted(given["clients"]))
        yield f"{names} is set, so {variable('client_folders')} must be true"


class _ClientVariables(EnvSettingsSource):
    """The settings of clients; `load_settings` reports those that do not exist."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        given = {name.upper(): text for name, text in self.env_vars.items() if text is not None}
        return (_by_client(given) or None) if field_name == "clients" else None, field_name, False


def _by_client(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Key → field → text, of the variables that exist and are not empty."""
    found: dict[str, dict[str, str]] = {}
    for name, text in environment.items():
        key, field = _client_parts(name)
        if key and field.lower() in ClientSettings.model_fields and text:
            found.setdefault(key, {})[field.lower()] = text
    return found


def _client_parts(name: str) -> tuple[str, str]:
    """The key and the setting in a variable's name; empty where it is no client's."""
    name = name.upper()
    key, _, field = (
        name.removeprefix(CLIENT_PREFIX).rpartition("__") if name.startswith(CLIENT_PREFIX) else ("", "", "")
    )
    return key, field


class _SecretFiles(EnvSettingsSource):
    """Secrets from the files that USERDROP_…_FILE variables name; `load_settings` reports those that cannot be used."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        environment = {name.upper(): text for name, text in self.env_vars.items() if text}
        path = _secret_file(field_name, environment) if field_name in SECRETS else None
        secret = None if path is None or _secret_mistake(path[1]) else _secret(path[1])
        return secret, field_name, False


def _secret_file(name: str, environment: Mapping[str, str]) -> tuple[str, Path] | None:
    """What names the file of a secret, and the file: the _FILE variable, else a credential that systemd loaded."""
    named = variable(name) + FILE_SUFFIX
    if environment.get(named):
        return named, Path(environment[named])
    credential = Path(environment.get(_CREDENTIALS) or "/nowhere", name)
    return (f"the credential {name}", credential) if credential.exists() else None


def _secret(path: Path) -> str:
    """The file's content without its final line end."""
    return path.read_text(encoding="utf-8").rstrip("\r\n")


def _secret_mistake(path: Path) -> str | None:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            return f"{path} holds a secret and others may use it; run chmod o= {path}"
        _secret(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    except UnicodeDecodeError:
        return f"{path}: not UTF-8 text"
    return None


def variable(field: str) -> str:
    """The environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def load_settings() -> Settings:
    """What the environment says.

    Raises:
        SettingsMistakesError: with every mistake, what was expected, and the nearest known name for an unknown one.
    """
    environment = dict(os.environ)  # noqa: TID251 - the one room that reads it
    mistakes = [*_unknown(environment), *_unusable_secrets(environment)]
    try:
        settings = Settings()
    except ValidationError as error:
        mistakes += [_sentence(detail) for detail in error.errors() if detail["loc"] and not _follows(detail)]
        mistakes += _misfits(_given(environment))
    if mistakes:
        raise SettingsMistakesError(mistakes)
    return settings


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """What systemd asks of a service with Type=notify. Sources: sd_notify(3), sd_watchdog_enabled(3).

    Attributes:
        socket: where it listens; None where nobody does.
        watchdog_seconds: how long it waits for a sign of life; None for ever.
    """

    socket: str | None = None
    watchdog_seconds: float | None = None


def service_manager() -> ServiceManager:
    """What the environment says of who has started us."""
    environment = os.environ  # noqa: TID251 - the one room that reads it
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return ServiceManager(
        socket=environment.get("NOTIFY_SOCKET") or None,
        watchdog_seconds=int(microseconds) / 1e6 if is_ours and microseconds.isdecimal() else None,
    )


def in_force(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each variable and its value, secrets as ***; what follows from other settings is shown as it follows."""
    derived: dict[str, object] = {
        "smtp_port": settings.port,
        "vsftpd_log_root": settings.vsftpd_log_root or settings.upload_dir,
    }
    if settings.database_url is None:
        derived["database_url"] = settings.database
    for name in plain_fields():
        yield variable(name), _shown(derived.get(name, getattr(settings, name)))
    for key, own in sorted(settings.clients.items()):
        for name in own.model_fields_set:
            yield f"{CLIENT_PREFIX}{key}__{name.upper()}", _shown(getattr(own, name))


def documented() -> Iterator[tuple[str, str, str]]:
    """Each variable, its default and its meaning, for the README."""
    fields = Settings.model_fields
    for name, field in ((name, fields[name]) for name in plain_fields()):
        default = _shown(field.default)
        file = f" (or {variable(name)}{FILE_SUFFIX})" if name in SECRETS else ""
        yield variable(name) + file, default, field.description or ""
    yield f"{CLIENT_PREFIX}KEY__FAILED_IMPORT_EMAIL", "", fields["clients"].description or ""


def plain_fields() -> list[str]:
    """Those that are one variable each."""
    return [name for name in Settings.model_fields if name != "clients"]


def _known_names() -> list[str]:
    return [*map(variable, plain_fields()), *(variable(name) + FILE_SUFFIX for name in SECRETS)]


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    known = _known_names()
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not _is_of_client(name):
            nearest = get_close_matches(name.upper(), [*known, *_of_same_client(name)], n=1)
            yield f"{name}: there is no such setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _is_of_client(name: str) -> bool:
    key, field = _client_parts(name)
    return bool(_KEY.fullmatch(key)) and field.lower() in ClientSettings.model_fields


def _of_same_client(name: str) -> list[str]:
    key, _ = _client_parts(name)
    return [f"{CLIENT_PREFIX}{key}__{field.upper()}" for field in ClientSettings.model_fields] if key else []


def _given(environment: Mapping[str, str]) -> dict[str, Any]:
    """Field → text, for the settings that are set; a secret's file stands for the secret."""
    texts = {name.upper(): text for name, text in environment.items() if text}
    given: dict[str, Any] = {name: texts[variable(name)] for name in plain_fields() if variable(name) in texts}
    files = {name: str(file[1]) for name in SECRETS if (file := _secret_file(name, texts)) is not None}
    return files | given | {"clients": _by_client(texts)}


def _unusable_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name in SECRETS:
        file = _secret_file(name, environment)
        if file is not None and environment.get(variable(name)):
            yield f"{variable(name)} and {file[0]} are both set; keep one"
        if file is not None and (mistake := _secret_mistake(file[1])):
            yield f"{file[0]}: {mistake}"


def _follows(detail: Mapping[str, Any]) -> bool:
    """Whether a list is too short only because its items are wrong, which is told already."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _sentence(detail: Mapping[str, Any]) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    name = str(detail["loc"][0])
    given = "" if name in SECRETS else f", not {str(detail['input'])!r}"
    if name == "clients":
        name = "__".join(str(part) for part in detail["loc"][:3])
    return f"{variable(name)}: {message[0].lower()}{message[1:]}{given}"


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return "***"
        case tuple():
            return ", ".join(value)
        case bool():
            return str(value).lower()
        case _:
            return str(value)

"""Settings: environment variables whose names begin with USERDROP_, and nothing else.

The one room that reads the environment. Every mistake is reported at once, an unknown name included: a setting that
is silently ignored is found out at three in the morning.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from importer.model import MOST_TIMES
from notifier.loopback import is_loopback
from watcher.settings.client_settings import (
    CLIENT_PREFIX,
    ClientSettings,
    ClientVariables,
    by_client,
    is_of_client,
    of_same_client,
)
from watcher.settings.naming import PREFIX, variable
from watcher.settings.secret_files import FILE_SUFFIX, SECRETS, SecretFiles, secret_file, unusable_secrets
from watcher.settings.values import (
    Address,
    AddressList,
    DatabaseUrl,
    HostName,
    ListenAddress,
    OptionalAddresses,
    Schema,
    Seconds,
    TimeZone,
    Token,
    address_and_port,
    listens_to_itself,
)

DEFAULT_PORTS = {"starttls": 587, "implicit": 465, "none": 25}


class SettingsMistakesError(ValueError):
    """Settings that cannot be used; `mistakes` holds one sentence each, all of them."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(BaseSettings):
    """The settings in force. Each field is the variable of the same name, in capitals, after USERDROP_."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    upload_dir: Path = Field(
        default=Path("var/upload"),
        description="the directory into which vsftpd writes; where it is not below /srv/userdrop, `deploy/install "
        "--upload-dir` lets the unit write there",
    )
    interval_minutes: int = Field(
        default=5, ge=1, le=60, description="minutes between two import runs: 1 or 5; 1 to 60 are possible"
    )
    client_folders: bool = Field(
        default=False,
        description="true: each folder in the upload directory is a client, with a bak, users and mails of its own",
    )
    failed_import_email: AddressList = Field(
        default=("failed-imports@localhost",),
        description="who gets the failed users and refused files of clients: one address, or several with commas "
        "between",
    )
    reply_to_admin_email: Address = Field(
        default="userdrop-admin@localhost",
        description="From and Reply-To of every mail, and who gets every alert",
    )
    success_email: OptionalAddresses = Field(
        default=(), description="who gets a mail about files whose rows were all imported; nobody by default"
    )
    mail_attach: Literal["always", "never"] = Field(
        default="always",
        description="always: mails have the failed users attached; never: mails say where in bak they lie",
    )
    language: Literal["en", "fr"] = Field(
        default="en", description="the language of mails and of reasons in reports: en or fr"
    )
    timezone: TimeZone = Field(
        default="UTC", description="the time zone in which mails tell times, like America/Toronto"
    )
    template_dir: Path | None = Field(
        default=None, description="a directory of templates that stand in for those in notifier/templates"
    )
    min_free_mb: int = Field(
        default=1024, ge=0, description="less free space than this where files or the database lie is an alert; in MB"
    )
    database_url: DatabaseUrl | None = Field(
        default=None,
        description="the database (sqlite:///… or postgresql+psycopg://…); by default SQLite in the state directory",
    )
    database_schema: Schema | None = Field(
        default=None,
        description="the schema of a PostgreSQL database in which userdrop's tables lie, like userdrop; by default the "
        "first one in the search_path of the database's user",
    )
    state_dir: Path = Field(default=Path("var/state"), description="the service's own directory: database and lock")
    mail_dir: Path = Field(
        default=Path("var/mail"), description="where mails are written as .eml files until USERDROP_SMTP_HOST is set"
    )
    smtp_host: str | None = Field(default=None, description="the mail server")
    smtp_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="the mail server's port; by default 587, 465 or 25, depending on USERDROP_SMTP_TLS",
    )
    smtp_tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls", description="TLS to the mail server: starttls (required, not just tried), implicit, or none"
    )
    smtp_user: str | None = Field(default=None, description="the login name at the mail server")
    smtp_password: SecretStr | None = Field(default=None, description="the password at the mail server")
    smtp_ca_file: Path | None = Field(
        default=None, description="certificates to trust instead of the system's, as a PEM file"
    )
    smtp_helo: HostName | None = Field(
        default=None,
        description="the name that the service gives itself to the mail server (EHLO), or an address in brackets; by"
        " default the machine's name, or where that has no domain the one of USERDROP_REPLY_TO_ADMIN_EMAIL",
    )
    format_file: Path | None = Field(
        default=None, description="a TOML file that replaces or extends the built-in columns"
    )
    default_login_source: str | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="the login source of new users whose file names none; where this is set, the column is not needed",
    )
    unchanged_rows: Literal["skip", "write"] = Field(
        default="skip",
        description="what becomes of rows that repeat what the client's files last said of a user: skip leaves edits "
        "made elsewhere, write brings the file's values back",
    )
    max_file_mb: int = Field(
        default=512, ge=1, description="the largest file that is imported, in MB; larger files are refused"
    )
    client_max_mb: int | None = Field(
        default=None,
        ge=20,
        description="disk space that a client's files may take while they are imported (the files, their copies, "
        "spools and reports, and what outages have left of them), in MB; more files wait until there is room for 20 "
        "times their size, and one that takes more by itself is refused; by default 20 x USERDROP_MAX_FILE_MB",
    )
    file_memory_mb: int = Field(
        default=2048, ge=512, description="memory that reading, validating and storing may take, in MB"
    )
    file_cpu_seconds: int = Field(default=900, ge=10, description="processor time that the import of a file may take")
    file_seconds: float = Field(
        default=1800,
        ge=10,
        allow_inf_nan=False,
        description="how long the import of a file may take; a file that exceeds this or another limit three times "
        "is set aside in .quarantine",
    )
    worker_files: int = Field(
        default=20_000, ge=1, description="number of files after which the importing process is replaced by a fresh one"
    )
    bak_days: int | None = Field(
        default=None,
        ge=1,
        description="number of days after which files are removed from bak; by default they stay for ever",
    )
    report_days: int | None = Field(
        default=None,
        ge=1,
        description="number of days after which failed-users CSVs are removed from bak; by default they stay for ever",
    )
    vsftpd_log: Path | None = Field(
        default=None,
        description="vsftpd's log (its vsftpd_log_file), which tells complete uploads from interrupted ones at once",
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
        description="true: uploads come by SFTP as well, whose server neither locks files nor logs the end of an "
        "upload, so "
        "that all but renamed files wait for USERDROP_LONG_QUIET_SECONDS",
    )
    quiet_seconds: Seconds = Field(
        default=30,
        description="how long an upload must lie unchanged, with nobody writing, to be complete",
    )
    long_quiet_seconds: Seconds = Field(
        default=601,
        description="how long an upload must lie unchanged where locks or the server's log leave doubt; more than 2 x "
        "vsftpd's data_connection_timeout",
    )
    http_listen: ListenAddress | None = Field(
        default=None,
        description="the address at which metrics (/metrics), health (/healthz, /readyz) and a page for people (/) are "
        "served, like 127.0.0.1:9464 or [::1]:9464; by default they are not served",
    )
    http_token: Token | None = Field(
        default=None,
        description="the token that every request must show but those for /healthz, as a bearer token or as the "
        "password of "
        "any user; required where USERDROP_HTTP_LISTEN is no loopback address",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least severe level that is logged: debug, info, warning or error"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="the form of the log: json, console (coloured), or auto, which is console on a terminal and else "
        "json",
    )
    clients: Annotated[Mapping[str, ClientSettings], NoDecode] = Field(
        default_factory=dict,
        description="a client's own setting instead of the common one; KEY is the name of its folder in capitals, with "
        "everything but letters and digits as _. A client may also have its own REPLY_TO_ADMIN_EMAIL, QUIET_SECONDS, "
        "LONG_QUIET_SECONDS, SFTP, LANGUAGE, TIMEZONE, SUCCESS_EMAIL and MAIL_ATTACH",
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
        """Read the environment, and the files that it names for secrets."""
        del dotenv_settings, file_secret_settings
        return init_settings, ClientVariables(settings_cls), env_settings, SecretFiles(settings_cls)

    @property
    def interval(self) -> timedelta:
        """The time from one tick to the next."""
        return timedelta(minutes=self.interval_minutes)

    @property
    def work_mb(self) -> int:
        """Disk space, in MB, that a client's files may take while they are imported."""
        return self.client_max_mb or MOST_TIMES * self.max_file_mb

    @property
    def database(self) -> str:
        """The database URL in force, password and schema included."""
        if self.database_url is not None:
            from importer.database.engines import with_schema  # noqa: PLC0415 - as in DatabaseUrl

            return with_schema(self.database_url.get_secret_value(), self.database_schema)
        return f"sqlite:///{self.state_dir.absolute() / 'userdrop.db'}"

    @property
    def port(self) -> int:
        """The mail server's port in force."""
        return self.smtp_port or DEFAULT_PORTS[self.smtp_tls]

    @property
    def http_address(self) -> tuple[str, int] | None:
        """The address and port of the HTTP server; None where there is to be none."""
        return None if self.http_listen is None else address_and_port(self.http_listen)

    def quiet_times(self, client: ClientSettings) -> tuple[float, float]:
        """The quiet time and the long one of a client, in seconds; the long one is never the shorter."""
        quiet = client.quiet_seconds or self.quiet_seconds
        return quiet, max(client.long_quiet_seconds or self.long_quiet_seconds, quiet)


def _secret(value: SecretStr | str) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


_TRUE = {"true", "1", "yes", "on", "y", "t"}
SESSION_USER = "$USER"
"""The user of a session, in the log's root. Source: vsftpd.conf(5) user_sub_token, where it is usual."""


def _misfits(given: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each group of settings that do not fit together.

    Args:
        given: the settings that are set, by field: values, or their text where others could not be understood.
    """
    unset = sorted({"failed_import_email", "reply_to_admin_email"} - given.keys())
    if given.get("smtp_host") is not None and unset:
        yield f"{variable('smtp_host')} is set, so {' and '.join(map(variable, unset))} must be set too"
    has_password = given.get("smtp_password") is not None
    url = given.get("database_url") or "sqlite:"
    if given.get("database_schema") and _secret(url).startswith("sqlite"):
        yield f"{variable('database_schema')} is set, so {variable('database_url')} must be one of PostgreSQL"
    if given.get("smtp_tls") == "none" and has_password and not is_loopback(given.get("smtp_host") or ""):
        yield f"{variable('smtp_tls')}=none would send the password in clear text; use starttls or implicit"
    upload = Path(given.get("upload_dir", Settings.model_fields["upload_dir"].default))
    root = Path(str(given.get("vsftpd_log_root") or upload).partition(SESSION_USER)[0])
    if given.get("vsftpd_log") is not None and not upload.resolve().is_relative_to(root.resolve()):
        yield f"{variable('vsftpd_log_root')}: should be {variable('upload_dir')} or a directory above it"
    if not listens_to_itself(given.get("http_listen") or "") and given.get("http_token") is None:
        yield f"{variable('http_listen')} is open to other machines, so {variable('http_token')} must be set too"
    if given.get("clients") and str(given.get("client_folders")).lower() not in _TRUE:
        names = " and ".join(f"{CLIENT_PREFIX}{key}__*" for key in sorted(given["clients"]))
        yield f"{names} is set, so {variable('client_folders')} must be true"


def load_settings(answers: Mapping[str, str] = MappingProxyType({})) -> Settings:
    """Read the settings from the environment.

    Args:
        answers: texts by field, as variables would hold them, which win over the environment; an empty one stands for
            the default.

    Raises:
        SettingsMistakesError: with every mistake, what was expected, and the nearest known name for an unknown one.
    """
    environment = dict(os.environ)  # noqa: TID251 - the one room that reads it
    mistakes = [*_unknown(environment), *unusable_secrets(environment)]
    given: dict[str, Any] = {field: text or Settings.model_fields[field].default for field, text in answers.items()}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        mistakes += [_sentence(detail) for detail in error.errors() if detail["loc"] and not _follows(detail)]
        mistakes += _misfits(_given({**environment, **{variable(field): text for field, text in answers.items()}}))
    if mistakes:
        raise SettingsMistakesError(mistakes)
    return settings


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The wishes of systemd to a service with Type=notify. Sources: sd_notify(3), sd_watchdog_enabled(3).

    Attributes:
        socket: where it listens; None where nobody does.
        watchdog_seconds: how long it waits for a sign of life; None for ever.
    """

    socket: str | None = None
    watchdog_seconds: float | None = None


def service_manager() -> ServiceManager:
    """Read from the environment what the manager of services wants to be told; None where none has started us."""
    environment = os.environ  # noqa: TID251 - the one room that reads it
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return ServiceManager(
        socket=environment.get("NOTIFY_SOCKET") or None,
        watchdog_seconds=int(microseconds) / 1e6 if is_ours and microseconds.isdecimal() else None,
    )


def in_force(settings: Settings) -> Iterator[tuple[str, str]]:
    """Pairs of a variable and its value, secrets as ***; a value that follows from other settings is shown as well."""
    derived: dict[str, object] = {
        "smtp_port": settings.port,
        "client_max_mb": settings.work_mb,
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
    """Each variable with its default and its meaning, for the README."""
    fields = Settings.model_fields
    for name, field in ((name, fields[name]) for name in plain_fields()):
        default = _shown(field.default)
        file = f" (or {variable(name)}{FILE_SUFFIX})" if name in SECRETS else ""
        yield variable(name) + file, default, field.description or ""
    yield f"{CLIENT_PREFIX}KEY__FAILED_IMPORT_EMAIL", "", fields["clients"].description or ""


def plain_fields() -> list[str]:
    """The fields of `Settings` that are one variable each."""
    return [name for name in Settings.model_fields if name != "clients"]


def _known_names() -> list[str]:
    return [*map(variable, plain_fields()), *(variable(name) + FILE_SUFFIX for name in SECRETS)]


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    known = _known_names()
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not is_of_client(name):
            nearest = get_close_matches(name.upper(), [*known, *of_same_client(name)], n=1)
            yield f"{name}: there is no such setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _given(environment: Mapping[str, str]) -> dict[str, Any]:
    """Field → text, for the settings that are set; a secret's file stands for the secret."""
    texts = {name.upper(): text for name, text in environment.items() if text}
    given: dict[str, Any] = {name: texts[variable(name)] for name in plain_fields() if variable(name) in texts}
    files = {name: str(file[1]) for name in SECRETS if (file := secret_file(name, texts)) is not None}
    return files | given | {"clients": by_client(texts)}


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

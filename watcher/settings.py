"""Settings: environment variables whose names begin with USERDROP_, and nothing else.

The one room that reads the environment. Every mistake is reported at once, an unknown name included: a setting that
is silently ignored is found out at three in the morning.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
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
SECRETS = ("database_url", "smtp_password")
"""Settings that may also come from a file, named by the same variable with _FILE at its end."""

DEFAULT_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
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


class Settings(BaseSettings):
    """What is in force. Each field is the variable of the same name, in capitals, after USERDROP_."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    upload_dir: Path = Field(default=Path("var/upload"), description="the directory into which vsftpd writes")
    interval_minutes: int = Field(
        default=5, ge=1, le=60, description="minutes between two import runs: 1 or 5; 1 to 60 are possible"
    )
    failed_import_email: Annotated[tuple[_Address, ...], NoDecode, BeforeValidator(_addresses)] = Field(
        default=("failed-imports@localhost",),
        min_length=1,
        description="who gets the failed users and refused files of clients; several addresses with commas between",
    )
    reply_to_admin_email: _Address = Field(
        default="userdrop-admin@localhost",
        description="From and Reply-To of every mail, and who gets every alert",
    )
    success_email: Annotated[tuple[_Address, ...], NoDecode, BeforeValidator(_addresses)] = Field(
        default=(), description="who gets a mail about files whose rows were all imported; nobody by default"
    )
    mail_attach: Literal["always", "never"] = Field(
        default="always",
        description="whether failed users travel by mail; never: mails say where in bak they lie",
    )
    language: Literal["en", "fr"] = Field(default="en", description="of mails and of reasons in reports: en or fr")
    timezone: Annotated[str, AfterValidator(_known_timezone)] = Field(
        default="UTC", description="in which mails tell times, like America/Toronto"
    )
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
    vsftpd_log: Path | None = Field(
        default=None, description="vsftpd_log_file: tells complete uploads from interrupted ones at once"
    )
    vsftpd_log_root: Path | None = Field(
        default=None, description="the directory that sessions see as /; by default the upload directory"
    )
    quiet_seconds: float = Field(
        default=30,
        gt=0,
        allow_inf_nan=False,
        description="an upload is complete when nothing changed and nobody wrote for so long",
    )
    long_quiet_seconds: float = Field(
        default=601,
        gt=0,
        allow_inf_nan=False,
        description="the same where locks or the server's log leave doubt; above 2 x data_connection_timeout",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="what is logged")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console (coloured), or auto: console on a terminal"
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
        return init_settings, env_settings, _SecretFiles(settings_cls)

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


_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


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
    root = Path(given.get("vsftpd_log_root") or upload)
    if given.get("vsftpd_log") is not None and not upload.resolve().is_relative_to(root.resolve()):
        yield f"{variable('vsftpd_log_root')}: should be {variable('upload_dir')} or a directory above it"


class _SecretFiles(EnvSettingsSource):
    """Secrets from the files that USERDROP_…_FILE variables name; `load_settings` reports those that cannot be used."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        path = self.env_vars.get((variable(field_name) + FILE_SUFFIX).lower()) if field_name in SECRETS else None
        secret = None if not path or _secret_mistake(Path(path)) else _secret(Path(path))
        return secret, field_name, False


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


def in_force(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each variable and its value, secrets as ***; what follows from other settings is shown as it follows."""
    derived: dict[str, object] = {
        "smtp_port": settings.port,
        "vsftpd_log_root": settings.vsftpd_log_root or settings.upload_dir,
    }
    if settings.database_url is None:
        derived["database_url"] = settings.database
    for name in Settings.model_fields:
        yield variable(name), _shown(derived.get(name, getattr(settings, name)))


def documented() -> Iterator[tuple[str, str, str]]:
    """Each variable, its default and its meaning, for the README."""
    for name, field in Settings.model_fields.items():
        default = _shown(field.default)
        file = f" (or {variable(name)}{FILE_SUFFIX})" if name in SECRETS else ""
        yield variable(name) + file, default, field.description or ""


def _known_names() -> list[str]:
    return [*map(variable, Settings.model_fields), *(variable(name) + FILE_SUFFIX for name in SECRETS)]


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    known = _known_names()
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = get_close_matches(name.upper(), known, n=1)
            yield f"{name}: there is no such setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """Field → text, for the settings that are set; a secret's file stands for the secret."""
    texts = {name.upper(): text for name, text in environment.items() if text}
    names = {name: (variable(name), variable(name) + FILE_SUFFIX) for name in Settings.model_fields}
    return {name: texts[each] for name, both in names.items() for each in both if each in texts}


def _unusable_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name in map(variable, SECRETS):
        path = environment.get(name + FILE_SUFFIX)
        if path and environment.get(name):
            yield f"{name} and {name}{FILE_SUFFIX} are both set; keep one"
        if path and (mistake := _secret_mistake(Path(path))):
            yield f"{name}{FILE_SUFFIX}: {mistake}"


def _follows(detail: Mapping[str, Any]) -> bool:
    """Whether a list is too short only because its items are wrong, which is told already."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _sentence(detail: Mapping[str, Any]) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    name = str(detail["loc"][0])
    given = "" if name in SECRETS else f", not {str(detail['input'])!r}"
    return f"{variable(name)}: {message[0].lower()}{message[1:]}{given}"


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return "***"
        case tuple():
            return ", ".join(value)
        case _:
            return str(value)

"""Secrets that lie in files, so that no environment holds them: which settings may, and in which file each lies."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from watcher.settings.naming import variable

FILE_SUFFIX = "_FILE"
SECRETS = ("database_url", "smtp_password", "http_token")
"""Settings that may also come from a file, named by the same variable with _FILE at its end, or from a credential of
systemd that has the field's name. Source: systemd.exec(5), LoadCredential=.
"""
_CREDENTIALS = "CREDENTIALS_DIRECTORY"


class SecretFiles(EnvSettingsSource):
    """The source of secrets in files, for pydantic; `load_settings` reports the files that cannot be used."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The secret where the field is one and has a file, None for any other field."""
        del field
        environment = {name.upper(): text for name, text in self.env_vars.items() if text}
        path = secret_file(field_name, environment) if field_name in SECRETS else None
        secret = None if path is None or _secret_mistake(path[1]) else _secret(path[1])
        return secret, field_name, False


def secret_file(name: str, environment: Mapping[str, str]) -> tuple[str, Path] | None:
    """Find the file of a secret, and what names it: the _FILE variable, or else a credential that systemd loaded."""
    named = variable(name) + FILE_SUFFIX
    if environment.get(named):
        return named, Path(environment[named])
    credential = Path(environment.get(_CREDENTIALS) or "/nowhere", name)
    return (f"the credential {name}", credential) if credential.exists() else None


def _secret(path: Path) -> str:
    """The file's content as it is, without its final line end."""
    return path.read_bytes().decode().rstrip("\r\n")


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


def unusable_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each secret that is given twice, or whose file cannot be used."""
    for name in SECRETS:
        file = secret_file(name, environment)
        if file is not None and environment.get(variable(name)):
            yield f"{variable(name)} and {file[0]} are both set; keep one"
        if file is not None and (mistake := _secret_mistake(file[1])):
            yield f"{file[0]}: {mistake}"

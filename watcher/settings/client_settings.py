"""The settings that one client has of its own, and the variables that they come from."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from watcher.settings.naming import PREFIX
from watcher.settings.values import Address, AddressList, OptionalAddresses, Seconds, TimeZone

CLIENT_PREFIX = f"{PREFIX}CLIENTS__"
"""The beginning of a client's variable; a key (see `watcher.uploads.folders`), two underscores and a setting follow."""
_KEY = re.compile(r"[A-Z0-9_]+")


class ClientSettings(BaseModel):
    """The settings that one client has of its own; None where the common setting is meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    failed_import_email: AddressList | None = None
    reply_to_admin_email: Address | None = None
    quiet_seconds: Seconds | None = None
    long_quiet_seconds: Seconds | None = None
    sftp: bool | None = None
    language: Literal["en", "fr"] | None = None
    timezone: TimeZone | None = None
    success_email: OptionalAddresses | None = None
    mail_attach: Literal["always", "never"] | None = None


class ClientVariables(EnvSettingsSource):
    """The source of clients' settings for pydantic; `load_settings` reports those that do not exist."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The settings of all clients for the field `clients`, None for any other field."""
        del field
        given = {name.upper(): text for name, text in self.env_vars.items() if text is not None}
        return (by_client(given) or None) if field_name == "clients" else None, field_name, False


def by_client(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The clients' settings as key → field → text, of the variables that exist and are not empty."""
    found: dict[str, dict[str, str]] = {}
    for name, text in environment.items():
        key, field = _client_parts(name)
        if key and field.lower() in ClientSettings.model_fields and text:
            found.setdefault(key, {})[field.lower()] = text
    return found


def is_of_client(name: str) -> bool:
    """Whether a variable of that name is a client's setting."""
    key, field = _client_parts(name)
    return bool(_KEY.fullmatch(key)) and field.lower() in ClientSettings.model_fields


def of_same_client(name: str) -> list[str]:
    """The variables of the client to whom a variable belongs; none where it belongs to no client."""
    key, _ = _client_parts(name)
    return [f"{CLIENT_PREFIX}{key}__{field.upper()}" for field in ClientSettings.model_fields] if key else []


def _client_parts(name: str) -> tuple[str, str]:
    """The key and the setting in a variable's name; empty where it is no client's."""
    name = name.upper()
    key, _, field = (
        name.removeprefix(CLIENT_PREFIX).rpartition("__") if name.startswith(CLIENT_PREFIX) else ("", "", "")
    )
    return key, field

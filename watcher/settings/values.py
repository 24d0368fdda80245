"""Types of the values of settings, for pydantic: what a value may be, and in which words one is refused."""

import re
from ipaddress import ip_address
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from notifier.loopback import is_loopback

SHORTEST_TOKEN = 16
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


def _addresses(value: object) -> object:
    return tuple(part for part in re.split(r"[,;\s]+", value) if part) if isinstance(value, str) else value


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        message = "should be an e-mail address like admin@example.org"
        raise ValueError(message)
    return value


_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Za-z:.]+\]")


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        message = "should be a host name like userdrop.example.org, or an address in brackets like [192.0.2.1]"
        raise ValueError(message)
    return value


_LISTEN = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")


def _listen(value: str) -> str:
    address_and_port(value)
    return value


def address_and_port(value: str) -> tuple[str, int]:
    """Split an address and port on which to listen.

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


def listens_to_itself(value: str) -> bool:
    """Whether only this machine reaches an address and port; True for what is a mistake of another kind."""
    try:
        return is_loopback(address_and_port(value)[0])
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


_KNOWN_URLS = "sqlite:////var/lib/userdrop/userdrop.db or postgresql+psycopg://user:password@host/database"
_ENCODED = (
    "whatever is special in a user or a password is percent-encoded, as @ is %40, : %3A, / %2F, ? %3F, # %23 and % %25"
)
_SERVER_URL = re.compile(
    r"""
    postgresql\+psycopg://
    (?:[^:/@?\#\[\]]+(?::[^@]*)?@)?  # user and password
    (?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.,_-]*)  # host
    (?::(?P<port>[0-9]{1,5}))?
    (?:/[^/:@?\#\[\]]*)?  # database
    (?:\?[^@\#]*)?  # options
    """,
    re.VERBOSE,
)
"""URLs of which it is certain what each part is, so that none of them can be a piece of the password."""


def _known_database(value: SecretStr) -> SecretStr:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - most commands need no database, and start faster without
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    from importer.database.engines import DRIVERS  # noqa: PLC0415

    text = value.get_secret_value()
    if text.startswith("postgresql+psycopg://"):
        found = _SERVER_URL.fullmatch(text)
        if found is None or not _is_port(found["port"] or "5432"):
            message = f"should be a database URL like postgresql+psycopg://user:password@host/database; {_ENCODED}"
            raise ValueError(message)
    elif text.startswith(("postgres://", "postgresql")):
        message = "should begin with postgresql+psycopg://"
        raise ValueError(message)
    try:
        is_known = make_url(text).drivername in DRIVERS
    except (ArgumentError, ValueError):  # the text of the latter has a part of the URL
        is_known = False
    if not is_known:
        message = f"should be a database URL like {_KNOWN_URLS}"
        raise ValueError(message)
    return value


_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _schema(value: str) -> str:
    if not _SCHEMA.fullmatch(value) or value.startswith("pg_"):
        message = "should be the name of a schema, in small letters, digits and _, like userdrop"
        raise ValueError(message)
    return value


Address = Annotated[str, AfterValidator(_address)]
AddressList = Annotated[tuple[Address, ...], NoDecode, BeforeValidator(_addresses), Field(min_length=1)]
OptionalAddresses = Annotated[tuple[Address, ...], NoDecode, BeforeValidator(_addresses)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
TimeZone = Annotated[str, AfterValidator(_known_timezone)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_known_database)]
ListenAddress = Annotated[str, AfterValidator(_listen)]
HostName = Annotated[str, AfterValidator(_host)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Schema = Annotated[str, AfterValidator(_schema)]

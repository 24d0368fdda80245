"""What the database adds to what the service says of itself; one that is out is a part of the answer."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from importer.database import UnusableDatabaseError
from importer.engines import is_missing_right, is_outage, product, what_failed
from importer.history import PastImport, last_imports, open_history, past_imports
from notifier.queueing import MailCounts, MailsAbout, about, counted

LAST_IMPORTS = 5
"""Of all clients together."""
FILE_IMPORTS = 20

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What is stored.

    Attributes:
        database: the product and its version; None where it cannot be read.
        error: why it cannot be read; None where it can.
        imports: the last ones, the newest first.
        mails: by state; None where the database cannot be read.
        python: the version that asks.
    """

    database: str | None = None
    error: str | None = None
    imports: tuple[PastImport, ...] = ()
    mails: MailCounts | None = None
    python: str = platform.python_version()


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFile:
    """An import of a file, and what was told of it."""

    entry: PastImport
    mails: MailsAbout


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHistory:
    """What is stored of a file; `error` says why that cannot be read."""

    past: tuple[PastFile, ...] = ()
    error: str | None = None


def overview(url: str, now: datetime) -> Overview:
    """The database itself, the last imports, and the mails by state."""

    def read(connection: Connection) -> Overview:
        return Overview(
            database=product(connection),
            imports=last_imports(connection, limit=LAST_IMPORTS),
            mails=counted(connection, now=now),
        )

    found = _read(url, read)
    return Overview(error=found) if isinstance(found, str) else found


def file_history(url: str, client: str, file: str, now: datetime) -> FileHistory:
    """The last `FILE_IMPORTS` imports of a client's file of that name, the oldest first."""

    def read(connection: Connection) -> FileHistory:
        entries = past_imports(connection, client, file=file, limit=FILE_IMPORTS)
        past = (PastFile(entry=each, mails=_mails_about(connection, each, now)) for each in reversed(entries))
        return FileHistory(past=tuple(past))

    found = _read(url, read)
    return FileHistory(error=found) if isinstance(found, str) else found


def _read(url: str, read: Callable[[Connection], _Found]) -> _Found | str:
    """What is read, or why that is not possible."""
    try:
        with open_history(url) as connection:
            return read(connection)
    except UnusableDatabaseError as error:
        return str(error)
    except SQLAlchemyError as error:
        if not is_outage(error) and not (isinstance(error, DBAPIError) and is_missing_right(error)):
            raise
        return what_failed(error)


def _mails_about(connection: Connection, entry: PastImport, now: datetime) -> MailsAbout:
    return about(connection, entry.client, entry.claim_id, entry.committed_at, now=now)

"""An overview of what the database adds to the service's answers; a database that is out is told in it."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import product
from importer.database.failures import UnusableDatabaseError, cause_of, failure_detail, is_outage
from importer.database.history import PastImport, last_imports, open_history
from notifier.queueing import MailCounts, counted
from watcher.commands.database import tell_other_database
from watcher.settings.variables import Settings
from watcher.stories.past import PastFile, past_of

LAST_IMPORTS = 5
"""The number of last imports that are shown, of all clients together."""

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The last imports and the queue of mails, as they are stored.

    Attributes:
        database: the product and its version; None where it cannot be read.
        error: why it cannot be read; None where it can.
        imports: the last ones, the newest first.
        mails: the number of mails by state; None where the database cannot be read.
        python: the version that asks.
    """

    database: str | None = None
    error: str | None = None
    imports: tuple[PastImport, ...] = ()
    mails: MailCounts | None = None
    python: str = platform.python_version()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHistory:
    """The stored imports of a file; `error` says why they cannot be read, None where they can."""

    past: tuple[PastFile, ...] = ()
    error: str | None = None


def overview(settings: Settings, now: datetime) -> Overview:
    """Read what the database is, the last imports, and how many mails are in each state."""

    def read(connection: Connection) -> Overview:
        return Overview(
            database=product(connection),
            imports=last_imports(connection, limit=LAST_IMPORTS),
            mails=counted(connection, now=now),
        )

    found = _read(settings, read)
    return Overview(error=found) if isinstance(found, str) else found


def file_history(settings: Settings, client: str, file: str, now: datetime) -> FileHistory:
    """Read the last `FILE_IMPORTS` imports of a client's file of that name, the oldest first."""

    def read(connection: Connection) -> FileHistory:
        return FileHistory(past=past_of(connection, client, file, now))

    found = _read(settings, read)
    return FileHistory(error=found) if isinstance(found, str) else found


def _read(settings: Settings, read: Callable[[Connection], _Found]) -> _Found | str:
    """Read the database; returns what is read, or why that is not possible."""
    try:
        with open_history(settings.database) as connection:
            tell_other_database(settings, connection)
            return read(connection)
    except UnusableDatabaseError as error:
        return str(error)
    except SQLAlchemyError as error:
        if not is_outage(error) and cause_of(error) is None:
            raise
        return str(failure_detail(error))

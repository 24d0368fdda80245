"""What the database adds to the status of the service: the last imports, the mails by state, and which one it is."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from importer.database import UnusableDatabaseError
from importer.engines import is_missing_right, is_outage, product, what_failed
from importer.history import PastImport, open_history, past_imports
from notifier.queueing import MailCounts, counted

LAST_IMPORTS = 5
"""Of all clients together."""


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


def overview(url: str, clients: Iterable[str], now: datetime) -> Overview:
    """Read it; a database that is out is a part of the answer."""
    try:
        with open_history(url) as connection:
            return Overview(
                database=product(connection),
                imports=_last_imports(connection, clients),
                mails=counted(connection, now=now),
            )
    except UnusableDatabaseError as error:
        return Overview(error=str(error))
    except SQLAlchemyError as error:
        if not is_outage(error) and not (isinstance(error, DBAPIError) and is_missing_right(error)):
            raise
        return Overview(error=what_failed(error))


def _last_imports(connection: Connection, clients: Iterable[str]) -> tuple[PastImport, ...]:
    """Client by client, as the ledger's index has them."""
    found = [each for client in clients for each in past_imports(connection, client, limit=LAST_IMPORTS)]
    found.sort(key=lambda each: (each.committed_at, each.claim_id), reverse=True)
    return tuple(found[:LAST_IMPORTS])

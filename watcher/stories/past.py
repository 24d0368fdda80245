"""The stored past of one file: its imports, and the mails that told of them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from importer.database.history import PastImport, past_imports
from notifier.queueing import MailsAbout, about

FILE_IMPORTS = 20
"""The number of imports of a file that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFile:
    """An import of a file, and the mails that told of it."""

    entry: PastImport
    mails: MailsAbout


def past_of(connection: Connection, client: str, file: str, now: datetime) -> tuple[PastFile, ...]:
    """The last `FILE_IMPORTS` imports of a client's file of that name, the oldest first.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    entries = past_imports(connection, client, file=file, limit=FILE_IMPORTS)
    return tuple(PastFile(entry=each, mails=_mails_about(connection, each, now)) for each in reversed(entries))


def _mails_about(connection: Connection, entry: PastImport, now: datetime) -> MailsAbout:
    return about(connection, entry.client, entry.claim_id, entry.committed_at, now=now)

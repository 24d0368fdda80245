"""Removing cells from what is kept of files beside bak, once their reports leave it: counts and codes stay.

What is emptied: the examples in the ledger's reasons and warnings, the facts of notices from which mails were formed,
the bodies of mails that were sent or given up, and the files of those that lie in a directory. Each row is done once.
"""

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Table, null, select, update

from importer.database.engines import wipe_removed
from importer.database.tables import imports, mails, notices
from importer.durability import fsync_directory
from importer.model import Retention
from importer.removing.blanking import without_cells

REMOVED = "What this mail said was removed when it was as old as USERDROP_REPORT_DAYS allows.\n"
"""The text of a mail whose bodies were removed."""

_ROWS_AT_ONCE = 1_000


def spare(engine: Engine, client: str, retention: Retention, now: dt.datetime, *, at_most: int) -> int:
    """Empty what is older than reports may be; returns how many rows were looked at, which is `at_most` where more are.

    Raises:
        OSError: a mail's file cannot be removed.
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    if retention.reports is None:
        return 0
    old, done = _Old(client=client, before=now - retention.reports, now=now, mails=retention.mails), 0
    for each in (old.entries, old.notices, old.mails_that_ended):
        part = limit = _ROWS_AT_ONCE
        while part == limit and done < at_most:
            limit = min(_ROWS_AT_ONCE, at_most - done)
            with engine.begin() as connection:
                wipe_removed(connection)
                part = each(connection, limit)
            done += part
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class _Old:
    """The rows of a client that are older than a time; each method empties some, and returns how many."""

    client: str
    before: dt.datetime
    now: dt.datetime
    mails: Path | None

    def entries(self, connection: Connection, limit: int) -> int:
        rows = self._rows(connection, imports, imports.c.committed_at, limit)
        return self._write(connection, imports.c.claim_id, rows, "reasons", "warnings")

    def notices(self, connection: Connection, limit: int) -> int:
        rows = self._rows(connection, notices, notices.c.formed_at, limit)
        return self._write(connection, notices.c.id, rows, "facts")

    def mails_that_ended(self, connection: Connection, limit: int) -> int:
        rows = self._rows(connection, mails, mails.c.ended_at, limit)
        if self.mails is not None:
            _remove_files(self.mails, {identity(row.message_id) for row in rows})
        bare = {"text": REMOVED, "html": "", "unattached": null(), "spared_at": self.now}
        connection.execute(update(mails).where(mails.c.id.in_([row.id for row in rows])).values(bare))
        return len(rows)

    def _rows(self, connection: Connection, table: Table, time: Column[Any], limit: int) -> Sequence[Row[Any]]:
        has_cells = table.c.spared_at.is_(None)
        query = select(table).where(has_cells, table.c.client == self.client, time < self.before)
        return connection.execute(query.limit(limit)).all()

    def _write(self, connection: Connection, id_: Column[Any], rows: Sequence[Row[Any]], *names: str) -> int:
        """Write rows without their cells, those that have none all at once."""
        for key, facts in _bare(rows, names):
            connection.execute(update(id_.table).where(id_ == key).values(facts))
        done = id_.in_([row[0] for row in rows])
        connection.execute(update(id_.table).where(done).values(spared_at=self.now))
        return len(rows)


def _bare(rows: Sequence[Row[Any]], names: tuple[str, ...]) -> Iterator[tuple[object, Mapping[str, object]]]:
    """Of rows that hold cells: the key, and the columns without them."""
    for row in rows:
        told = {name: without_cells(row._mapping[name]) for name in names}  # noqa: SLF001 - public, as SQLAlchemy says
        if any(number for _, number in told.values()):
            yield row[0], {name: facts for name, (facts, _) in told.items()}


def identity(message_id: str) -> str:
    """The end of the name under which a mail lies as a file."""
    return re.sub(r"[^A-Za-z0-9]", "", message_id.partition("@")[0])


def _remove_files(directory: Path, identities: Collection[str]) -> None:
    """Remove the mails of these identities that lie in a directory; they are removed before that is written down."""
    if not identities or not directory.is_dir():
        return
    found = [path for path in directory.iterdir() if path.stem.rpartition("-")[2] in identities]
    for path in found:
        path.unlink(missing_ok=True)
    if found:
        fsync_directory(directory)

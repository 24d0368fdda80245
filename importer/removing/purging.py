"""Removing old files from bak, where the site does not keep them for ever: only what the ledger says lies there."""

import datetime as dt
import stat
from collections.abc import Generator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, select

from importer.database.engines import reading_engine
from importer.database.tables import imports
from importer.durability import fsync_directory
from importer.files.anchoring import Folder, anchored
from importer.files.archiving import BAK
from importer.model import Purged, Retention

MOST_AT_ONCE = 20_000
"""Files of one purge: what is left is for the next one, so that nobody waits for long."""

_FETCHED_ROWS = 1_000


def purge(
    engine: Engine,
    client: str,
    folder: Folder,
    retention: Retention,
    now: dt.datetime,
    *,
    at_most: int = MOST_AT_ONCE,
) -> Purged:
    """Remove from a directory's bak what has stayed there long enough; so many files at most, and says if more is left.

    Raises:
        OSError: the directory cannot be written.
        sqlalchemy.exc.SQLAlchemyError: the ledger cannot be read.
    """
    removed = {"archive": 0, "report": 0}
    with suppress(FileNotFoundError, NotADirectoryError), anchored(folder.anchor / BAK) as bak:
        there = {path.name for path in bak.iterdir()}
        with closing(_old(engine, client, folder.directory, retention, now, there=there)) as old:
            found = [*islice(old, at_most + 1)]
        for kind, name in found[:at_most]:
            with suppress(FileNotFoundError):
                if stat.S_ISREG((bak / name).lstat().st_mode):
                    (bak / name).unlink()
                    removed[kind] += 1
        if any(removed.values()):
            fsync_directory(bak)
        is_more = len(found) > at_most and any(removed.values())
        return Purged(client=client, archives=removed["archive"], reports=removed["report"], is_more=is_more)
    return Purged(client=client, archives=0, reports=0)


def _old(
    engine: Engine, client: str, directory: Path, retention: Retention, now: dt.datetime, *, there: set[str]
) -> Generator[tuple[str, str]]:
    """The files that the ledger knows to be old and still there: ("archive" or "report", the name in bak)."""
    if retention.shortest is None or not there:
        return
    query = select(imports.c.archive, imports.c.report, imports.c.archived_at).where(
        imports.c.client == client,
        imports.c.directory == str(directory),
        imports.c.archived_at < now - retention.shortest,
    )
    query = query.execution_options(yield_per=_FETCHED_ROWS)
    with reading_engine(engine).begin() as connection, connection.execute(query) as rows:
        for row in rows:
            age = now - row.archived_at
            if retention.archives is not None and age > retention.archives and row.archive in there:
                yield "archive", row.archive
            if retention.reports is not None and age > retention.reports and row.report in there:
                yield "report", row.report

"""Removing old files from bak, where the site does not keep them for ever: only what the ledger says lies there."""

import datetime as dt
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine, select

from importer.anchoring import Folder, anchored
from importer.archiving import BAK
from importer.database import imports
from importer.engines import reading_engine
from importer.model import Purged, Retention
from importer.renaming import fsync_directory

_FETCHED_ROWS = 1_000


def purge(engine: Engine, client: str, folder: Folder, retention: Retention, now: dt.datetime) -> Purged:
    """Remove from a directory's bak what has stayed there long enough.

    Raises:
        OSError: the directory cannot be written.
        sqlalchemy.exc.SQLAlchemyError: the ledger cannot be read.
    """
    removed = {"archive": 0, "report": 0}
    with suppress(FileNotFoundError, NotADirectoryError), anchored(folder.anchor / BAK) as bak:
        there = {path.name for path in bak.iterdir()}
        for kind, name in [*_old(engine, client, folder.directory, retention, now)] if there else ():
            with suppress(FileNotFoundError):
                if name in there and stat.S_ISREG((bak / name).lstat().st_mode):
                    (bak / name).unlink()
                    removed[kind] += 1
        if any(removed.values()):
            fsync_directory(bak)
    return Purged(client=client, archives=removed["archive"], reports=removed["report"])


def _old(
    engine: Engine, client: str, directory: Path, retention: Retention, now: dt.datetime
) -> Iterator[tuple[str, str]]:
    """What the ledger knows to be old: ("archive" or "report", its name in bak)."""
    if retention.shortest is None:
        return
    query = select(imports.c.archive, imports.c.report, imports.c.archived_at).where(
        imports.c.client == client,
        imports.c.directory == str(directory),
        imports.c.archived_at < now - retention.shortest,
    )
    with reading_engine(engine).begin() as connection:
        for row in connection.execute(query.execution_options(yield_per=_FETCHED_ROWS)):
            age = now - row.archived_at
            if retention.archives is not None and age > retention.archives and row.archive:
                yield "archive", row.archive
            if retention.reports is not None and age > retention.reports and row.report:
                yield "report", row.report

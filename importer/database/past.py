"""The client's past: what its last files were like, read from the ledger for whoever compares a new file with them.

The one place where that is read. No cell of a file is in it, but names of columns as the sender wrote them.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from importer.database.tables import imports
from importer.model import Counts, Status

MOST_FORMER = 100
"""The number of a client's imported files, the newest, with which a new one is compared."""

_COUNTS = tuple(Counts.__dataclass_fields__)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerFile:
    """An imported file, as far as others are compared with it.

    Attributes:
        file: its name, in its shown form.
        columns: the format's columns that it had; None where an earlier version has not kept them.
        counts: the numbers of its rows.
        remarks: the code and the column of each remark about it.
    """

    file: str
    columns: frozenset[str] | None
    counts: Counts
    remarks: frozenset[tuple[str, str | None]]


def former_files(connection: Connection, client: str, *, limit: int = MOST_FORMER) -> tuple[FormerFile, ...]:
    """The last files of a client that were imported, the newest first.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    counts = [imports.c[name] for name in _COUNTS]
    query = (
        select(imports.c.file, imports.c.columns, imports.c.warnings, *counts)
        .where(imports.c.client == client, imports.c.status == Status.IMPORTED)
        .order_by(imports.c.committed_at.desc(), imports.c.claim_id.desc())
        .limit(limit)
    )
    return tuple(
        FormerFile(
            file=file,
            columns=None if columns is None else frozenset(columns),
            counts=Counts(**dict(zip(_COUNTS, numbers, strict=True))),
            remarks=frozenset((warning["code"], warning["column"]) for warning in warnings),
        )
        for file, columns, warnings, *numbers in connection.execute(query)
    )


def like(former: Sequence[FormerFile], file: str, columns: Collection[str]) -> FormerFile | None:
    """The former file that a new one is to be compared with; None where there is none.

    It is the newest one of the same name, digits aside, as names often have a date. Where no file had such a name, it
    is the one whose columns are most alike, the newest of several: a client's files are not all of one kind.

    Args:
        former: the client's files, the newest first.
        file: the new file's name, in its shown form.
        columns: the format's columns that it has.
    """
    series = _series(file)
    named = (each for each in former if _series(each.file) == series)
    return next(named, None) or max(former, key=lambda each: _likeness(each.columns, columns), default=None)


def _series(file: str) -> str:
    """A file's name without its digits."""
    return _NUMBER.sub("", file)


def _likeness(former: frozenset[str] | None, columns: Collection[str]) -> float:
    """The share of the columns of either file that both have; 0 where those of the former are not known."""
    either = (former or frozenset()).union(columns)
    return len((former or frozenset()).intersection(columns)) / len(either) if either else 0.0

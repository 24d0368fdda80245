"""Conflicts: rows that fail because their unique values belong to other users."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import Connection, Select, Table, and_, select

from importer.database.fetching import fetched
from importer.formats.columns import CLEAR, unique_columns
from importer.judging.uniqueness import Late
from importer.storing.staging import Staged


class Conflicts:
    """Accepted rows whose unique values belong to other users, unless this file takes them away from those."""

    def __init__(self, connection: Connection, staged: Staged) -> None:
        self._connection = connection
        self._staged = staged
        self._store = staged.store

    def drop(self) -> list[Late]:
        """Take conflicting rows out of the staging; returns them by column, each for every column it conflicts in.

        A row that falls out no longer gives its user another value, so a row that waited for that one falls as well.
        """
        takers = self._staged.takers(self._connection)
        if takers is None:
            return []
        waits = {name: fetched(self._connection, self._query(takers, compared)) for name, compared in self._compared()}
        fallen = _fallen([*waits.values()])
        found = {name: _conflicts(frame, fallen) for name, frame in waits.items()}
        late = [self._late(name, rows) for name, rows in found.items() if rows.height]
        self._staged.take_out(self._connection, fallen)
        return late

    def are_possible(self) -> bool:
        """Whether a value of a staged row belongs to another user, who may give it up in this file."""
        if self._staged.is_empty:
            return False
        queries = (self._query(self._staged.table, compared).limit(1) for _, compared in self._compared())
        return any(self._connection.execute(query).first() is not None for query in queries)

    def _compared(self) -> Iterator[tuple[str, str]]:
        for name, compared in unique_columns(self._store.format).items():
            if name != self._store.format.key and compared in self._staged.columns:
                yield name, compared

    def _query(self, asking: Table, compared: str) -> Select[Any]:
        """The query for the staged rows whose value another user has.

        `giver` is the row that gives that user another value, or null.
        """
        users, giver, key = self._store.users, self._staged.table.alias("giver"), self._store.key
        return (
            select(asking.c.row, giver.c.row.label("giver"))
            .join(users, and_(users.c.client == self._staged.client, users.c[compared] == asking.c[compared]))
            .outerjoin(giver, and_(giver.c[key] == users.c[key], giver.c[compared].is_not(None)))
            .where(asking.c[compared] != CLEAR, users.c[key] != asking.c[key])
        )

    def _late(self, name: str, rows: pl.DataFrame) -> Late:
        example = self._staged.value(name, rows["row"][0])
        return Late(kind="duplicate_user", column=name, rows=rows, example=example)


def _fallen(waits: list[pl.DataFrame]) -> pl.Series:
    """The rows that conflict, of those that `Conflicts._query` found: rows without a giver, and who waits for them.

    A value has one owner and, within a file, one row that wants it: for each column one row at most waits for a giver.
    """
    last = max((frame.max().row(0)[at] or 0 for frame in waits for at in (0, 1)), default=0)
    waiting = [_waiting(frame, last + 1) for frame in waits]
    has_fallen = bytearray(last + 1)
    for frame in waits:
        for row in frame.filter(pl.col("giver").is_null())["row"]:
            reached = [row]
            while reached:
                falling = reached.pop()
                if not has_fallen[falling]:
                    has_fallen[falling] = True
                    reached += [rows[falling] for rows in waiting if rows[falling]]
    return pl.Series("row", np.flatnonzero(np.frombuffer(has_fallen, np.uint8)), pl.Int64)


def _waiting(waits: pl.DataFrame, size: int) -> Sequence[int]:
    """A list that has, at each giver's number, the row that waits for it, 0 for none."""
    given = waits.drop_nulls()
    rows = np.zeros(size, np.int64)
    rows[given["giver"].to_numpy()] = given["row"].to_numpy()
    return array("q", rows.tobytes())


def _conflicts(waits: pl.DataFrame, fallen: pl.Series) -> pl.DataFrame:
    """The rows of one column that conflict in the end."""
    is_free = pl.col("giver").is_not_null() & ~pl.col("giver").is_in(fallen.implode())
    return waits.filter(~is_free).select("row")

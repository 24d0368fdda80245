"""Conflicts: rows that fail because their unique values belong to other users."""

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import Connection, Select, Table, and_, select

from importer.database.fetching import fetched
from importer.formats.columns import CLEAR, unique_columns
from importer.judging.uniqueness import Late
from importer.storing.staging import Staged

RowsOfKeys = Callable[[Collection[str]], Mapping[str, int]]
"""Gives the rows of a file that failed before, by the keys of their users: keys → key → row."""


class Conflicts:
    """Accepted rows whose unique values belong to other users, unless this file takes them away from those."""

    def __init__(self, connection: Connection, staged: Staged) -> None:
        self._connection = connection
        self._staged = staged
        self._store = staged.store

    def drop(self, failed: RowsOfKeys = lambda _: {}) -> list[Late]:
        """Take conflicting rows out of the staging; returns them by column and cause, each for every one of its own.

        A row that falls out no longer gives its user another value, so a row that waited for that one falls as well.

        Args:
            failed: knows the rows of the file that failed before, who might have given their users other values.
        """
        takers = self._staged.takers(self._connection)
        if takers is None:
            return []
        waits = {name: fetched(self._connection, self._query(takers, compared)) for name, compared in self._compared()}
        fallen = _fallen([*waits.values()])
        if fallen.is_empty():
            return []
        found = {name: _conflicts(frame, fallen) for name, frame in waits.items()}
        owners = pl.concat(frame.filter(pl.col("giver").is_null())["owner"] for frame in found.values())
        holders = failed({*owners.to_list()})
        firsts = _first_to_correct([*found.values()], holders)
        late = [late for name, rows in found.items() for late in self._late(name, rows, holders, firsts)]
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

        `giver` is the row that gives that user another value, or null; `owner` is the user's key, `given` the row's.
        """
        users, giver, key = self._store.users, self._staged.table.alias("giver"), self._store.key
        return (
            select(
                asking.c.row,
                giver.c.row.label("giver"),
                users.c[self._store.format.key].label("owner"),
                asking.c[key].label("given"),
            )
            .join(users, and_(users.c.client == self._staged.client, users.c[compared] == asking.c[compared]))
            .outerjoin(giver, and_(giver.c[key] == users.c[key], giver.c[compared].is_not(None)))
            .where(asking.c[compared] != CLEAR, users.c[key] != asking.c[key])
        )

    def _late(
        self, name: str, rows: pl.DataFrame, holders: Mapping[str, int], firsts: Mapping[int, int]
    ) -> Iterator[Late]:
        """The failures of one column by cause: held up by a row that failed, lost zeros, or none that is known."""
        holder = pl.coalesce("giver", pl.col("owner").replace_strict(holders, default=None, return_dtype=pl.Int64))
        told = rows.with_columns(holder.alias("holder"))
        is_held_up = pl.col("holder").is_not_null()
        is_short = ~is_held_up & _has_lost_zeros("given", "owner")
        first = pl.col("holder").replace_strict(firsts, default=pl.col("holder"), return_dtype=pl.Int64)
        by_cause = {
            "duplicate_user.held_up": told.filter(is_held_up).select(
                "row", "owner", pl.col("holder").cast(pl.String), first.cast(pl.String).alias("first")
            ),
            "duplicate_user.zeros": told.filter(is_short).select("row", "owner", "given"),
            "duplicate_user": told.filter(~is_held_up & ~is_short).select("row", "owner"),
        }
        for kind, failing in by_cause.items():
            if failing.height:
                example = self._staged.value(name, failing["row"][0])
                yield Late(kind=kind, column=name, rows=failing, example=example)


def _has_lost_zeros(given: str, known: str) -> pl.Expr:
    """Whether a value is another one without the zeros in front of that."""
    without = pl.col(known).str.strip_chars_start("0")
    return (without == pl.col(given)) & (pl.col(known) != pl.col(given)) & pl.col(given).str.contains(r"^[0-9]+$")


def _fallen(waits: list[pl.DataFrame]) -> pl.Series:
    """The rows that conflict, of those that `Conflicts._query` found: rows without a giver, and who waits for them.

    A value has one owner and, within a file, one row that wants it: for each column one row at most waits for a giver.
    """
    last = max((frame.select("row", "giver").max().row(0)[at] or 0 for frame in waits for at in (0, 1)), default=0)
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
    given = waits.select("row", "giver").drop_nulls()
    rows = np.zeros(size, np.int64)
    rows[given["giver"].to_numpy()] = given["row"].to_numpy()
    return array("q", rows.tobytes())


def _conflicts(waits: pl.DataFrame, fallen: pl.Series) -> pl.DataFrame:
    """The rows of one column that conflict in the end."""
    is_free = pl.col("giver").is_not_null() & ~pl.col("giver").is_in(fallen.implode())
    return waits.filter(~is_free)


def _first_to_correct(found: Sequence[pl.DataFrame], holders: Mapping[str, int]) -> Mapping[int, int]:
    """Row that fell → the row to be corrected before it, at the end of those that it waits for.

    A row that wants what nobody gives up is to be corrected itself; it is left out, and so is one that failed before.
    """
    holds: dict[int, int] = {}
    own = {row for frame in found for row in _unheld(frame, holders)}
    for frame in found:
        for row, giver, owner in frame.select("row", "giver", "owner").iter_rows():
            holder = holders.get(owner) if giver is None else giver
            if holder is not None and row not in own:
                holds.setdefault(row, holder)
    return _ends(holds)


def _unheld(frame: pl.DataFrame, holders: Mapping[str, int]) -> Iterator[int]:
    without = frame.filter(pl.col("giver").is_null())
    return (row for row, owner in without.select("row", "owner").iter_rows() if owner not in holders)


def _ends(holds: Mapping[int, int]) -> Mapping[int, int]:
    """Row → the last one that is reached from it by going on; of a circle, one in it."""
    ends: dict[int, int] = {}
    for row in holds:
        path: dict[int, None] = {}
        at = row
        while at in holds and at not in ends and at not in path:
            path[at] = None
            at = holds[at]
        ends |= dict.fromkeys(path, ends.get(at, at))
    return ends

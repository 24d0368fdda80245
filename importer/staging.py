"""Accepted rows in temporary tables, which no other connection sees and for which no write lock is needed."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import polars as pl
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    func,
    literal,
    select,
)

from importer.ahead import ahead
from importer.database import imports
from importer.engines import load, loaded, make, staging
from importer.fetching import fetched
from importer.format import Format, unique_columns
from importer.hashing import with_hashes
from importer.repeats import KnownUsers, with_news
from importer.spooling import Spool

BROUGHT_BY = "brought by"
"""The column with the claim of each row, where rows of several files are merged; no format has such a name."""


class Accepted(Protocol):
    """Rows to be merged: of one file, or of several.

    A file may not be judged until its rows are taken: `height`, `last_row` and `fallen` are known when all of them
    were.
    """

    @property
    def columns(self) -> list[str]:
        """What `accepted` has."""
        ...

    @property
    def expected(self) -> int:
        """About how many rows there may be, those that fail included."""
        ...

    @property
    def height(self) -> int:
        """How many rows there are."""
        ...

    @property
    def last_row(self) -> int:
        """No row has a greater number."""
        ...

    @property
    def fallen(self) -> pl.Series:
        """Rows that fail though `accepted` has had them; sorted."""
        ...

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The rows as `Verdict.accepted` has them, perhaps with BROUGHT_BY; `row` is unique."""
        ...

    def spool(self, name: str) -> Spool:
        """A new place for frames, which lasts as long as the rows."""
        ...


class Staging:
    """The rows that have something to say: their keys and unique values, in the temporary table `table`.

    A row that repeats what the feed last gave for its user is left out (unless asked for), and it costs no more than
    its hash. The others wait in a spool, so that they are not judged and hashed again. Where a client has no users yet
    every row makes one, and nothing needs to be staged.

    Attributes:
        columns: what the rows hold, comparison keys included.
        skipped: how many rows were left out because they repeat what the feed last gave.
        is_empty: whether nothing is staged, as the client has no users.
    """

    def __init__(self, users: Table, format_: Format, rows: Accepted, client: str, *, skips_unchanged: bool) -> None:
        names = rows.columns
        self.columns = [name for name in names if name not in {"row", "line", BROUGHT_BY}]
        self.compared = unique_columns(format_)[format_.key]
        self._rows = rows
        self.skipped = 0
        self.is_empty = True
        self.is_of_several = BROUGHT_BY in names
        unique = dict.fromkeys(name for name in unique_columns(format_).values() if name in self.columns)
        self.table = _table("staged", [_row_column(), *(Column(name, Text) for name in unique)])
        self._format = format_
        self._users = users
        self._client = client
        self._skips_unchanged = skips_unchanged
        self._chosen: Spool | None = None
        self._fallen = pl.Series("row", [], pl.Int64)
        self._imports_seen = 0

    def fill_early(self, connection: Connection) -> None:
        """Stage the rows without the client's lock, which `fill` looks after."""
        with staging(connection):
            self._imports_seen = self._imports(connection)  # first, so that nobody's import is half seen
            self._fill(connection)

    def fill(self, connection: Connection) -> None:
        """Stage the rows under the client's lock: the first time, or again.

        Another importer, which has another directory for a client of the same name, may have changed what the feed
        last gave since `fill_early`; and a client that had no users may have got some.
        """
        if self.is_empty or self._imports(connection) != self._imports_seen:
            self._fill(connection)

    def _imports(self, connection: Connection) -> int:
        """How many files of the client were imported; each stays in the ledger, and nodes' clocks may differ."""
        counted = select(func.count()).select_from(imports).where(imports.c.client == self._client)
        return connection.execute(counted).scalar_one()

    def _fill(self, connection: Connection) -> None:
        self.skipped = 0
        self.is_empty = True
        if not has_users(connection, self._users, self._client):
            return
        chosen, staged = self._empty_spool(), 0
        make(connection, self.table)
        for rows in self._without_repeats(connection):
            chosen.append(rows)
            load(connection, self.table, rows.select(self.table.c.keys()))
            staged += rows.height
        loaded(connection, self.table, self.compared)
        self.skipped = self._rows.height - (staged - self.take_out(connection, self._rows.fallen))
        self.is_empty = False

    def _without_repeats(self, connection: Connection) -> Iterator[pl.DataFrame]:
        """The rows that do not repeat what the feed last gave, with their hashes."""
        with ahead(self._rows.accepted()) as frames:
            # Hashed on this thread, as the other one judges meanwhile.
            rows: Iterator[pl.DataFrame] = (self._hashed(frame) for frame in frames if frame.height)
            if self._skips_unchanged:
                users = KnownUsers(connection, self._users, self._client, self.compared)
                rows = with_news(rows, users, self._rows.expected)
            yield from rows

    def take_out(self, connection: Connection, rows: pl.Series) -> int:
        """Leave rows out that fail after all; returns how many of them were staged."""
        if rows.is_empty():
            return 0
        self._fallen = pl.Series("row", np.union1d(self._fallen, rows), pl.Int64)
        fallen = _table("fallen", [_row_column()])
        make(connection, fallen)
        load(connection, fallen, rows.to_frame("row"))
        return connection.execute(delete(self.table).where(self.table.c.row.in_(select(fallen.c.row)))).rowcount

    def value(self, column: str, row: int) -> str:
        """A staged row's value in one of the columns."""
        found = (frame.filter(pl.col("row") == row)[column] for frame in self._full())
        return next(str(values[0]) for values in found if values.len())

    def stored(self, connection: Connection) -> pl.DataFrame:
        """Row and user `id` of the staged rows whose users are there."""
        if self.is_empty:
            return pl.DataFrame(schema={"row": pl.Int64, "id": pl.Int64})
        users, staged = self._users, self.table
        same = and_(users.c.client == self._client, users.c[self.compared] == staged.c[self.compared])
        return fetched(connection, select(staged.c.row, users.c.id).join(users, same))

    def of_users(self, stored: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Those rows in full, with the user's id and the hash."""
        for frame in self._flagged(self._flags(stored["row"])):
            yield frame.join(stored, on="row")

    def of_nobody(self, stored: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The rows in full whose users are not there, with the hash."""
        return self._flagged(~(self._flags(stored["row"]) | self._flags(self._fallen)))

    def _flagged(self, flags: Any) -> Iterator[pl.DataFrame]:  # noqa: ANN401 - as _flags
        with ahead(self._full()) as frames:
            for frame in frames:
                rows = frame.filter(pl.Series(flags[frame["row"].to_numpy()]))
                if rows.height:
                    yield rows

    def _full(self) -> Iterator[pl.DataFrame]:
        """All columns of the staged rows; of all rows where nothing is staged."""
        if self.is_empty or self._chosen is None:
            return map(self._hashed, self._rows.accepted())
        return self._chosen.frames()

    def _flags(self, rows: pl.Series) -> Any:  # noqa: ANN401 - numpy's array of booleans
        """A flag for each row of the file."""
        flags = np.zeros(self._rows.last_row + 1, np.bool_)
        flags[rows.to_numpy()] = True
        return flags

    def _hashed(self, frame: pl.DataFrame) -> pl.DataFrame:
        return with_hashes(frame.drop("line"), self._format)

    def _empty_spool(self) -> Spool:
        if self._chosen is None:
            self._chosen = self._rows.spool("staged")
        self._chosen.clear()
        return self._chosen


def has_users(connection: Connection, users: Table, client: str) -> bool:
    """Whether a client has any."""
    some = select(literal(1)).where(users.c.client == client).limit(1)
    return connection.execute(some).first() is not None


def changes_table(staged: Staging) -> Table:
    """The temporary table of rows in full whose users are there."""
    brought_by = [BROUGHT_BY] if staged.is_of_several else []
    texts = [Column(name, Text) for name in (*staged.columns, *brought_by, "feed_hash")]
    return _table("changes", [_row_column(), Column("id", BigInteger), *texts])


def _table(name: str, columns: list[Column[Any]]) -> Table:
    return Table(name, MetaData(), *columns, prefixes=["TEMPORARY"])


def _row_column() -> Column[int]:
    """The record's number in the file."""
    return Column("row", Integer, primary_key=True, autoincrement=False)

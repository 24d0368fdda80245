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
from sqlalchemy.schema import CreateTable, DropTable

from importer.database import imports
from importer.engines import load, loaded, staging
from importer.format import Format, unique_columns
from importer.hashing import feed_hashes

BROUGHT_BY = "brought by"
"""The column with the claim of each row, where rows of several files are merged; no format has such a name."""

_FETCHED_ROWS = 20_000


class Accepted(Protocol):
    """Rows to be merged: of one examined file, or of several."""

    @property
    def last_row(self) -> int:
        """No row has a greater number."""
        ...

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The rows as `Verdict.accepted` has them, perhaps with BROUGHT_BY; `row` is unique."""
        ...


class Staging:
    """The rows that have something to say: their keys and unique values, in the temporary table `table`.

    A row that repeats what the feed last gave for its user is left out (unless asked for), and it costs no more than
    its key and its hash. Where a client has no users yet every row makes one, and nothing needs to be staged.

    Attributes:
        columns: what the rows hold, comparison keys included; none where no row was accepted.
        skipped: how many rows were left out.
    """

    def __init__(self, users: Table, format_: Format, rows: Accepted, client: str, *, skips_unchanged: bool) -> None:
        first = next(iter(rows.accepted()), None)
        names = [] if first is None else first.columns
        self.columns = [name for name in names if name not in {"row", "line", BROUGHT_BY}]
        self.compared = unique_columns(format_)[format_.key]
        self.rows = rows
        self.skipped = 0
        self.is_empty = True
        self.is_of_several = BROUGHT_BY in names
        unique = dict.fromkeys(name for name in unique_columns(format_).values() if name in self.columns)
        self.table = _table("staged", [_row_column(), *(Column(name, Text) for name in unique)])
        self._format = format_
        self._users = users
        self._client = client
        self._skips_unchanged = skips_unchanged
        self._is_staged = np.zeros(rows.last_row + 1, np.bool_)
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
        is_there = select(literal(1)).where(self._users.c.client == self._client).limit(1)
        if not self.columns or connection.execute(is_there).first() is None:
            return
        if self._skips_unchanged:
            self._is_staged = self._changed_rows(connection)
        else:
            self._is_staged[:] = True
        make(connection, self.table)
        accepted = staged = 0
        for frame, chosen in self._chosen(self._is_staged):
            accepted += frame.height
            staged += chosen.height
            if chosen.height:
                load(connection, self.table, chosen.select(self.table.c.keys()))
        loaded(connection, self.table, self.compared)
        self.skipped = accepted - staged
        self.is_empty = False

    def take_out(self, connection: Connection, rows: pl.Series) -> None:
        """Leave rows out that fail after all."""
        if rows.is_empty():
            return
        fallen = _table("fallen", [_row_column()])
        make(connection, fallen)
        load(connection, fallen, rows.to_frame("row"))
        connection.execute(delete(self.table).where(self.table.c.row.in_(select(fallen.c.row))))

    def stored(self, connection: Connection) -> pl.DataFrame:
        """Row and user `id` of the staged rows whose users are there."""
        if self.is_empty:
            return pl.DataFrame(schema={"row": pl.Int64, "id": pl.Int64})
        users, staged = self._users, self.table
        same = and_(users.c.client == self._client, users.c[self.compared] == staged.c[self.compared])
        return fetched(connection, select(staged.c.row, users.c.id).join(users, same))

    def of_users(self, stored: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Those rows in full, with the user's id and the hash."""
        is_stored = self._flags(stored["row"])
        for frame in self._selected(is_stored):
            yield self._hashed(frame).join(stored, on="row")

    def of_nobody(self, stored: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The rows in full whose users are not there, with the hash."""
        is_new = ~self._flags(stored["row"])
        if not self.is_empty:
            is_new &= self._is_staged
        for frame in self._selected(is_new):
            yield self._hashed(frame)

    def _changed_rows(self, connection: Connection) -> Any:  # noqa: ANN401 - numpy's array of booleans
        """Flags of the rows that do not repeat what the feed last gave."""
        given = _table("given", [Column("row", Integer), Column(self.compared, Text), Column("feed_hash", Text)])
        make(connection, given)
        for frame in self.rows.accepted():
            if frame.height:
                load(connection, given, self._hashed(frame).select("row", self.compared, "feed_hash"))
        loaded(connection, given)
        users = self._users
        repeated = (
            select(literal(1))
            .where(users.c.client == self._client, users.c[self.compared] == given.c[self.compared])
            .where(users.c.feed_hash == given.c.feed_hash)
        )
        changed = fetched(connection, select(given.c.row).where(~repeated.exists()))["row"]
        connection.execute(DropTable(given))
        return self._flags(changed)

    def _hashed(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(feed_hashes(frame, self._format))

    def _flags(self, rows: pl.Series) -> Any:  # noqa: ANN401 - as _changed_rows
        flags = np.zeros_like(self._is_staged)
        flags[rows.to_numpy()] = True
        return flags

    def _selected(self, flags: Any) -> Iterator[pl.DataFrame]:  # noqa: ANN401 - as _changed_rows
        for _, chosen in self._chosen(flags):
            if chosen.height:
                yield chosen

    def _chosen(self, flags: Any) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:  # noqa: ANN401 - as _changed_rows
        for frame in self.rows.accepted():
            yield frame, frame.drop("line").filter(pl.Series(flags[frame["row"].to_numpy()]))


def changes_table(staged: Staging) -> Table:
    """The temporary table of rows in full whose users are there."""
    brought_by = [BROUGHT_BY] if staged.is_of_several else []
    texts = [Column(name, Text) for name in (*staged.columns, *brought_by, "feed_hash")]
    return _table("changes", [_row_column(), Column("id", BigInteger), *texts])


def make(connection: Connection, table: Table) -> None:
    """Make a temporary table, empty whether it is there or not."""
    connection.execute(DropTable(table, if_exists=True))
    connection.execute(CreateTable(table))


def fetched(connection: Connection, query: Any) -> pl.DataFrame:  # noqa: ANN401 - a select of any integers
    """A query's integers, sorted by the first column, `row`."""
    schema = dict.fromkeys(query.selected_columns.keys(), pl.Int64)
    parts = connection.execute(query.execution_options(yield_per=_FETCHED_ROWS)).partitions()
    frames = [pl.DataFrame([tuple(row) for row in part], schema=schema, orient="row") for part in parts]
    return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("row")


def _table(name: str, columns: list[Column[Any]]) -> Table:
    return Table(name, MetaData(), *columns, prefixes=["TEMPORARY"])


def _row_column() -> Column[int]:
    """The record's number in the file."""
    return Column("row", Integer, primary_key=True, autoincrement=False)

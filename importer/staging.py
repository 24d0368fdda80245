"""Accepted rows in temporary tables, which no other connection sees and for which no write lock is needed."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
)

from importer.ahead import ahead
from importer.database import imports
from importer.engines import load, loaded, loaded_by_key, make, staging
from importer.fetching import fetched
from importer.format import CLEAR, Format, unique_columns
from importer.hashing import with_hashes
from importer.repeats import Identities, KnownUsers, with_news
from importer.spooling import Spool

_GATHERED_ROWS = 20_000

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


class Foreknown(NamedTuple):
    """What `KnownUsers.identities` told before the file was read.

    Attributes:
        imports: how many files the client had before that.
        rows: for how many it was asked.
        identities: the answer.
    """

    imports: int
    rows: int
    identities: Identities | None


class Staging:
    """The rows that have something to say: their keys and unique values, in the temporary table `table`.

    A row that repeats what the feed last gave for its user is left out (unless asked for), and it costs no more than
    its hash. The others wait in a spool, so that they are not judged and hashed again. Where a client has no users yet
    every row makes one, and nothing needs to be staged.

    Attributes:
        columns: what the rows hold, comparison keys included.
        compared: the one by which a row finds its user.
        unique: the others of them of which no two users share a value.
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
        self.unique = [name for name in unique if name != self.compared]
        self.table = _table("staged", self._unique_columns())
        self._format = format_
        self._users = users
        self._client = client
        self._skips_unchanged = skips_unchanged
        self._chosen: Spool | None = None
        self._fallen = pl.Series("row", [], pl.Int64)
        self._staged = self._fallen
        self._found: pl.DataFrame | None = None
        self._imports_seen = 0

    def fill_early(self, connection: Connection, foreknown: Foreknown | None) -> None:
        """Stage the rows without the client's lock, which `fill` looks after."""
        with staging(connection):
            self._imports_seen = imported_files(connection, self._client)  # first, or an import might be half seen
            known = foreknown if foreknown is not None and foreknown.imports == self._imports_seen else None
            is_answered = known is not None and (known.identities or known.rows >= self._rows.expected)
            self._fill(connection, known.identities if known and is_answered else self._identities(connection))

    def fill(self, connection: Connection) -> None:
        """Stage the rows under the client's lock: the first time, or again.

        Another importer, which has another directory for a client of the same name, may have changed meanwhile what
        the feed last gave; and a client that had no users may have got some.
        """
        if self.is_empty or imported_files(connection, self._client) != self._imports_seen:
            self._fill(connection, self._identities(connection))

    def _identities(self, connection: Connection) -> Identities | None:
        return self._known_users(connection).identities(self._rows.expected) if self._skips_unchanged else None

    def _known_users(self, connection: Connection) -> KnownUsers:
        return known_users(connection, self._users, self._format, self._client)

    def _fill(self, connection: Connection, known: Identities | None) -> None:
        self.skipped = 0
        self.is_empty = True
        self._staged, self._found = self._staged.clear(), None
        if not has_users(connection, self._users, self._client):
            return
        chosen, staged = self._empty_spool(), [self._staged]
        make(connection, self.table)
        for rows in self._without_repeats(connection, known):
            chosen.append(rows)
            load(connection, self.table, rows.select(self.table.c.keys()))
            staged.append(rows["row"])
        self._staged = pl.concat(staged)
        loaded_by_key(connection, self.table, self.compared)
        self.skipped = self._rows.height - (self._staged.len() - self.take_out(connection, self._rows.fallen))
        self.is_empty = False

    def _without_repeats(self, connection: Connection, known: Identities | None) -> Iterator[pl.DataFrame]:
        """The rows that do not repeat what the feed last gave, with their hashes."""
        with ahead(self._rows.accepted()) as frames:
            # Hashed on this thread, as the other one judges meanwhile.
            rows: Iterator[pl.DataFrame] = (self._hashed(frame) for frame in frames if frame.height)
            if self._skips_unchanged:
                rows = with_news(rows, self._known_users(connection), known)
            yield from rows

    def take_out(self, connection: Connection, rows: pl.Series) -> int:
        """Leave rows out that fail after all; returns how many of them were staged."""
        if rows.is_empty():
            return 0
        self._fallen = pl.Series("row", np.union1d(self._fallen, rows), pl.Int64)
        fallen = self._apart(connection, "fallen", rows)
        return connection.execute(delete(self.table).where(self.table.c.row.in_(select(fallen.c.row)))).rowcount

    def _unique_columns(self) -> list[Column[Any]]:
        return [_row_column(), *(Column(name, Text) for name in (self.compared, *self.unique))]

    def _apart(self, connection: Connection, name: str, rows: pl.Series) -> Table:
        """Rows of the file in a temporary table."""
        table = _table(name, [_row_column()])
        make(connection, table)
        load(connection, table, rows.to_frame("row"))
        return table

    def value(self, column: str, row: int) -> str:
        """A staged row's value in one of the columns."""
        found = (frame.filter(pl.col("row") == row)[column] for frame in self._full())
        return next(str(values[0]) for values in found if values.len())

    def stored(self, connection: Connection) -> pl.DataFrame:
        """Row and user `id` of the staged rows whose users are there, under the client's lock."""
        found = self._compared_with_users(connection)
        return found.select("row", "id").filter(~pl.col("row").is_in(self._fallen.implode()))

    def takers(self, connection: Connection) -> Table | None:
        """The staged rows that bring or clear a unique value, in `table` or in one like it; None where there are none.

        Those of users who are there are few, as most changes are of other columns; those of new users are among them.
        To be asked under the client's lock.
        """
        if self._staged.is_empty() or not self.unique:
            return None
        found = self._compared_with_users(connection)
        others = found.filter(~pl.col("takes"))["row"]
        if others.is_empty():
            return self.table
        rows = np.setdiff1d(self._staged, pl.concat([others, self._fallen]))
        if not rows.size:
            return None
        numbers = self._apart(connection, "numbers", pl.Series("row", rows, pl.Int64))
        takers = _table("takers", self._unique_columns())
        make(connection, takers)
        these = select(self.table).where(self.table.c.row.in_(select(numbers.c.row)))
        connection.execute(insert(takers).from_select(takers.c.keys(), these))
        loaded(connection, takers, ["row"])
        return takers

    def frees_values(self, connection: Connection) -> bool:
        """Whether a user may have another value in a unique column, or none, afterwards."""
        return self._compared_with_users(connection)["takes"].any()

    def _compared_with_users(self, connection: Connection) -> pl.DataFrame:
        """Row, user `id` and whether it `takes` a unique value, or clears one; asked once, as that takes a while."""
        if self.is_empty:
            return pl.DataFrame(schema={"row": pl.Int64, "id": pl.Int64, "takes": pl.Boolean})
        if self._found is None:
            users, staged = self._users.c, self.table.c
            same = and_(users.client == self._client, users[self.compared] == staged[self.compared])
            takes = or_(false(), *(differs(staged[name], users[name]) for name in self.unique))
            query = select(staged.row, users.id, case((takes, 1), else_=0).label("takes")).join(self._users, same)
            self._found = fetched(connection, query).with_columns(pl.col("takes").cast(pl.Boolean))
        return self._found

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
        return _gathered(self._chosen.frames())

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


def _gathered(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in fewer frames, where there are few in each, as each costs the database some milliseconds.

    The frames come from disk: those of which rows were taken would keep the text of all their rows in memory.
    """
    waiting: list[pl.DataFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(each.height for each in waiting) >= _GATHERED_ROWS:
            yield pl.concat(waiting)
            waiting.clear()
    if waiting:
        yield pl.concat(waiting)


def differs(given: ColumnElement[Any], stored: ColumnElement[Any], default: str | None = None) -> ColumnElement[bool]:
    """Whether a row says something else of its user than what is stored; a null says nothing."""
    return and_(given.is_not(None), cleared(given, default).is_distinct_from(stored))


def cleared(given: ColumnElement[Any], default: str | None) -> ColumnElement[Any]:
    """What is stored of a value: CLEAR empties, or brings the column's default back."""
    value = func.nullif(given, CLEAR)
    return value if default is None else func.coalesce(value, default)


def known_users(connection: Connection, users: Table, format_: Format, client: str) -> KnownUsers:
    """The users of a client, who are found by the format's key."""
    return KnownUsers(connection, users, client, unique_columns(format_)[format_.key])


def imported_files(connection: Connection, client: str) -> int:
    """How many files of the client were imported; each stays in the ledger, and nodes' clocks may differ."""
    counted = select(func.count()).select_from(imports).where(imports.c.client == client)
    return connection.execute(counted).scalar_one()


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

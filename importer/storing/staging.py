"""The staging of accepted rows in temporary tables, which no other connection sees and which need no write lock."""

from collections.abc import Callable, Iterator
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

from importer.database.engines import staging
from importer.database.fetching import fetched
from importer.database.loading import load, loaded, loaded_by_key, make
from importer.database.tables import imports
from importer.formats.columns import CLEAR, unique_columns
from importer.judging.spooling import Spool
from importer.judging.together import BROUGHT_BY
from importer.prefetch import ahead
from importer.storing.hashing import with_hashes
from importer.storing.repeats import Identities, KnownUsers, with_news
from importer.storing.store import Store

_GATHERED_ROWS = 20_000
_NO_ROWS = pl.Series("row", [], pl.Int64)


class Rows(Protocol):
    """Rows of one file, or of several, which may not be judged until they are taken."""

    @property
    def columns(self) -> list[str]:
        """The columns of the frames of `accepted`."""
        ...

    @property
    def expected(self) -> int:
        """The rough number of rows that there may be, those that fail included."""
        ...

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The rows as `Verdict.accepted` has them, perhaps with BROUGHT_BY; `row` is unique."""
        ...

    def spool(self, name: str) -> Spool:
        """Make a new place for frames, which lasts as long as the rows."""
        ...


class Accepted(Rows, Protocol):
    """Rows of one file, or of several, that are judged and wait to be merged."""

    @property
    def height(self) -> int:
        """The number of accepted rows."""
        ...

    @property
    def last_row(self) -> int:
        """The greatest number of a row, or a greater one."""
        ...

    @property
    def fallen(self) -> pl.Series:
        """Rows that fail though they were among those taken while the file was judged; sorted."""
        ...


class Arriving(Rows, Protocol):
    """Rows that are judged while they are taken."""

    def finish(self) -> Accepted:
        """Judge the rows now, unless all of them were taken before; returns them as judged."""
        ...


class Foreknown(NamedTuple):
    """The answer of `KnownUsers.identities`, asked before the file was read.

    Attributes:
        imports: how many files of the client were imported before that.
        rows: the number of rows for which it was asked.
        identities: what the feed last gave for the users; None where the database is to compare.
    """

    imports: int
    rows: int
    identities: Identities | None


class Staging:
    """Makes rows `Staged`: those that have something to say, in the temporary table `table`.

    A row that repeats what the feed last gave for its user is left out (unless asked for), and it costs no more than
    its hash. The others wait in a spool, so that they are not judged and hashed again. Where a client has no users yet
    every row makes one, and nothing needs to be staged.

    Attributes:
        store: where the rows' users are stored.
        client: the client to whom the users belong.
        columns: the columns of the rows, comparison keys included.
        unique: the columns, the key aside, of which no two users share a value.
        table: keys and unique values of the staged rows.
        is_of_several: whether each row has its claim.
    """

    def __init__(self, store: Store, rows: Rows, client: str) -> None:
        names = rows.columns
        self.store = store
        self.client = client
        self.columns = [name for name in names if name not in {"row", "line", BROUGHT_BY}]
        self.is_of_several = BROUGHT_BY in names
        unique = dict.fromkeys(name for name in unique_columns(store.format).values() if name in self.columns)
        self.unique = [name for name in unique if name != store.key]
        self.table = _keys_table("staged", self)
        self._rows = rows
        self._chosen: Spool | None = None
        self._early: Staged | None = None
        self._imports_seen = 0

    def fill_early(self, connection: Connection, judging: Arriving, foreknown: Foreknown | None) -> None:
        """Stage the rows, while they are judged, without the client's lock, which `fill` looks after."""
        with staging(connection):
            self._imports_seen = imported_files(connection, self.client)  # first, or an import might be half seen
            known = foreknown if foreknown is not None and foreknown.imports == self._imports_seen else None
            is_answered = known is not None and (known.identities or known.rows >= self._rows.expected)
            identities = known.identities if known and is_answered else self._identities(connection)
            self._early = self._fill(connection, judging, judging.finish, identities)

    def fill(self, connection: Connection, judged: Accepted) -> "Staged":
        """Stage the rows under the client's lock, for the first time or again.

        Another importer, which has another directory for a client of the same name, may have changed meanwhile what
        the feed last gave; and a client that had no users may have got some.
        """
        if self._early is not None and imported_files(connection, self.client) == self._imports_seen:
            return self._early
        filled = self._fill(connection, judged, lambda: judged, self._identities(connection))
        return Staged(self, judged, None, _NO_ROWS) if filled is None else filled

    def _identities(self, connection: Connection) -> Identities | None:
        return self._known_users(connection).identities(self._rows.expected) if self.store.skips_unchanged else None

    def _known_users(self, connection: Connection) -> KnownUsers:
        return known_users(connection, self.store, self.client)

    def _fill(
        self, connection: Connection, rows: Rows, finish: Callable[[], Accepted], known: Identities | None
    ) -> "Staged | None":
        """Stage the rows; None where the client has no users. `finish` tells of the rows once all were taken."""
        if not has_users(connection, self.store, self.client):
            return None
        chosen, numbers = self._empty_spool(), [_NO_ROWS]
        make(connection, self.table)
        for frame in self._without_repeats(connection, rows, known):
            chosen.append(frame)
            load(connection, self.table, frame.select(self.table.c.keys()))
            numbers.append(frame["row"])
        loaded_by_key(connection, self.table, self.store.key)
        judged = finish()
        staged = Staged(self, judged, chosen, pl.concat(numbers))
        staged.skipped = judged.height - (staged.rows.len() - staged.take_out(connection, judged.fallen))
        return staged

    def _without_repeats(self, connection: Connection, rows: Rows, known: Identities | None) -> Iterator[pl.DataFrame]:
        """The rows that do not repeat what the feed last gave, with their hashes."""
        with ahead(rows.accepted()) as frames:
            # Hashed on this thread, as the other one judges meanwhile.
            hashed: Iterator[pl.DataFrame] = (_hashed(frame, self.store) for frame in frames if frame.height)
            if self.store.skips_unchanged:
                hashed = with_news(hashed, self._known_users(connection), known)
            yield from hashed

    def _empty_spool(self) -> Spool:
        if self._chosen is None:
            self._chosen = self._rows.spool("staged")
        self._chosen.clear()
        return self._chosen


class Staged:
    """The rows that have something to say, staged by `Staging`, whose attributes it shares.

    Attributes:
        rows: their numbers.
        skipped: how many rows were left out because they repeat what the feed last gave.
        is_empty: whether nothing is staged, as the client has no users.
    """

    def __init__(self, staging: Staging, judged: Accepted, chosen: Spool | None, rows: pl.Series) -> None:
        self.store = staging.store
        self.client = staging.client
        self.columns = staging.columns
        self.unique = staging.unique
        self.table = staging.table
        self.is_of_several = staging.is_of_several
        self.rows = rows
        self.skipped = 0
        self.is_empty = chosen is None
        self._judged = judged
        self._chosen = chosen
        self._fallen = _NO_ROWS
        self._found: pl.DataFrame | None = None

    def take_out(self, connection: Connection, rows: pl.Series) -> int:
        """Leave out rows that fail after all; returns how many of them were staged."""
        if rows.is_empty():
            return 0
        self._fallen = pl.Series("row", np.union1d(self._fallen, rows), pl.Int64)
        fallen = self._apart(connection, "fallen", rows)
        return connection.execute(delete(self.table).where(self.table.c.row.in_(select(fallen.c.row)))).rowcount

    def _apart(self, connection: Connection, name: str, rows: pl.Series) -> Table:
        """Put the numbers of some rows of the file into a temporary table."""
        table = _table(name, [_row_column()])
        make(connection, table)
        load(connection, table, rows.to_frame("row"))
        return table

    def value(self, column: str, row: int) -> str:
        """The value of a staged row in a column."""
        found = (frame.filter(pl.col("row") == row)[column] for frame in self._full())
        return next(str(values[0]) for values in found if values.len())

    def stored(self, connection: Connection) -> pl.DataFrame:
        """A frame of `row` and user `id` of the staged rows whose users exist; call it under the client's lock."""
        found = self._compared_with_users(connection)
        return found.select("row", "id").filter(~pl.col("row").is_in(self._fallen.implode()))

    def takers(self, connection: Connection) -> Table | None:
        """The staged rows that bring or clear a unique value, in `table` or in one like it; None where there are none.

        Those of users who are there are few, as most changes are of other columns; those of new users are among them.
        To be asked under the client's lock.
        """
        if self.rows.is_empty() or not self.unique:
            return None
        found = self._compared_with_users(connection)
        others = found.filter(~pl.col("takes"))["row"]
        if others.is_empty():
            return self.table
        rows = np.setdiff1d(self.rows, pl.concat([others, self._fallen]))
        if not rows.size:
            return None
        numbers = self._apart(connection, "numbers", pl.Series("row", rows, pl.Int64))
        takers = _keys_table("takers", self)
        make(connection, takers)
        these = select(self.table).where(self.table.c.row.in_(select(numbers.c.row)))
        connection.execute(insert(takers).from_select(takers.c.keys(), these))
        loaded(connection, takers, ["row"])
        return takers

    def frees_values(self, connection: Connection) -> bool:
        """Whether a user may have another value in a unique column, or none, afterwards."""
        return self._compared_with_users(connection)["takes"].any()

    def _compared_with_users(self, connection: Connection) -> pl.DataFrame:
        """A frame of `row`, user `id` and whether the row `takes` or clears a unique value, asked once."""
        if self.is_empty:
            return pl.DataFrame(schema={"row": pl.Int64, "id": pl.Int64, "takes": pl.Boolean})
        if self._found is None:
            users, staged = self.store.users.c, self.table.c
            same = and_(users.client == self.client, users[self.store.key] == staged[self.store.key])
            takes = or_(false(), *(differs(staged[name], users[name]) for name in self.unique))
            query = select(staged.row, users.id, case((takes, 1), else_=0).label("takes")).join(self.store.users, same)
            self._found = fetched(connection, query).with_columns(pl.col("takes").cast(pl.Boolean))
        return self._found

    def of_users(self, stored: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The rows of `stored` in full, with the user's id and the hash."""
        for frame in self._flagged(self._flags(stored["row"])):
            yield frame.join(stored, on="row")

    def of_nobody(self, stored: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The rows whose users do not exist, in full, with the hash."""
        return self._flagged(~(self._flags(stored["row"]) | self._flags(self._fallen)))

    def _flagged(self, flags: Any) -> Iterator[pl.DataFrame]:  # noqa: ANN401 - as _flags
        with ahead(self._full()) as frames:
            for frame in frames:
                rows = frame.filter(pl.Series(flags[frame["row"].to_numpy()]))
                if rows.height:
                    yield rows

    def _full(self) -> Iterator[pl.DataFrame]:
        """The staged rows with all columns; all rows where nothing is staged."""
        if self._chosen is None:
            return (_hashed(frame, self.store) for frame in self._judged.accepted())
        return _gathered(self._chosen.frames())

    def _flags(self, rows: pl.Series) -> Any:  # noqa: ANN401 - numpy's array of booleans
        """An array with a flag for each row of the file, set for those that are given."""
        flags = np.zeros(self._judged.last_row + 1, np.bool_)
        flags[rows.to_numpy()] = True
        return flags


def _hashed(frame: pl.DataFrame, store: Store) -> pl.DataFrame:
    return with_hashes(frame.drop("line"), store.format)


def _gathered(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows of the frames in fewer frames, as each frame costs the database some milliseconds.

    The frames come from disk: a frame made by taking rows of another would keep the text of all its rows in memory.
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
    """The stored form of a value: CLEAR empties, or brings the column's default back."""
    value = func.nullif(given, CLEAR)
    return value if default is None else func.coalesce(value, default)


def known_users(connection: Connection, store: Store, client: str) -> KnownUsers:
    """The users of a client, who are found by the format's key."""
    return KnownUsers(connection, store.users, client, store.key)


def foreknow(connection: Connection, store: Store, client: str, rows: int) -> Foreknown:
    """Ask what is known of a client's users before a file of about so many rows is read.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    seen = imported_files(connection, client)  # first, or an import might be half seen
    return Foreknown(seen, rows, known_users(connection, store, client).identities(rows))


def imported_files(connection: Connection, client: str) -> int:
    """The number of the client's imported files; each stays in the ledger, while nodes' clocks may differ."""
    counted = select(func.count()).select_from(imports).where(imports.c.client == client)
    return connection.execute(counted).scalar_one()


def has_users(connection: Connection, store: Store, client: str) -> bool:
    """Whether a client has any users."""
    some = select(literal(1)).where(store.users.c.client == client).limit(1)
    return connection.execute(some).first() is not None


def changes_table(staged: Staged) -> Table:
    """Define the temporary table of full rows whose users exist."""
    brought_by = [BROUGHT_BY] if staged.is_of_several else []
    texts = [Column(name, Text) for name in (*staged.columns, *brought_by, "feed_hash")]
    return _table("changes", [_row_column(), Column("id", BigInteger), *texts])


def _keys_table(name: str, staged: "Staging | Staged") -> Table:
    """A temporary table of rows' keys and unique values."""
    return _table(name, [_row_column(), *(Column(each, Text) for each in (staged.store.key, *staged.unique))])


def _table(name: str, columns: list[Column[Any]]) -> Table:
    return Table(name, MetaData(), *columns, prefixes=["TEMPORARY"])


def _row_column() -> Column[int]:
    """Define the column of the record's number in the file."""
    return Column("row", Integer, primary_key=True, autoincrement=False)

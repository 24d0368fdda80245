"""Accepted rows → users, set by set: staged in a temporary table, checked against the stored users, merged.

A null keeps the stored value, CLEAR empties it. SQLite and PostgreSQL run the same statements; what differs between
them is in `importer.engines`.
"""

import datetime as dt
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import polars as pl
from sqlalchemy import (
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
    null,
    or_,
    select,
    update,
)
from sqlalchemy.schema import CreateTable, DropTable

from importer.engines import load, loaded, staging
from importer.format import CLEAR, Format, unique_columns
from importer.model import Claim, Counts
from importer.uniqueness import Late

BROUGHT_BY = "brought by"
"""The staged column with the claim of each row, where rows of several files are merged; no format has such a name."""

_STAGED_ROWS = 20_000


class Accepted(Protocol):
    """Rows to be merged: of one examined file, or of several."""

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The rows as `Verdict.accepted` has them, perhaps with BROUGHT_BY; `row` is unique."""
        ...


class Staging:
    """The accepted rows in a temporary table, which no other connection sees and no write lock is needed for."""

    def __init__(self, connection: Connection, format_: Format, examination: Accepted) -> None:
        first = next(iter(examination.accepted()), None)
        names = [] if first is None else first.columns
        self.columns = [name for name in names if name not in {"row", "line", BROUGHT_BY}]
        self.key = format_.key
        self.table = Table(
            "staged",
            MetaData(),
            _row_column(),
            *(Column(name, Text) for name in names if name not in {"row", "line"}),
            prefixes=["TEMPORARY"],
        )
        with staging(connection):
            connection.execute(DropTable(self.table, if_exists=True))
            connection.execute(CreateTable(self.table))
            for frame in examination.accepted():
                for rows in frame.drop("line").iter_slices(_STAGED_ROWS):
                    if rows.height:
                        load(connection, self.table, rows)
            if self.columns:
                loaded(connection, self.table, unique_columns(format_)[format_.key])


def _row_column() -> Column[int]:
    """The record's number in the file."""
    return Column("row", Integer, primary_key=True, autoincrement=False)


class Conflicts:
    """Accepted rows whose unique values belong to other users, unless this file takes them away from those."""

    def __init__(self, connection: Connection, users: Table, staging: Staging, format_: Format, client: str) -> None:
        self._connection = connection
        self._users = users
        self._staging = staging
        self._format = format_
        self._client = client
        self._key = unique_columns(format_)[format_.key]

    def drop(self) -> list[Late]:
        """Take conflicting rows out of the staging; returns them by column, each for every column it conflicts in.

        A row that falls out no longer gives its user another value, so a row that waited for that one falls as well.
        """
        waits = {name: self._waits(compared) for name, compared in self._compared()}
        fallen = _fallen([*waits.values()])
        found = {name: _conflicts(frame, fallen) for name, frame in waits.items()}
        late = [self._late(name, rows) for name, rows in found.items() if rows.height]
        self._delete(fallen)
        return late

    def are_possible(self) -> bool:
        """Whether a value of an accepted row belongs to another user, who may give it up in this file."""
        return any(self._waits(compared).height for _, compared in self._compared())

    def _compared(self) -> Iterator[tuple[str, str]]:
        for name, compared in unique_columns(self._format).items():
            if name != self._format.key and compared in self._staging.columns:
                yield name, compared

    def _waits(self, compared: str) -> pl.DataFrame:
        """The rows whose value another user has; `giver` is the row that gives that user another value, or null."""
        query = self._query(compared).execution_options(yield_per=_STAGED_ROWS)
        schema = {"row": pl.Int64, "giver": pl.Int64}
        parts = self._connection.execute(query).partitions()
        frames = [pl.DataFrame([tuple(row) for row in part], schema=schema, orient="row") for part in parts]
        return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("row")

    def _query(self, compared: str) -> Any:  # noqa: ANN401 - SQLAlchemy's own row type says nothing more
        staged, users, giver = self._staging.table, self._users, self._staging.table.alias("giver")
        key = self._key
        return (
            select(staged.c.row, giver.c.row.label("giver"))
            .join(users, and_(users.c.client == self._client, users.c[compared] == staged.c[compared]))
            .outerjoin(giver, and_(giver.c[key] == users.c[key], giver.c[compared].is_not(None)))
            .where(staged.c[compared] != CLEAR, users.c[key] != staged.c[key])
        )

    def _late(self, name: str, rows: pl.DataFrame) -> Late:
        staged = self._staging.table
        example = self._connection.execute(select(staged.c[name]).where(staged.c.row == rows["row"][0])).scalar_one()
        return Late(kind="duplicate_user", column=name, rows=rows, example=example)

    def _delete(self, rows: pl.Series) -> None:
        if rows.is_empty():
            return
        fallen = Table("fallen", MetaData(), _row_column(), prefixes=["TEMPORARY"])
        self._connection.execute(DropTable(fallen, if_exists=True))
        self._connection.execute(CreateTable(fallen))
        for part in rows.to_frame("row").iter_slices(_STAGED_ROWS):
            load(self._connection, fallen, part)
        staged = self._staging.table
        self._connection.execute(delete(staged).where(staged.c.row.in_(select(fallen.c.row))))


def _fallen(waits: list[pl.DataFrame]) -> pl.Series:
    """The rows that conflict, each column's `Conflicts._waits` given: those without a giver, and who waits for them.

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
    """Giver → the row that waits for it, 0 for none."""
    given = waits.drop_nulls()
    rows = np.zeros(size, np.int64)
    rows[given["giver"].to_numpy()] = given["row"].to_numpy()
    return array("q", rows.tobytes())


def _conflicts(waits: pl.DataFrame, fallen: pl.Series) -> pl.DataFrame:
    """The rows of one column that conflict in the end."""
    is_free = pl.col("giver").is_not_null() & ~pl.col("giver").is_in(fallen.implode())
    return waits.filter(~is_free).select("row")


class Merge:
    """Makes the staged rows users."""

    def __init__(self, users: Table, staging: Staging, format_: Format, claim: Claim, at: dt.datetime) -> None:
        self._users = users
        self._staged = staging.table
        self._columns = staging.columns
        self._format = format_
        self._claim = claim
        self._claim_id = self._staged.c.get(BROUGHT_BY, literal(claim.id))
        self._at = at
        key = unique_columns(format_)[format_.key]
        self._same_user = and_(users.c.client == claim.client, users.c[key] == self._staged.c[key])

    def run_each(self, connection: Connection, accepted: Mapping[str, int]) -> dict[str, Counts]:
        """The same for the rows of several files, none of which has a user of another one.

        Args:
            connection: within the caller's transaction.
            accepted: claim → how many rows were accepted.

        Raises:
            ArithmeticError: as for `run`.
        """
        connection.execute(self._drop_unchanged())
        left = {row[0]: row[1] for row in connection.execute(self._counted())}
        there = {row[0]: row[1] for row in connection.execute(self._counted().where(self._is_there()))}
        for statement in self._free_unique_values():
            connection.execute(statement)
        updated = connection.execute(self._update()).rowcount
        inserted = connection.execute(self._insert()).rowcount
        if (inserted + updated, updated) != (sum(left.values()), sum(there.values())):
            message = f"{left} rows were staged, {there} of them of users, but {inserted} + {updated} stored"
            raise ArithmeticError(message)
        return {
            claim: Counts(
                records=rows,
                accepted=rows,
                inserted=left.get(claim, 0) - there.get(claim, 0),
                updated=there.get(claim, 0),
                unchanged=rows - left.get(claim, 0),
            )
            for claim, rows in accepted.items()
        }

    def _counted(self) -> Any:  # noqa: ANN401 - see Conflicts._query
        """Claim → its staged rows."""
        return select(self._claim_id, func.count()).select_from(self._staged).group_by(self._claim_id)

    def _is_there(self) -> ColumnElement[bool]:
        return select(literal(1)).where(self._same_user).exists()

    def run(self, connection: Connection, counts: Counts) -> Counts:
        """Merge, within the caller's transaction; returns the counts with what became of the accepted rows.

        Raises:
            ArithmeticError: the rows stored are not as many as were accepted; the caller must roll back.
        """
        unchanged = connection.execute(self._drop_unchanged()).rowcount
        for statement in self._free_unique_values():
            connection.execute(statement)
        updated = connection.execute(self._update()).rowcount
        inserted = connection.execute(self._insert()).rowcount
        if inserted + updated + unchanged != counts.accepted:
            message = f"{counts.accepted} rows were accepted, but {inserted} + {updated} + {unchanged} stored"
            raise ArithmeticError(message)
        return replace(counts, inserted=inserted, updated=updated, unchanged=unchanged)

    def _drop_unchanged(self) -> Any:  # noqa: ANN401 - see Conflicts._query
        """Take the rows out of the staging that repeat what is stored."""
        changed = [self._changes(name) for name in self._columns if name != self._format.key]
        same = select(literal(1)).where(self._same_user, ~or_(false(), *changed))
        return delete(self._staged).where(same.exists())

    def _free_unique_values(self) -> Iterator[Any]:
        """Let go of unique values that a user is about to change, so that another row may take them over."""
        for name, compared in unique_columns(self._format).items():
            if name != self._format.key and compared in self._columns:
                given = self._staged.c[compared]
                is_changed = given != self._users.c[compared]
                yield update(self._users).where(self._same_user, is_changed).values({compared: null()})

    def _update(self) -> Any:  # noqa: ANN401 - see Conflicts._query
        """Change the users that are there."""
        values = {name: self._merged(name) for name in self._columns if name != self._format.key}
        mark = {"updated_at": self._at, "updated_by": self._claim_id}
        return update(self._users).where(self._same_user).values({**values, **mark})

    def _insert(self) -> Any:  # noqa: ANN401 - see Conflicts._query
        """Add the users that are not there."""
        values: dict[str, ColumnElement[Any]] = {
            "client": literal(self._claim.client),
            "created_at": literal(self._at, self._users.c.created_at.type),
            "updated_at": literal(self._at, self._users.c.updated_at.type),
            "created_by": self._claim_id,
            "updated_by": self._claim_id,
            **{name: literal(value) for name, value in self._format.defaults.items()},
            **{name: self._given(name) for name in self._columns},
        }
        new = select(*values.values()).select_from(self._staged).where(~self._is_there())
        return insert(self._users).from_select([*values], new).execution_options(preserve_rowcount=True)

    def _changes(self, name: str) -> ColumnElement[bool]:
        return and_(self._staged.c[name].is_not(None), self._given(name).is_distinct_from(self._users.c[name]))

    def _given(self, name: str) -> ColumnElement[Any]:
        given = func.nullif(self._staged.c[name], CLEAR)
        default = self._format.defaults.get(name)
        return given if default is None else func.coalesce(given, default)

    def _merged(self, name: str) -> ColumnElement[Any]:
        return case((self._staged.c[name].is_(None), self._users.c[name]), else_=self._given(name))

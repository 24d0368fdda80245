"""Accepted rows → users, set by set: staged in a temporary table, checked against the stored users, merged.

A null keeps the stored value, CLEAR empties it. All statements are SQLAlchemy's, so that SQLite and PostgreSQL run
the same ones.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

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
    bindparam,
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

from importer.database import unique_columns
from importer.examining import Examination
from importer.format import CLEAR, Format
from importer.model import Claim, Counts
from importer.validating import failures_frame, in_order, sentence, shown

_STAGED_ROWS = 20_000


class Staging:
    """The accepted rows in a temporary table, which no other connection sees and no write lock is needed for."""

    def __init__(self, connection: Connection, format_: Format, examination: Examination) -> None:
        first = next(iter(examination.accepted()), None)
        self.columns = [] if first is None else [name for name in first.columns if name not in {"row", "line"}]
        self.key = format_.key
        self.examination = examination
        self.table = Table(
            "staged",
            MetaData(),
            Column("row", Integer, primary_key=True),
            *(Column(name, Text) for name in self.columns),
            prefixes=["TEMPORARY"],
        )
        with connection.execution_options(sqlite_begin="DEFERRED").begin():
            connection.execute(DropTable(self.table, if_exists=True))
            connection.execute(CreateTable(self.table))
            for frame in examination.accepted():
                self._load(connection, frame)
        connection.execution_options(sqlite_begin="IMMEDIATE")

    def _load(self, connection: Connection, frame: pl.DataFrame) -> None:
        for rows in frame.drop("line").iter_slices(_STAGED_ROWS):
            if rows.height:
                connection.execute(insert(self.table), rows.to_dicts())


class Conflicts:
    """Accepted rows whose unique values belong to other users, unless this file takes them away from those."""

    def __init__(self, connection: Connection, users: Table, staging: Staging, format_: Format, client: str) -> None:
        self._connection = connection
        self._users = users
        self._staging = staging
        self._format = format_
        self._client = client
        self._key = unique_columns(format_)[format_.key]

    def drop(self) -> pl.DataFrame:
        """Take conflicting rows out of the staging, until none is left; returns them as a failures frame.

        A row that falls out no longer gives its user another value, which may make another row conflict.
        """
        dropped: list[pl.DataFrame] = []
        while failures := [frame for frame in self._found() if frame.height]:
            dropped += failures
            rows = sorted({row for frame in failures for row in frame["row"].to_list()})
            staged = self._staging.table
            self._connection.execute(
                delete(staged).where(staged.c.row == bindparam("failed_row")), [{"failed_row": row} for row in rows]
            )
        return in_order(dropped)

    def _found(self) -> Iterator[pl.DataFrame]:
        names = [column.name for column in self._format.columns]
        for name, compared in unique_columns(self._format).items():
            if name != self._format.key and compared in self._staging.columns:
                rows = self._connection.execute(self._query(name, compared)).all()
                frame = pl.DataFrame(rows, schema={"row": pl.Int64, "value": pl.String}, orient="row")
                label = self._staging.examination.header.label(name)
                message = sentence("duplicate_user", label, {"value": shown(pl.col("value"))})
                yield failures_frame(frame, "duplicate_user", name, names.index(name), message)

    def _query(self, name: str, compared: str) -> Any:  # noqa: ANN401 - SQLAlchemy's own row type says nothing more
        staged, users, owner = self._staging.table, self._users, self._staging.table.alias("owner")
        key = self._key
        return (
            select(staged.c.row, staged.c[name])
            .join(users, and_(users.c.client == self._client, users.c[compared] == staged.c[compared]))
            .outerjoin(owner, owner.c[key] == users.c[key])
            .where(
                staged.c[compared] != CLEAR,
                users.c[key] != staged.c[key],
                or_(owner.c.row.is_(None), owner.c[compared].is_(None)),
            )
        )


class Merge:
    """Makes the staged rows users."""

    def __init__(self, users: Table, staging: Staging, format_: Format, claim: Claim, at: dt.datetime) -> None:
        self._users = users
        self._staged = staging.table
        self._columns = staging.columns
        self._format = format_
        self._claim = claim
        self._at = at
        key = unique_columns(format_)[format_.key]
        self._same_user = and_(users.c.client == claim.client, users.c[key] == self._staged.c[key])

    def run(self, connection: Connection, accepted: Counts) -> Counts:
        """Merge, within the caller's transaction; returns the counts with what became of the accepted rows.

        Raises:
            ArithmeticError: the rows stored are not as many as were accepted; the caller must roll back.
        """
        unchanged = connection.execute(self._drop_unchanged()).rowcount
        for statement in self._free_unique_values():
            connection.execute(statement)
        updated = connection.execute(self._update()).rowcount
        inserted = connection.execute(self._insert()).rowcount
        if inserted + updated + unchanged != accepted.accepted:
            message = f"{accepted.accepted} rows were accepted, but {inserted} + {updated} + {unchanged} stored"
            raise ArithmeticError(message)
        return replace(accepted, inserted=inserted, updated=updated, unchanged=unchanged)

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
                change = select(literal(1)).where(self._same_user, given != self._users.c[compared])
                yield update(self._users).where(change.exists()).values({compared: null()})

    def _update(self) -> Any:  # noqa: ANN401 - see Conflicts._query
        """Change the users that are there."""
        values = {name: self._merged(name) for name in self._columns if name != self._format.key}
        mark = {"updated_at": self._at, "updated_by": self._claim.id}
        return update(self._users).where(self._same_user).values({**values, **mark})

    def _insert(self) -> Any:  # noqa: ANN401 - see Conflicts._query
        """Add the users that are not there."""
        values: dict[str, ColumnElement[Any]] = {
            "client": literal(self._claim.client),
            "created_at": literal(self._at, self._users.c.created_at.type),
            "updated_at": literal(self._at, self._users.c.updated_at.type),
            "created_by": literal(self._claim.id),
            "updated_by": literal(self._claim.id),
            **{name: literal(value) for name, value in self._format.defaults.items()},
            **{name: self._given(name) for name in self._columns},
        }
        there = select(literal(1)).where(self._same_user).exists()
        new = select(*values.values()).select_from(self._staged).where(~there)
        return insert(self._users).from_select([*values], new).execution_options(preserve_rowcount=True)

    def _changes(self, name: str) -> ColumnElement[bool]:
        return and_(self._staged.c[name].is_not(None), self._given(name).is_distinct_from(self._users.c[name]))

    def _given(self, name: str) -> ColumnElement[Any]:
        given = func.nullif(self._staged.c[name], CLEAR)
        default = self._format.defaults.get(name)
        return given if default is None else func.coalesce(given, default)

    def _merged(self, name: str) -> ColumnElement[Any]:
        return case((self._staged.c[name].is_(None), self._users.c[name]), else_=self._given(name))

"""The adding of users who are not there yet, of accepted rows, without the way round by a temporary table."""

import datetime as dt
from collections import Counter

import polars as pl
from sqlalchemy import Connection

from importer.database.loading import load, load_new, loaded, plain_text
from importer.database.tables import has_other_unique_values
from importer.formats.columns import CLEAR, unique_columns
from importer.judging.together import BROUGHT_BY
from importer.model import Claim
from importer.storing.repeats import MANY_ROWS
from importer.storing.store import Store

_BROUGHT = ("created_by", "updated_by")
_NOT_STORED = {"row", "line", "feed_hash", BROUGHT_BY}


class NewUsers:
    """The adder of users of one client, within the caller's transaction.

    Attributes:
        added: claim → how many users were added.
    """

    def __init__(self, connection: Connection, store: Store, claim: Claim, at: dt.datetime) -> None:
        self.added: Counter[str] = Counter()
        self._connection = connection
        self._users = users = store.users
        self._format = store.format
        self._looked_up = ["id", "client", *unique_columns(store.format).values()]
        self._defaults = store.format.defaults
        self._claim = claim
        self._marks = {
            "client": claim.client,
            "created_at": plain_text(connection, users.c.created_at, at),
            "updated_at": plain_text(connection, users.c.updated_at, at),
        }

    def add(self, rows: pl.DataFrame) -> None:
        """Add the user of each row.

        Args:
            rows: as `Verdict.accepted` has them, with their `feed_hash`, and BROUGHT_BY if they are of several files.

        Raises:
            sqlalchemy.exc.DBAPIError: a user is there, or the database failed.
        """
        new = self._new(rows)
        load(self._connection, self._users, new)
        if BROUGHT_BY in rows.columns:
            self.added.update(new["created_by"].to_list())
        else:
            self.added[self._claim.id] += new.height

    def add_if_free(self, rows: pl.DataFrame) -> None:
        """Add the user of each row of one file, unless a unique value is taken, also by an earlier row.

        Raises:
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        self.added[self._claim.id] += load_new(self._connection, self._users, self._new(rows))

    def are_those_of(self, accepted: int, *, has_fallen: bool) -> bool:
        """Whether the users that were added where they were free are those of all rows that are accepted in the end.

        A row makes a user unless one of its unique values is taken by an earlier row. So every accepted row makes one,
        and it is enough to count: where more rows did, some of them fail. But a value that only an index of an earlier
        format wants unique keeps out rows that are accepted.

        Args:
            accepted: how many rows are accepted.
            has_fallen: whether rows fail for a value that they share with an earlier one.
        """
        if self.added.total() != accepted:
            return False
        return not (has_fallen and has_other_unique_values(self._connection, self._format))

    def done(self) -> None:
        """Tell the planner of the users, or the next import meets a planner that knows of none."""
        if self.added.total() >= MANY_ROWS:
            loaded(self._connection, self._users, self._looked_up)

    def _new(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with all columns of a new user."""
        given = [name for name in rows.columns if name not in _NOT_STORED]
        constants = self._marks | {name: value for name, value in self._defaults.items() if name not in given}
        brought_by = pl.col(BROUGHT_BY) if BROUGHT_BY in rows.columns else pl.lit(self._claim.id)
        same = {name: pl.lit(value) for name, value in constants.items()} | dict.fromkeys(_BROUGHT, brought_by)
        values = [_value(name, self._defaults.get(name)) for name in given]
        return rows.select("feed_hash", *values, **same)


def _value(name: str, default: str | None) -> pl.Expr:
    """The value of a column for a new user."""
    value = pl.when(pl.col(name) != CLEAR).then(pl.col(name))
    return value if default is None else value.fill_null(default)

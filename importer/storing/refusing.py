"""The rows that the database refuses by rules of its own, as a site's triggers and constraints are.

They are found by trial: what a file would store is stored part by part, each behind a savepoint, and a part that is
refused is halved, down to single rows. Nothing of the trial stays.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import polars as pl
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from importer.database.dialects import check_deferred
from importer.database.failures import is_refusal, refusing_words
from importer.formats.columns import unique_columns
from importer.judging.uniqueness import Late
from importer.model import Claim
from importer.storing.adding import NewUsers
from importer.storing.merging import Merge
from importer.storing.staging import Staged

MOST_TRIALS = 10_000
"""The number of parts that are tried at most; rows that are undecided then fail untried."""


class RefusedByDatabaseError(Exception):
    """The database refuses some of the rows that were to be stored; the caller must roll back, and try row by row."""


@contextmanager
def refusals_told(connection: Connection) -> Iterator[None]:
    """Tell the database's refusal of rows from its other errors.

    Raises:
        RefusedByDatabaseError: in place of the driver's error, unless the rule has ended the whole transaction.
    """
    try:
        yield
    except DBAPIError as error:
        is_in_transaction = getattr(connection.connection.driver_connection, "in_transaction", True)
        if not (is_refusal(error) and is_in_transaction):
            raise
        raise RefusedByDatabaseError from error


def refused_rows(connection: Connection, staged: Staged, claim: Claim, merge: Merge) -> list[Late]:
    """Find the staged rows that the database refuses, and take them out.

    A row that is refused because another one has not given up a value yet is refused by the format's own rules: it is
    tried again after the others, and left in where that does not help. After rows were taken out conflicts are to be
    looked for again, and then refused rows.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed; the caller must roll back.
    """
    trial = _Trial(connection, _own_indexes(staged))
    stored = staged.stored(connection)
    if stored.height:
        merge.load_changes(connection, stored)
    whole = connection.begin_nested()
    try:
        if stored.height:
            trial.halve(stored["row"].sort(), lambda rows: merge.change(connection, rows[0], rows[-1]))
            trial.try_again(lambda rows: merge.change(connection, rows[0], rows[-1]))
        new = NewUsers(connection, staged.store, claim, merge.at)
        for frame in staged.of_nobody(stored):
            trial.halve(frame["row"], partial(_add, new, frame))
    finally:
        whole.rollback()
    late = trial.late()
    for each in late:
        staged.take_out(connection, each.rows["row"])
    return late


def _add(new: NewUsers, frame: pl.DataFrame, rows: pl.Series) -> None:
    new.add(frame.filter(pl.col("row").is_in(rows.implode())))


@dataclass(slots=True)
class _Trial:
    """The trial of rows, part by part.

    Attributes:
        own: names of the format's own unique indexes, or what the database says instead.
        refused: row → the words in which the database refuses it.
        waiting: the rows that are refused because of a value that another row still has.
        untried: the rows of parts that were refused, and that were not tried by themselves.
        left: how many parts may still be tried.
    """

    connection: Connection
    own: frozenset[str]
    refused: dict[int, str] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    untried: list[int] = field(default_factory=list)
    left: int = field(default_factory=lambda: MOST_TRIALS)

    def halve(self, rows: pl.Series, store: Callable[[pl.Series], None]) -> None:
        """Store the rows that are not refused; `store` stores some successive ones of them."""
        waiting = [rows]
        while waiting:
            part = waiting.pop()
            if not self.left:
                self.untried += part.to_list()
            elif (refusal := self._refusal(part, store)) is None:
                continue
            elif part.len() > 1:
                middle = part.len() // 2
                waiting += [part[middle:], part[:middle]]
            elif _rule(refusal) in self.own:
                self.waiting += part.to_list()
            else:
                self.refused[part[0]] = refusing_words(refusal)

    def try_again(self, store: Callable[[pl.Series], None]) -> None:
        """Store the rows that waited for others, as long as that helps."""
        tried = 0
        while self.waiting and len(self.waiting) != tried:
            again, self.waiting = self.waiting, []
            tried = len(again)
            for row in again:
                self.halve(pl.Series([row]), store)

    def _refusal(self, part: pl.Series, store: Callable[[pl.Series], None]) -> DBAPIError | None:
        """The database's refusal of a part; None where it takes it."""
        self.left -= 1
        savepoint = self.connection.begin_nested()
        try:
            store(part)
            check_deferred(self.connection)
        except DBAPIError as error:
            savepoint.rollback()
            if not is_refusal(error):
                raise
            return error
        savepoint.commit()
        return None

    def late(self) -> list[Late]:
        """Why the rows fail that were not stored."""
        refused = pl.DataFrame(sorted(self.refused.items()), {"row": pl.Int64, "words": pl.String}, orient="row")
        undecided = [*self.untried, *([] if self.refused else self.waiting)]
        untried = pl.DataFrame({"row": sorted(undecided)}, {"row": pl.Int64})
        found = {"refused_by_database": refused, "refused_by_database.untried": untried}
        return [Late(kind=kind, column=None, rows=rows) for kind, rows in found.items() if rows.height]


def _own_indexes(staged: Staged) -> frozenset[str]:
    """What `_rule` gives for the format's own unique indexes."""
    compared = unique_columns(staged.store.format).values()
    names = {f"uq_users_client_{name}" for name in compared}
    return frozenset(names | {f"UNIQUE constraint failed: users.client, users.{name}" for name in compared})


def _rule(error: DBAPIError) -> str:
    """The name of the constraint that refuses a row; SQLite has only words for it."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None) or str(error.orig)

"""The merge of accepted rows into users, as sets: rows whose users exist are compared and written, others are added.

A null keeps the stored value, CLEAR empties it. SQLite and PostgreSQL run the same statements; what differs between
them is in `importer.database`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    case,
    func,
    literal,
    null,
    or_,
    select,
    update,
)

from importer.database.loading import load, loaded_by_key, make
from importer.judging.together import BROUGHT_BY
from importer.model import Claim, Counts
from importer.storing.adding import NewUsers
from importer.storing.staging import Staged, changes_table, cleared, differs


class Merge:
    """The merge of accepted rows into the users of one client."""

    def __init__(self, staged: Staged, claim: Claim, at: dt.datetime) -> None:
        users = staged.store.users
        self._users = users
        self._staged = staged
        self._columns = staged.columns
        self._format = staged.store.format
        self._claim = claim
        self._at = at
        self._changes = changes_table(staged)
        self._mark = {
            "updated_at": at,
            "updated_by": self._changes.c.get(BROUGHT_BY, literal(claim.id)),
            "feed_hash": self._changes.c.feed_hash,
        }
        key = staged.store.key
        # The key as well: SQLite gives the id of a user who was deleted to the next one.
        self._same_user = and_(
            users.c.id == self._changes.c.id, users.c.client == claim.client, users.c[key] == self._changes.c[key]
        )

    def run(self, connection: Connection, counts: Mapping[str, Counts]) -> dict[str, Counts]:
        """Merge, within the caller's transaction; returns the counts with what became of the accepted rows.

        Args:
            connection: a connection within the caller's transaction.
            counts: claim → its counts. Several claims, none of which has a user of another one, need BROUGHT_BY.

        Raises:
            ArithmeticError: the rows stored are not as many as were accepted; the caller must roll back.
        """
        stored = self._staged.stored(connection)
        accepted = sum(each.accepted for each in counts.values())
        known = self._staged.skipped + stored.height
        updated = self._write_changes(connection, stored) if stored.height else {}
        inserted = self._insert(connection, stored) if known < accepted else {}
        if sum(inserted.values()) + known != accepted or sum(updated.values()) > stored.height:
            message = f"{accepted} rows were accepted, but {inserted} + {updated} stored, and {known} known"
            raise ArithmeticError(message)
        return {
            claim: _completed(each, inserted.get(claim, 0), updated.get(claim, 0)) for claim, each in counts.items()
        }

    def _write_changes(self, connection: Connection, stored: pl.DataFrame) -> Mapping[str, int]:
        """Write the changes of users; returns claim → how many users it has changed."""
        make(connection, self._changes)
        for rows in self._staged.of_users(stored):
            load(connection, self._changes, rows)
        loaded_by_key(connection, self._changes, "id")
        if self._staged.frees_values(connection):
            connection.execute(self._free_unique_values())
        updated = connection.execute(self._update()).rowcount
        if updated < stored.height:
            connection.execute(self._note_hashes())
        if not (self._staged.is_of_several and updated):
            return {self._claim.id: updated}
        of_each = {row[0]: row[1] for row in connection.execute(self._updated_by())}
        if sum(of_each.values()) != updated:
            message = f"{updated} users were changed, but {of_each} by the files"
            raise ArithmeticError(message)
        return of_each

    def _free_unique_values(self) -> Update:
        """Free the unique values that a user is about to change, so that another row may take them over.

        The user is marked as changed here already: where the value is cleared, nothing differs afterwards.
        """
        users = self._users.c
        changed = {name: and_(users[name].is_not(None), self._differs(name)) for name in self._staged.unique}
        values = {name: case((is_changed, null()), else_=users[name]) for name, is_changed in changed.items()}
        return update(self._users).where(self._same_user, or_(*changed.values())).values({**values, **self._mark})

    def _updated_by(self) -> Select[str, int]:
        """Count changed users where the rows are of several claims: claim → how many users it has changed."""
        brought_by = self._changes.c[BROUGHT_BY]
        same = and_(self._same_user, self._users.c.updated_by == brought_by)
        return select(brought_by, func.count()).join(self._users, same).group_by(brought_by)

    def _update(self) -> Update:
        """Change the users whose rows say something else than what is stored."""
        given = [name for name in self._columns if name != self._format.key]
        values = {name: self._merged(name) for name in given}
        is_marked = self._users.c.updated_by == self._mark["updated_by"]
        differs = or_(is_marked, *(self._differs(name) for name in given))
        return update(self._users).where(self._same_user, differs).values({**values, **self._mark})

    def _note_hashes(self) -> Update:
        """Note what the feed gave for the users who are not changed."""
        given = self._changes.c.feed_hash
        is_other = given.is_distinct_from(self._users.c.feed_hash)
        return update(self._users).where(self._same_user, is_other).values(feed_hash=given)

    def _insert(self, connection: Connection, stored: pl.DataFrame) -> Mapping[str, int]:
        """Add the users that are not there; returns claim → how many users it has added."""
        new = NewUsers(connection, self._staged.store, self._claim, self._at)
        for rows in self._staged.of_nobody(stored):
            new.add(rows)
        new.done()
        return new.added

    def _differs(self, name: str) -> ColumnElement[bool]:
        return differs(self._changes.c[name], self._users.c[name], self._format.defaults.get(name))

    def _merged(self, name: str) -> ColumnElement[Any]:
        given, default = self._changes.c[name], self._format.defaults.get(name)
        return case((given.is_(None), self._users.c[name]), else_=cleared(given, default))


def _completed(counts: Counts, inserted: int, updated: int) -> Counts:
    return replace(counts, inserted=inserted, updated=updated, unchanged=counts.accepted - inserted - updated)

"""Which rows repeat what the feed last gave for their users, and so have no news.

A file of many rows, as a nightly roster is, is compared here, with what the database hands out of its users; the rows
of a small one are compared by the database, which may hold a thousand times as many users.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, func, literal, select

from importer.engines import load, loaded, make
from importer.fetching import fetched
from importer.uniqueness import Hashes

MANY_ROWS = 20_000
"""Files of fewer rows are compared by the database."""

_USERS_PER_ROW = 4
"""Where there are more users than that for each row of a file, handing them out costs more than it saves."""

_PAGE_USERS = 100_000
_BETWEEN = "\x1e"
"""No value of a file holds this control character."""

News = Callable[[pl.DataFrame], pl.Series]
"""Rows with their keys and hashes → for each whether it says something new."""


def news(connection: Connection, users: Table, client: str, key: str, rows: int) -> News:
    """The way to find out which rows have news, as the database is now.

    Args:
        connection: within a transaction that lasts as long as the answer is used.
        users: their table.
        client: whose they are.
        key: the column by which a row finds its user.
        rows: about how many will be asked for.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed; so may what is returned.
    """
    if rows >= MANY_ROWS and _are_at_most(connection, users, client, rows * _USERS_PER_ROW):
        known = _Known(connection, users, client, key)
        return lambda frame: ~known.has(_identities(frame, key))
    return lambda frame: _asked(connection, users, client, key, frame)


def _are_at_most(connection: Connection, users: Table, client: str, most: int) -> bool:
    some = select(literal(1)).where(users.c.client == client).limit(most + 1).subquery()
    return bool(connection.execute(select(func.count()).select_from(some)).scalar_one() <= most)


def _identities(frame: pl.DataFrame, key: str) -> pl.Series:
    return frame.select(pl.col("feed_hash") + pl.col(key)).to_series()


class _Known:
    """What the feed last gave for the users, 16 bytes for each.

    Polars' own hash is good enough while the process lives: two halves of 64 bits each have to meet by chance.
    """

    def __init__(self, connection: Connection, users: Table, client: str, key: str) -> None:
        parts = _identities_of_users(connection, users, client, key)
        halves = [_halves(part) for part in chain([pl.Series(dtype=pl.String)], parts)]
        first, second = (np.concatenate([half[at] for half in halves]) for at in (0, 1))
        order = np.argsort(first)
        self._first, self._second = first[order], second[order]

    def has(self, identities: pl.Series) -> pl.Series:
        """Whether each is known; of two with the same first half, which is rare, one is not."""
        first, second = _halves(identities)
        if not len(self._first):
            return pl.repeat(value=False, n=len(identities), eager=True)
        at = np.minimum(np.searchsorted(self._first, first), len(self._first) - 1)
        return pl.Series((self._first[at] == first) & (self._second[at] == second))


def _identities_of_users(connection: Connection, users: Table, client: str, key: str) -> Iterator[pl.Series]:
    """Many users' in one text: to hand out single ones costs more than all the rest."""
    last = ""
    while True:
        page = (
            select(users.c[key].label("key"), (users.c.feed_hash + users.c[key]).label("identity"))
            .where(users.c.client == client, users.c[key] > last)
            .order_by(users.c[key])
            .limit(_PAGE_USERS)
            .subquery()
        )
        query = select(func.max(page.c.key), func.aggregate_strings(page.c.identity, _BETWEEN))
        last, identities = connection.execute(query).one()
        if last is None:
            return
        yield pl.Series([identities]).cast(pl.String).drop_nulls().str.split(_BETWEEN).explode()


def _halves(identities: pl.Series) -> tuple[Hashes, Hashes]:
    return identities.hash(0).to_numpy(), identities.hash(1).to_numpy()


def _asked(connection: Connection, users: Table, client: str, key: str, frame: pl.DataFrame) -> pl.Series:
    columns: list[Column[Any]] = [Column("row", Integer), Column(key, Text), Column("feed_hash", Text)]
    given = Table("given", MetaData(), *columns, prefixes=["TEMPORARY"])
    make(connection, given)
    load(connection, given, frame.select("row", key, "feed_hash"))
    loaded(connection, given)
    repeated = (
        select(literal(1))
        .where(users.c.client == client, users.c[key] == given.c[key])
        .where(users.c.feed_hash == given.c.feed_hash)
    )
    changed = fetched(connection, select(given.c.row).where(~repeated.exists()))
    return frame["row"].is_in(changed["row"].implode())

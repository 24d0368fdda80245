"""The rows that repeat what the feed last gave for their users, and so have no news.

A file of many rows, as a nightly roster is, is compared here, with what the database hands out of its users; the rows
of a small one are compared by the database, which may hold a thousand times as many users.
"""

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, func, literal, select

from importer.database.dialects import not_by_index
from importer.database.fetching import fetched
from importer.database.loading import load, loaded, make
from importer.judging.uniqueness import Hashes
from importer.prefetch import ahead

MANY_ROWS = 20_000
"""The number of rows below which a file is compared by the database."""

ROW_BYTES = 200
"""The bytes of a row of some 20 columns, by which a file's number of rows is guessed before it is read."""

_USERS_PER_ROW = 4
"""The number of users for each row of a file above which handing them out costs more than it saves."""

_SAMPLED_USERS = 300
_BETWEEN = "\x1e"
"""The control character between two users in such a text, which no value of a file holds."""


class KnownUsers(NamedTuple):
    """The users of a client, as the database knows them now.

    Attributes:
        connection: a connection within a transaction.
        table: the table of users.
        client: the client to whom the users belong.
        key: the column by which a row finds its user.
        page_users: how many users are handed out at once.
    """

    connection: Connection
    table: Table
    client: str
    key: str
    page_users: int = 100_000

    def identities(self, rows: int) -> "Identities | None":
        """Fetch what the feed last gave for the users; None where the database compares so many rows faster.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed.
        """
        return self._at_most(rows * _USERS_PER_ROW) if rows >= MANY_ROWS else None

    def _at_most(self, most: int) -> "Identities | None":
        users = self.table.c
        last_id = self.connection.execute(select(func.max(users.id))).scalar_one() or 0
        is_by_id = last_id <= most and self._are_a_third(last_id)
        firsts, seconds = array("Q"), array("I")
        with ahead(self._pages(last_id if is_by_id else None)) as pages:
            for page in pages:
                first, second = _hashes(pl.Series([page]).str.split(_BETWEEN).explode())
                if len(firsts) + len(first) > most:
                    return None
                firsts.frombytes(first.view(np.uint8).data)
                seconds.frombytes(second.view(np.uint8).data)
        return Identities(np.frombuffer(firsts, np.uint64), np.frombuffer(seconds, np.uint32))

    def _are_a_third(self, last_id: int) -> bool:
        """Whether a third of the table's users are the client's, as a sample tells."""
        users = self.table.c
        sampled = range(1, last_id + 1, max(last_id // _SAMPLED_USERS, 1))
        theirs = select(func.count()).where(not_by_index(self.connection, users.client) == self.client)
        return 3 * self.connection.execute(theirs.where(users.id.in_(sampled))).scalar_one() > len(sampled)

    def _pages(self, last_id: int | None) -> Iterator[str]:
        """The hashes and keys of many users in one text, as to hand out single ones costs more than all the rest.

        Where a large part of the table are the client's it is gone through as it lies, up to an id that is given, in
        half of the time.
        """
        pages = self._by_key() if last_id is None else self._by_id(last_id)
        return (page for page in pages if page is not None)  # a page with none of the client's users is None

    def _by_id(self, last: int) -> Iterator[str | None]:
        users = self.table.c
        query = select(func.aggregate_strings(users.feed_hash + users[self.key], _BETWEEN))
        query = query.where(not_by_index(self.connection, users.client) == self.client)
        for begin in range(0, last, self.page_users):
            page = query.where(users.id > begin, users.id <= begin + self.page_users)
            yield self.connection.execute(page).scalar_one()

    def _by_key(self) -> Iterator[str | None]:
        key, last = self.table.c[self.key], ""
        while last is not None:
            page = (
                select(key.label("key"), (self.table.c.feed_hash + key).label("identity"))
                .where(self.table.c.client == self.client, key > last)
                .order_by(key)
                .limit(self.page_users)
                .subquery()
            )
            query = select(func.max(page.c.key), func.aggregate_strings(page.c.identity, _BETWEEN))
            last, identities = self.connection.execute(query).one()
            yield identities


def with_news(frames: Iterator[pl.DataFrame], users: KnownUsers, known: "Identities | None") -> Iterator[pl.DataFrame]:
    """The rows that do not repeat what the feed last gave for their users.

    Args:
        frames: rows with their keys and `feed_hash`.
        users: the users of the file's client.
        known: what the feed last gave for them; None where the database is to compare.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    for frame in frames:
        found = _asked(users, frame) if known is None else _compared(users, known, frame)
        if found.height:
            yield found


def _asked(users: KnownUsers, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with news, as the database finds them."""
    connection, table, client, key = users[:4]
    columns: list[Column[Any]] = [Column("row", Integer), Column(key, Text), Column("feed_hash", Text)]
    given = Table("given", MetaData(), *columns, prefixes=["TEMPORARY"])
    make(connection, given)
    load(connection, given, frame.select("row", key, "feed_hash"))
    loaded(connection, given)
    repeated = (
        select(literal(1))
        .where(table.c.client == client, table.c[key] == given.c[key])
        .where(table.c.feed_hash == given.c.feed_hash)
    )
    changed = fetched(connection, select(given.c.row).where(~repeated.exists()))
    return frame.filter(pl.col("row").is_in(changed["row"].implode()))


def _compared(users: KnownUsers, known: "Identities", frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with news, as a comparison in this process finds them."""
    return frame.filter(~known.has(frame.select(pl.col("feed_hash") + pl.col(users.key)).to_series()))


class Identities:
    """A set of what the feed last gave for many users, 12 bytes for each: hashes of 64 and of 32 bits.

    Polars' own are good enough while the process lives: by chance both meet those of one of n users n times in 2^96.
    """

    def __init__(self, first: Hashes, second: NDArray[np.uint32]) -> None:
        order = np.argsort(first)
        self._first, self._second = first[order], second[order]

    def has(self, identities: pl.Series) -> pl.Series:
        """Flags of the rows that are known; of two with the same first hash, which is rare, one is not."""
        first, second = _hashes(identities)
        if not len(self._first):
            return pl.repeat(value=False, n=len(identities), eager=True)
        order = np.argsort(first)  # neighbours are found beside each other, in the CPU's cache
        at = np.empty_like(order)
        at[order] = np.minimum(np.searchsorted(self._first, first[order]), len(self._first) - 1)
        return pl.Series((self._first[at] == first) & (self._second[at] == second))


def _hashes(identities: pl.Series) -> tuple[Hashes, NDArray[np.uint32]]:
    return identities.hash(0).to_numpy(), identities.hash(1).to_numpy().astype(np.uint32)

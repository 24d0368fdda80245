"""The transactions of one client take turns, whichever process they are of."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from importer.database.engines import take_turns


def take_client_turn(connection: Connection, client: str) -> None:
    """Wait for the client's other transactions; until the end of this one none of them goes on.

    What a transaction found of a client stays true until its end: owners of unique values, names in bak. Who asks what
    was committed waits for a commit under way: a PostgreSQL server finishes one whose sender has died.

    Raises:
        sqlalchemy.exc.OperationalError: others take longer than a minute, or the database failed.
    """
    take_turns(connection, f"client {client}")


@contextmanager
def client_turn(engine: Engine, client: str) -> Iterator[Connection]:
    """A transaction that begins with the client's turn; errors are those of `take_client_turn`."""
    with engine.begin() as connection:
        take_client_turn(connection, client)
        yield connection

"""The identity of a database, without a secret, by which two processes find out whether they use the same one."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import URL, Connection, make_url, text

from importer.database.engines import schema_of, sqlite_file
from importer.database.owning import own_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity of a database.

    Attributes:
        place: where it is, for people: see `place_of`.
        mark: the same for whoever reaches it by another name, and another one for a copy; None where it is unknown.
    """

    place: str
    mark: str | None

    def differs_from(self, other: "Identity") -> bool:
        """Whether the two are certainly not the same database."""
        return None not in {self.mark, other.mark} and self.mark != other.mark


def place_of(url: str) -> str:
    """The database's URL without its login, and its schema; options are left out, as one of them may be a password."""
    given = make_url(url)
    if (path := sqlite_file(url)) is not None:
        return f"sqlite:///{path.absolute()}"
    named = URL.create(given.drivername, host=given.host, port=given.port, database=given.database)
    directory = given.query.get("host", "")
    if isinstance(directory, str) and directory.startswith("/"):
        named = named.set(query={"host": directory})
    return named.render_as_string() if (schema := schema_of(url)) is None else f"{named}, schema {schema}"


def identity_of(connection: Connection, url: str) -> Identity:
    """The identity of the database that a connection leads to.

    Args:
        connection: a connection within a transaction, which may be one that only reads.
        url: the URL by which it was reached.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be asked.
    """
    parts = _in_postgresql(connection) if connection.dialect.name == "postgresql" else _in_sqlite(url)
    mark = None if parts is None else hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
    return Identity(place=place_of(url), mark=mark)


def _in_postgresql(connection: Connection) -> list[str] | None:
    """The installation of the server, the database in it, and the schema."""
    allowed = text("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")
    if not connection.execute(allowed).scalar_one():
        return None
    asking = text(
        "SELECT system_identifier, oid FROM pg_control_system(), pg_database WHERE datname = current_database()"
    )
    found = connection.execute(asking).one()
    return [*map(str, found), own_schema(connection) or ""]


def _in_sqlite(url: str) -> list[str] | None:
    path = sqlite_file(url)
    try:
        status = None if path is None else path.stat()
    except OSError:
        status = None
    return None if status is None else [str(status.st_dev), str(status.st_ino)]

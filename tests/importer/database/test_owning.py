"""A database of another application is refused and left as it is, and one that has lost tables is told apart."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from importer.database.engines import make_engine
from importer.database.failures import (
    ForeignDatabaseError,
    IncompleteDatabaseError,
    NotMigratedError,
    UnusableDatabaseError,
)
from importer.database.history import open_history
from importer.database.owning import Contents, version_of
from importer.database.tables import migrate
from tests.importing import PEOPLE
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgresql import PostgresqlServer


def run(url: str, *statements: str) -> None:
    """Change a database as somebody else does, without our pragmas."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            for statement in statements:
                file.execute(statement)
        return
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def ask(url: str) -> None:
    with open_history(url, PEOPLE):
        pass


USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"
VERSION = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"


@pytest.mark.parametrize(
    "statements",
    [
        (USERS,),
        ("CREATE TABLE imports (id INTEGER)",),
        ("CREATE TABLE user_types (id INTEGER)",),
        ("CREATE TABLE people (id INTEGER)", "CREATE VIEW users AS SELECT id FROM people"),
        (VERSION, "INSERT INTO alembic_version VALUES ('3fa1b2c4d5e6')", "CREATE TABLE orders (id INTEGER)"),
        (VERSION, "INSERT INTO alembic_version VALUES ('0001')", USERS),
        (VERSION, "INSERT INTO alembic_version VALUES ('0001')"),
        (VERSION, "INSERT INTO alembic_version VALUES ('a'), ('b')", USERS),
        ("CREATE TABLE alembic_version (id INTEGER)", USERS),
    ],
)
def test_what_another_application_has_is_refused_and_stays_as_it_is(
    database_url: str, statements: tuple[str, ...]
) -> None:
    run(database_url, *statements)
    path = Path(database_url.removeprefix("sqlite:///"))
    before = (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else None
    engine = make_engine(database_url, single=True)
    with pytest.raises(ForeignDatabaseError, match="userdrop's") as refused:
        migrate(engine, PEOPLE)
    assert "of its own" in refused.value.cure or "of userdrop's own" in refused.value.cure
    with pytest.raises(ForeignDatabaseError):
        ask(database_url)
    engine.dispose()
    if before is not None:
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
        assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_sqlite_file_with_other_tables_alone_is_another_applications(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'places.db'}"
    run(url, "CREATE TABLE places (id INTEGER)")
    with pytest.raises(ForeignDatabaseError):
        ask(url)


def test_a_schema_of_postgresql_may_be_shared_with_tables_of_other_names(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    run(url, "CREATE TABLE orders (id INTEGER)")
    engine = make_engine(url, single=True)
    migrate(engine, PEOPLE)
    engine.dispose()
    ask(url)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DROP TABLE mails", "mails is missing"),
        ("DROP TABLE imports", "imports is missing"),
        ("ALTER TABLE alerts RENAME COLUMN held TO kept", "alerts lacks held"),
    ],
)
def test_userdrops_own_database_that_has_lost_something_is_told_to_be_restored(
    engine: Engine, database_url: str, statement: str, what: str
) -> None:
    migrate(engine, PEOPLE)
    engine.dispose()
    run(database_url, statement)
    with pytest.raises(IncompleteDatabaseError, match=what):
        ask(database_url)
    with pytest.raises(IncompleteDatabaseError, match="restore a backup"):
        migrate(engine, PEOPLE)


def test_an_empty_database_is_nobodys_yet(engine: Engine, database_url: str) -> None:
    with engine.begin():
        pass
    with pytest.raises(NotMigratedError, match="no tables yet"):
        ask(database_url)
    migrate(engine, PEOPLE)
    ask(database_url)


def test_an_unknown_version_with_userdrops_tables_is_a_newer_one() -> None:
    tables = {"imports": {"claim_id", "client", "archive"}, "users": {"client", "created_by", "updated_by"}}
    newer = Contents(kind="sqlite", versions=("9999",), tables=tables)
    with pytest.raises(UnusableDatabaseError, match="newer userdrop"):
        version_of(newer, lambda _: None)


def test_a_pooler_that_shares_sessions_is_refused_and_one_that_keeps_them_is_not(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    with pgbouncer(url, "transaction") as pooled:
        engine = make_engine(pooled, single=True)
        with pytest.raises(UnusableDatabaseError, match="pool_mode = session"):
            migrate(engine, PEOPLE)
        engine.dispose()
    with pgbouncer(url, "session") as kept:
        engine = make_engine(kept, single=True)
        migrate(engine, PEOPLE)
        engine.dispose()

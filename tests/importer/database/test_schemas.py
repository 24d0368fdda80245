"""Services whose tables lie in two schemas of one PostgreSQL database do not disturb one another."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from importer.database.engines import make_engine, schema_of, take_turns, with_schema
from importer.database.failures import ForeignDatabaseError, UnusableDatabaseError
from importer.database.history import open_history
from importer.database.tables import found_version, migrate
from importer.database.upgrading import upgrade
from tests.importing import PEOPLE
from tests.servers.postgresql import PostgresqlServer


@pytest.fixture
def shared(postgresql: PostgresqlServer) -> str:
    """A database of another application, with two schemas for userdrop in it."""
    url = postgresql.url()
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in ("CREATE TABLE users (name TEXT)", "CREATE SCHEMA first", "CREATE SCHEMA second"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    return url


@pytest.fixture
def engines(shared: str) -> Iterator[tuple[Engine, Engine]]:
    made = tuple(make_engine(with_schema(shared, name), single=True) for name in ("first", "second"))
    yield made[0], made[1]
    for each in made:
        each.dispose()


def schemas_of(shared: str, table: str) -> set[str]:
    engine = make_engine(shared)
    with engine.connect() as connection:
        query = text("SELECT schemaname FROM pg_tables WHERE tablename = :table")
        found = {row.schemaname for row in connection.execute(query, {"table": table})}
    engine.dispose()
    return found


def test_each_has_tables_of_its_own_beside_those_of_the_application(
    shared: str, engines: tuple[Engine, Engine]
) -> None:
    for engine in engines:
        migrate(engine, PEOPLE)
        migrate(engine, PEOPLE)
    assert schemas_of(shared, "users") == {"public", "first", "second"}
    assert schemas_of(shared, "alembic_version") == {"first", "second"}
    with open_history(with_schema(shared, "second"), PEOPLE):
        pass
    with pytest.raises(ForeignDatabaseError, match="USERDROP_DATABASE_SCHEMA"), open_history(shared, PEOPLE):
        pass


def test_an_earlier_versions_tables_are_changed_in_their_schema(shared: str, engines: tuple[Engine, Engine]) -> None:
    with engines[0].begin() as connection:
        upgrade(connection, "0008_names_in_bak", schema="first")
        assert found_version(connection) == "0008_names_in_bak"
    migrate(engines[0], PEOPLE)
    assert schemas_of(shared, "tellings") == {"first"}


def test_tables_stay_known_when_another_schema_comes_before_theirs(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    before = make_engine(url, single=True)
    migrate(before, PEOPLE)
    with before.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA admin")  # the user's name, which is the first of the search path
    before.dispose()
    after = make_engine(url, single=True)
    migrate(after, PEOPLE)
    after.dispose()
    assert schemas_of(url, "imports") == schemas_of(url, "alembic_version") == {"public"}


def test_turns_are_taken_within_a_schema(engines: tuple[Engine, Engine]) -> None:
    with engines[0].begin() as first, engines[1].begin() as second:
        take_turns(first, "client acme")
        second.execute(text("SET LOCAL lock_timeout = '5s'"))
        take_turns(second, "client acme")


def test_a_schema_that_is_not_there_is_told_with_what_makes_it(shared: str) -> None:
    engine = make_engine(with_schema(shared, "nowhere"), single=True)
    with pytest.raises(UnusableDatabaseError, match="CREATE SCHEMA"):
        migrate(engine, PEOPLE)
    engine.dispose()


def test_the_schema_is_part_of_the_url_that_is_handed_on_and_of_nothing_that_the_server_sees() -> None:
    url = "postgresql+psycopg://me:a%40b@host/users?sslmode=require"
    assert schema_of(with_schema(url, "first")) == "first"
    assert with_schema(url, None) == url
    assert schema_of(url) is None
    engine = make_engine(with_schema(url, "first"))
    assert engine.url.password == "a@b"
    assert dict(engine.url.query) == {"sslmode": "require"}

"""A session is made as it should be whatever defaults a role has, and what one file asks for is no outage."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from importer.database.engines import make_engine, read_only_engine, reading_engine
from importer.database.failures import Cause, cause_of, failure_detail, is_outage
from importer.database.tables import migrate
from tests.importing import PEOPLE
from tests.servers.postgresql import PostgresqlServer

HARMFUL = {
    "statement_timeout": "1s",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1s",
    "idle_session_timeout": "1s",  # sooner, and the server may end a session before it can be set right
    "TimeZone": "America/Toronto",
    "DateStyle": "German",
    "transform_null_equals": "on",
}


@pytest.fixture
def harmful(postgresql: PostgresqlServer) -> str:
    """A database whose defaults harm those who do not set their own."""
    url = postgresql.url()
    engine = make_engine(url)
    with engine.begin() as connection:
        for name, value in HARMFUL.items():
            connection.exec_driver_sql(f"ALTER DATABASE \"{engine.url.database}\" SET {name} = '{value}'")
    engine.dispose()
    return url


@pytest.fixture
def plain(postgresql: PostgresqlServer) -> Iterator[Engine]:
    made = make_engine(postgresql.url())
    yield made
    made.dispose()


@pytest.mark.parametrize("make", [make_engine, read_only_engine])
def test_no_default_of_a_role_or_a_database_reaches_a_session(harmful: str, make: object) -> None:
    assert callable(make)
    engine = make(harmful)
    with reading_engine(engine).connect() as connection:
        for name in HARMFUL:
            value = connection.execute(text(f"SHOW {name}")).scalar_one()
            assert value in {"0", "UTC", "ISO, MDY", "off"}, name
        assert connection.execute(text("SELECT now()")).scalar_one().utcoffset().total_seconds() == 0
    engine.dispose()


def test_a_database_with_harmful_defaults_is_brought_up_to_date(harmful: str) -> None:
    engine = make_engine(harmful, single=True)
    migrate(engine, PEOPLE)
    engine.dispose()


def failing(engine: Engine, statement: str) -> DBAPIError:
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql(statement)
    return caught.value


CANCELS = "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(10)"
RAISES = "DO $$ BEGIN RAISE EXCEPTION 'the site does not want this row'; END $$"


def test_a_cancelled_statement_is_no_outage_of_the_database(plain: Engine) -> None:
    error = failing(plain, CANCELS)
    assert not is_outage(error)
    assert cause_of(error) is Cause.CUT_SHORT
    told = str(failure_detail(error))
    assert told.startswith("the database server has cut a statement short")
    assert "(SQLSTATE 57014: " in told
    assert "find out who cancels statements" in told


@pytest.mark.parametrize(
    ("url", "what", "cure"),
    [
        ("postgresql+psycopg://me@/users?host={place}", "no socket of a database server", "systemctl start postgresql"),
        ("postgresql+psycopg://me@127.0.0.1:1/users", "no server listens", "listen_addresses"),
        ("sqlite:///{place}/none", "no database (SQLITE_NOTADB", "restore the file"),
        ("sqlite:///{place}/nowhere/none", "cannot be opened (SQLITE_CANTOPEN", "its directory"),
    ],
)
def test_an_alert_names_what_keeps_a_database_from_being_used_and_what_to_do(
    tmp_path: Path, url: str, what: str, cure: str
) -> None:
    (tmp_path / "none").write_bytes(b"no database" * 1000)
    engine = make_engine(url.format(place=tmp_path))
    with pytest.raises(SQLAlchemyError) as caught, engine.connect():
        pass
    told = str(failure_detail(caught.value))
    assert what in told
    assert cure in told
    assert is_outage(caught.value)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("query_canceled", False),
        ("configuration_limit_exceeded", False),
        ("raise_exception", False),
        ("check_violation", False),
        ("program_limit_exceeded", False),
        ("external_routine_exception", False),
        ("with_check_option_violation", False),
        ("syntax_error", False),
        ("insufficient_privilege", True),
        ("undefined_table", True),
        ("undefined_column", True),
        ("invalid_schema_name", True),
        ("read_only_sql_transaction", True),
        ("too_many_connections", True),
        ("disk_full", True),
        ("out_of_memory", True),
        ("deadlock_detected", True),
        ("lock_not_available", True),
        ("admin_shutdown", True),
        ("data_corrupted", True),
        ("io_error", True),
    ],
)
def test_what_the_server_has_failed_at_is_told_from_what_one_file_asks_for(
    plain: Engine,
    code: str,
    expected: bool,  # noqa: FBT001 - a table
) -> None:
    error = failing(plain, f"DO $$ BEGIN RAISE {code}; END $$")
    assert is_outage(error) is expected

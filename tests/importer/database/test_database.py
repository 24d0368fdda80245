"""Databases that this version cannot work with are told apart from outages; what differs between the two kinds."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, make_url, select, text
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError
from sqlalchemy.schema import CreateTable

from importer.database.engines import BUSY_SECONDS, LOG_BYTES, make_engine, reading_engine, take_turns, trim_log
from importer.database.failures import UnusableDatabaseError, is_busy, is_outage, what_failed
from importer.database.loading import load, load_new, loaded_by_key, make
from importer.database.tables import migrate
from importer.files.claiming import Copied
from importer.formats.format_file import parse_format
from importer.importing import Importer
from importer.model import Claim
from tests.importing import LIMITS, PEOPLE, clock, opened
from tests.servers.postgresql import PostgresqlServer

INSTALLATION = Path(__file__).parents[3] / "deploy" / "postgresql.sql"
PLAIN = 'key = "uid"\n[columns.uid]\n[columns.badge]\n'


@pytest.fixture
def engine(engine: Engine) -> Engine:
    migrate(engine, parse_format(PLAIN))
    return engine


@pytest.fixture
def plain(postgresql: PostgresqlServer) -> Iterator[Engine]:
    made = make_engine(postgresql.url())
    yield made
    made.dispose()


def test_a_database_of_a_newer_version_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UnusableDatabaseError, match="newer userdrop"):
        migrate(engine, parse_format(PLAIN))


def test_users_that_share_what_is_to_be_unique_are_named_by_the_column(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO users (client, created_at, updated_at, created_by, updated_by, uid, badge)"
                " VALUES ('c', '2026-01-01', '2026-01-01', '', '', 'U1', '7'),"
                " ('c', '2026-01-01', '2026-01-01', '', '', 'U2', '7')"
            )
        )
    with pytest.raises(UnusableDatabaseError, match="share a badge"):
        migrate(engine, parse_format(PLAIN + "unique = true\n"))


def test_a_server_that_may_lose_commits_is_refused(plain: Engine) -> None:
    with plain.begin() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{plain.url.database}" SET synchronous_commit = off')
    plain.dispose()
    with pytest.raises(UnusableDatabaseError, match="synchronous_commit is off"):
        migrate(plain, parse_format(PLAIN))


def test_a_database_that_cannot_hold_every_text_is_refused(plain: Engine) -> None:
    with plain.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc TEMPLATE template0")
    latin = make_engine(plain.url.set(database="latin").render_as_string(hide_password=False))
    with pytest.raises(UnusableDatabaseError, match="encoding is LATIN1"):
        migrate(latin, parse_format(PLAIN))
    latin.dispose()


def test_a_user_without_the_right_to_make_tables_is_told_so(plain: Engine, postgresql: PostgresqlServer) -> None:
    stranger = make_engine(postgresql.as_stranger(plain.url))
    with pytest.raises(UnusableDatabaseError, match="may not make or change tables"):
        migrate(stranger, parse_format(PLAIN))
    stranger.dispose()


def test_the_role_and_the_database_of_the_installation_are_enough_and_nobody_elses(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    postgresql.run_script(INSTALLATION)
    ours = make_url(postgresql.url()).set(username="userdrop", database="userdrop")
    engine = make_engine(ours.render_as_string(hide_password=False))
    migrate(engine, PEOPLE)
    claim = Claim(id="claim", client="acme", directory=tmp_path, name="people.csv")
    claim.work.mkdir(parents=True)
    with opened("uid\nU1\n,\n") as judging:
        conductor = Importer(engine, PEOPLE, LIMITS, clock()).conductor()
        done = conductor.store_file(claim, Copied(size=1, sha256=""), judging, 0.0)
    assert done.counts.inserted == 1
    with engine.begin() as connection:
        assert (
            connection.exec_driver_sql("SELECT schemaname FROM pg_tables WHERE tablename = 'users'").scalar()
            == "userdrop"
        )
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.exec_driver_sql("CREATE ROLE other")
    engine.dispose()


def test_a_server_that_is_away_is_an_outage(tmp_path: Path) -> None:
    engine = make_engine(f"postgresql+psycopg://me@/users?host={tmp_path}")
    with pytest.raises(OperationalError) as caught:
        migrate(engine, parse_format(PLAIN))
    assert is_outage(caught.value)


def test_new_rows_are_added_but_where_a_value_is_taken_and_the_first_of_two_wins(engine: Engine) -> None:
    table = Table(
        "people",
        MetaData(),
        Column("name", Text, unique=True),
        Column("code", Text, unique=True),
        Column("by", Text),
        prefixes=["TEMPORARY"],
    )
    rows = [("A", "1"), ("B", "1"), ("B", "2"), ("C", None), (None, None), ("A", "3"), ("D", '"'), ("E", "")]
    rows += [(f"{number}", f"{number}") for number in range(10, 1000)]
    given = pl.DataFrame([(*row, "me") for row in rows], schema=["name", "code", "by"], orient="row")
    with engine.begin() as connection:
        make(connection, table)
        assert load_new(connection, table, given.clear()) == 0
        assert load_new(connection, table, given) == len(rows) - 2
        assert load_new(connection, table, given.tail(100)) == 0
        found = [tuple(row) for row in connection.execute(select(table))]
    assert found == [(*row, "me") for row in rows if row not in {("B", "1"), ("A", "3")}]


STAGED = Table("staged", MetaData(), Column("row", Integer), Column("order", Text), prefixes=["TEMPORARY"])


def test_an_empty_text_and_a_null_are_loaded_as_what_they_are(engine: Engine) -> None:
    texts = ["", None, " ", "\r", "a\nb", "\r\n", "\\.", '"', ","]
    with engine.begin() as connection:
        connection.execute(CreateTable(STAGED))
        load(connection, STAGED, pl.DataFrame({"row": range(len(texts)), "order": texts}))
        loaded_by_key(connection, STAGED, "order")
        assert [*connection.execute(select(STAGED.c.order).order_by(STAGED.c.row)).scalars()] == texts


class FaultyRows:
    """Rows to load, of which some are written before memory runs out."""

    columns = ("row", "order")
    height = 5

    def __init__(self, written: int) -> None:
        self._texts = iter([f"{row},a\n" for row in range(written)])

    def iter_slices(self, _: int) -> Iterator["FaultyRows"]:
        return itertools.repeat(self, self.height)

    def write_csv(self, **_: object) -> str:
        for each in self._texts:
            return each
        raise MemoryError


@pytest.mark.parametrize("written", [0, 2])
def test_a_fault_of_ours_while_rows_are_copied_stays_what_it_is_and_keeps_the_connection(
    postgresql: PostgresqlServer, written: int
) -> None:
    rows: Any = FaultyRows(written)
    engine = make_engine(postgresql.url(), single=True)
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(CreateTable(STAGED))
        with pytest.raises(MemoryError):
            load(connection, STAGED, rows)
        connection.rollback()
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == pid
    engine.dispose()


def test_what_cannot_be_loaded_is_no_outage(plain: Engine) -> None:
    with plain.begin() as connection:
        connection.execute(CreateTable(STAGED))
        with pytest.raises(DataError) as caught:
            load(connection, STAGED, pl.DataFrame({"row": [1], "order": ["\0"]}))
    assert not is_outage(caught.value)


def test_transactions_that_take_turns_wait_for_each_other(plain: Engine) -> None:
    with plain.begin() as first, plain.begin() as second:
        take_turns(first, "client a")
        take_turns(second, "client b")
        is_free = "SELECT pg_try_advisory_xact_lock(hashtextextended('userdrop client {} in public', 0))"
        assert not second.exec_driver_sql(is_free.format("a")).scalar_one()
        assert not first.exec_driver_sql(is_free.format("b")).scalar_one()
        assert second.exec_driver_sql("SHOW lock_timeout").scalar_one() == "1min"
    with plain.begin() as third:
        assert third.exec_driver_sql("SHOW lock_timeout").scalar_one() == "0"


def test_what_failed_is_told_without_what_users_wrote(plain: Engine) -> None:
    with plain.begin() as connection:
        connection.execute(CreateTable(STAGED))
        with pytest.raises(DataError) as caught:
            load(connection, STAGED, pl.DataFrame({"row": [1], "order": ["hunter2\0"]}))
    assert "CONTEXT" in str(caught.value)
    assert what_failed(caught.value) == 'DataError: invalid byte sequence for encoding "UTF8": 0x00'


@pytest.mark.parametrize(("number", "expected"), [(28, True), (30, True), (5, False), (95, False)])
def test_a_fault_of_one_file_is_no_outage_of_the_disk(number: int, expected: bool) -> None:  # noqa: FBT001 - a table
    assert is_outage(OSError(number, "")) is expected


_BOUNDED = """
import resource, sys
from sqlalchemy.exc import DBAPIError
from importer.database.engines import make_engine
from importer.database.failures import is_outage, what_failed
from watcher.base.limits import Allowance, confine
engine = make_engine(sys.argv[1])
with engine.connect() as connection:
    confine(Allowance(memory_bytes=20 << 20, cpu_seconds=60, seconds=60, files=1))
    try:
        connection.exec_driver_sql(sys.argv[2]).fetchall()
    except DBAPIError as error:
        print(what_failed(error), is_outage(error))
"""


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT repeat('x', 100000000)", "cannot allocate memory for input buffer"),
        ("SELECT repeat('x', 1000) FROM generate_series(1, 100000)", "out of memory for query result"),
    ],
)
def test_a_process_that_meets_its_own_bound_within_libpq_has_no_outage(
    postgresql: PostgresqlServer, query: str, words: str
) -> None:
    command = [sys.executable, "-c", _BOUNDED, postgresql.url(), query]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == f"DatabaseError: {words} False\n"


@pytest.mark.parametrize(
    ("words", "sqlstate"),
    [
        ("out of memory", "53200"),
        ("connection failed: FATAL:  out of memory", None),
        ("connection failed: could not fork new process for connection: Cannot allocate memory", None),
        ("consuming input failed: server closed the connection unexpectedly", None),
    ],
)
def test_a_server_without_memory_is_an_outage(words: str, sqlstate: str | None) -> None:
    driver = psycopg.OperationalError(words)
    driver.sqlstate = sqlstate
    assert is_outage(OperationalError("SELECT 1", None, driver))


@pytest.fixture
def grown(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite file with a log of 8 MB, as a large import leaves it."""
    made = make_engine(f"sqlite:///{tmp_path / 'userdrop.db'}")
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE filled (content BLOB)"))
    fill(made, 8_000_000)
    assert log_bytes(made) > 8_000_000
    yield made
    made.dispose()


def log_bytes(engine: Engine) -> int:
    return Path(f"{engine.url.database}-wal").stat().st_size


def fill(engine: Engine, size: int = 1_000) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO filled VALUES (zeroblob(:size))"), {"size": size})


def test_the_log_of_a_large_import_is_given_back_to_the_disk(grown: Engine) -> None:
    trim_log(grown, at_most=9_000_000)
    assert log_bytes(grown) > 8_000_000
    trim_log(grown, at_most=1_000_000)
    assert log_bytes(grown) == 0
    fill(grown)


def test_who_reads_from_the_log_holds_nobody_up_and_it_is_given_back_afterwards(grown: Engine) -> None:
    reading = reading_engine(grown)
    with reading.begin() as reader:
        count = text("SELECT count(*) FROM filled")
        assert reader.execute(count).scalar_one() == 1
        fill(grown, 8_000_000)
        trim_log(grown, at_most=1_000_000)
        fill(grown)
        assert reader.execute(count).scalar_one() == 1
        assert log_bytes(grown) > 8_000_000
    trim_log(grown, at_most=1_000_000)
    assert log_bytes(grown) == 0
    with grown.connect() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() == BUSY_SECONDS * 1000


def test_every_connection_keeps_the_log_that_is_begun_anew_small(grown: Engine) -> None:
    with grown.connect() as connection:
        assert connection.execute(text("PRAGMA journal_size_limit")).scalar_one() == LOG_BYTES


def test_a_lock_that_somebody_else_holds_is_told_from_other_failures(tmp_path: Path) -> None:
    impatient = make_engine(f"sqlite:///{tmp_path / 'userdrop.db'}", busy_seconds=0)
    with impatient.begin() as connection:
        connection.execute(text("CREATE TABLE filled (content BLOB)"))
        with pytest.raises(OperationalError) as locked:
            fill(impatient)
    assert is_busy(locked.value)
    assert is_outage(locked.value)
    with pytest.raises(OperationalError) as other, impatient.begin() as connection:
        connection.execute(text("SELECT * FROM nothing"))
    assert not is_busy(other.value)
    impatient.dispose()


def test_a_client_that_another_node_writes_is_busy(plain: Engine, postgresql: PostgresqlServer) -> None:
    del postgresql
    with plain.begin() as writing, plain.begin() as waiting:
        take_turns(writing, "client acme")
        waiting.execute(text("SET LOCAL lock_timeout = '1ms'"))
        with pytest.raises(OperationalError) as locked:
            waiting.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('userdrop client acme in public', 0))"))
        assert is_busy(locked.value)

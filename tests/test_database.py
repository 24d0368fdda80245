"""Databases that this version cannot work with are told apart from outages."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from importer.database import UnusableDatabaseError, is_outage, make_engine, migrate
from importer.format_file import parse_format

PLAIN = 'key = "uid"\n[columns.uid]\n[columns.badge]\n'


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = make_engine(f"sqlite:///{tmp_path / 'users.db'}")
    migrate(made, parse_format(PLAIN))
    return made


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


@pytest.mark.parametrize(("number", "expected"), [(28, True), (30, True), (5, False), (95, False)])
def test_a_fault_of_one_file_is_no_outage_of_the_disk(number: int, expected: bool) -> None:  # noqa: FBT001 - a table
    assert is_outage(OSError(number, "")) is expected

"""The whole service on PostgreSQL, chosen by the URL alone."""

from pathlib import Path

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.postgresql import PostgresqlServer


@pytest.fixture
def house(house: House, postgresql: PostgresqlServer) -> House:
    house.keeps_users_in(postgresql.url())
    return house


def test_what_is_dropped_becomes_users_bak_and_a_mail(house: House) -> None:
    with house.service() as service:
        house.drop("students.csv", files.csv_of(files.good(1), files.bad(2), files.good(3)))
        imported_at_next_tick(service, "students.csv")
        service.wait_for_event("mail_sent")
        maps = Path(f"/proc/{service.process.pid}/maps").read_text(encoding="utf-8")
        assert "psycopg" in maps
        assert "polars" not in maps
        assert service.terminate() == 0
    assert house.ids() == [f"{files.CANARY}-001", f"{files.CANARY}-003"]
    (entry,) = house.imports()
    assert (entry["records"], entry["accepted"], entry["failed"]) == (3, 2, 1)
    assert sorted(house.archived()) == sorted([entry["archive"], entry["report"]])
    assert len(house.mail_files()) == 1
    assert not house.database.exists()


def test_a_server_that_closes_its_connections_costs_no_file_and_no_mail(house: House) -> None:
    with house.service() as service:
        house.drop("first.csv", files.csv_of(files.good(1), files.bad(2)))
        imported_at_next_tick(service, "first.csv")
        ended = house.records(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert ended
        house.drop("second.csv", files.csv_of(files.good(3), files.bad(4)))
        imported_at_next_tick(service, "second.csv")
        service.wait_for_event("mail_sent")
        assert not service.events("alert_opened")
        assert service.terminate() == 0
    assert house.ids() == [f"{files.CANARY}-001", f"{files.CANARY}-003"]
    (mail,) = house.mail_files()
    assert b"2 of 4 users in 2 files" in mail

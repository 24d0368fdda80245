"""The whole service on PostgreSQL, chosen by the URL alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.postgresql import PostgresqlServer
from tests.servers.tools import environment, needs, run
from tests.tools.docs import ADMIN, OPERATOR, part_of


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


@pytest.mark.parametrize("does", ["PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60)", "RAISE 'not this one'"])
def test_a_file_that_the_database_cuts_short_is_set_aside_and_the_others_go_on(house: House, does: str) -> None:
    with house.service() as service:
        house.drop("first.csv", files.csv_of(files.good(1)))
        imported_at_next_tick(service, "first.csv")
        refusing = f"CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN {does}; RETURN NEW; END $$ LANGUAGE plpgsql"
        when = f"FOR EACH ROW WHEN (NEW.unique_id = '{files.CANARY}-002') EXECUTE FUNCTION refuse()"
        house.execute(refusing, f"CREATE TRIGGER refusing BEFORE INSERT ON users {when}")
        house.drop("poison.csv", files.csv_of(files.good(2)))
        house.drop("small.csv", files.csv_of(files.good(3)))
        imported_at_next_tick(service, "small.csv")
        service.wait_for_event("file_quarantined", 60, file="poison.csv")
        assert not service.events("alert_opened", kind="database")
        (died, *_) = service.events("worker_died")
        assert ("cut a statement short" in died["where"]) is ("cancel" in does)
        assert service.terminate() == 0
    assert house.ids() == [f"{files.CANARY}-001", f"{files.CANARY}-003"]


def test_in_a_schema_of_its_own_everything_works_beside_another_applications_tables(house: House) -> None:
    house.execute("CREATE TABLE users (name TEXT)", "CREATE SCHEMA drops")
    house.set(DATABASE_SCHEMA="drops")
    with house.service() as service:
        (started,) = service.events("service_started")
        assert started["database"].endswith(", schema drops")
        house.drop("students.csv", files.csv_of(files.good(1), files.bad(2)))
        imported_at_next_tick(service, "students.csv")
        service.wait_for_event("mail_sent")
        assert b"students.csv" in command(house, "history")
        forgotten = command(house, "forget", f"{files.CANARY}-001", codes=(0, 2))
        assert b"user" in forgotten
        assert service.terminate() == 0
    assert house.records("SELECT * FROM drops.users") == []
    assert len(house.records("SELECT * FROM drops.imports")) == 1
    assert house.records("SELECT * FROM public.users") == []


def lines(name: str, document: Path = OPERATOR) -> str:
    """The script of a part of a guide."""
    (script,) = re.findall(
        r"^```sh\n(.*?)^```$", part_of(document.read_text(encoding="utf-8"), name), re.DOTALL | re.MULTILINE
    )
    return str(script)


def test_a_schema_is_made_backed_up_and_restored_by_the_lines_of_the_guides(
    house: House, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    url = make_url(postgresql.url())
    variables = {"PGHOST": str(postgresql.directory), "PGUSER": "admin", "to": str(tmp_path), "from": str(tmp_path)}

    def done(script: str) -> None:
        script = script.replace("people", str(url.database)).replace("ROLE userdrop", "ROLE lodger")
        script = script.replace("TO userdrop", "TO lodger").replace("AUTHORIZATION userdrop", "AUTHORIZATION lodger")
        run([needs("bash"), "-e", "-c", script], env=environment(**variables))

    done(lines("schema-postgresql", ADMIN))
    house.keeps_users_in(url.set(username="lodger").render_as_string(hide_password=False))
    house.set(DATABASE_SCHEMA="userdrop")
    house.drop("first.csv", files.csv_of(files.good(1)))
    house.once()
    done(lines("backup-schema"))
    house.execute("DELETE FROM userdrop.users")
    done(lines("restore-schema"))
    house.drop("second.csv", files.csv_of(files.good(2)))
    house.once()
    found = house.records("SELECT unique_id FROM userdrop.users ORDER BY unique_id")
    assert [each["unique_id"] for each in found] == [f"{files.CANARY}-001", f"{files.CANARY}-002"]


def test_another_applications_database_ends_the_service_with_a_sentence(house: House) -> None:
    house.execute("CREATE TABLE users (name TEXT)")
    with house.service(ready=False) as service:
        assert service.wait(30) == 3
    assert "there is a table users that is not userdrop's" in service.tail()
    assert not service.events("worker_died")
    assert house.records("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [{"tablename": "users"}]


def command(house: House, *arguments: str, codes: tuple[int, ...] = (0,)) -> bytes:
    """What a command prints."""
    env = environment(**house.environment)
    done = subprocess.run(
        [sys.executable, "-m", "watcher", *arguments], env=env, timeout=60, capture_output=True, check=False
    )
    assert done.returncode in codes, done.stderr
    return done.stdout

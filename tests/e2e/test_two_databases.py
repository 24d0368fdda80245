"""A service whose database setting was lost does not go on without its users, and who looks elsewhere is told."""

import contextlib
import json
import sqlite3
import subprocess
import sys

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.postgresql import PostgresqlServer
from tests.servers.tools import environment

FIRST = files.csv_of(files.good(1))


def command(house: House, *arguments: str, **other: str) -> subprocess.CompletedProcess[str]:
    """Run a command with other settings beside those of the house; an empty one is not set."""
    env = environment(**{**house.environment, **other})
    call = [sys.executable, "-m", "watcher", *arguments]
    return subprocess.run(call, env=env, timeout=60, capture_output=True, check=False, text=True)


def told(house: House, code: int = 3) -> str:
    """What a service says that does not start."""
    with house.service(ready=False) as service:
        assert service.wait(60) == code
    return service.tail()


def serve(house: House, name: str = "first.csv") -> None:
    with house.service() as service:
        house.drop(name, FIRST)
        imported_at_next_tick(service, name)
        assert service.terminate() == 0


def test_a_service_that_has_used_postgresql_does_not_begin_with_an_empty_sqlite(
    house: House, postgresql: PostgresqlServer
) -> None:
    url = postgresql.url()
    house.keeps_users_in(url)
    serve(house)
    house.set(DATABASE_URL="")
    last = told(house)
    assert "is empty, and until now the service has used postgresql+psycopg://" in last
    assert "remove " in last
    assert not house.database.exists()
    found = [json.loads(line) for line in command(house, "doctor", "--json").stdout.splitlines()]
    (tables,) = (each for each in found if each["name"] == "database tables")
    assert tables["state"] == "broken"
    assert "until now the service has used" in tables["what"]
    (house.state / "database-in-use").unlink()
    house.engine = None
    serve(house, "again.csv")
    assert house.ids() == [f"{files.CANARY}-001"]


def test_a_service_that_has_users_in_sqlite_is_not_begun_anew_elsewhere(
    house: House, postgresql: PostgresqlServer
) -> None:
    serve(house)
    house.set(DATABASE_URL=postgresql.url())
    assert f"until now the service has used sqlite:///{house.database}" in told(house)
    house.set(DATABASE_URL=f"sqlite:///{house.root / 'other.db'}")
    assert "until now the service has used sqlite:///" in told(house)
    assert not (house.root / "other.db").exists()


def test_an_installation_that_has_imported_nothing_yet_may_change_its_database(
    house: House, postgresql: PostgresqlServer
) -> None:
    with house.service() as service:
        assert service.terminate() == 0
    assert house.database.exists()
    house.keeps_users_in(postgresql.url())
    serve(house)
    assert house.ids() == [f"{files.CANARY}-001"]


def test_a_command_that_looks_into_another_database_than_the_service_says_so(
    house: House, postgresql: PostgresqlServer
) -> None:
    url = postgresql.url()
    serve(house)
    said = "the service runs on another database than this command"
    house.keeps_users_in(url)
    (house.state / "database-in-use").unlink()
    with house.service() as service:
        service.wait_for_event("watch_changed", to="live")
        service.wait_for_event("doctor_found", 60)  # after it was prepared
        for arguments in (("history",), ("status",), ("why", "first.csv")):
            assert said in command(house, *arguments, USERDROP_DATABASE_URL="").stderr
            assert said not in command(house, *arguments).stderr
        found = command(house, "doctor", "--json", USERDROP_DATABASE_URL="").stdout
        assert "the running service uses another database" in found
        assert "the running service uses another database" not in command(house, "doctor", "--json").stdout
        assert service.terminate() == 0


def test_another_applications_sqlite_file_is_refused_and_stays_as_it_is(house: House) -> None:
    path = house.root / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    house.set(DATABASE_URL=f"sqlite:///{path}")
    assert "none of userdrop's: set USERDROP_DATABASE_URL to a file of userdrop's own" in told(house)
    assert "not userdrop's" in command(house, "history").stderr
    assert "not userdrop's" in command(house, "doctor", "--json").stdout
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert sorted(each.name for each in house.root.glob("theirs*")) == ["theirs.db", "theirs.db.lock"]

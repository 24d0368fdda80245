"""The runbook's lines for backup and restore, run as they stand there, while clients go on uploading."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.postgresql import PostgresqlServer, postgresql_server
from tests.servers.tools import environment, needs, run
from tests.tools.docs import OPERATOR, ROOT, part_of

FIRST, SECOND, WAITING, NEW = (files.csv_of(files.good(number), files.bad(number + 1)) for number in (1, 3, 5, 7))


class Sqlite:
    """The database in the house's state directory."""

    kind = "sqlite"
    variables: Mapping[str, str] = {}

    def serve(self, house: House) -> None:
        """It is there by itself."""

    def move(self, house: House) -> None:
        """It goes with the state directory."""


class Postgresql:
    """A server as the runbook says, and another one in its place after `move`."""

    kind = "postgresql"

    def __init__(self, first: PostgresqlServer, second: PostgresqlServer) -> None:
        self._second = second
        self._now = first

    @property
    def variables(self) -> Mapping[str, str]:
        """By which its programs find it."""
        return {"PGHOST": str(self._now.directory), "PGUSER": "admin"}

    def serve(self, house: House) -> None:
        self._now.run_script(ROOT / "deploy" / "postgresql.sql")
        url = make_url(self._now.url()).set(username="userdrop", database="userdrop")
        house.keeps_users_in(url.render_as_string(hide_password=False))

    def move(self, house: House) -> None:
        self._now.close()
        self._now = self._second
        self.serve(house)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Sqlite | Postgresql]:
    if request.param == "sqlite":
        yield Sqlite()
        return
    with postgresql_server() as first, postgresql_server() as second:
        yield Postgresql(first, second)


def lines(name: str) -> str:
    """The script of a part of the runbook."""
    text = part_of(OPERATOR.read_text(encoding="utf-8"), name)
    (script,) = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return str(script)


def steps(what: str, kind: str) -> list[str]:
    """The script of backup or restore, cut where it has the service stopped and started."""
    script = lines(f"{what}-sqlite")
    if kind == "postgresql":
        theirs = r"^(?:(?:sqlite3|rm|cp|chown) .*\n)+"
        assert len(re.findall(theirs, script, re.MULTILINE)) == 1
        script = re.sub(theirs, lambda _: lines(f"{what}-postgresql"), script, flags=re.MULTILINE)
    parts = re.split(r"^systemctl (?:stop|start) userdrop\n", script, flags=re.MULTILINE)
    assert len(parts) == 3
    assert parts[-1] == ""
    return parts[:-1]


def done(house: House, script: str, variables: Mapping[str, str]) -> str:
    """What a script prints, with the house's directories in place of an installation's."""
    places = {"/srv/userdrop/upload": house.upload, "/var/lib/userdrop": house.state, "/backup/userdrop": backup(house)}
    for installed, place in places.items():
        script = script.replace(f"={installed}", f"={place}")
    env = environment(**variables)
    return run([needs("bash"), "-e", "-c", script], env=env).decode()


def backup(house: House) -> Path:
    return house.root / "backup"


def places(script: str) -> str:
    """The line that says where everything is."""
    return script.partition("\n")[0] + "\n"


def command(house: House, *arguments: str) -> None:
    env = environment(**house.environment)
    subprocess.run([sys.executable, "-m", "watcher", *arguments], env=env, check=True, timeout=60, capture_output=True)


def test_what_was_backed_up_goes_on_elsewhere_and_nothing_is_lost_or_imported_twice(
    house: House, database: Sqlite | Postgresql
) -> None:
    for program in ("rsync", "sqlite3", "pg_dump", "pg_restore"):
        needs(program)
    database.serve(house)
    while_it_works, while_it_is_stopped = steps("backup", database.kind)
    with house.service() as service:
        house.drop("first.csv", FIRST)
        imported_at_next_tick(service, "first.csv")
        done(house, while_it_works, database.variables)
        house.drop("second.csv", SECOND)
        imported_at_next_tick(service, "second.csv")
        service.wait_for_event("mail_sent")
        house.drop("waiting.csv", WAITING)
        service.wait_for_event("upload_settled", file="waiting.csv")
        assert service.terminate() == 0
    done(house, places(while_it_works) + while_it_is_stopped, database.variables)
    with house.service() as service:
        imported_at_next_tick(service, "waiting.csv")

    known = house.archived()
    shutil.rmtree(house.mail)
    for directory in (house.upload, house.state):
        shutil.rmtree(directory)
        directory.mkdir()
    database.move(house)
    before, restored = steps("restore", database.kind)
    done(house, before + restored, database.variables)
    with house.service() as service:
        imported_at_next_tick(service, "waiting.csv")
        house.drop("new.csv", NEW)
        imported_at_next_tick(service, "new.csv")
        service.wait_for_event("mail_sent")
        assert service.terminate() == 0
    assert [entry["file"] for entry in house.imports()] == ["first.csv", "second.csv", "waiting.csv", "new.csv"]
    assert house.ids() == [f"{files.CANARY}-00{number}" for number in (1, 3, 5, 7)]
    assert len(house.archived()) == 8
    assert {name: known[name] for name in known if not name.startswith("waiting")}.items() <= house.archived().items()
    mails = b"".join(house.mail_files())
    assert b"waiting." in mails
    assert b"first." not in mails


def test_a_database_that_was_backed_up_alone_while_the_service_ran_is_brought_up_to_date_from_bak(
    house: House,
) -> None:
    saving, restoring = (
        "".join(line for line in lines(name).splitlines(keepends=True) if line.startswith(started))
        for name, started in {
            "backup-sqlite": ("upload=", "mkdir", "sqlite3"),
            "restore-sqlite": ("upload=", "rm", "cp", "chown"),
        }.items()
    )
    with house.service() as service:
        house.drop("first.csv", FIRST)
        imported_at_next_tick(service, "first.csv")
        done(house, saving, {})
        house.drop("second.csv", SECOND)
        imported_at_next_tick(service, "second.csv")
        assert service.terminate() == 0
    house.database.write_bytes(b"destroyed")
    done(house, restoring, {})
    assert not (house.state / "userdrop.db-wal").exists()
    assert house.ids() == [f"{files.CANARY}-001"]
    unknown = done(house, lines("unknown-sqlite"), {}).splitlines()
    assert [name.partition(".")[0] for name in unknown] == ["second"]
    with house.service() as service:
        for name in unknown:
            command(house, "reimport", name)
        service.wait_for_event("upload_settled", file="second.csv")
        command(house, "now")
        service.wait_for_event("file_archived", file="second.csv")
    assert [entry["file"] for entry in house.imports()] == ["first.csv", "second.csv"]
    assert house.ids() == [f"{files.CANARY}-001", f"{files.CANARY}-003"]


@pytest.mark.parametrize("what", ["backup", "restore"])
def test_the_lines_for_postgresql_take_the_place_of_those_for_sqlite(what: str) -> None:
    ours, theirs = (" ".join(steps(what, kind)) for kind in ("sqlite", "postgresql"))
    assert "userdrop.db" in ours
    assert "userdrop.db" not in theirs
    assert "userdrop.dump" in theirs

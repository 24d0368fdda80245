"""The doctor names what is wrong with a database by codes and trials, so that it finds the same in every language."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from importer.database.engines import make_engine
from importer.database.tables import migrate
from importer.formats.format_file import load_format
from tests.servers.pgbouncer import pgbouncer
from tests.servers.ports import LOOPBACK
from tests.servers.postgresql import PostgresqlServer, postgresql_server
from tests.servers.tools import environment, needs, wait_until
from watcher.base.clock import utc_now
from watcher.doctor.database import examined
from watcher.doctor.findings import Finding, State

FORMAT = load_format(None)
PASSWORD = "canary-of-a-password"
RULES = (
    "local all admin trust\nhost all admin 127.0.0.0/8 trust\nhost all asked 127.0.0.0/8 scram-sha-256\n"
    "host all limited 127.0.0.0/8 trust\n"
)


def findings(url: URL | str) -> list[Finding]:
    given = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    return [*examined(given, FORMAT, now=utc_now(), mountinfo=Path("/proc/self/mountinfo"), state_dir=Path("/nowhere"))]


def fault(url: URL | str) -> Finding:
    """The one finding that is not ok."""
    (found,) = (each for each in findings(url) if each.state is not State.OK)
    assert PASSWORD not in found.what
    return found


class Speaking:
    """A server that asks for passwords, on TCP."""

    def __init__(self, server: PostgresqlServer, address: str) -> None:
        self.server = server
        self.own = server.url()
        engine = make_engine(self.own)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE ROLE limited LOGIN CONNECTION LIMIT 0")
            connection.exec_driver_sql(f"CREATE ROLE asked LOGIN PASSWORD '{PASSWORD}'")
        engine.dispose()
        (server.directory / "data" / "pg_hba.conf").write_text(RULES, encoding="ascii")
        self.execute("SELECT pg_reload_conf()")
        self.url = make_url(self.own).set(host=address, query={})
        wait_until(lambda: fault(self.url.set(username="nobody")) is not None, "the rules")

    def execute(self, *statements: str) -> None:
        engine = make_engine(self.own).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()


def french(directory: Path) -> dict[str, str]:
    """The settings and variables of a server that speaks French, in a locale of its own."""
    if not Path("/usr/share/locale/fr/LC_MESSAGES/postgres-15.mo").exists():
        return {}
    made = directory / "fr_FR.UTF-8"
    subprocess.run([needs("localedef"), "-i", "fr_FR", "-f", "UTF-8", str(made)], check=False, env=environment())
    return {"LOCPATH": str(directory)} if made.exists() else {}


@pytest.fixture(scope="module", params=["en", "fr"])
def speaking(request: pytest.FixtureRequest) -> Iterator[Speaking]:
    variables: dict[str, str] = {}
    language = {}
    place = Path(tempfile.mkdtemp(prefix="userdrop-locale-", dir="/tmp"))  # the server's user may read it
    place.chmod(0o755)
    if request.param == "fr":
        variables = french(place)
        if not variables:
            pytest.skip("there is no French here")
        language = {"lc_messages": "fr_FR.UTF-8"}
    address = f"127.{os.getpid() >> 16 & 255}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"  # nobody else's
    with postgresql_server(variables, listen_addresses=address, **language) as server:
        yield Speaking(server, address)
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize(
    ("changed", "what", "cure"),
    [
        ({"username": "asked", "password": "of-somebody-else"}, "refuses the password", "percent-encoded"),
        ({"username": "asked"}, "wants a password", "set the password"),
        ({"username": "unknown"}, "lets this user not in", "pg_hba.conf"),
        ({"username": "limited"}, "no connection free", "CONNECTION LIMIT"),
        ({"username": "asked", "password": PASSWORD, "database": "nowhere"}, "no database of that name", "make the"),
    ],
)
def test_what_a_server_says_no_to_is_known_in_every_language(
    speaking: Speaking, changed: dict[str, str], what: str, cure: str
) -> None:
    found = fault(URL.create(**{**speaking.url._asdict(), **changed}))
    assert found.state is State.BROKEN
    assert what in found.what
    assert cure in found.cure
    assert "start PostgreSQL" not in found.cure


def test_a_database_that_may_only_be_read_is_told(speaking: Speaking) -> None:
    url = make_url(speaking.server.url())
    engine = make_engine(url.render_as_string(hide_password=False))
    migrate(engine, FORMAT)
    engine.dispose()
    speaking.execute(f"ALTER DATABASE {url.database} SET default_transaction_read_only = on")
    assert "can only be read" in fault(url).what


def test_a_standby_is_told(postgresql: PostgresqlServer) -> None:
    url = make_url(postgresql.url())
    engine = make_engine(url.render_as_string(hide_password=False))
    migrate(engine, FORMAT)
    engine.dispose()
    with postgresql.standby() as standby:
        assert "the server is a standby" in fault(url.set(query={"host": str(standby)})).what


def test_a_server_that_starts_is_told_to_be_waited_for(postgresql: PostgresqlServer) -> None:
    url = make_url(postgresql.url())
    with postgresql.standby(hot_standby="off") as starting:
        found = fault(url.set(query={"host": str(starting)}))
    assert "is starting or stopping (SQLSTATE 57P03: " in found.what
    assert "wait" in found.cure


def unused() -> int:
    with socket.create_server((LOOPBACK, 0)) as free:
        port: int = free.getsockname()[1]
    return port


def hang_up(listener: socket.socket) -> None:
    """Take connections and close them, as a server does that is not PostgreSQL."""
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


def test_a_server_that_is_not_there_is_told_apart_by_how_far_it_can_be_reached(tmp_path: Path) -> None:
    url = URL.create("postgresql+psycopg", username="me", password=PASSWORD, host=LOOPBACK, port=unused())
    assert "no server listens" in fault(url).what
    assert "systemctl start postgresql" in fault(url).cure
    assert "is not known on this machine" in fault(url.set(host="nowhere.invalid")).what
    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=hang_up, args=[listener]).start()
        assert "something listens" in fault(url.set(port=listener.getsockname()[1])).what
        listener.shutdown(socket.SHUT_RDWR)
    assert "has an option" in fault(url.update_query_dict({"sslmoode": PASSWORD})).what
    assert "no socket" in fault(url.set(host="").update_query_dict({"host": str(tmp_path)})).what


def test_timeouts_that_the_role_has_are_shown_and_are_no_fault(postgresql: PostgresqlServer) -> None:
    url = make_url(postgresql.url())
    engine = make_engine(url.render_as_string(hide_password=False))
    migrate(engine, FORMAT)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {url.database} SET statement_timeout = '5s'")
    engine.dispose()
    (told,) = (each for each in findings(url) if "statement_timeout" in each.what)
    assert told.state is State.OK
    assert "statement_timeout = 5000ms" in told.what


def test_a_pooler_that_shares_sessions_is_told(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    engine = make_engine(url)
    migrate(engine, FORMAT)
    engine.dispose()
    with pgbouncer(url, "transaction") as pooled:
        assert "pool_mode = session" in fault(pooled).cure
    with pgbouncer(url, "session") as kept:
        assert all(each.state is State.OK for each in findings(kept))


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE users (id INTEGER)", "CREATE TABLE places (id INTEGER)", "PRAGMA user_version = 7"]
)
def test_an_sqlite_file_that_is_not_the_services_stays_as_it_is(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    found = [each for each in findings(f"sqlite:///{path}") if each.state is not State.OK]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [each.name for each in tmp_path.iterdir()] == ["theirs.db"]
    if "TABLE" in statement:
        assert "not userdrop's" in found[0].what
        assert "USERDROP_DATABASE_URL" in found[0].cure

"""Fixtures that more than one test module uses."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import Engine

from importer.database.engines import make_engine
from tests.importing import Site, make_site
from tests.servers.ftps import FtpsServer, reachable_directory, vsftpd
from tests.servers.postgresql import PostgresqlServer, postgresql_server
from tests.servers.smtp import SmtpServer, smtp_server

# A machine that others use too is no reason for a failure.
settings.register_profile("userdrop", deadline=None)
settings.load_profile("userdrop")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a PostgreSQL server, so that they can be left out where none is installed."""
    for item in items:
        if isinstance(item, pytest.Function) and "postgresql" in item.fixturenames:
            item.add_marker("postgresql")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many points the enumerations of crashes and power losses went through."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    found = [(report.nodeid, name, int(str(value))) for report in reports for name, value in report.user_properties]
    for test, name, number in found:
        terminalreporter.write_line(f"{number:5} {name}: {test}")
    points = [number for _, name, number in found if name == "points"]
    if points:
        terminalreporter.write_line(f"{sum(points):5} points in all")


@pytest.fixture
def ftps(tmp_path: Path) -> Iterator[Callable[..., FtpsServer]]:
    """Start a vsftpd: `ftps()`, `ftps(settings={…})`, `ftps(local_user="daemon")`, `ftps(upload=…)`."""
    with contextlib.ExitStack() as stack:

        def start(
            *, upload: Path | None = None, local_user: str | None = None, settings: Mapping[str, str] | None = None
        ) -> FtpsServer:
            if upload is None:
                parent = stack.enter_context(reachable_directory()) if local_user else tmp_path
                upload = parent / "upload"
                upload.mkdir(exist_ok=True)
            return stack.enter_context(vsftpd(tmp_path, upload, local_user=local_user, settings=settings))

        yield start


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpServer]:
    """A mail server with STARTTLS and without login, whose `faults` a test may set and take away."""
    with smtp_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server, one for each process of the tests."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database of each kind that userdrop works on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'userdrop.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.url()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The same, without tables, as the service works on it."""
    made = make_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A client's upload directory beside an SQLite database."""
    made = make_site(tmp_path)
    yield made
    made.engine.dispose()

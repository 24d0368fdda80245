"""Fixtures of the end-to-end tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.house import House
from tests.servers import clients
from tests.servers.ftps import FtpsServer


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An installation whose client directory is `tmp_path/upload`, as that of the `ftps` fixture."""
    return House(tmp_path)


@pytest.fixture
def logged_server(house: House, ftps: Callable[..., FtpsServer]) -> FtpsServer:
    """A server whose log the house reads; an upload is in it already, so that the service knows the log for the right
    one.
    """
    server = ftps()
    house.reads_log_of(server)
    with clients.ftplib_session(server) as ftp:
        clients.upload_with_ftplib(server, b"unique_id", "first.csv")
        ftp.delete("first.csv")
    return server

"""What a service that systemd has started tells it."""

import contextlib
import re
import socket
import sqlite3
from collections.abc import Iterator

import pytest

from tests.e2e.house import House


@pytest.fixture
def systemd(house: House) -> Iterator[socket.socket]:
    """Where the house's service tells how it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(house.root / "notify"))
        listener.settimeout(30)
        house.tells_systemd(str(house.root / "notify"), watchdog_seconds=1.5)
        yield listener


def words(listener: socket.socket) -> list[str]:
    return listener.recv(1000).decode().split("\n")


def test_a_service_says_that_it_is_ready_gets_on_and_ends(house: House, systemd: socket.socket) -> None:
    with house.service() as service:
        ready, status, alive = words(systemd)
        assert (ready, alive) == ("READY=1", "WATCHDOG=1")
        assert re.fullmatch(r"STATUS=clients: \d, files that wait: 0, open alerts: 0", status)
        assert words(systemd)[1:] == ["WATCHDOG=1"]
        assert service.terminate() == 0
        while (told := words(systemd)) != ["STOPPING=1"]:
            assert told[1:] == ["WATCHDOG=1"]


def test_a_service_that_cannot_begin_is_never_ready(house: House, systemd: socket.socket) -> None:
    house.once()
    with contextlib.closing(sqlite3.connect(house.database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of another day'")
        connection.commit()
    with house.service(ready=False) as service:
        assert service.wait() == 3
    systemd.settimeout(0)
    with pytest.raises(BlockingIOError):
        words(systemd)

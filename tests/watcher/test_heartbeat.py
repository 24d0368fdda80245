"""What systemd is told, and when its watchdog hears nothing."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from watcher.heartbeat import BEAT_SECONDS, READY_SECONDS, Heartbeat
from watcher.stalls import Task, stalled


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """An address, and what listens there."""
    address = f"@userdrop-{tmp_path}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        listener.settimeout(0)
        yield address, listener


class Life:
    """A service that is as the test says."""

    def __init__(self, address: str, watchdog_seconds: float | None = 30.0) -> None:
        self.is_ready = True
        self.now = 0.0
        self.heartbeat = Heartbeat(
            address=address,
            watchdog_seconds=watchdog_seconds,
            is_ready=lambda: self.is_ready,
            status=lambda: "clients: 1",
            tasks=lambda: (Task(name="imports", since=0.0, patience=100.0),),
            elapsed=lambda: self.now,
        )


def heard(listener: socket.socket) -> list[str]:
    """The lines of the next word."""
    return listener.recv(1000).decode().split("\n")


def hears_nothing(listener: socket.socket) -> bool:
    try:
        listener.recv(1000)
    except BlockingIOError:
        return True
    return False


def test_nothing_is_told_before_the_service_is_ready_and_that_it_is_ready_once(
    systemd: tuple[str, socket.socket],
) -> None:
    address, listener = systemd
    life = Life(address)
    life.is_ready = False
    life.heartbeat.beat()
    assert hears_nothing(listener)
    assert life.heartbeat.seconds == READY_SECONDS
    life.is_ready = True
    life.heartbeat.beat()
    assert heard(listener) == ["READY=1", "STATUS=clients: 1", "WATCHDOG=1"]
    life.is_ready = False
    life.heartbeat.beat()
    assert heard(listener) == ["STATUS=clients: 1", "WATCHDOG=1"]


def test_while_a_task_has_stalled_the_watchdog_hears_nothing_and_the_log_says_so_once(
    systemd: tuple[str, socket.socket],
) -> None:
    address, listener = systemd
    life = Life(address)
    with capture_logs() as logs:
        for now, words in (
            (100.0, ["READY=1", "STATUS=clients: 1", "WATCHDOG=1"]),
            (100.1, ["STATUS=clients: 1"]),
            (200.0, ["STATUS=clients: 1"]),
            (0.0, ["STATUS=clients: 1", "WATCHDOG=1"]),
        ):
            life.now = now
            life.heartbeat.beat()
            assert heard(listener) == words
    assert [(line["event"], line["tasks"]) for line in logs] == [("progress_stalled", "imports")]


def test_the_watchdog_is_told_three_times_as_often_as_it_waits(systemd: tuple[str, socket.socket]) -> None:
    address, listener = systemd
    for watchdog, seconds in ((None, BEAT_SECONDS), (120.0, BEAT_SECONDS), (3.0, 1.0)):
        life = Life(address, watchdog)
        life.heartbeat.beat()
        assert ("WATCHDOG=1" in heard(listener)) is (watchdog is not None)
        assert life.heartbeat.seconds == seconds


async def test_the_end_is_told(systemd: tuple[str, socket.socket]) -> None:
    address, listener = systemd
    stopping = asyncio.Event()
    running = asyncio.create_task(Life(address).heartbeat.run(stopping))
    assert (await asyncio.get_running_loop().sock_recv(listener, 1000)).startswith(b"READY=1\n")
    stopping.set()
    await running
    assert heard(listener) == ["STOPPING=1"]


def test_a_systemd_that_has_gone_is_in_nobodys_way(tmp_path: Path) -> None:
    Life(str(tmp_path / "nobody")).heartbeat.beat()


@pytest.mark.parametrize(
    ("since", "names"), [(None, ()), (0.0, ("delivery",)), (10.0, ()), (9.99, ("delivery",)), (200.0, ())]
)
def test_a_task_has_stalled_that_takes_longer_than_any_step_does(since: float | None, names: tuple[str, ...]) -> None:
    tasks = (
        Task(name="watch", since=109.0, patience=5.0),
        Task(name="delivery", since=since, patience=100.0),
    )
    assert stalled(tasks, 110.0) == names

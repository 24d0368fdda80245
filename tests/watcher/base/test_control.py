"""The socket by which other processes ask the service."""

import asyncio
import gc
import socket
import stat
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from watcher.base.control import CONTROL, MOST_PEERS, REQUEST_BYTES, UNKNOWN, answering, asked, asked_for
from watcher.base.encoding import OtherShapeError


def at_once(value: object) -> Callable[[], Awaitable[object]]:
    async def answer() -> object:
        return value

    return answer


def in_thread(*requests: str, state_dir: Path) -> list[object]:
    async def ask() -> list[object]:
        async with answering(state_dir, {"status": at_once({"pid": 1})}):
            return [await asyncio.to_thread(asked, state_dir, request) for request in requests]

    return asyncio.run(ask())


def test_a_known_request_is_answered_and_another_one_is_not(tmp_path: Path) -> None:
    assert in_thread("status", "x", "", "status", state_dir=tmp_path) == [{"pid": 1}, UNKNOWN, UNKNOWN, {"pid": 1}]
    assert asked(tmp_path, "status") is None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    pid: int


def test_who_asks_for_a_value_gets_the_one_that_was_sent(tmp_path: Path) -> None:
    async def ask(kind: type[object], request: str) -> object:
        async with answering(tmp_path, {"status": at_once(About(pid=1)), "file": at_once({"pid": "1"})}):
            return await asyncio.to_thread(asked_for, kind, tmp_path, request)

    assert asyncio.run(ask(About, "status")) == About(pid=1)
    with pytest.raises(OtherShapeError):
        asyncio.run(ask(About, "x"))
    with pytest.raises(OtherShapeError):
        asyncio.run(ask(About, "file"))
    assert asked_for(About, tmp_path, "status") is None


def test_a_request_with_more_words_than_it_has_is_of_another_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask() -> object:
        async with answering(tmp_path, {"status": at_once(1)}):
            return await asyncio.to_thread(asked, tmp_path, "status", "of", "everything")

    assert asyncio.run(ask()) == UNKNOWN
    gc.collect()
    assert caplog.text == ""


def test_an_answer_that_is_larger_than_the_kernel_takes_at_once_leaves_no_failed_task(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As that on a thousand clients."""
    large = ["x" * 100] * 50_000

    async def ask() -> object:
        async with answering(tmp_path, {"status": at_once(large)}):
            return await asyncio.to_thread(asked, tmp_path, "status")

    assert asyncio.run(ask()) == large
    gc.collect()
    assert caplog.text == ""


def test_the_path_of_the_state_directory_may_be_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200)
    deep.mkdir()
    assert in_thread("status", state_dir=deep) == [{"pid": 1}]


def test_a_socket_that_a_killed_service_has_left_answers_nobody_and_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / CONTROL))
    assert asked(tmp_path, "status") is None
    assert in_thread("status", state_dir=tmp_path) == [{"pid": 1}]


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_burst_of_peers_waits_without_descriptors_and_each_is_answered(tmp_path: Path) -> None:
    def ask(connection: socket.socket) -> bytes:
        with connection, connection.makefile("rwb") as stream:
            stream.write(b'["status"]\n')
            stream.flush()
            return stream.readline()

    peers = [socket.socket(socket.AF_UNIX) for _ in range(100)]

    async def connected_and_answered() -> list[bytes]:
        async with answering(tmp_path, {"status": at_once(1)}):
            before = open_descriptors()
            for peer in peers:
                peer.connect(str(tmp_path / CONTROL))
            for _ in range(50):
                await asyncio.sleep(0)
            assert open_descriptors() - before <= MOST_PEERS + 1
            return await asyncio.gather(*(asyncio.to_thread(ask, each) for each in peers))

    assert asyncio.run(connected_and_answered()) == [b"1\n"] * len(peers)


def _too_long(connection: socket.socket) -> None:
    connection.sendall(b"x" * 2 * REQUEST_BYTES)


def _no_text(connection: socket.socket) -> None:
    connection.sendall(b"\xff\0\n")


def _gone(connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize("speak", [_too_long, _no_text, _gone])
def test_who_talks_nonsense_is_in_nobodys_way(tmp_path: Path, speak: Callable[[socket.socket], None]) -> None:
    def talk() -> object:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / CONTROL))
            speak(connection)
        return asked(tmp_path, "status")

    async def ask() -> object:
        async with answering(tmp_path, {"status": at_once("fine")}):
            assert stat.S_IMODE((tmp_path / CONTROL).stat().st_mode) == 0o600
            return await asyncio.to_thread(talk)

    assert asyncio.run(ask()) == "fine"


def test_half_an_answer_is_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as ending, ThreadPoolExecutor(1) as thread:
        ending.bind(str(tmp_path / CONTROL))
        ending.listen()
        asking = thread.submit(asked, tmp_path, "status")
        connection, _ = ending.accept()
        with connection:
            connection.recv(REQUEST_BYTES)
            connection.sendall(b'{"pid"')
        assert asking.result(30) is None

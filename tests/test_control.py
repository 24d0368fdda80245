"""The socket by which other processes ask the service."""

import asyncio
import socket
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from watcher.control import CONTROL, REQUEST_BYTES, answering, asked


def in_thread(*requests: str, state_dir: Path) -> list[object]:
    async def ask() -> list[object]:
        async with answering(state_dir, {"status": lambda: {"pid": 1}}):
            return [await asyncio.to_thread(asked, state_dir, request) for request in requests]

    return asyncio.run(ask())


def test_a_known_request_is_answered_and_another_one_is_not(tmp_path: Path) -> None:
    assert in_thread("status", "x", "", "status", state_dir=tmp_path) == [{"pid": 1}, None, None, {"pid": 1}]
    assert asked(tmp_path, "status") is None


def test_the_path_of_the_state_directory_may_be_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200)
    deep.mkdir()
    assert in_thread("status", state_dir=deep) == [{"pid": 1}]


def test_a_socket_that_a_killed_service_has_left_answers_nobody_and_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / CONTROL))
    assert asked(tmp_path, "status") is None
    assert in_thread("status", state_dir=tmp_path) == [{"pid": 1}]


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
        async with answering(tmp_path, {"status": lambda: "fine"}):
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

"""A socket in the state directory, by which the running service answers other processes of its user.

A request is a line with a JSON list of words, the answer a line of JSON. Only who may enter the state directory gets
that far.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from inspect import signature
from pathlib import Path
from typing import TypeVar

from watcher.base.accepting import WAITING_CONNECTIONS, accepting
from watcher.base.encoding import OtherShapeError, plain, value_of

CONTROL = "control"
"""The socket's name in the state directory."""

REQUEST_BYTES = 8192
ANSWER_SECONDS = 5.0
"""Seconds that a peer may take to ask, and to take its answer."""
MOST_PEERS = 32
"""The number of peers that are answered at once; others wait, without a descriptor of ours."""

UNKNOWN = "unknown request"
"""The answer to a request that the service does not know, as it is of another version."""

T = TypeVar("T")


@asynccontextmanager
async def answering(state_dir: Path, answers: Mapping[str, Callable[..., Awaitable[object]]]) -> AsyncIterator[None]:
    """Answer other processes while the block runs.

    Args:
        state_dir: locked by this process, so that a socket which lies there is nobody's.
        answers: first word of a request → what makes the answer of the others.

    Raises:
        OSError: no socket can be made there.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_taken = False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                given = await _given(answers, _words(await reader.readuntil(b"\n")))
                # In a thread, since what is told of a thousand clients takes a tenth of a second to encode.
                writer.write(await asyncio.get_running_loop().run_in_executor(encoding, _encoded, given))
                writer.close()
                await writer.wait_closed()
                is_taken = True
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            if not is_taken:  # asyncio fails at a connection that was closed after it had to wait for its peer
                writer.transport.abort()

    with _listening(state_dir) as listener, ThreadPoolExecutor(1, "control") as encoding:
        meeting = _Meeting(answer)
        async with accepting(listener, meeting.meet):
            yield
        meeting.end()


async def _given(answers: Mapping[str, Callable[..., Awaitable[object]]], words: list[str]) -> object:
    what, *about = words
    if what not in answers:
        return UNKNOWN
    try:
        about_it = signature(answers[what]).bind(*about)
    except TypeError:  # another version asks for it with more words, or with fewer
        return UNKNOWN
    return await answers[what](*about_it.args)


def _encoded(given: object) -> bytes:
    return json.dumps(given, default=plain).encode() + b"\n"


class _Meeting:
    """The peers that are answered now."""

    def __init__(self, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._answer = answer
        self._places = asyncio.Semaphore(MOST_PEERS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def meet(self, connection: socket.socket) -> None:
        """Have a peer answered once there is a place."""
        await self._places.acquire()
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=REQUEST_BYTES)
        task = asyncio.create_task(self._answered(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            self._places.release()

    def end(self) -> None:
        """Stop answering peers."""
        for task in self._tasks:
            task.cancel()


def _words(request: bytes) -> list[str]:
    """The words of a request; an empty list where the line is no request."""
    try:
        words = json.loads(request)
    except ValueError:
        return [""]
    return words if isinstance(words, list) and words and all(isinstance(each, str) for each in words) else [""]


@contextmanager
def _listening(state_dir: Path) -> Iterator[socket.socket]:
    with _address(state_dir) as address, socket.socket(socket.AF_UNIX) as listener:
        path = Path(address)
        path.unlink(missing_ok=True)
        listener.bind(address)
        try:
            path.chmod(0o600)
            listener.listen(WAITING_CONNECTIONS)
            yield listener
        finally:
            with suppress(OSError):  # one that is left answers nobody, and the next service replaces it
                path.unlink()


def asked(state_dir: Path, *request: str) -> object:
    """Ask the running service; None where none runs, and `UNKNOWN` where it does not know the request.

    Raises:
        OSError: the service does not answer, or the state directory is another user's.
    """
    with _address(state_dir) as address, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2 * ANSWER_SECONDS)
        try:
            connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as answer:
            line = answer.readline()
    return json.loads(line) if line.endswith(b"\n") else None  # a service that ends may leave half an answer


def asked_for(kind: type[T], state_dir: Path, *request: str) -> T | None:
    """Ask the running service for a value; None where none runs.

    Raises:
        OSError: the service does not answer, or the state directory is another user's.
        OtherShapeError: the service knows no such request, or its answer is no such value, as it is of another version.
    """
    answer = asked(state_dir, *request)
    if answer == UNKNOWN:
        raise OtherShapeError(kind.__name__)
    return None if answer is None else value_of(kind, answer)


@contextmanager
def _address(state_dir: Path) -> Iterator[str]:
    """The socket's path by way of a descriptor: a socket's address has room for 107 bytes (unix(7))."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{CONTROL}"
    finally:
        os.close(descriptor)

"""What the running service answers to other processes of its user: a socket in the state directory.

A request is a line with a JSON list of words, the answer a line of JSON. Only who may enter the state directory gets
that far.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from watcher.encoding import plain

CONTROL = "control"
"""The socket's name."""

REQUEST_BYTES = 8192
ANSWER_SECONDS = 5.0
"""How long a peer may take to ask, and to take its answer."""


@asynccontextmanager
async def answering(state_dir: Path, answers: Mapping[str, Callable[..., object]]) -> AsyncIterator[None]:
    """Answer meanwhile.

    Args:
        state_dir: locked by this process, so that a socket which lies there is nobody's.
        answers: first word of a request → what makes the answer of the others.

    Raises:
        OSError: no socket can be made there.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(ANSWER_SECONDS):
                what, *about = _words(await reader.readuntil(b"\n"))
                given = answers[what](*about) if what in answers else None
                writer.write(json.dumps(given, default=plain).encode() + b"\n")
                await writer.drain()
        writer.close()

    with _listening(state_dir) as listener:
        server = await asyncio.start_unix_server(answer, sock=listener, limit=REQUEST_BYTES)
        try:
            yield
        finally:
            server.close()


def _words(request: bytes) -> list[str]:
    """An empty one where it is no request."""
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
            yield listener
        finally:
            with suppress(OSError):  # one that is left answers nobody, and the next service replaces it
                path.unlink()


def asked(state_dir: Path, *request: str) -> object:
    """The running service's answer, None where none runs or it does not know the request.

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


@contextmanager
def _address(state_dir: Path) -> Iterator[str]:
    """The socket's path by way of a descriptor: a socket's address has room for 107 bytes (unix(7))."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{CONTROL}"
    finally:
        os.close(descriptor)

"""Connections accepted one at a time, so that a burst of them never uses up the descriptors that imports need.

asyncio's own servers accept a hundred at once before they say so to anybody; those that wait here do so in the kernel.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

WAITING_CONNECTIONS = 128
"""The number of connections that the kernel keeps waiting before others are refused or try again."""

_OUT_OF_DESCRIPTORS_SECONDS = 1.0

Meet = Callable[[socket.socket], Awaitable[None]]


@asynccontextmanager
async def accepting(listener: socket.socket, meet: Meet) -> AsyncIterator[None]:
    """Accept connections while the block runs.

    Args:
        listener: a listening socket.
        meet: is given each new connection, and has to close it some day; the next one is accepted when it returns.
    """
    listener.setblocking(False)  # noqa: FBT003 - socket's own word
    task = asyncio.create_task(_accept(listener, meet))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _accept(listener: socket.socket, meet: Meet) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except ConnectionError:  # whoever it was has gone
            continue
        except OSError:  # no descriptor or memory is left
            await asyncio.sleep(_OUT_OF_DESCRIPTORS_SECONDS)
            continue
        await meet(connection)
        await asyncio.sleep(0)  # who connects again and again keeps nobody else waiting

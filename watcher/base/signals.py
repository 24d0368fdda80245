"""Signals that the service obeys, while its event loop is woken by many others."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType


def obey(number: signal.Signals, call: Callable[[], object]) -> None:
    """Have a function called in the running event loop, from now on, when the process gets a signal.

    asyncio's own way puts the signal's number into the pipe by which the loop is woken, and where that is full, as when
    a thousand clients have something to tell, the signal is lost. Call it from the main thread.
    """
    loop = asyncio.get_running_loop()

    def handler(_: int, __: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop has ended: nothing is left to do
            loop.call_soon_threadsafe(call)

    signal.signal(number, handler)

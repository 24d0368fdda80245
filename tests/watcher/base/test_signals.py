"""Signals reach the event loop, whatever else does."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from watcher.base.signals import obey


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR2)
    yield
    signal.signal(signal.SIGUSR2, before)


def nothing() -> None:
    """What threads have called."""


async def test_a_signal_is_heard_where_the_loop_is_woken_by_thousands_before_it_gets_to_them() -> None:
    heard = asyncio.Event()
    obey(signal.SIGUSR2, heard.set)
    for _ in range(5_000):
        asyncio.get_running_loop().call_soon_threadsafe(nothing)
    os.kill(os.getpid(), signal.SIGUSR2)
    await asyncio.wait_for(heard.wait(), 20)


async def test_a_signal_wakes_a_loop_that_has_nothing_to_do() -> None:
    heard = asyncio.Event()
    obey(signal.SIGUSR2, heard.set)
    killing = await asyncio.create_subprocess_exec("kill", "-USR2", str(os.getpid()))
    await asyncio.wait_for(heard.wait(), 20)
    await killing.wait()


def test_a_signal_after_the_end_of_the_loop_is_nothing_to_it() -> None:
    async def obeying(call: Callable[[], object]) -> None:
        obey(signal.SIGUSR2, call)

    heard: list[None] = []
    asyncio.run(obeying(lambda: heard.append(None)))
    os.kill(os.getpid(), signal.SIGUSR2)
    assert not heard

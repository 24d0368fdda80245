"""Messages to systemd: that the service is ready, what it does, and that it gets on. Source: sd_notify(3).

The watchdog hears nothing where a task has stalled, so that a service that only seems to live is started anew.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from watcher.stalls import Task, stalled

BEAT_SECONDS = 10.0
"""Seconds between two messages about what the service does, at least."""
READY_SECONDS = 0.2
"""Seconds between two looks whether the service is ready, until it is."""

log = structlog.get_logger()


class Heartbeat:
    """Tells systemd how the service is.

    Args:
        address: systemd's socket; one that begins with @ has no file.
        watchdog_seconds: time without a message after which systemd starts the service anew; None for never.
        is_ready: whether the service has begun.
        status: makes the sentence that says what the service does.
        tasks: the tasks that have to get on.
        elapsed: the monotonic clock, in seconds.
    """

    def __init__(
        self,
        *,
        address: str,
        watchdog_seconds: float | None,
        is_ready: Callable[[], bool],
        status: Callable[[], str],
        tasks: Callable[[], Iterable[Task]],
        elapsed: Callable[[], float],
    ) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds
        self._is_ready = is_ready
        self._status = status
        self._tasks = tasks
        self._elapsed = elapsed
        self._was_ready = False
        self._stalled: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Seconds to the next beat: a third of what the watchdog waits, as a beat may come late."""
        longest = BEAT_SECONDS if self._was_ready else READY_SECONDS
        return longest if self._watchdog_seconds is None else min(longest, self._watchdog_seconds / 3)

    async def run(self, stopping: asyncio.Event) -> None:
        """Beat until `stopping` is set."""
        while not stopping.is_set():
            self.beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.seconds):
                    await stopping.wait()
        self._tell("STOPPING=1")

    def beat(self) -> None:
        """Tell systemd how the service is now."""
        if not self._was_ready and not self._is_ready():
            return
        words = [] if self._was_ready else ["READY=1"]
        self._was_ready = True
        words.append(f"STATUS={self._status()}")
        if self._watchdog_seconds is not None and not self._look():
            words.append("WATCHDOG=1")
        self._tell("\n".join(words))

    def _look(self) -> tuple[str, ...]:
        found = stalled(self._tasks(), self._elapsed())
        if found != self._stalled:
            if found:
                log.error("progress_stalled", tasks=", ".join(found))
            self._stalled = found
        return found

    def _tell(self, words: str) -> None:
        """Send a message to systemd; nothing happens where it does not listen."""
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.settimeout(0)
            out.sendto(words.encode(), self._address)

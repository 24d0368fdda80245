"""Takes from others the right to write into archived files, which somebody has given them, as by `chmod -R`."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from importer.files.bak_files import close_some

LOOK_SECONDS = 300.0
"""Seconds from one round to the next."""
MOST_AT_ONCE = 5_000
"""The number of files of all clients that are looked at in a round; the next one goes on there."""

log = structlog.get_logger()


class BakRights:
    """Looks at the files in the clients' bak, some in each round, and closes those of the service's own.

    Args:
        directories: the directories of the clients that are served, by client.
        most: the number of files of a round.
    """

    def __init__(self, directories: Callable[[], Mapping[str, Path]], most: int = MOST_AT_ONCE) -> None:
        self._directories = directories
        self._most = most
        self._client, self._passed = "", 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again until `stopping` is set."""
        while not stopping.is_set():
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stopping.wait()

    async def look(self) -> None:
        """Have a round, which begins where the last one has stopped."""
        directories, room = self._directories(), self._most
        if self._client not in directories:
            self._passed = 0
        for client in sorted(directories, key=lambda each: (each < self._client, each)):
            begin = self._passed if client == self._client else 0
            seen = await asyncio.to_thread(close_some, directories[client], begin, room)
            if seen.closed:
                log.warning("bak_files_closed", client=client, files=seen.closed)
            room -= seen.files
            self._client, self._passed = client, begin + seen.files
            if room <= 0:
                return
        self._client, self._passed = "", 0

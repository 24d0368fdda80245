"""The service's hold on its upload directory, which keeps a service of another database out of it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import reading_engine
from importer.database.identity import Identity, identity_of
from importer.files.occupancy import Occupancy, Occupant, occupy

AGAIN_SECONDS = 30.0
"""Seconds from one try to the next, where nothing can be kept in the upload directory, as while it is away."""
_PAUSE_SECONDS = 0.1

log = structlog.get_logger()


class Occupying:
    """Holds an upload directory for a database.

    Args:
        directory: finds the upload directory once every link is followed.
        engine: the database.
        url: the database's URL.

    Attributes:
        has_begun: whether the database has its tables, and no other one works in the directory, as far as is known.
    """

    def __init__(self, directory: Callable[[], Path], engine: Engine, url: str) -> None:
        self._directory = directory
        self._engine = engine
        self._url = url
        self.has_begun = False
        self._database: Identity | None = None
        self._held: Occupancy | None = None

    async def database(self) -> Identity | None:
        """The identity of the database, for commands that may have been given another one; None while it is unknown."""
        return self._database

    async def begin(self) -> None:
        """Take hold of the directory once the database has its tables; see `take`."""
        self._database = await asyncio.to_thread(self._identified)
        await self.take()
        self.has_begun = True

    async def take(self) -> None:
        """Take hold of the directory; nothing happens where it is held, or nothing can be kept in it now.

        Raises:
            OccupiedError: a service of another database works there.
        """
        if self._database is None and self.has_begun:
            self._database = await asyncio.to_thread(self._identified)
        known = self._database
        if self._held is not None or known is None or known.mark is None:
            return
        with suppress(OSError):  # the imports tell of a directory that cannot be used
            database = Occupant(known.mark, known.place)
            self._held = await asyncio.to_thread(occupy, self._directory(), database, _pause)
            if self._held.former is not None:
                log.warning("upload_dir_taken_over", before=self._held.former, database=known.place)

    async def run(self, stopping: asyncio.Event) -> None:
        """Try again and again where it could not be taken, until `stopping` is set.

        Raises:
            OccupiedError: as of `take`.
        """
        while not stopping.is_set() and self._held is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await stopping.wait()
            await self.take()

    def close(self) -> None:
        """Let go of the directory."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _identified(self) -> Identity | None:
        with suppress(SQLAlchemyError), reading_engine(self._engine).begin() as connection:
            return identity_of(connection, self._url)
        return None


def _pause() -> None:
    threading.Event().wait(_PAUSE_SECONDS)

"""The task that keeps an intake for each client: those whose folders are there, and those whose folders come."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from importer.model import shown_name
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.folders import Found
from watcher.gauging import Gauges
from watcher.intake import Intake
from watcher.snapshot import ClientSnapshot, FileNow

FIND_SECONDS = 5.0
"""How often the upload directory is looked at for new folders, and for what does not belong there."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Served:
    intake: Intake
    directory: Path
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        self.ending.set()
        self.intake.wake()


class Clients:
    """Keeps an intake for each client.

    Args:
        find: the clients that there are now; OSError where the upload directory cannot be read. Called in threads.
        serve: makes the intake of a client that has come, with its directory.
        alerts: the administrator's.
        elapsed: monotonic seconds.

    Attributes:
        shared: keys of settings that several folders have; see `watcher.folders`.
    """

    def __init__(
        self,
        *,
        find: Callable[[], Found],
        serve: Callable[[str, Path], Intake],
        alerts: Alerts,
        elapsed: Callable[[], float],
    ) -> None:
        self._find = find
        self._serve = serve
        self._alerts = alerts
        self._elapsed = elapsed
        self._got_on = elapsed()
        self._served: dict[str, _Served] = {}
        self.shared: frozenset[str] = frozenset()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve every client until `stopping`, each at ticks of its own, which come at the same time."""
        async with asyncio.TaskGroup() as tasks:
            while not stopping.is_set():
                self._got_on = self._elapsed()
                for new in await self.look():
                    tasks.create_task(new.intake.run(new.ending))
                with suppress(TimeoutError):
                    async with asyncio.timeout(FIND_SECONDS):
                        await stopping.wait()
            for each in self._served.values():
                each.end()

    async def settle(
        self, stopping: asyncio.Event, *, first: Callable[[asyncio.Event], Coroutine[None, None, None]]
    ) -> None:
        """Wait out the quiet time of what lies in the directories now, then have one tick for each client.

        Args:
            stopping: ends it early.
            first: done between the clients are known and their directories are looked at: it may give files back.
        """
        served = await self.look()
        await first(stopping)
        async with asyncio.TaskGroup() as tasks:
            for each in served:
                tasks.create_task(each.intake.settle(stopping))

    async def close(self) -> None:
        """End every watch."""
        for each in self._served.values():
            await each.intake.close()

    def tick(self) -> None:
        """Have a tick at once."""
        for each in self._served.values():
            each.intake.tick()

    def snapshot(self) -> tuple[ClientSnapshot, ...]:
        """What is shown of every client, by name."""
        return tuple(self._served[client].intake.snapshot() for client in sorted(self._served))

    def file(self, client: str, name: str) -> FileNow:
        """What is shown of one file; nothing where there is no such client."""
        served = self._served.get(client)
        return FileNow() if served is None else served.intake.file(name)

    def gauges(self) -> tuple[Gauges, ...]:
        """Every client's directory as numbers, by the client's name."""
        return tuple(self._served[client].intake.gauges() for client in sorted(self._served))

    def outstanding(self) -> int:
        """How many files are not dealt with yet, of all clients."""
        return sum(each.intake.outstanding for each in self._served.values())

    @property
    def number(self) -> int:
        """How many clients are served."""
        return len(self._served)

    def got_on(self) -> float:
        """When the one of us did something that did so the longest ago, monotonic seconds."""
        return min([self._got_on, *(each.intake.got_on for each in self._served.values())])

    def wake(self) -> None:
        """There may be something to look at."""
        for each in self._served.values():
            each.intake.wake()

    def release(self, client: str, names: list[str]) -> None:
        """These files of a client were dealt with."""
        if client in self._served:
            self._served[client].intake.release(names)

    async def look(self) -> list[_Served]:
        """Begin to serve the clients that have come, and end with those that are gone; returns the former.

        One whose directory is another than before, as the administrator moved it and left a link, goes and comes.
        """
        found = await self._found()
        if found is None:
            return []
        self.shared = found.shared
        gone = [client for client, each in self._served.items() if found.clients.get(client) != each.directory]
        for client in gone:
            self._end(client)
        new = found.clients.keys() - self._served.keys()
        for client in sorted(new):
            directory = found.clients[client]
            log.info("client_found", client=client, directory=str(directory))
            self._served[client] = _Served(self._serve(client, directory), directory)
        return [self._served[client] for client in sorted(new)]

    async def _found(self) -> Found | None:
        """None where nothing is known: an upload directory without any folder may be one that is not mounted."""
        try:
            found = await asyncio.to_thread(self._find)
        except OSError as error:
            self._alerts.open(AlertKind.UPLOAD_DIRECTORY, detail=error.strerror or type(error).__name__)
            return None
        self._alerts.resolve(AlertKind.UPLOAD_DIRECTORY)
        self._tell(AlertKind.ODD_FILE, [shown_name(name) for name in found.odd[:10]])
        self._tell(AlertKind.CLIENT_FOLDERS, [*found.complaints[:10]])
        return found if found.clients or not self._served else None

    def _tell(self, kind: AlertKind, about: list[str]) -> None:
        if about:
            self._alerts.open(kind, detail=", ".join(about))
        else:
            self._alerts.resolve(kind)

    def _end(self, client: str) -> None:
        log.warning("client_gone", client=client)
        self._served.pop(client).end()
        for kind in AlertKind:
            self._alerts.resolve(kind, client)

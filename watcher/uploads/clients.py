"""The task that keeps an intake for each client, also for those whose folders come later."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from importer.model import Detail
from importer.words.details import detail, os_error_detail
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.complaining import counted, named
from watcher.uploads.folders import Found
from watcher.uploads.gauging import Gauges
from watcher.uploads.intake import Intake
from watcher.uploads.snapshot import ClientSnapshot, FileNow

STAGGER_SECONDS = 0.001
"""Seconds between two clients that do what all of them do: more at once would hold up the event loop."""
MOST_AT_ONCE = 50
"""The number of clients that are asked for their state before the event loop has its turn again."""
FIND_SECONDS = 5.0
"""Seconds between two looks at the upload directory for new folders, and for what does not belong there."""

log = structlog.get_logger()

T = TypeVar("T")


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
        find: finds the clients that there are now; OSError where the upload directory cannot be read. It is called in
            threads.
        serve: makes the intake of a client that has come, of its name, its directory, and the seconds by which it is
            to wake for a tick later than the first client.
        alerts: the administrator's alerts.
        elapsed: the monotonic clock, in seconds.

    Attributes:
        shared: keys of settings that several folders have; see `watcher.uploads.folders`.
    """

    def __init__(
        self,
        *,
        find: Callable[[], Found],
        serve: Callable[[str, Path, float], Intake],
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
        """Serve every client until `stopping` is set, each at ticks of its own, which come at the same time."""
        async with asyncio.TaskGroup() as tasks:
            while not stopping.is_set():
                self._got_on = self._elapsed()
                for new in await self.look():
                    tasks.create_task(new.intake.run(new.ending))
                    await asyncio.sleep(STAGGER_SECONDS)
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
            first: called when the clients are known, before their directories are looked at: it may give files back.
        """
        served = await self.look()
        await first(stopping)
        async with asyncio.TaskGroup() as tasks:
            for each in served:
                tasks.create_task(each.intake.settle(stopping))

    async def close(self) -> None:
        """End the watches of all clients."""
        for each in self._served.values():
            await each.intake.close()

    def tick(self) -> None:
        """Have a tick at once, one client right after the other."""
        call_later = asyncio.get_running_loop().call_later
        for number, each in enumerate(self._served.values()):
            call_later(number * STAGGER_SECONDS, each.intake.tick)

    async def snapshot(self) -> tuple[ClientSnapshot, ...]:
        """The state of every client's directory as it is shown, by the client's name."""
        return await self._asked(Intake.snapshot)

    def file(self, client: str, name: str) -> FileNow:
        """The state of one file as it is shown; it says nothing where there is no such client."""
        served = self._served.get(client)
        return FileNow() if served is None else served.intake.file(name)

    def folder(self, client: str) -> Path | None:
        """The directory of a client that is served; None where there is no such client."""
        served = self._served.get(client)
        return None if served is None else served.directory

    async def gauges(self) -> tuple[Gauges, ...]:
        """The numbers of each client's directory, by the client's name."""
        return await self._asked(Intake.gauges)

    def outstanding(self) -> int:
        """The number of files, of all clients, that are not dealt with yet."""
        return sum(each.intake.outstanding for each in self._served.values())

    @property
    def number(self) -> int:
        """The number of clients that are served."""
        return len(self._served)

    def got_on(self) -> float:
        """The time, in monotonic seconds, when the part of this task that was idle for longest last did something."""
        return min([self._got_on, *(each.intake.got_on for each in self._served.values())])

    def wake(self) -> None:
        """Have the task look at what may have changed."""
        for each in self._served.values():
            each.intake.wake()

    def release(self, client: str, names: list[str]) -> None:
        """Note that files of a client were dealt with."""
        if client in self._served:
            self._served[client].intake.release(names)

    async def look(self) -> list[_Served]:
        """Begin to serve the clients that have come, and end with those that are gone; returns those that have come.

        A client whose directory is another than before, as the administrator moved it and left a link, goes and comes.
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
            stagger = len(self._served) * STAGGER_SECONDS
            self._served[client] = _Served(self._serve(client, directory, stagger), directory)
            await asyncio.sleep(0)
        return [self._served[client] for client in sorted(new)]

    async def _asked(self, question: Callable[[Intake], T]) -> tuple[T, ...]:
        """Ask each client's intake, by the client's name; the event loop goes on in between."""
        answers = []
        for number, client in enumerate(sorted(self._served), start=1):
            if (served := self._served.get(client)) is not None:  # it may have gone in between
                answers.append(question(served.intake))
            if number % MOST_AT_ONCE == 0:
                await asyncio.sleep(0)
        return tuple(answers)

    async def _found(self) -> Found | None:
        """Find the clients; None where nothing is known, as a directory without any folder may not be mounted."""
        try:
            found = await asyncio.to_thread(self._find)
        except OSError as error:
            self._alerts.open(AlertKind.UPLOAD_DIRECTORY, detail=os_error_detail(error))
            return None
        self._alerts.resolve(AlertKind.UPLOAD_DIRECTORY)
        self._tell(AlertKind.ODD_FILE, detail("beside_folders", files=named(found.odd)) if found.odd else "")
        self._tell(AlertKind.CLIENT_FOLDERS, counted(found.complaints))
        return found if found.clients or not self._served else None

    def _tell(self, kind: AlertKind, about: Detail | str) -> None:
        if about:
            self._alerts.open(kind, detail=about)
        else:
            self._alerts.resolve(kind)

    def _end(self, client: str) -> None:
        log.warning("client_gone", client=client)
        self._served.pop(client).end()
        for kind in AlertKind:
            self._alerts.resolve(kind, client)

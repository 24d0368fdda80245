"""The task that keeps an intake for each client, also for those whose folders come later."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import structlog

from importer.model import Detail, shown_name
from importer.words.details import detail, os_error_detail
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.complaining import counted, named
from watcher.uploads.folders import Found
from watcher.uploads.gauging import Gauges
from watcher.uploads.intake import Intake
from watcher.uploads.roster import Roster
from watcher.uploads.snapshot import ClientSnapshot, FileNow

STAGGER_SECONDS = 0.001
"""Seconds between two clients that do what all of them do: more at once would hold up the event loop."""
MOST_AT_ONCE = 50
"""The number of clients that are asked for their state before the event loop has its turn again."""
GONE_SECONDS = 300.0
"""Seconds after which a client's folder that has gone is missed: it may have been moved for a moment."""
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
        now: the wall clock, UTC.
        roster: the clients that there were; None where the upload directory is one client's.

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
        now: Callable[[], datetime],
        roster: Roster | None = None,
    ) -> None:
        self._now = now
        self._roster = roster
        self._missed: dict[str, float] = {}
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
        if served is not None:
            return served.intake.file(name)
        return FileNow(gone_since=None if self._roster is None else self._roster.gone.get(client))

    def folder(self, client: str) -> Path | None:
        """The directory of a client that is served, or was until it went; None where there is no such client."""
        if (served := self._served.get(client)) is not None:
            return served.directory
        return None if self._roster is None or client not in self._roster.gone else self._roster.folder(client)

    def directories(self) -> Mapping[str, Path]:
        """The directories of the clients that are served, by client."""
        return {client: each.directory for client, each in self._served.items()}

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
        if found.clients or not self._served:
            await self._miss(found.clients)
        else:
            self._alerts.resolve(AlertKind.UPLOAD_DIRECTORY)
        self._tell(AlertKind.ODD_FILE, detail("beside_folders", files=named(found.odd)) if found.odd else "")
        self._tell(AlertKind.CLIENT_FOLDERS, counted(found.complaints))
        return found if found.clients or not self._served else None

    async def _miss(self, found: Mapping[str, Path]) -> None:
        """Tell of clients whose folders are gone; where no folder at all is there, that of the upload directory."""
        if self._roster is None:
            self._alerts.resolve(AlertKind.UPLOAD_DIRECTORY)
            return
        await asyncio.to_thread(self._roster.note, [*found], self._now())
        gone = self._roster.gone
        is_empty = bool(gone) and not found
        self._tell(AlertKind.UPLOAD_DIRECTORY, detail("no_client_folder", number=len(gone)) if is_empty else "")
        missed = {} if is_empty else gone
        for alert in self._alerts.board.alerts:
            if alert.kind is AlertKind.CLIENT_GONE and alert.client not in missed:
                self._alerts.resolve(alert.kind, alert.client)
        now = self._elapsed()
        self._missed = {client: self._missed.get(client, now) for client in missed}
        for client in (client for client, since in self._missed.items() if now - since >= GONE_SECONDS):
            where = shown_name(str(self._roster.folder(client)))
            about = detail("folder_gone", where=where, since=f"{gone[client]:%Y-%m-%d %H:%M:%S} UTC")
            self._alerts.open(AlertKind.CLIENT_GONE, client, about)

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

"""The composition root: settings become objects, the clock becomes real, and the tasks run beside one another."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import BUSY_SECONDS, database_time, make_engine, reading_engine
from importer.database.identity import Identity, identity_of, place_of
from importer.formats.columns import Format
from importer.model import shown_name
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.model import AlertKind
from notifier.smtp import SESSION_SECONDS
from watcher.base.clock import elapsed, utc_now
from watcher.base.control import answering
from watcher.base.instance import UPLOADS_FILE, node_name
from watcher.base.journal import Journal
from watcher.base.signals import obey
from watcher.disks import Disks
from watcher.heartbeat import Heartbeat
from watcher.settings.variables import ServiceManager, Settings
from watcher.stalls import Task
from watcher.uploads.batching import next_tick
from watcher.uploads.clients import Clients
from watcher.uploads.intake import Intake
from watcher.uploads.memory import Memory
from watcher.uploads.observing import Observers
from watcher.uploads.snapshot import Clocks, FileSnapshot, ServiceSnapshot, open_alerts
from watcher.wiring import (
    OwnSettings,
    addresses,
    clients_found,
    letters,
    patience_of,
    places,
    retention,
    server_log,
    transport,
    worker_config,
)
from watcher.work.imports import Imports
from watcher.work.worker import Worker

DRAIN_SECONDS = 25.0
"""Seconds that the file in hand may take after SIGTERM; the service is gone within 30 s."""

ONCE_PATIENCE_SECONDS = 60.0
"""Seconds for which a single run waits for a database that is out."""

WATCH_SECONDS = 300.0
"""More seconds than a scan of the largest directory, or a look at a hundred of its files, takes on a slow disk."""
IMPORT_SECONDS = 120.0
"""Seconds beyond the time that a file may take, after which the worker is ended and replaced."""
DELIVERY_SECONDS = SESSION_SECONDS + 3 * BUSY_SECONDS
"""Seconds for a session with the mail server, and for waiting for SQLite's write lock before and after it."""

log = structlog.get_logger()


class UnusableAddressError(Exception):
    """The HTTP server cannot listen where USERDROP_HTTP_LISTEN says."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(address, why)
        self.address = address
        self.why = why


class Service:
    """The service of one upload directory, which is a client, or whose folders are.

    Args:
        settings: the settings in force.
        format_: the columns of a user file.
        journal: the log's events of files.
        manager: the manager of services, which is told how the service is; None for nobody.
    """

    def __init__(
        self, settings: Settings, format_: Format, journal: Journal, manager: ServiceManager | None = None
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._started_at = utc_now()
        self._node = node_name(settings.state_dir)
        self._manager = manager or ServiceManager()
        self._is_prepared = False
        self._database: Identity | None = None
        self._delivery_got_on: float | None = None
        self._stopping = asyncio.Event()
        self._engine = make_engine(settings.database)
        self._alerts = Alerts(utc_now, elapsed)
        self._worker = Worker(worker_config(settings, format_))
        self._own = OwnSettings(settings, lambda: self._clients.shared)
        self._delivery = self._make_delivery()
        self._disks = Disks(places=places(settings), limit=settings.min_free_mb << 20, alerts=self._alerts)
        self._imports = Imports(
            worker=self._worker,
            alerts=self._alerts,
            elapsed=elapsed,
            told=self._delivery.wake,
            released=self._release,
            purges=retention(settings).shortest is not None,
            now=utc_now,
        )
        self._observers = Observers()
        self._log = server_log(settings)
        self._memory = Memory(settings.state_dir / UPLOADS_FILE)
        self._clients = Clients(
            find=partial(clients_found, settings), serve=self._serve, alerts=self._alerts, elapsed=elapsed
        )

    async def run(self, begun: Callable[[], None]) -> None:
        """Import at every tick until SIGTERM or SIGINT.

        Args:
            begun: called once the database was reached, or found to be out.

        Raises:
            UnusableSetupError: format file or database cannot be used as they are.
            UnusableAddressError: the HTTP server cannot listen where it should.
        """
        self._obey_signals()
        _log_start(self._settings)
        try:
            async with self._answering(), self._serving(), asyncio.TaskGroup() as tasks:
                tasks.create_task(self._deliver())
                tasks.create_task(self._clients.run(self._stopping))
                tasks.create_task(self._import())
                tasks.create_task(self._disks.run(self._stopping))
                tasks.create_task(self._follow())
                tasks.create_task(self._memory.run(self._stopping))
                if (heartbeat := self._heartbeat()) is not None:
                    tasks.create_task(heartbeat.run(self._stopping))
                await self._imports.met_database.wait()
                if not self._stopping.is_set():
                    begun()
            await self._delivery.end()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._close()

    async def run_once(self) -> None:
        """Import what lies in the directory now, once its quiet time is over, deliver the mail, and end.

        Raises:
            OutageError: the database or the disk is out; what was left is finished by the next run.
            UnusableSetupError: format file or database cannot be used as they are.
        """
        self._obey_signals()
        _log_start(self._settings)
        try:
            await self._disks.look()
            following = asyncio.create_task(self._follow())
            await self._until_stopped(self._settle_and_import())
            following.cancel()
        finally:
            await self._delivery.once()
            await self._clients.close()
            self._close()

    def unmailed(self) -> list[str]:
        """What no mail can tell the operator, to be told when the service has ended."""
        return self._alerts.unmailed()

    async def snapshot(self) -> ServiceSnapshot:
        """The state of the service, for `userdrop status`."""
        clients = await self._clients.snapshot()
        return ServiceSnapshot(
            version=version("userdrop"),
            pid=os.getpid(),
            node=self._node,
            started_at=self._started_at,
            running=self._imports.running(Clocks(now=utc_now(), elapsed=elapsed())),
            clients=clients,
            alerts=open_alerts(self._alerts.board.alerts),
        )

    async def _file(self, client: str, name: str) -> FileSnapshot:
        """The knowledge of the service about a file."""
        alerts = open_alerts(self._alerts.board.alerts)
        return FileSnapshot(
            file=self._clients.file(client, name),
            alerts=tuple(each for each in alerts if each.client in {"", client}),
            events=self._journal.of(client, shown_name(name)),
        )

    async def _identity(self) -> Identity | None:
        return self._database

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Answer other processes while the block runs; files are imported even where that is not possible."""
        answers: dict[str, Callable[..., Awaitable[object]]] = {
            "status": self.snapshot,
            "file": self._file,
            "database": self._identity,
        }
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(answering(self._settings.state_dir, answers))
            except OSError as error:
                log.warning("control_unavailable", error=error.strerror)
            yield

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Answer by HTTP while the block runs, where the settings ask for it."""
        address, token = self._settings.http_address, self._settings.http_token
        if address is None:
            yield
            return
        from watcher.web.gathering import Gathering  # noqa: PLC0415 - services that do without need 12 MB less
        from watcher.web.serving import Answers, listening, serving  # noqa: PLC0415

        try:
            listener = listening(*address)
        except OSError as error:
            raise UnusableAddressError(str(self._settings.http_listen), os.strerror(error.errno or 0)) from None
        gathering = Gathering(
            engine=self._engine,
            interval=self._settings.interval,
            now=utc_now,
            service=self.snapshot,
            clients=self._clients.gauges,
            file=self._file,
            folder=self._clients.folder,
            alerts=self._alerts,
            counting=self._imports.counting,
            delivered=lambda: self._delivery.delivered,
        )
        answers = Answers(
            metrics=gathering.metrics, readiness=gathering.readiness, page=gathering.page, story=gathering.story
        )
        with closing(gathering):
            async with serving(listener, answers, token=None if token is None else token.get_secret_value()):
                log.info("http_listening", address=self._settings.http_listen)
                yield

    def _heartbeat(self) -> Heartbeat | None:
        """Make the part that tells systemd how the service is; None where nobody listens."""
        if self._manager.socket is None:
            return None
        return Heartbeat(
            address=self._manager.socket,
            watchdog_seconds=self._manager.watchdog_seconds,
            is_ready=self._has_begun,
            status=partial(_status, self._clients, self._alerts),
            tasks=self._tasks,
            elapsed=elapsed,
        )

    def _has_begun(self) -> bool:
        """Whether the database is as it should be, or is out, which the service outlasts."""
        return self._is_prepared or any(map(self._alerts.is_open, (AlertKind.DATABASE, AlertKind.WORKER)))

    def _tasks(self) -> tuple[Task, ...]:
        """The tasks that must get on, each with the time that no step of it takes."""
        of_file = self._settings.file_seconds + IMPORT_SECONDS
        return (
            Task(name="watch", since=self._clients.got_on(), patience=WATCH_SECONDS),
            Task(name="imports", since=self._imports.owed_since, patience=of_file),
            Task(name="delivery", since=self._delivery_got_on, patience=DELIVERY_SECONDS),
        )

    def _note_delivery(self) -> None:
        self._delivery_got_on = elapsed()

    async def _follow(self) -> None:
        """Follow the FTP server's log, where it may be read."""
        if self._log is not None:
            await self._log.run(self._stopping)

    async def _deliver(self) -> None:
        await self._imports.met_database.wait()
        await self._delivery.run(self._stopping)

    async def _import(self) -> None:
        await self._until_stopped(self._prepare_and_import())

    async def _until_stopped(self, working: Coroutine[None, None, None]) -> None:
        """Work until it ends or the service is told to stop; the file in hand is finished, within a bound."""
        work = asyncio.create_task(working)
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not work.done() and self._worker.is_busy:
            self._worker.give_back_attempt()
            self._worker.finish_file()
            await asyncio.wait({work}, timeout=DRAIN_SECONDS)
        if work.done():
            work.result()
        else:
            work.cancel()
            self._worker.close()
            await asyncio.wait({work})

    async def _prepare_and_import(self) -> None:
        await self._imports.prepare()
        self._is_prepared = True
        self._database = await asyncio.to_thread(_identity_in, self._engine, self._settings.database)
        await self._imports.run(self._stopping)

    async def _settle_and_import(self) -> None:
        await self._imports.prepare(patience=ONCE_PATIENCE_SECONDS)
        await self._clients.settle(self._stopping, first=self._imports.work_off)
        await self._imports.drain(self._stopping)

    def _release(self, client: str, names: list[str]) -> None:
        self._clients.release(client, names)

    def _serve(self, client: str, directory: Path, stagger: float) -> Intake:
        settings = self._settings
        self._imports.serve(client, directory, language=self._own.of(client).language or settings.language)
        return Intake(
            client=client,
            directory=directory,
            interval=settings.interval,
            patience=patience_of(settings, self._own.of(client)),
            verdicts=None if self._log is None else self._log.of(directory),
            now=utc_now,
            elapsed=elapsed,
            alerts=self._alerts,
            hand_on=partial(self._imports.add, client),
            tell_doubt=partial(self._imports.report_incomplete, client),
            tell_replaced=partial(self._imports.report_replaced, client),
            observers=self._observers,
            memory=self._memory.of(client),
            stagger=stagger,
        )

    def _obey_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            obey(number, partial(self._stop, number.name))
        obey(signal.SIGUSR1, self._clients.tick)

    def _stop(self, why: str) -> None:
        if not self._stopping.is_set():
            log.info("service_stopping", why=why)
        self._stopping.set()
        self._clients.wake()

    def _close(self) -> None:
        self._worker.close()
        self._engine.dispose()
        self._memory.save()
        if self._log is not None:
            self._log.close()
        log.info("service_stopped")

    def _make_delivery(self) -> Delivery:
        settings = self._settings
        return Delivery(
            engine=self._engine,
            node=self._node,
            database_clock=lambda: database_time(self._engine, utc_now()),
            transport=transport(settings),
            addresses=addresses(settings, self._own.addresses),
            letters=letters(settings, self._own.letters),
            clock=utc_now,
            next_run=lambda: next_tick(utc_now(), settings.interval),
            jitter=random.random,
            alerts=self._alerts,
            got_on=self._note_delivery,
            is_writing=lambda: self._worker.is_busy,
        )


def _identity_in(engine: Engine, url: str) -> Identity | None:
    """The identity of the database, for commands that may have been given another one; None where it is out by now."""
    with suppress(SQLAlchemyError), reading_engine(engine).begin() as connection:
        return identity_of(connection, url)
    return None


def _status(clients: Clients, alerts: Alerts) -> str:
    number = len(open_alerts(alerts.board.alerts))
    return f"clients: {clients.number}, files that wait: {clients.outstanding()}, open alerts: {number}"


def _log_start(settings: Settings) -> None:
    log.info(
        "service_started",
        version=version("userdrop"),
        pid=os.getpid(),
        upload_dir=str(settings.upload_dir),
        interval_minutes=settings.interval_minutes,
        database=place_of(settings.database),
        format_file=None if settings.format_file is None else str(settings.format_file),
    )
    if settings.smtp_host is None:
        log.warning("mail_goes_to_folder", mail_dir=str(settings.mail_dir), until="USERDROP_SMTP_HOST is set")

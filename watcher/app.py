"""The composition root: settings become objects, the clock becomes real, and the tasks run beside one another."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import URL, make_url

from importer.archiving import BAK
from importer.engines import BUSY_SECONDS, database_time, make_engine, sqlite_file
from importer.format import Format
from importer.model import Retention, shown_name
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.letters import Letters, OwnLetters
from notifier.model import Addresses, AlertKind, OwnAddresses
from notifier.smtp import SESSION_SECONDS, FolderTransport, SmtpTransport, Tls, Transport
from notifier.templating import Templates
from watcher.batching import next_tick
from watcher.clients import Clients
from watcher.clock import elapsed, utc_now
from watcher.confining import Allowance
from watcher.control import answering
from watcher.disks import Disks
from watcher.folders import Found, find, key_of
from watcher.heartbeat import Heartbeat
from watcher.imports import Imports
from watcher.instance import node_name
from watcher.intake import Intake
from watcher.journal import Journal
from watcher.model import CLIENT
from watcher.observing import Observers
from watcher.progress import Task
from watcher.server_log import ServerLog, ServerVerdicts
from watcher.settings import SESSION_USER, ClientSettings, ServiceManager, Settings
from watcher.settling import Patience
from watcher.snapshot import Clocks, ServiceSnapshot, open_alerts
from watcher.worker import Worker, WorkerConfig

DRAIN_SECONDS = 25.0
"""How long the file in hand may take after SIGTERM; the service is gone within 30 s."""

ONCE_PATIENCE_SECONDS = 60.0
"""How long a single run waits for a database that is out."""

WATCH_SECONDS = 300.0
"""Longer than a scan of the largest directory, and than a look at a hundred files of it, takes on the slowest disk."""
IMPORT_SECONDS = 120.0
"""Beyond the time that a file may take, after which the worker is ended and replaced."""
DELIVERY_SECONDS = SESSION_SECONDS + 3 * BUSY_SECONDS
"""A session with the mail server, and what waits for SQLite's write lock before and after it."""

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
        settings: in force.
        format_: the columns of a user file.
        journal: what the log has said of files.
        manager: who has started it; None where nobody wants to be told how it is.
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
        self._delivery_got_on: float | None = None
        self._stopping = asyncio.Event()
        self._engine = make_engine(settings.database)
        self._alerts = Alerts(utc_now)
        self._worker = Worker(_worker_config(settings, format_))
        self._delivery = self._make_delivery()
        self._disks = Disks(places=_places(settings), limit=settings.min_free_mb << 20, alerts=self._alerts)
        self._imports = Imports(
            worker=self._worker,
            alerts=self._alerts,
            elapsed=elapsed,
            told=self._delivery.wake,
            released=self._release,
            purges=_retention(settings).shortest is not None,
            now=utc_now,
        )
        self._observers = Observers()
        self._clients = Clients(find=self._find, serve=self._serve, alerts=self._alerts, elapsed=elapsed)

    async def run(self, begun: Callable[[], None]) -> None:
        """Import at every tick until SIGTERM or SIGINT.

        Args:
            begun: called once the database was reached, or found to be out.

        Raises:
            UnusableSetupError: format file or database cannot be used as they are.
            UnusableAddressError: the HTTP server cannot listen where it should.
        """
        self._obey_signals()
        self._log_start()
        try:
            async with self._answering(), self._serving(), asyncio.TaskGroup() as tasks:
                tasks.create_task(self._deliver())
                tasks.create_task(self._clients.run(self._stopping))
                tasks.create_task(self._import())
                tasks.create_task(self._disks.run(self._stopping))
                if (heartbeat := self._heartbeat()) is not None:
                    tasks.create_task(heartbeat.run(self._stopping))
                await self._imports.met_database.wait()
                if not self._stopping.is_set():
                    begun()
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
        self._log_start()
        try:
            await self._disks.look()
            await self._until_stopped(self._settle_and_import())
        finally:
            await self._delivery.once()
            await self._clients.close()
            self._close()

    def unmailed(self) -> list[str]:
        """What no mail can tell, for the operator when the service has ended."""
        return self._alerts.unmailed()

    def snapshot(self) -> ServiceSnapshot:
        """What the service shows of itself."""
        return ServiceSnapshot(
            version=version("userdrop"),
            pid=os.getpid(),
            node=self._node,
            started_at=self._started_at,
            running=self._imports.running(Clocks(now=utc_now(), elapsed=elapsed())),
            clients=self._clients.snapshot(),
            alerts=open_alerts(self._alerts.board.alerts),
        )

    def _file(self, client: str, name: str) -> dict[str, object]:
        """What the service knows of a file."""
        alerts = [each for each in open_alerts(self._alerts.board.alerts) if each.client in {"", client}]
        return {
            "file": self._clients.file(client, name),
            "alerts": alerts,
            "events": self._journal.of(client, shown_name(name)),
        }

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Answer other processes meanwhile; files are imported without that, too."""
        answers: dict[str, Callable[..., object]] = {"status": self.snapshot, "file": self._file}
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(answering(self._settings.state_dir, answers))
            except OSError as error:
                log.warning("control_unavailable", error=error.strerror)
            yield

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Answer by HTTP meanwhile, where that is asked for."""
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
            alerts=self._alerts,
            counting=self._imports.counting,
            delivered=lambda: self._delivery.delivered,
        )
        answers = Answers(metrics=gathering.metrics, readiness=gathering.readiness, page=gathering.page)
        with closing(gathering):
            async with serving(listener, answers, token=None if token is None else token.get_secret_value()):
                log.info("http_listening", address=self._settings.http_listen)
                yield

    def _heartbeat(self) -> Heartbeat | None:
        """What tells systemd how the service is; None where nobody listens."""
        if self._manager.socket is None:
            return None
        return Heartbeat(
            address=self._manager.socket,
            watchdog_seconds=self._manager.watchdog_seconds,
            is_ready=self._has_begun,
            status=self._status,
            tasks=self._tasks,
            elapsed=elapsed,
        )

    def _has_begun(self) -> bool:
        """Whether the database is as it should be, or is out, which the service outlasts."""
        return self._is_prepared or any(map(self._alerts.is_open, (AlertKind.DATABASE, AlertKind.WORKER)))

    def _status(self) -> str:
        alerts = len(open_alerts(self._alerts.board.alerts))
        files = self._clients.outstanding()
        return f"clients: {self._clients.number}, files that wait: {files}, open alerts: {alerts}"

    def _tasks(self) -> tuple[Task, ...]:
        """What must get on, each with the time that no step of it takes."""
        of_file = self._settings.file_seconds + IMPORT_SECONDS
        return (
            Task(name="watch", since=self._clients.got_on(), patience=WATCH_SECONDS),
            Task(name="imports", since=self._imports.owed_since, patience=of_file),
            Task(name="delivery", since=self._delivery_got_on, patience=DELIVERY_SECONDS),
        )

    def _note_delivery(self) -> None:
        self._delivery_got_on = elapsed()

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
        await self._imports.run(self._stopping)

    async def _settle_and_import(self) -> None:
        await self._imports.prepare(patience=ONCE_PATIENCE_SECONDS)
        await self._clients.settle(self._stopping, first=self._imports.work_off)
        await self._imports.drain(self._stopping)

    def _release(self, client: str, names: list[str]) -> None:
        self._clients.release(client, names)

    def _find(self) -> Found:
        directory = _directory(self._settings)
        if self._settings.client_folders:
            return find(directory, self._settings.clients.keys())
        return Found(clients={CLIENT: directory})

    def _serve(self, client: str, directory: Path) -> Intake:
        settings = self._settings
        self._imports.serve(client, directory, language=self._own(client).language or settings.language)
        return Intake(
            client=client,
            directory=directory,
            interval=settings.interval,
            patience=_patience(settings, self._own(client)),
            verdicts=_verdicts(settings, directory),
            now=utc_now,
            elapsed=elapsed,
            alerts=self._alerts,
            hand_on=partial(self._imports.add, client),
            hold=partial(self._imports.report_incomplete, client),
            observers=self._observers,
        )

    def _own(self, client: str) -> ClientSettings:
        """A client's own settings; none where they may be another's."""
        key = key_of(client)
        own = self._settings.clients.get(key)
        return ClientSettings() if own is None or key in self._clients.shared else own

    def _own_addresses(self, client: str) -> OwnAddresses:
        own = self._own(client)
        return OwnAddresses(
            failed_import=own.failed_import_email or (),
            admin=own.reply_to_admin_email,
            success=own.success_email or (),
        )

    def _own_letters(self, client: str) -> OwnLetters:
        own = self._own(client)
        return OwnLetters(
            language=own.language,
            attaches=None if own.mail_attach is None else own.mail_attach == "always",
            timezone=None if own.timezone is None else ZoneInfo(own.timezone),
        )

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number.name)
        loop.add_signal_handler(signal.SIGUSR1, self._clients.tick)

    def _stop(self, why: str) -> None:
        if not self._stopping.is_set():
            log.info("service_stopping", why=why)
        self._stopping.set()
        self._clients.wake()

    def _close(self) -> None:
        self._worker.close()
        self._engine.dispose()
        log.info("service_stopped")

    def _log_start(self) -> None:
        settings = self._settings
        log.info(
            "service_started",
            version=version("userdrop"),
            pid=os.getpid(),
            upload_dir=str(settings.upload_dir),
            interval_minutes=settings.interval_minutes,
            database=_without_login(settings.database),
            format_file=None if settings.format_file is None else str(settings.format_file),
        )
        if settings.smtp_host is None:
            log.warning("mail_goes_to_folder", mail_dir=str(settings.mail_dir), until="USERDROP_SMTP_HOST is set")

    def _make_delivery(self) -> Delivery:
        settings = self._settings
        return Delivery(
            engine=self._engine,
            node=self._node,
            database_clock=lambda: database_time(self._engine, utc_now()),
            transport=transport(settings),
            addresses=Addresses(
                failed_import=settings.failed_import_email,
                admin=settings.reply_to_admin_email,
                success=settings.success_email,
                own=self._own_addresses,
            ),
            letters=_letters(settings, self._own_letters),
            clock=utc_now,
            next_run=lambda: next_tick(utc_now(), settings.interval),
            jitter=random.random,
            alerts=self._alerts,
            got_on=self._note_delivery,
        )


def make_directories(settings: Settings) -> None:
    """Make the directories that the settings name, where they are missing.

    Raises:
        OSError: one cannot be made.
    """
    settings.upload_dir.mkdir(parents=True, exist_ok=True)
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.smtp_host is None:
        settings.mail_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def _without_login(url: str) -> str:
    """Which database it is; options are left out too, as one of them may be a password."""
    given = make_url(url)
    named = URL.create(given.drivername, host=given.host, port=given.port, database=given.database)
    return named.render_as_string()


def _directory(settings: Settings) -> Path:
    return settings.upload_dir.resolve()


def _worker_config(settings: Settings, format_: Format) -> WorkerConfig:
    return WorkerConfig(
        database_url=settings.database,
        format=format_,
        max_bytes=settings.max_file_mb << 20,
        retention=_retention(settings),
        skips_unchanged=settings.unchanged_rows == "skip",
        tells_success=bool(settings.success_email or any(own.success_email for own in settings.clients.values())),
        allowance=Allowance(
            memory_bytes=settings.file_memory_mb << 20,
            cpu_seconds=settings.file_cpu_seconds,
            seconds=settings.file_seconds,
            files=settings.worker_files,
        ),
    )


def _places(settings: Settings) -> dict[str, Path]:
    """Where the service needs room; the disk of a PostgreSQL server is its own admin's."""
    upload = _directory(settings)
    places = {"upload directory": upload, "bak": upload / BAK, "state directory": settings.state_dir}
    file = sqlite_file(settings.database)
    if file is not None:
        places["database"] = file.parent
    if settings.smtp_host is None:
        places["mail directory"] = settings.mail_dir
    return places


def _letters(settings: Settings, own: Callable[[str], OwnLetters]) -> Letters:
    return Letters(
        Templates(directory=settings.template_dir, timezone=ZoneInfo(settings.timezone)),
        language=settings.language,
        attaches=settings.mail_attach == "always",
        own=own,
    )


def _retention(settings: Settings) -> Retention:
    archives, reports = (
        None if days is None else timedelta(days=days) for days in (settings.bak_days, settings.report_days)
    )
    return Retention(archives=archives, reports=reports)


def _patience(settings: Settings, own: ClientSettings) -> Patience:
    quiet, long_quiet = settings.quiet_times(own)
    return Patience(
        proven=min(Patience().proven, quiet),
        quiet=quiet,
        long_quiet=long_quiet,
        reads_log=settings.vsftpd_log is not None,
        serves_sftp=settings.sftp if own.sftp is None else own.sftp,
    )


def _verdicts(settings: Settings, directory: Path) -> ServerVerdicts | None:
    if settings.vsftpd_log is None:
        return None
    root = (settings.vsftpd_log_root or settings.upload_dir).resolve()
    if SESSION_USER in str(root):
        return ServerVerdicts(ServerLog(settings.vsftpd_log, str(root)), directory, Path("/"))
    return ServerVerdicts(ServerLog(settings.vsftpd_log), directory, root)


def transport(settings: Settings) -> Transport:
    """The way that mails go.

    Raises:
        ValueError: the settings would send a login without TLS.
    """
    if settings.smtp_host is None:
        return FolderTransport(directory=settings.mail_dir)
    return SmtpTransport(
        host=settings.smtp_host,
        port=settings.port,
        tls=Tls(settings.smtp_tls),
        user=settings.smtp_user,
        password=None if settings.smtp_password is None else settings.smtp_password.get_secret_value(),
        ca_file=settings.smtp_ca_file,
    )

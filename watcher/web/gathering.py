"""The gathering of what is told by HTTP. The database is asked in threads of our own, and never for long.

One thread asks whether the database answers, and must not wait for the other one, which reads the page's figures.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine

from importer.database import history
from importer.database.engines import product, reading_engine
from notifier import queueing
from notifier.alerting import is_open
from notifier.alerts import Alerts
from notifier.model import Delivered
from notifier.outbox import DATABASE_ERRORS
from watcher.stories.past import past_of
from watcher.stories.story import now_told, story
from watcher.stories.whereabouts import whereabouts
from watcher.uploads.gauging import Gauges
from watcher.uploads.snapshot import FileSnapshot, ServiceSnapshot
from watcher.web.metrics import Metrics, Scrape
from watcher.web.page import Facts, Html, LedgerFacts, MailFacts, Page, StoryFacts, first_day
from watcher.web.readiness import Readiness, readiness
from watcher.work.counting import Counting

DATABASE_SECONDS = 2.0
PAGE_SECONDS = 10.0
LAST_IMPORTS = 20
MOST_REASONS = 50
MOST_MAILS = 10_000
"""The number up to which the mails of a state are counted."""

T = TypeVar("T")


class Gathering:
    """Gathers the answers to what the service is asked by HTTP.

    Args:
        engine: the database.
        interval: the time from one tick to the next.
        now: the wall clock, UTC.
        service: makes what the service shows of itself.
        clients: makes the numbers of the clients' directories.
        file: makes what the service knows of a client's file, by its name.
        folder: finds a client's directory; None where there is no such client.
        alerts: the administrator's alerts.
        counting: counts what has become of files.
        delivered: counts what has become of mails.
        patience: how long the database may take to be called one that answers, in seconds.
        page_patience: how long it may take for everything that the page shows of it.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        interval: timedelta,
        now: Callable[[], datetime],
        service: Callable[[], Awaitable[ServiceSnapshot]],
        clients: Callable[[], Awaitable[tuple[Gauges, ...]]],
        file: Callable[[str, str], Awaitable[FileSnapshot]],
        folder: Callable[[str], Path | None],
        alerts: Alerts,
        counting: Counting,
        delivered: Callable[[], Delivered],
        patience: float = DATABASE_SECONDS,
        page_patience: float = PAGE_SECONDS,
    ) -> None:
        self._engine = reading_engine(engine)
        self._interval = interval
        self._now = now
        self._service = service
        self._clients = clients
        self._file = file
        self._folder = folder
        self._alerts = alerts
        self._metrics = Metrics()
        self._counting = counting
        self._measuring = asyncio.Lock()
        self._page = Page()
        self._delivered = delivered
        self._probing = _Thread("http-probe", patience)
        self._reading = _Thread("http-page", page_patience)

    async def readiness(self) -> Readiness:
        """Judge whether the service does its work."""
        return self._judged(await self._clients(), database_answers=await self._mails() is not None)

    async def page(self, language: str) -> Html:
        """Make the page that tells people what is going on."""
        now, service, clients = self._now(), await self._service(), await self._clients()
        names = [each.client for each in clients]
        ledger = await self._reading.ask(self._engine, lambda connection: _ledger(connection, names, now))
        ready = self._judged(clients, database_answers=ledger is not None)
        mails = await self._mails()
        facts = Facts(
            service=service,
            ready=ready,
            ledger=ledger,
            mails=None if mails is None else MailFacts(sent=self._delivered().sent, unsent=mails),
            details={(each.kind, each.client): each.detail for each in self._alerts.board.alerts},
            now=now,
        )
        return await asyncio.to_thread(self._page.html, facts, language)

    async def story(self, client: str, name: str, language: str) -> Html | None:
        """Make the page of a file's story; None where there is no such client, or the name can be no file's."""
        directory = self._folder(client)
        if directory is None or "/" in name or "\0" in name or name in {"", ".", ".."}:
            return None
        answer, where = await self._file(client, name), await asyncio.to_thread(whereabouts, directory, name)
        past = await self._reading.ask(self._engine, lambda connection: past_of(connection, client, name, self._now()))
        facts = StoryFacts(
            client=client,
            name=name,
            told=story(answer.events, past or ()),
            lines=[*now_told(name, where, answer, client=client)],
            database_answers=past is not None,
            now=self._now(),
        )
        return await asyncio.to_thread(self._page.story, facts, language)

    async def metrics(self) -> bytes:
        """Make the text of everything that is measured."""
        mails, clients = await self._mails(), await self._clients()
        scrape = Scrape(
            version=version("userdrop"),
            clients=clients,
            alerts=tuple(alert.kind for alert in self._alerts.board.alerts if is_open(alert)),
            mails=mails,
            mails_sent=self._delivered().sent,
            counted=self._counting.copied(),
            is_ready=self._judged(clients, database_answers=mails is not None).is_ready,
        )
        async with self._measuring:
            return await asyncio.to_thread(self._metrics.text, scrape)

    def close(self) -> None:
        """End the threads that ask the database."""
        self._probing.close()
        self._reading.close()

    def _judged(self, clients: tuple[Gauges, ...], *, database_answers: bool) -> Readiness:
        return readiness(clients, interval_seconds=self._interval.total_seconds(), database_answers=database_answers)

    async def _mails(self) -> dict[str, int] | None:
        """The number of mails that are not sent, by state; None where the database does not answer."""
        return await self._probing.ask(self._engine, lambda asked: queueing.unsent(asked, at_most=MOST_MAILS))


class _Thread:
    """A thread that asks one question after the other; whoever waits for too long goes without an answer."""

    def __init__(self, name: str, patience: float) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._patience = patience

    async def ask(self, engine: Engine, question: Callable[[Connection], T]) -> T | None:
        """Ask the database; None where it gives no answer."""

        def asked() -> T:
            with engine.begin() as connection:
                return question(connection)

        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.get_running_loop().run_in_executor(self._pool, asked)
        except (*DATABASE_ERRORS, TimeoutError):
            return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _ledger(connection: Connection, clients: list[str], now: datetime) -> LedgerFacts:
    since = first_day(now)
    return LedgerFacts(
        database=product(connection),
        imports=history.last_imports(connection, limit=LAST_IMPORTS),
        days=history.day_counts(connection, clients, since=since),
        failures=history.failure_counts(connection, clients, since=since, limit=MOST_REASONS),
    )

"""Puts together what is told by HTTP. The database is asked in threads of our own, and never for long.

There are two: one asks whether the database answers, which must not wait for the other, that reads the page's figures.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TypeVar

from sqlalchemy import Connection, Engine

from importer import history
from importer.engines import product, reading_engine
from notifier import queueing
from notifier.alerting import is_open
from notifier.alerts import Alerts
from notifier.model import Delivered
from notifier.outbox import DATABASE_ERRORS
from watcher.counting import Counting
from watcher.gauging import Gauges
from watcher.snapshot import ServiceSnapshot
from watcher.web.metrics import Metrics, Scrape
from watcher.web.page import Html, LedgerFacts, Page, first_day
from watcher.web.readiness import Readiness, readiness

DATABASE_SECONDS = 2.0
PAGE_SECONDS = 10.0
LAST_IMPORTS = 20
MOST_REASONS = 50
MOST_MAILS = 10_000
"""So many of a state are counted."""

T = TypeVar("T")


class Gathering:
    """What the service is asked.

    Args:
        engine: the database.
        interval: from tick to tick.
        now: the wall clock, UTC.
        service: what it shows of itself.
        clients: their directories as numbers.
        alerts: the administrator's.
        counting: what has become of files.
        delivered: what has become of mails.
        patience: how long the database may take to be called one that answers, in seconds.
        page_patience: how long it may take for everything that the page shows of it.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        interval: timedelta,
        now: Callable[[], datetime],
        service: Callable[[], ServiceSnapshot],
        clients: Callable[[], tuple[Gauges, ...]],
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
        self._alerts = alerts
        self._metrics = Metrics(counting)
        self._page = Page()
        self._delivered = delivered
        self._probing = _Thread("http-probe", patience)
        self._reading = _Thread("http-page", page_patience)

    async def readiness(self) -> Readiness:
        """Whether the service does its work."""
        return self._judged(self._clients(), database_answers=await self._mails() is not None)

    async def page(self) -> Html:
        """What is going on, for people."""
        now, service, clients = self._now(), self._service(), self._clients()
        names = [each.client for each in clients]
        ledger = await self._reading.ask(self._engine, lambda connection: _ledger(connection, names, now))
        ready = self._judged(clients, database_answers=ledger is not None)
        return await asyncio.to_thread(self._page.html, service, ready, ledger, now)

    async def metrics(self) -> bytes:
        """Everything that is measured."""
        mails, clients = await self._mails(), self._clients()
        scrape = Scrape(
            version=version("userdrop"),
            clients=clients,
            alerts=tuple(alert.kind for alert in self._alerts.board.alerts if is_open(alert)),
            mails=mails,
            mails_sent=self._delivered().sent,
            is_ready=self._judged(clients, database_answers=mails is not None).is_ready,
        )
        return self._metrics.text(scrape)

    def close(self) -> None:
        """End the threads."""
        self._probing.close()
        self._reading.close()

    def _judged(self, clients: tuple[Gauges, ...], *, database_answers: bool) -> Readiness:
        return readiness(clients, interval_seconds=self._interval.total_seconds(), database_answers=database_answers)

    async def _mails(self) -> dict[str, int] | None:
        """How many mails are not sent, by state; None where the database does not answer."""
        return await self._probing.ask(self._engine, lambda asked: queueing.unsent(asked, at_most=MOST_MAILS))


class _Thread:
    """Asks one question after the other; who waits for too long goes without an answer."""

    def __init__(self, name: str, patience: float) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._patience = patience

    async def ask(self, engine: Engine, question: Callable[[Connection], T]) -> T | None:
        """The answer, None where the database gives none."""

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

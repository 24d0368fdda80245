"""Puts together what is told by HTTP. The database is asked in a thread of its own, and never for long."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from typing import TypeVar

from sqlalchemy import Connection, Engine

from importer.engines import reading_engine
from notifier import queueing
from notifier.alerting import is_open
from notifier.alerts import Alerts
from notifier.model import Delivered
from notifier.outbox import DATABASE_ERRORS
from watcher.counting import Counting
from watcher.gauging import Gauges
from watcher.web.metrics import Metrics, Scrape
from watcher.web.readiness import Readiness, readiness

DATABASE_SECONDS = 2.0
"""How long the database may take to be called one that answers."""
MOST_MAILS = 10_000
"""So many of a state are counted."""

T = TypeVar("T")


class Gathering:
    """What the service is asked.

    Args:
        engine: the database.
        interval: from tick to tick.
        clients: how their directories stand.
        alerts: the administrator's.
        counting: what has become of files.
        delivered: what has become of mails.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        interval: timedelta,
        clients: Callable[[], tuple[Gauges, ...]],
        alerts: Alerts,
        counting: Counting,
        delivered: Callable[[], Delivered],
    ) -> None:
        self._engine = reading_engine(engine)
        self._interval = interval
        self._clients = clients
        self._alerts = alerts
        self._metrics = Metrics(counting)
        self._delivered = delivered
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="http-database")

    async def readiness(self) -> Readiness:
        """Whether the service does its work."""
        return self._judged(self._clients(), await self._mails())

    async def metrics(self) -> bytes:
        """Everything that is measured."""
        mails, clients = await self._mails(), self._clients()
        scrape = Scrape(
            version=version("userdrop"),
            clients=clients,
            alerts=tuple(alert.kind for alert in self._alerts.board.alerts if is_open(alert)),
            mails=mails,
            mails_sent=self._delivered().sent,
            is_ready=self._judged(clients, mails).is_ready,
        )
        return self._metrics.text(scrape)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _judged(self, clients: tuple[Gauges, ...], mails: dict[str, int] | None) -> Readiness:
        return readiness(clients, interval_seconds=self._interval.total_seconds(), database_answers=mails is not None)

    async def _mails(self) -> dict[str, int] | None:
        """How many mails are not sent, by state; None where the database does not answer."""
        return await self._asked(lambda connection: queueing.unsent(connection, at_most=MOST_MAILS), DATABASE_SECONDS)

    async def _asked(self, question: Callable[[Connection], T], seconds: float) -> T | None:
        def ask() -> T:
            with self._engine.begin() as connection:
                return question(connection)

        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        except (*DATABASE_ERRORS, TimeoutError):
            return None

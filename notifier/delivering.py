"""The loop that forms mails, sends them and tells of alerts.

Outages are caught here only: of the database (`outbox.DATABASE_ERRORS`) and of the mail server (`SendError`). Database
work runs in threads, and everything else on the event loop, so nothing here needs a lock.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import BUSY_SECONDS
from importer.database.failures import cause_of, failure_detail, is_busy
from importer.model import Detail
from importer.words.details import detail, listed
from notifier import alerting, outbox, recording
from notifier.alerts import Alerts
from notifier.letters import Letters
from notifier.marking import Results, log_queued
from notifier.model import (
    Addresses,
    AlertKind,
    AlertNotice,
    Delivered,
    LeasedMail,
    Mail,
)
from notifier.outbox import DATABASE_ERRORS, LEASE
from notifier.retrying import FIRST_WAIT
from notifier.sending import Sender
from notifier.smtp import SESSION_SECONDS, Transport

LOOK_SECONDS = 5.0
"""The longest pause of the loop."""
GATHER = timedelta(seconds=10)
"""How long a client must be quiet before its notices become a mail, so that a window of 1,000 bad files is one mail."""
LEASED_AT_ONCE = 20
END_SECONDS = 3.0
STOP_SECONDS = 20.0
"""How long the mail in hand may take after the service was told to stop."""

log = structlog.get_logger()


class Delivery:
    """Forms and delivers mails, and keeps the administrator informed.

    Args:
        engine: the database of notices, mails and alerts.
        node: this service's name among those that share the database.
        transport: where mails go.
        addresses: who is written to.
        letters: what is written.
        clock: the present, UTC.
        next_run: when the next import starts, for the letters.
        jitter: a number from 0 to 1 that spreads retries.
        alerts: shared with whoever else opens alerts.
        gather: how long a client must be quiet before its notices become a mail.
        database_clock: the time by which mails are leased, the same for all nodes; called in threads, and may raise
            `DATABASE_ERRORS`. The clock, where there is one node only.
        got_on: called before each round of `run`, and before each mail.
        is_writing: whether the service's importing process is at work, which may hold SQLite's write lock for as long
            as a file takes: who waits for it longer than the database is told to is in no outage.

    Attributes:
        delivered: what `run` has done so far.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        node: str = "",
        transport: Transport,
        addresses: Addresses,
        letters: Letters,
        clock: Callable[[], datetime],
        next_run: Callable[[], datetime | None],
        jitter: Callable[[], float],
        alerts: Alerts,
        gather: timedelta = GATHER,
        database_clock: Callable[[], datetime] | None = None,
        got_on: Callable[[], None] = lambda: None,
        is_writing: Callable[[], bool] = lambda: False,
    ) -> None:
        self.alerts = alerts
        self.delivered = Delivered()
        self._engine = engine
        self._node = node
        self._database_clock = database_clock or clock
        self._sender = Sender(
            engine=engine,
            transport=transport,
            addresses=addresses,
            letters=letters,
            alerts=alerts,
            clock=clock,
        )
        self._results = Results(engine=engine, node=node, letters=letters, addresses=addresses, jitter=jitter)
        self._addresses = addresses
        self._letters = letters
        self._clock = clock
        self._next_run = next_run
        self._gather = gather
        self._got_on = got_on
        self._is_writing = is_writing
        self._woken = asyncio.Event()
        self._direct_after: datetime | None = None
        self._restored = False
        self._leases_released = False
        self._database_down = False
        self._waits = False

    def wake(self) -> None:
        """Wake the loop, as there may be something to do; call it from the event loop, after each import."""
        self._woken.set()

    async def once(self) -> Delivered:
        """Form every pending notice and try every mail that is due, then say what was done."""
        done = await self._round(gather=timedelta(0))
        while (more := await self._round(gather=timedelta(0))) != Delivered():
            done += more
        return done

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`; the mail in hand then gets 20 s more. Errors of our own come out of here."""
        work = asyncio.create_task(self._loop(stopping))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            self._woken.set()
            await asyncio.wait({work}, timeout=STOP_SECONDS)
        finally:
            work.cancel()
            stop.cancel()
            await asyncio.wait({work, stop})
        if not work.cancelled():
            work.result()

    async def end(self) -> None:
        """When nobody imports any more: mark what was sent while an import held the database, within a bound."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._results.write_at_last()

    async def _loop(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self._woken.clear()
            self._got_on()
            self.delivered += await self._round(gather=self._gather, stopping=stopping)
            try:
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
        await self._results.write_at_last()

    async def _round(self, *, gather: timedelta, stopping: asyncio.Event | None = None) -> Delivered:
        """One look at everything; an outage of the database ends it and is told without the database."""
        was_writing = self._is_writing()
        try:
            written = await self._results.write()
            await self._recover()
            await self._tell_alerts()
            formed = await self._form(gather)
            written += await self._send_due(stopping)
            await self._judge_reports()
        except DATABASE_ERRORS as error:
            if is_busy(error) and (was_writing or self._is_writing()):
                self._wait()
            else:
                self._database_failed(error)
            await self._tell_directly()
            return Delivered()
        self._waits = False
        if self._database_down:
            self._database_down = False
            self.alerts.resolve(AlertKind.DATABASE)
        return replace(written, formed=formed)

    def _wait(self) -> None:
        """For our own import; where somebody else holds the lock, that meets it as well, and opens the alert."""
        if not self._waits:
            log.info("mails_wait")
        self._waits = True

    def _database_failed(self, error: BaseException) -> None:
        if not self._database_down:
            log.error("database_failed", error=type(error).__name__)
        self._database_down = True
        self._leases_released = False
        why: Detail | str = detail("queue_failed", error=type(error).__name__)
        if isinstance(error, SQLAlchemyError) and cause_of(error) is not None:
            why = failure_detail(error)
        self.alerts.open(AlertKind.DATABASE, detail=why)

    async def _recover(self) -> None:
        """Go on where an earlier run of this node, or an outage of the database, interrupted."""
        if not self._leases_released:
            await asyncio.to_thread(outbox.release, self._engine, self._node)
            self._leases_released = True
        if not self._restored:
            now = self._clock()
            self.alerts.restore(await asyncio.to_thread(recording.known_alerts, self._engine, now=now), now)
            self._sender.restore(await asyncio.to_thread(outbox.refused_recipients, self._engine))
            self._database_down = self.alerts.is_open(AlertKind.DATABASE)
            self._restored = True

    async def _form(self, gather: timedelta) -> int:
        work = partial(
            outbox.form,
            self._engine,
            self._letters,
            self._addresses,
            now=self._clock(),
            next_run=self._next_run(),
            gather=gather,
        )
        queued = await asyncio.to_thread(work)
        log_queued(queued)
        self._judge_templates()
        return len(queued)

    def _judge_templates(self) -> None:
        """A template of the site's own that fails is an alert; letters are written with ours meanwhile."""
        broken = self._letters.templates.broken
        if broken:
            self.alerts.open(AlertKind.TEMPLATE, detail=listed(sorted(broken.values(), key=str)))
        else:
            self.alerts.resolve(AlertKind.TEMPLATE)

    async def _judge_reports(self) -> None:
        """An alert of reports that cannot be read ends when no mail waits for one any more, whatever became of it."""
        kind, board = AlertKind.REPORT, self.alerts.board
        told = {alert.client for alert in board.alerts if alert.kind is kind and alerting.is_open(alert)}
        if told:
            for client in told - await asyncio.to_thread(outbox.waiting_for_reports, self._engine):
                self.alerts.resolve(kind, client)

    async def _send_due(self, stopping: asyncio.Event | None) -> Delivered:
        """Send until nothing is due; a server that fails gets one mail a time until it takes one."""
        done = Delivered()
        while not self._sender.is_paused() and not (stopping is not None and stopping.is_set()):
            failing = self.alerts.is_open(AlertKind.SMTP)
            limit = 1 if failing else LEASED_AT_ONCE
            until = self._clock() + LEASE
            leased = await asyncio.to_thread(self._lease, limit=limit, early=failing)
            if not leased:
                break
            done += await self._send_all(leased, until, stopping)
            if self._sender.came_back():
                await asyncio.to_thread(partial(outbox.hurry, self._engine, now=self._clock()))
        return done

    def _lease(self, *, limit: int, early: bool) -> list[LeasedMail]:
        now, database_now = self._clock(), self._database_clock()
        return outbox.lease(self._engine, node=self._node, now=now, limit=limit, early=early, database_now=database_now)

    async def _send_all(
        self, leased: Sequence[LeasedMail], until: datetime, stopping: asyncio.Event | None
    ) -> Delivered:
        """Send one after the other; what does not get its turn in this lease is given back untried.

        `until` is the end of the lease by this node's own clock, as far as it can be relied on.
        """
        done = Delivered()
        for position, mail in enumerate(leased):
            if self._sender.is_paused() or not self._has_time(until) or (stopping is not None and stopping.is_set()):
                rest = [left.id for left in leased[position:]]
                await asyncio.to_thread(outbox.release, self._engine, self._node, rest)
                break
            self._got_on()
            result = await self._sender.attempt(mail)
            self._results.add(result)
            done += await self._results.write()
        return done

    def _has_time(self, until: datetime) -> bool:
        session = timedelta(seconds=SESSION_SECONDS + BUSY_SECONDS)
        return self._clock() + session <= until

    async def _tell_alerts(self) -> None:
        now = self._clock()
        self.alerts.hold_back(now, self._addresses.admin_of)
        notices = alerting.decide(self.alerts.board, now, self._addresses.admin_of)
        changed = self.alerts.unstored()
        if not notices and not changed:
            return
        about = [(notice, self._about_alert(notice, now)) for notice in notices]
        queued = await asyncio.to_thread(recording.record_alerts, self._engine, changed, about)
        as_stored = {alerting.told(notice.alert, notice.occasion, now) for notice in alerting.told_by(notices)}
        self.alerts.told(changed | as_stored, notices, now)
        log_queued(queued)

    def _about_alert(self, notice: AlertNotice, now: datetime) -> Mail:
        return outbox.to_admin(
            self._addresses, self._letters.about_alert(notice, now), notice.alert.client or None, now
        )

    async def _tell_directly(self) -> None:
        """Without the database its own alert is sent at once; the others wait for their table."""
        now = self._clock()
        notices = alerting.decide(self.alerts.board, now, self._addresses.admin_of)
        due = [replace(notice, summed=()) for notice in notices if notice.alert.kind is AlertKind.DATABASE]
        waits = self._direct_after is not None and now < self._direct_after <= now + FIRST_WAIT
        if not due or waits:
            return
        self._direct_after = now + FIRST_WAIT
        if await self._sender.send_directly(self._about_alert(due[0], now)):
            self.alerts.told(frozenset(), due[:1], now)

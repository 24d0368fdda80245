"""What became of mails, written into the table: sooner or later, but never lost to a busy database."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypedDict, assert_never

import structlog
from sqlalchemy import Engine

from importer.model import Detail
from notifier import outbox
from notifier.letters import Letters
from notifier.model import (
    Addresses,
    Dead,
    Delivered,
    Held,
    Later,
    Misconfigured,
    Queued,
    Refused,
    Result,
    Sent,
    Unread,
)
from notifier.outbox import DATABASE_ERRORS
from notifier.retrying import LONGEST_WAIT, MISCONFIGURED_WAIT, REFUSED_WAIT, UNREAD_WAIT, is_given_up, next_try

RETRY_SECONDS = 0.5

log = structlog.get_logger()


class _Age(TypedDict):
    """How old a failed mail is, as `retrying` asks for it."""

    tries: int
    created_at: datetime
    now: datetime
    forever: bool


class Results:
    """Ends of mails that are still to be written down; the leases of these mails hold meanwhile."""

    def __init__(
        self, *, engine: Engine, node: str, letters: Letters, addresses: Addresses, jitter: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._node = node
        self._letters = letters
        self._addresses = addresses
        self._jitter = jitter
        self._unmarked: list[Result] = []

    def add(self, result: Result) -> None:
        """Remember what became of a mail."""
        self._unmarked.append(result)

    async def write(self) -> Delivered:
        """Tell the table what became of mails, and say what was written.

        What the table could not be told stays here, and its lease holds meanwhile.
        """
        done = Delivered()
        while self._unmarked:
            done += await self._write(self._unmarked[0])
            del self._unmarked[0]
        return done

    async def _write(self, result: Result) -> Delivered:
        match result.end:
            case Sent():
                return await self._sent(result)
            case Held(until=until):
                return await self._held(result, until)
            case Misconfigured() | Later(server=True) if result.mail.next_try_at > result.at:
                return await self._as_it_was(result)
            case _:
                return await self._failed(result, result.end)

    async def _failed(self, result: Result, end: Later | Dead | Misconfigured | Refused | Unread) -> Delivered:
        match end:
            case Unread():
                return await self._defer(result, result.at + UNREAD_WAIT)
            case Misconfigured():
                return await self._refused(result, MISCONFIGURED_WAIT)
            case Refused():
                return await self._refused_mail(result)
            case Later():
                return await self._later(result)
            case Dead():
                return await self._dead(result)
            case _:
                assert_never(end)

    def _is_own(self, result: Result) -> bool:
        return result.mail.recipient == self._addresses.admin_of(result.mail.client)

    async def _sent(self, result: Result) -> Delivered:
        mail = result.mail
        await asyncio.to_thread(partial(outbox.mark_sent, self._engine, mail, now=result.at))
        log.info("mail_sent", mail=mail.id, client=mail.client, tries=mail.tries + 1)
        return Delivered(sent=1)

    async def _as_it_was(self, result: Result) -> Delivered:
        """It was tried early, and the server is not back: that is no try."""
        await asyncio.to_thread(outbox.release, self._engine, self._node, [result.mail.id])
        return Delivered()

    async def _later(self, result: Result) -> Delivered:
        at = next_try(**self._age(result), jitter=self._jitter())
        return await (self._bury(result) if at is None else self._defer(result, at))

    async def _refused_mail(self, result: Result) -> Delivered:
        is_over = is_given_up(**self._age(result))
        return await (self._bury(result) if is_over else self._refused(result, REFUSED_WAIT))

    def _age(self, result: Result) -> "_Age":
        mail, forever = result.mail, self._is_own(result)
        return {"tries": mail.tries + 1, "created_at": mail.created_at, "now": result.at, "forever": forever}

    async def _dead(self, result: Result) -> Delivered:
        """The administrator's own mails never end, or nobody would be told of anything."""
        return await (self._defer(result, result.at + LONGEST_WAIT) if self._is_own(result) else self._bury(result))

    async def _held(self, result: Result, until: datetime) -> Delivered:
        await asyncio.to_thread(partial(outbox.mark_held, self._engine, result.mail, now=result.at, next_try_at=until))
        return Delivered()

    async def _refused(self, result: Result, wait: timedelta) -> Delivered:
        return await self._defer(result, result.at + wait, partial(outbox.mark_refused, now=result.at))

    async def _defer(self, result: Result, at: datetime, mark: Callable[..., None] | None = None) -> Delivered:
        mail = result.mail
        mark = mark or (outbox.mark_unread if isinstance(result.end, Unread) else outbox.mark_later)
        await asyncio.to_thread(partial(mark, self._engine, mail, next_try_at=at, error=str(_said(result))))
        log.warning("mail_deferred", mail=mail.id, client=mail.client, code=_code(result), next_try_at=at.isoformat())
        return Delivered(later=1)

    async def _bury(self, result: Result) -> Delivered:
        mail = result.mail
        instead = self._letters.undeliverable(
            mail=mail.id,
            recipient=mail.recipient,
            subject=mail.letter.subject,
            client=mail.client,
            said=_said(result),
        )
        about_it = outbox.to_admin(self._addresses, instead, mail.client, result.at)
        work = partial(outbox.mark_dead, self._engine, mail, now=result.at, error=str(_said(result)), instead=about_it)
        queued = await asyncio.to_thread(work)
        log.error("mail_dead", mail=mail.id, client=mail.client, code=_code(result))
        log_queued([queued])
        return Delivered(dead=1)

    async def write_at_last(self) -> None:
        """The same until it succeeds: an unmarked mail would be sent again by the next run. The caller sets a bound."""
        while self._unmarked:
            try:
                await self.write()
            except DATABASE_ERRORS:
                await asyncio.sleep(RETRY_SECONDS)


def _said(result: Result) -> Detail | str:
    return result.failure.text if result.failure else ""


def _code(result: Result) -> int | str | None:
    """What the log says about a failure: the reply code, or how far it came."""
    return None if result.failure is None else result.failure.code or result.failure.stage.value


def log_queued(queued: Sequence[Queued]) -> None:
    """One event for each mail that was stored."""
    for mail in queued:
        log.info("mail_queued", mail=mail.id, audience=mail.audience.value, client=mail.client)

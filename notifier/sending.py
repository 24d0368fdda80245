"""One try to send one mail, and what it says about the mail server."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import Engine

from notifier import outbox
from notifier.alerts import Alerts
from notifier.letters import Letters
from notifier.messages import Message, build
from notifier.model import (
    Addresses,
    AlertKind,
    Dead,
    Failure,
    Later,
    Mail,
    Misconfigured,
    Result,
    SendError,
    Sent,
    Shrink,
    Stage,
    StoredMail,
)
from notifier.outbox import DATABASE_ERRORS
from notifier.packing import LARGEST, Packed, Packing, pack
from notifier.retrying import FIRST_WAIT, MISCONFIGURED_WAIT, classify
from notifier.smtp import Transport

SILENT_FAILURES = 3
"""Deliveries in a row that ended without a reply, before it is the server and not the mail."""

_UNBUILT = Failure(stage=Stage.CONTENT, text="userdrop could not build the mail; its log has mail_not_built")

log = structlog.get_logger()


class Sender:
    """Sends leased mails one by one; while the server is known to fail, it asks for a pause."""

    def __init__(
        self,
        *,
        engine: Engine,
        transport: Transport,
        addresses: Addresses,
        letters: Letters,
        alerts: Alerts,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._letters = letters
        self._transport = transport
        self._addresses = addresses
        self._alerts = alerts
        self._clock = clock
        self._packing: dict[int, Packing] = {}
        self._largest = LARGEST
        self._paused_until: datetime | None = None
        self._silent = 0

    def is_paused(self) -> bool:
        """Whether the next mail would only meet the failure of the last."""
        now = self._clock()
        return self._paused_until is not None and now < self._paused_until <= now + MISCONFIGURED_WAIT

    async def attempt(self, mail: StoredMail) -> Result:
        """One try, with as many smaller messages as the server asks for."""
        while True:
            made = await self._composed(mail)
            if made is None:
                return Result(mail=mail, end=Dead(), failure=_UNBUILT, at=self._clock())
            message, packing = made
            try:
                await self._transport.send(message, mail.recipient)
            except SendError as error:
                verdict = classify(error.failure)
                if isinstance(verdict, Shrink) and self._can_shrink(mail, packing, verdict.limit):
                    continue
                return self._failed(mail, error.failure, Dead() if isinstance(verdict, Shrink) else verdict)
            return self._sent(mail)

    def _can_shrink(self, mail: StoredMail, packing: Packing, limit: int | None) -> bool:
        """Whether the next message of this mail will be smaller: by the server's limit, or packed more tightly."""
        if not mail.letter.attachments or packing is Packing.NOTHING:
            return False
        if limit is not None and limit < self._largest:
            self._largest = limit
        else:
            self._packing[mail.id] = Packing(packing + 1)
        return True

    async def _composed(self, mail: StoredMail) -> tuple[Message, Packing] | None:
        try:
            return await asyncio.to_thread(self._compose, mail)
        except (*DATABASE_ERRORS, MemoryError):
            raise
        except Exception:  # one mail that cannot be built must not stop all others
            log.exception("mail_not_built", mail=mail.id, client=mail.client)
            return None

    def _compose(self, mail: StoredMail) -> tuple[Message, Packing]:
        reports = outbox.reports(self._engine, mail.letter.attachments)
        at_least = self._packing.get(mail.id, Packing.FILES)
        packed = pack(
            mail, reports, self._letters.notes(mail.letter.language), largest=self._largest, at_least=at_least
        )
        return build(mail, self._addresses.admin_of(mail.client), packed), packed.packing

    def _sent(self, mail: StoredMail) -> Result:
        self._server_answers()
        self._packing.pop(mail.id, None)
        return Result(mail=mail, end=Sent(), failure=None, at=self._clock())

    def _failed(self, mail: StoredMail, failure: Failure, verdict: Later | Dead | Misconfigured) -> Result:
        now = self._clock()
        self._silent = 0 if failure.code else self._silent + 1
        if isinstance(verdict, Misconfigured):
            self._server_fails(failure, now + MISCONFIGURED_WAIT)
        elif (isinstance(verdict, Later) and verdict.server) or self._silent >= SILENT_FAILURES:
            self._server_fails(failure, now + FIRST_WAIT)
        elif failure.code is not None:
            self._server_answers()
        return Result(mail=mail, end=verdict, failure=failure, at=now)

    def _server_fails(self, failure: Failure, until: datetime) -> None:
        self._paused_until = until
        self._alerts.open(AlertKind.SMTP, detail=f"{failure.stage.value}: {failure.text}")

    def _server_answers(self) -> None:
        self._silent = 0
        self._paused_until = None
        self._alerts.resolve(AlertKind.SMTP)

    async def send_directly(self, mail: Mail) -> bool:
        """Send a mail without attachments that no table holds; whether the server took it."""
        message = build(_unstored(mail), self._addresses.admin_of(mail.client), Packed(packing=Packing.NOTHING))
        try:
            await self._transport.send(message, mail.recipient)
        except SendError as error:
            self._server_fails(error.failure, self._clock() + FIRST_WAIT)
            return False
        self._server_answers()
        log.info("mail_sent", mail=None, client=mail.client, tries=1)
        return True


def _unstored(mail: Mail) -> StoredMail:
    """A mail for which there is no table, in the form in which it is sent."""
    return StoredMail(
        id=0,
        message_id=mail.message_id,
        recipient=mail.recipient,
        client=mail.client,
        letter=mail.letter,
        created_at=mail.created_at,
        tries=0,
        next_try_at=mail.created_at,
    )

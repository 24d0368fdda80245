"""One try to send one mail, and what it says about the mail server.

What keeps every mail from being sent is the alert `smtp`; a server that talks to us and refuses mails, or only some of
them, is `smtp_refuses`, which does not keep those mails waiting that it may take.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from sqlalchemy import Engine

from importer.words.details import detail
from notifier import outbox, refusing
from notifier.alerts import Alerts
from notifier.letters import Letters
from notifier.messages import Message, build
from notifier.model import (
    Addresses,
    AlertKind,
    Dead,
    Failure,
    Held,
    Later,
    LeasedMail,
    Mail,
    Misconfigured,
    Refused,
    Result,
    SendError,
    Sent,
    Shrink,
    Stage,
    Unread,
)
from notifier.outbox import DATABASE_ERRORS
from notifier.packing import LARGEST, Packed, Packing, UnreadError, pack
from notifier.refusing import Standing, Way, way_of
from notifier.retrying import FIRST_WAIT, MISCONFIGURED_WAIT, classify, waits_for_report
from notifier.smtp import Transport

SILENT_FAILURES = 3
"""Deliveries in a row that ended without a reply, before it is the server and not the mail."""

_UNBUILT = Failure(stage=Stage.CONTENT, text=detail("mail_not_built"))

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
        self._standings: dict[Way, Standing] = {}
        self._came_back = False

    def is_paused(self) -> bool:
        """Whether the next mail would only meet the failure of the last."""
        now = self._clock()
        return self._paused_until is not None and now < self._paused_until <= now + MISCONFIGURED_WAIT

    def restore(self, refused: Sequence[tuple[str | None, str]]) -> None:
        """Go on with what an earlier run knew of refusals: clients and recipients of the mails that wait for it."""
        for client, recipient in refused:
            way = way_of(self._addresses.admin_of(client), recipient)
            known = refusing.with_refused(self._standings, way, recipient)
            self._standings = refusing.with_told(known, way, self._whose(client), held_from=None)

    def came_back(self) -> bool:
        """Whether the server has taken a mail, after a time without, since this was asked last."""
        came_back, self._came_back = self._came_back, False
        return came_back

    async def attempt(self, mail: LeasedMail) -> Result:
        """One try, with as many smaller messages as the server asks for."""
        if (until := self._held_until(mail)) is not None:
            return Result(mail=mail, end=Held(until=until), failure=None, at=self._clock())
        while True:
            try:
                made = await self._composed(mail)
            except UnreadError as error:
                return self._unread(mail, error)
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

    def _can_shrink(self, mail: LeasedMail, packing: Packing, limit: int | None) -> bool:
        """Whether the next message of this mail will be smaller: by the server's limit, or packed more tightly."""
        if not mail.letter.attachments or packing is Packing.NOTHING:
            return False
        if limit is not None and limit < self._largest:
            self._largest = limit
        else:
            self._packing[mail.id] = Packing(packing + 1)
        return True

    async def _composed(self, mail: LeasedMail) -> tuple[Message, Packing] | None:
        try:
            return await asyncio.to_thread(self._compose, mail)
        except (*DATABASE_ERRORS, MemoryError, UnreadError):
            raise
        except Exception:  # one mail that cannot be built must not stop all others
            log.exception("mail_not_built", mail=mail.id, client=mail.client)
            return None

    def _compose(self, mail: LeasedMail) -> tuple[Message, Packing]:
        reports = outbox.reports(self._engine, mail.letter.attachments)
        at_least = self._packing.get(mail.id, Packing.FILES)
        packed = pack(
            mail,
            reports,
            self._letters.notes(mail.letter.language),
            largest=self._largest,
            at_least=at_least,
            waits=waits_for_report(mail.created_at, self._clock()),
        )
        return build(mail, self._addresses.admin_of(mail.client), packed), packed.packing

    def _unread(self, mail: LeasedMail, error: UnreadError) -> Result:
        """It says nothing of the mail server, which was not asked."""
        self._alerts.open(AlertKind.REPORT, mail.client or "", error.detail)
        failure = Failure(stage=Stage.REPORT, text=error.detail)
        return Result(mail=mail, end=Unread(), failure=failure, at=self._clock())

    def _way(self, mail: LeasedMail) -> Way:
        return way_of(self._addresses.admin_of(mail.client), mail.recipient)

    def _held_until(self, mail: LeasedMail) -> datetime | None:
        """Until when mails like this one wait for another to be taken; while the server is out, that is not known."""
        if self._alerts.is_open(AlertKind.SMTP):
            return None
        standing = self._standings.get(self._way(mail), Standing())
        return refusing.held_until(standing, created_at=mail.created_at, due_at=mail.next_try_at, now=self._clock())

    def _sent(self, mail: LeasedMail) -> Result:
        self._server_answers()
        self._packing.pop(mail.id, None)
        self._taken(mail)
        return Result(mail=mail, end=Sent(), failure=None, at=self._clock())

    def _taken(self, mail: LeasedMail) -> None:
        """An alert of refusals ends when no way that it tells of is refused any more."""
        way = self._way(mail)
        told = self._standings.get(way, Standing()).told | {self._whose(mail.client)}
        self._standings = refusing.with_taken(self._standings, way, self._clock())
        for client in told - refusing.all_told(self._standings):
            self._came_back = self._came_back or self._alerts.is_open(AlertKind.SMTP_REFUSES, client)
            self._alerts.resolve(AlertKind.SMTP_REFUSES, client)

    def _whose(self, client: str | None) -> str:
        """Whose sender a mail has: a client's own, or with an empty name the service's."""
        is_common = self._addresses.admin_of(client) == self._addresses.admin
        return "" if is_common else client or ""

    def _refused(self, mail: LeasedMail, failure: Failure, verdict: Refused | Dead) -> Refused | Dead:
        """What a refusal means beside those of other mails; where it may be about us, the administrator is told."""
        way = self._way(mail)
        self._standings = refusing.with_refused(self._standings, way, mail.recipient)
        standing = self._standings[way]
        end = refusing.judged(verdict, standing, mail.refused_since)
        if isinstance(end, Dead) or refusing.is_refuted(standing, mail.refused_since):
            return end
        self._tell(mail, failure, self._clock() if end.ours else None)
        return end

    def _tell(self, mail: LeasedMail, failure: Failure, held_from: datetime | None = None) -> None:
        """An alert says that the server refuses mails like this one; they are held back from then on."""
        way, client = self._way(mail), self._whose(mail.client)
        if not self._alerts.is_open(AlertKind.SMTP_REFUSES, client):
            why = detail("at", where=failure.stage.value, why=failure.text)
            self._alerts.open(AlertKind.SMTP_REFUSES, client, why)
        self._standings = refusing.with_told(self._standings, way, client, held_from)

    def _is_put_off(self, mail: LeasedMail, failure: Failure) -> bool:
        standing = self._standings.get(self._way(mail), Standing())
        return refusing.is_put_off(failure, standing, created_at=mail.created_at, now=self._clock())

    def _failed(self, mail: LeasedMail, failure: Failure, verdict: Later | Dead | Misconfigured | Refused) -> Result:
        now = self._clock()
        self._silent = 0 if failure.code else self._silent + 1
        if isinstance(verdict, Refused | Dead) and failure.code is not None:
            verdict = self._refused(mail, failure, verdict)
        elif verdict == Later(server=False) and self._is_put_off(mail, failure):
            self._tell(mail, failure)
        if isinstance(verdict, Misconfigured):
            self._server_fails(failure, now + MISCONFIGURED_WAIT)
        elif (isinstance(verdict, Later) and verdict.server) or self._silent >= SILENT_FAILURES:
            self._server_fails(failure, now + FIRST_WAIT)
        elif failure.code is not None:
            self._server_answers()
        return Result(mail=mail, end=verdict, failure=failure, at=now)

    def _server_fails(self, failure: Failure, until: datetime) -> None:
        self._paused_until = until
        self._alerts.open(AlertKind.SMTP, detail=detail("at", where=failure.stage.value, why=failure.text))

    def _server_answers(self) -> None:
        self._silent = 0
        self._paused_until = None
        self._came_back = self._came_back or self._alerts.is_open(AlertKind.SMTP)
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


def _unstored(mail: Mail) -> LeasedMail:
    """A mail for which there is no table, in the form in which it is sent."""
    return LeasedMail(
        id=0,
        message_id=mail.message_id,
        recipient=mail.recipient,
        client=mail.client,
        letter=mail.letter,
        created_at=mail.created_at,
        tries=0,
        next_try_at=mail.created_at,
    )

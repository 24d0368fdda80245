"""The loop: from a notice to a mail in a mailbox, with servers and databases that fail."""

import asyncio
import json
import os
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from importer.database import mails
from importer.engines import make_engine
from importer.model import Audience
from notifier import outbox
from notifier.alerting import is_open
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.letters import Letters
from notifier.messages import Message, encode
from notifier.model import Alert, AlertKind, Delivered, Failure, SendError, Stage
from notifier.smtp import SmtpTransport, Transport
from notifier.templating import Templates
from tests.mailing import (
    ADDRESSES,
    LETTERS,
    NOW,
    REPORT,
    Clock,
    database,
    failed_rows,
    queue,
    refused,
    store,
    store_import,
)
from tests.servers.smtp import Faults, SmtpServer, smtp_server

(RECIPIENT,) = ADDRESSES.failed_import


class Mailbox:
    """A transport that keeps what it takes, and fails as told."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Message]] = []
        self.tried = 0
        self.failures: Callable[[str], Failure | None] = lambda _recipient: None

    async def send(self, message: Message, recipient: str) -> None:
        self.tried += 1
        found = self.failures(recipient)
        if found is not None:
            raise SendError(found)
        self.taken.append((recipient, message))

    @property
    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for _, message in self.taken]

    def fail(self, **failure: object) -> None:
        made = Failure(**failure)  # type: ignore[arg-type]
        self.failures = lambda _recipient: made

    def recover(self) -> None:
        self.failures = lambda _recipient: None


class Switch:
    """Makes every statement of a database fail while it is off."""

    def __init__(self, engine: Engine) -> None:
        self.off = False
        self.only = ""
        event.listen(engine, "before_cursor_execute", self._check)

    def _check(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if self.off and statement.startswith(self.only):
            raise OperationalError(statement, None, Exception("database is locked"))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return database(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


def open_kinds(delivery: Delivery) -> set[AlertKind]:
    """The kinds of the alerts that are open now."""
    return {alert.kind for alert in delivery.alerts.board.alerts if is_open(alert)}


def deliver(engine: Engine, transport: Transport, clock: Clock, letters: Letters = LETTERS) -> Delivery:
    return Delivery(
        engine=engine,
        transport=transport,
        addresses=ADDRESSES,
        letters=letters,
        clock=clock,
        next_run=lambda: None,
        jitter=lambda: 0.5,
        alerts=Alerts(clock),
    )


def smtp_transport(server: SmtpServer) -> SmtpTransport:
    return SmtpTransport(host="localhost", port=server.port, ca_file=server.ca_file, connect_tries=1)


async def test_a_notice_becomes_a_mail_with_its_report(
    engine: Engine, smtp: SmtpServer, clock: Clock, tmp_path: Path
) -> None:
    store_import(engine, failed_rows(), tmp_path, archived=True)
    store(engine, failed_rows())
    assert await deliver(engine, smtp_transport(smtp), clock).once() == Delivered(formed=1, sent=1)
    received = message_from_bytes(smtp.wait_for(1)[0].data, policy=default)
    assert isinstance(received, EmailMessage)
    assert received["To"] == RECIPIENT
    (attachment,) = received.iter_attachments()
    assert attachment.get_payload(decode=True) == REPORT


async def test_once_again_does_nothing(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, failed_rows())
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    assert await delivery.once() == Delivered()
    assert len(mailbox.taken) == 1


async def test_many_mails_go_out_in_one_round(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, *(failed_rows(number, client=f"client {number}") for number in range(70)))
    assert await deliver(engine, mailbox, clock).once() == Delivered(formed=70, sent=70)


async def test_a_lost_reply_sends_twice_with_one_message_id_and_date(
    engine: Engine, smtp: SmtpServer, clock: Clock
) -> None:
    store(engine, failed_rows())
    smtp.faults = Faults(lose_reply=True)
    delivery = deliver(engine, smtp_transport(smtp), clock)
    assert await delivery.once() == Delivered(formed=1, later=1)
    smtp.faults = Faults()
    clock.advance(seconds=60)
    assert await delivery.once() == Delivered(sent=1)
    first, second = smtp.wait_for(2)
    assert first.data == second.data


async def test_a_busy_recipient_is_tried_again_after_a_minute(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, failed_rows())
    delivery = deliver(engine, mailbox, clock)
    mailbox.fail(stage=Stage.RECIPIENT, code=450)
    assert await delivery.once() == Delivered(formed=1, later=1)
    mailbox.recover()
    clock.advance(seconds=53)
    assert await delivery.once() == Delivered()
    clock.advance(seconds=1)
    assert await delivery.once() == Delivered(sent=1)
    assert open_kinds(delivery) == set()


async def test_an_unknown_recipient_is_dead_and_the_admin_is_told(
    engine: Engine, smtp: SmtpServer, clock: Clock
) -> None:
    store(engine, failed_rows())
    smtp.faults = Faults(recipients={RECIPIENT: f"550 5.1.1 <{RECIPIENT}> unknown"})
    assert await deliver(engine, smtp_transport(smtp), clock).once() == Delivered(formed=1, sent=1, dead=1)
    (told,) = smtp.wait_for(1)
    assert told.recipients == (ADDRESSES.admin,)
    dead, _ = queue(engine)
    assert (dead["state"], dead["last_error"]) == ("dead", "550: 5.1.1 <(address)> unknown")


async def test_a_dead_mail_is_not_tried_again_and_stays(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, failed_rows())
    mailbox.fail(stage=Stage.RECIPIENT, code=550)
    await deliver(engine, mailbox, clock).once()
    mailbox.recover()
    clock.advance(days=400)
    assert await deliver(engine, mailbox, clock).once() == Delivered(sent=1)  # what tells the administrator
    clock.advance(days=400)
    assert await deliver(engine, mailbox, clock).once() == Delivered()
    assert [row["state"] for row in queue(engine)] == ["dead", "sent"]


async def test_the_admins_own_address_is_tried_hourly_for_ever(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, refused(audience=Audience.ADMIN))
    mailbox.fail(stage=Stage.RECIPIENT, code=550)
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    for _ in range(200):
        clock.advance(hours=1)
        assert await delivery.once() == Delivered(later=1)
    mailbox.recover()
    clock.advance(hours=1)
    assert await delivery.once() == Delivered(sent=1)


async def test_an_outage_costs_one_try_a_minute_and_no_mail(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, *(failed_rows(number, client=f"client {number}") for number in range(30)))
    mailbox.fail(stage=Stage.CONNECT)
    delivery = deliver(engine, mailbox, clock)
    assert await delivery.once() == Delivered(formed=30, later=1)
    clock.advance(seconds=59)
    assert await delivery.once() == Delivered()
    assert open_kinds(delivery) == {AlertKind.SMTP}
    mailbox.recover()
    clock.advance(seconds=1)
    assert (await delivery.once()).sent == 31
    assert open_kinds(delivery) == set()
    assert mailbox.subjects[-1] == "[userdrop] [resolved] mail cannot be sent"


async def test_five_days_of_outage_lose_nothing_and_end_within_a_minute(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, *(failed_rows(number, client=f"client {number}") for number in range(5)))
    mailbox.fail(stage=Stage.CONNECT)
    for _ in range(5):
        delivery = deliver(engine, mailbox, clock)
        for _ in range(144):
            await delivery.once()
            clock.advance(minutes=10)
    mailbox.recover()
    clock.advance(seconds=60)
    assert (await delivery.once()).sent == 6
    assert max(mail["tries"] for mail in queue(engine)) <= 170


async def test_a_server_that_is_down_is_asked_every_minute_without_costing_a_try(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, failed_rows())
    mailbox.fail(stage=Stage.CONNECT)
    delivery = deliver(engine, mailbox, clock)
    for _ in range(60):
        await delivery.once()
        clock.advance(minutes=1)
    assert mailbox.tried == 60
    assert queue(engine)[0]["tries"] == 7


async def test_wrong_settings_cost_one_try_in_15_minutes(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, failed_rows(1), failed_rows(2, client="other"))
    mailbox.fail(stage=Stage.LOGIN, code=535)
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    for _ in range(14):
        clock.advance(minutes=1)
        await delivery.once()
    assert mailbox.tried == 1
    clock.advance(minutes=1)
    await delivery.once()
    assert mailbox.tried == 2


async def test_silence_after_the_data_of_every_mail_is_an_outage(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, *(failed_rows(number, client=f"client {number}") for number in range(9)))
    mailbox.fail(stage=Stage.CONTENT)
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    assert mailbox.tried == 3
    assert open_kinds(delivery) == {AlertKind.SMTP}


async def test_a_server_that_wants_less_gets_a_smaller_message_at_once(
    engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    store_import(engine, failed_rows(), tmp_path, archived=True, report=REPORT * 2000)
    store(engine, failed_rows())
    with smtp_server(tmp_path, size_limit=20_000) as server:
        assert await deliver(engine, smtp_transport(server), clock).once() == Delivered(formed=1, sent=1)
        received = message_from_bytes(server.wait_for(1)[0].data, policy=default)
    assert isinstance(received, EmailMessage)
    assert [attachment.get_filename() for attachment in received.iter_attachments()] == ["failed.zip"]


async def test_no_size_will_do_and_the_mail_is_dead(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, failed_rows())
    refusal = Failure(stage=Stage.CONTENT, code=552)
    mailbox.failures = lambda recipient: refusal if recipient == RECIPIENT else None
    assert (await deliver(engine, mailbox, clock).once()).dead == 1


async def test_a_busy_database_does_not_make_a_mail_go_twice(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, failed_rows())
    switch = Switch(engine)
    switch.only = "UPDATE mails SET state"
    switch.off = True
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    clock.advance(hours=1)
    await delivery.once()
    assert len(mailbox.taken) == 2
    assert mailbox.subjects[1] == "[userdrop] [critical] the database cannot be used"
    switch.off = False
    await delivery.once()
    assert queue(engine)[0]["state"] == "sent"
    assert [recipient for recipient, _ in mailbox.taken].count(RECIPIENT) == 1


async def test_a_database_that_is_down_is_told_without_it_once_in_four_hours(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    switch = Switch(engine)
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    switch.off = True
    await delivery.once()
    assert mailbox.taken == []
    for _ in range(10):
        clock.advance(seconds=30)
        await delivery.once()
    assert mailbox.subjects == ["[userdrop] [critical] the database cannot be used"]
    switch.off = False
    await delivery.once()
    await delivery.once()
    assert mailbox.subjects[1:] == ["[userdrop] [resolved] the database cannot be used"]


async def test_an_outage_of_the_database_that_a_restart_interrupts_is_resolved_by_the_next_run(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    outage = Alert(kind=AlertKind.DATABASE, client="", detail="", opened_at=NOW, mailed_at=NOW)
    outbox.record_alerts(engine, [outage], [])
    clock.advance(hours=1)
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    await delivery.once()
    assert mailbox.subjects == ["[userdrop] [resolved] the database cannot be used"]


async def test_a_damaged_database_is_told_too(mailbox: Mailbox, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "broken.sqlite").write_bytes(b"this is not a database, far from it" * 100)
    delivery = deliver(make_engine(f"sqlite:///{tmp_path / 'broken.sqlite'}"), mailbox, clock)
    await delivery.once()
    clock.advance(seconds=30)
    await delivery.once()
    assert mailbox.subjects == ["[userdrop] [critical] the database cannot be used"]


async def test_an_alert_is_mailed_and_resolved_across_a_restart(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    first = deliver(engine, mailbox, clock)
    first.alerts.open(AlertKind.ARCHIVE, "acme", "bak is read-only")
    first.alerts.open(AlertKind.ARCHIVE, "acme", "bak is read-only")
    await first.once()
    clock.advance(seconds=30)
    await first.once()
    second = deliver(engine, mailbox, clock)
    second.alerts.open(AlertKind.ARCHIVE, "acme", "bak is read-only")
    clock.advance(minutes=30)
    await second.once()
    second.alerts.resolve(AlertKind.ARCHIVE, "acme")
    second.alerts.resolve(AlertKind.ARCHIVE, "acme")
    await second.once()
    assert mailbox.subjects == [
        "[userdrop] [error] files cannot be moved to bak (acme)",
        "[userdrop] [resolved] files cannot be moved to bak (acme)",
    ]


async def test_a_detail_that_was_not_told_before_a_crash_is_told_after_it(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    first = deliver(engine, mailbox, clock)
    first.alerts.open(AlertKind.ODD_FILE, "acme", "a.xlsx")
    clock.advance(seconds=30)
    await first.once()
    first.alerts.open(AlertKind.ODD_FILE, "acme", "a.xlsx, b.xlsx")
    await first.once()
    for _ in range(2):
        run = deliver(engine, mailbox, clock)
        run.alerts.open(AlertKind.ODD_FILE, "acme", "a.xlsx, b.xlsx")
        await run.once()
        clock.advance(hours=30)
        await run.once()
    assert mailbox.subjects == [
        "[userdrop] [warning] something in an upload directory is not an import file (acme)",
        "[userdrop] [new detail] something in an upload directory is not an import file (acme)",
    ]


async def test_what_is_opened_before_the_table_is_read_is_not_forgotten(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    ending = Alert(kind=AlertKind.ARCHIVE, client="", detail="", opened_at=NOW, mailed_at=NOW, resolved_at=clock())
    outbox.record_alerts(engine, [ending], [])
    delivery = deliver(engine, mailbox, clock)
    delivery.alerts.open(AlertKind.ARCHIVE)
    delivery.alerts.open(AlertKind.WORKER)
    await delivery.once()
    assert open_kinds(delivery) == {AlertKind.ARCHIVE, AlertKind.WORKER}


async def test_a_mail_that_cannot_be_built_stops_no_other(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, failed_rows(1), failed_rows(2, client="other"))
    delivery = deliver(engine, mailbox, clock)
    outbox.form(engine, LETTERS, ADDRESSES, now=NOW, next_run=None)
    with engine.begin() as connection:
        connection.execute(update(mails).where(mails.c.client == "acme").values(subject="two\nlines"))
    with capture_logs():
        assert await delivery.once() == Delivered(sent=2, dead=1)
    assert mailbox.subjects[-1] == "[userdrop] a mail could not be delivered (acme)"


async def test_no_address_and_no_cell_is_logged(engine: Engine, smtp: SmtpServer, clock: Clock) -> None:
    store(engine, failed_rows(), refused(audience=Audience.ADMIN))
    smtp.faults = Faults(recipients={"*": f"450 4.2.0 <{RECIPIENT}> is busy"})
    delivery = deliver(engine, smtp_transport(smtp), clock)
    with capture_logs() as logs:
        await delivery.once()
        smtp.faults = Faults(recipients={RECIPIENT: f"550 5.1.1 <{RECIPIENT}> unknown"})
        clock.advance(minutes=1)
        await delivery.once()
    said = json.dumps(logs)
    assert {entry["event"] for entry in logs} == {"mail_queued", "mail_sent", "mail_deferred", "mail_dead"}
    assert "@" not in said
    assert "ana" not in said


async def test_an_earlier_runs_lease_delays_nothing_after_a_restart(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, failed_rows())
    outbox.form(engine, LETTERS, ADDRESSES, now=NOW, next_run=None)
    assert len(outbox.lease(engine, node="", now=NOW, limit=1)) == 1
    assert await deliver(engine, mailbox, clock).once() == Delivered(sent=1)


class Held:
    """A transport whose first mail ends when the test says so."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def send(self, message: Message, recipient: str) -> None:
        del message, recipient
        self.begun.set()
        await self.go.wait()


async def test_run_delivers_what_it_is_woken_for_and_finishes_the_mail_in_hand(engine: Engine, clock: Clock) -> None:
    held, stopping = Held(), asyncio.Event()
    delivery = deliver(engine, held, clock)
    running = asyncio.create_task(delivery.run(stopping))
    store(engine, failed_rows(1), failed_rows(2, client="other"))
    clock.advance(seconds=10)
    delivery.wake()
    await asyncio.wait_for(held.begun.wait(), 10)
    stopping.set()
    held.go.set()
    await asyncio.wait_for(running, 10)
    assert [(mail["state"], mail["leased_until"]) for mail in queue(engine)] == [("sent", None), ("queued", None)]


async def test_an_error_of_our_own_comes_out_of_run(clock: Clock, mailbox: Mailbox, engine: Engine) -> None:
    def fail(_recipient: str) -> None:
        raise LookupError

    store(engine, failed_rows())
    clock.advance(seconds=10)
    mailbox.failures = fail
    delivery = deliver(engine, mailbox, clock)
    with pytest.raises(LookupError):
        await asyncio.wait_for(delivery.run(asyncio.Event()), 10)


async def test_a_broken_template_of_the_site_is_an_alert_until_a_letter_was_written_with_it(
    tmp_path: Path, engine: Engine, clock: Clock
) -> None:
    own = tmp_path / "templates"
    own.mkdir()
    (own / "client.txt.j2").write_text("{{ nothing }}")
    letters = Letters(Templates(directory=own))
    delivery = deliver(engine, Mailbox(), clock, letters=letters)
    store(engine, failed_rows())
    assert (await delivery.once()).sent == 1
    (alert,) = delivery.alerts.board.alerts
    assert (alert.kind, alert.detail) == (AlertKind.TEMPLATE, "client.txt.j2: UndefinedError")
    (own / "client.txt.j2").write_text("mended")
    os.utime(own / "client.txt.j2", (0, 0))
    store(engine, failed_rows(2))
    await delivery.once()
    assert not delivery.alerts.is_open(AlertKind.TEMPLATE)


async def test_a_thousand_bad_files_are_one_mail_with_one_csv(tmp_path: Path, engine: Engine, clock: Clock) -> None:
    for number in range(1000):
        notice = failed_rows(number)
        store_import(engine, notice, tmp_path, archived=True)
        store(engine, notice)
    mailbox = Mailbox()
    assert await deliver(engine, mailbox, clock).once() == Delivered(formed=1, sent=1)
    ((_, message),) = mailbox.taken
    received = message_from_bytes(encode(message), policy=default)
    assert isinstance(received, EmailMessage)
    ((merged),) = received.iter_attachments()
    header, _, body = REPORT.partition(b"\r\n")
    assert merged.get_payload(decode=True) == header + b"\r\n" + body * 1000

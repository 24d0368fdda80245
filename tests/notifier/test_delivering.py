"""The loop: from a notice to a mail in a mailbox, with servers and databases that fail."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, event, update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from importer.database.engines import make_engine
from importer.database.tables import mails
from importer.model import Audience
from notifier import outbox, recording
from notifier.alerting import is_open
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.letters import Letters
from notifier.messages import Message, encode
from notifier.model import Addresses, Alert, AlertKind, Delivered, Failure, OwnAddresses, SendError, Stage
from notifier.queueing import counted, retry_all
from notifier.smtp import SmtpTransport, Transport
from notifier.templating import Templates
from tests.importing import rows_of
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
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = database(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


def open_kinds(delivery: Delivery) -> set[AlertKind]:
    """The kinds of the alerts that are open now."""
    return {alert.kind for alert in delivery.alerts.board.alerts if is_open(alert)}


def deliver(
    engine: Engine,
    transport: Transport,
    clock: Clock,
    letters: Letters = LETTERS,
    *,
    addresses: Addresses = ADDRESSES,
    is_writing: Callable[[], bool] = lambda: False,
) -> Delivery:
    return Delivery(
        engine=engine,
        transport=transport,
        addresses=addresses,
        letters=letters,
        clock=clock,
        next_run=lambda: None,
        jitter=lambda: 0.5,
        alerts=Alerts(clock, clock.elapsed),
        is_writing=is_writing,
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
    mailbox.fail(stage=Stage.RECIPIENT, code=550, enhanced="5.1.1")
    await deliver(engine, mailbox, clock).once()
    mailbox.recover()
    clock.advance(days=400)
    assert await deliver(engine, mailbox, clock).once() == Delivered(sent=1)  # what tells the administrator
    clock.advance(days=400)
    assert await deliver(engine, mailbox, clock).once() == Delivered()
    assert [row["state"] for row in queue(engine)] == ["dead", "sent"]


async def test_the_admins_own_address_is_tried_hourly_for_ever(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(engine, refused(audience=Audience.ADMIN))
    mailbox.fail(stage=Stage.RECIPIENT, code=550, enhanced="5.1.1")
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


RELAY_DENIED = "554 5.7.1 <x>: Relay access denied"


def outsiders(*clients: str) -> dict[str, str]:
    """The replies of a server that relays for none of these clients, whose recipients are those of `_outside`."""
    return {f"{client}@{client}.example": RELAY_DENIED for client in clients}


def _outside(*clients: str) -> Addresses:
    """Each client has a recipient of its own, in a domain of its own."""
    own = {client: OwnAddresses(failed_import=(f"{client}@{client}.example",)) for client in clients}
    return replace(ADDRESSES, own=lambda client: own.get(client, OwnAddresses()))


async def test_mails_wait_where_the_server_does_not_relay_and_all_go_when_it_does(
    engine: Engine, smtp: SmtpServer, clock: Clock
) -> None:
    clients = ("ana", "ben", "cleo", "dan")
    store(engine, *(failed_rows(number, client=client) for number, client in enumerate(clients)))
    smtp.faults = Faults(recipients=outsiders(*clients))
    delivery = deliver(engine, smtp_transport(smtp), clock, addresses=_outside(*clients))
    assert await delivery.once() == Delivered(formed=4, later=2)
    assert [row["state"] for row in queue(engine)] == ["queued"] * 4
    assert [row["tries"] for row in queue(engine)] == [1, 1, 0, 0]  # two in a row are proof, and the others wait
    with engine.connect() as connection:
        assert counted(connection, now=clock()).refused == 4
    assert open_kinds(delivery) == {AlertKind.SMTP_REFUSES}
    clock.advance(seconds=30)
    assert await delivery.once() == Delivered(sent=1)  # the administrator, whose own domain it is, is told
    assert "the mail server refuses mails" in str(message_from_bytes(smtp.received[-1].data, policy=default)["Subject"])
    assert open_kinds(delivery) == {AlertKind.SMTP_REFUSES}
    smtp.faults = Faults()
    clock.advance(minutes=15)
    assert (await delivery.once()).sent == 5  # and that it is over
    assert open_kinds(delivery) == set()
    assert {row["state"] for row in queue(engine)} == {"sent"}
    with engine.connect() as connection:
        assert counted(connection, now=clock()).refused == 0


async def test_the_server_is_asked_once_in_15_minutes_while_it_refuses_us(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    clients = tuple(f"c{number}" for number in range(9))
    store(engine, *(failed_rows(number, client=client) for number, client in enumerate(clients)))
    relay_denied = Failure(stage=Stage.RECIPIENT, code=554, enhanced="5.7.1", text="554: 5.7.1 relay access denied")
    mailbox.failures = lambda recipient: None if recipient == ADDRESSES.admin else relay_denied
    delivery = deliver(engine, mailbox, clock, addresses=_outside(*clients))
    for _ in range(8):
        await delivery.once()
        clock.advance(minutes=15, seconds=1)
    tried = [row["tries"] for row in queue(engine) if row["recipient"] != ADDRESSES.admin]
    assert sum(tried) == 9  # two at first, then one each time
    assert max(tried) == 1  # each has its turn
    delivery = deliver(engine, mailbox, clock, addresses=_outside(*clients))
    assert await delivery.once() == Delivered(later=1)  # a restart knows who was refused
    mailbox.recover()
    clock.advance(minutes=15, seconds=1)
    await delivery.once()
    assert {row["state"] for row in queue(engine)} == {"sent"}


async def test_what_an_operator_wants_tried_is_tried_at_once(engine: Engine, mailbox: Mailbox, clock: Clock) -> None:
    clients = ("ana", "ben", "cleo")
    store(engine, *(failed_rows(number, client=client) for number, client in enumerate(clients)))
    relay_denied = Failure(stage=Stage.RECIPIENT, code=554, enhanced="5.7.1", text="554: 5.7.1 relay access denied")
    mailbox.failures = lambda _recipient: relay_denied
    delivery = deliver(engine, mailbox, clock, addresses=_outside(*clients))
    assert await delivery.once() == Delivered(formed=3, later=2)
    clock.advance(seconds=20)
    with engine.begin() as connection:
        assert retry_all(connection, now=clock()) == 3
    assert await delivery.once() == Delivered(later=1)  # it is refused still, and proof enough
    mailbox.recover()
    clock.advance(seconds=5)
    with engine.begin() as connection:
        assert retry_all(connection, now=clock()) == 3
    assert await delivery.once() == Delivered(sent=3)


async def test_who_alone_is_refused_waits_until_others_are_taken_and_is_dead_then(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, failed_rows(1, client="ana"))
    spam = Failure(stage=Stage.CONTENT, code=550, enhanced="5.7.1", text="550: 5.7.1 this looks like spam")
    mailbox.failures = lambda recipient: spam if recipient == "ana@ana.example" else None
    delivery = deliver(engine, mailbox, clock, addresses=_outside("ana", "ben"))
    assert await delivery.once() == Delivered(formed=1, later=1)
    assert open_kinds(delivery) == {AlertKind.SMTP_REFUSES}
    clock.advance(seconds=10)
    store(engine, failed_rows(2, client="ben"), at=clock())
    assert await delivery.once() == Delivered(formed=1, sent=2, dead=1)  # ben's, and what tells that ana's is dead
    assert open_kinds(delivery) == set()
    first, *_ = queue(engine)
    assert (first["state"], first["last_error"]) == ("dead", "550: 5.7.1 this looks like spam")


async def test_a_relay_that_is_denied_for_the_time_being_is_told_after_an_hour(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, failed_rows(1, client="ana"))
    denied = Failure(stage=Stage.RECIPIENT, code=454, enhanced="4.7.1", text="454: 4.7.1 relay access denied")
    mailbox.failures = lambda recipient: denied if recipient == "ana@ana.example" else None
    delivery = deliver(engine, mailbox, clock, addresses=_outside("ana"))
    for _ in range(55):
        await delivery.once()
        clock.advance(minutes=1)
    assert open_kinds(delivery) == set()
    for _ in range(70):
        await delivery.once()
        clock.advance(minutes=1)
    assert mailbox.subjects == ["[userdrop] [critical] the mail server refuses mails"]
    mailbox.recover()
    clock.advance(hours=1)
    await delivery.once()
    assert open_kinds(delivery) == set()


async def test_a_quota_is_waited_for_and_ends_no_mail_even_where_others_went_meanwhile(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, failed_rows(1, client="ana"))
    quota = Failure(stage=Stage.CONTENT, code=550, enhanced="5.4.5", text="550: 5.4.5 daily limit")
    mailbox.failures = lambda recipient: quota if recipient == "ana@ana.example" else None
    delivery = deliver(engine, mailbox, clock, addresses=_outside("ana", "ben"))
    await delivery.once()
    assert open_kinds(delivery) == {AlertKind.SMTP_REFUSES}
    clock.advance(minutes=16)
    store(engine, failed_rows(2, client="ben"), at=clock())
    for _ in range(4 * 24 * 4):
        await delivery.once()
        clock.advance(minutes=16)
    assert queue(engine)[0]["state"] == "queued"
    for _ in range(4 * 24 * 2):
        await delivery.once()
        clock.advance(minutes=16)
    assert queue(engine)[0]["state"] == "dead"  # after five days, and the administrator is told


async def test_one_clients_sender_that_is_refused_keeps_nobody_elses_mail(
    engine: Engine, smtp: SmtpServer, clock: Clock
) -> None:
    own = OwnAddresses(failed_import=("ana@ana.example",), admin="admin@ana.example")
    addresses = replace(ADDRESSES, own=lambda client: own if client == "ana" else OwnAddresses())
    store(engine, failed_rows(1, client="ana"), failed_rows(2, client="ben"))
    smtp.faults = Faults(senders={"admin@ana.example": "553 5.7.1 not owned by user robot"})
    delivery = deliver(engine, smtp_transport(smtp), clock, addresses=addresses)
    assert await delivery.once() == Delivered(formed=2, sent=1, later=1)
    (alert,) = delivery.alerts.board.alerts
    assert (alert.kind, alert.client) == (AlertKind.SMTP_REFUSES, "ana")
    smtp.faults = Faults()
    clock.advance(minutes=16)
    await delivery.once()
    assert open_kinds(delivery) == set()


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


async def test_a_mail_waits_for_its_report_while_the_directory_is_out(
    engine: Engine, mailbox: Mailbox, clock: Clock, tmp_path: Path
) -> None:
    upload, away = tmp_path / "upload", tmp_path / "away"
    store_import(engine, failed_rows(), upload, archived=True)
    store(engine, failed_rows(), refused(client="other"))
    upload.rename(away)
    upload.mkdir()  # where it was mounted
    delivery = deliver(engine, mailbox, clock)
    with capture_logs() as logs:
        assert await delivery.once() == Delivered(formed=2, sent=1, later=1)
    assert [(entry["event"], entry["code"]) for entry in logs if entry["event"] == "mail_deferred"] == [
        ("mail_deferred", "report")
    ]
    assert open_kinds(delivery) == {AlertKind.REPORT}
    (waiting,) = [mail for mail in queue(engine) if mail["state"] == "queued"]
    assert (waiting["tries"], waiting["last_error"]) == (
        0,
        f"its report cannot be read: {upload}: No such file or directory",
    )
    upload.rmdir()
    away.rename(upload)
    clock.advance(minutes=5)
    await delivery.once()
    with_reports = [[content for _, content in message.files] for _, message in mailbox.taken if message.files]
    assert with_reports == [[REPORT]]
    assert open_kinds(delivery) == set()


async def test_a_mail_waits_a_day_for_its_report_and_then_says_that_it_could_not_be_read(
    engine: Engine, mailbox: Mailbox, clock: Clock, tmp_path: Path
) -> None:
    store_import(engine, failed_rows(), tmp_path / "upload", archived=True)
    store(engine, failed_rows())
    (tmp_path / "upload").rename(tmp_path / "away")
    delivery, end = deliver(engine, mailbox, clock), NOW + timedelta(days=1)
    while clock.now < end:
        await delivery.once()
        assert [to for to, _ in mailbox.taken] == [ADDRESSES.admin] * (len(mailbox.taken))
        clock.advance(hours=1)
    await delivery.once()
    (message,) = [message for to, message in mailbox.taken if to == RECIPIENT]
    said = message.tree.get_body(("plain",))
    assert said is not None
    assert "could not be read for a day" in said.get_content()
    assert open_kinds(delivery) == set()


async def test_what_waits_for_a_report_does_not_keep_a_mail_server_from_being_asked(
    engine: Engine, mailbox: Mailbox, clock: Clock, tmp_path: Path
) -> None:
    store_import(engine, failed_rows(), tmp_path / "upload", archived=True)
    store(engine, failed_rows(), refused(client="other"))
    (tmp_path / "upload").rename(tmp_path / "away")
    mailbox.fail(stage=Stage.CONNECT)
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    mailbox.recover()
    clock.advance(minutes=1)
    assert (await delivery.once()).sent >= 1
    assert open_kinds(delivery) == {AlertKind.REPORT}


async def test_the_alert_of_a_report_ends_when_the_mail_is_dropped(
    engine: Engine, mailbox: Mailbox, clock: Clock, tmp_path: Path
) -> None:
    store_import(engine, failed_rows(), tmp_path / "upload", archived=True)
    store(engine, failed_rows())
    (tmp_path / "upload").rename(tmp_path / "away")
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    with engine.begin() as connection:
        connection.execute(delete(mails))
    await delivery.once()
    assert open_kinds(delivery) == set()


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
    recording.record_alerts(engine, [outage], [])
    clock.advance(hours=1)
    delivery = deliver(engine, mailbox, clock)
    await delivery.once()
    await delivery.once()
    assert mailbox.subjects == ["[userdrop] [resolved] the database cannot be used"]


async def test_a_damaged_database_is_told_too(mailbox: Mailbox, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "broken.sqlite").write_bytes(b"this is not a database, far from it" * 100)
    broken = make_engine(f"sqlite:///{tmp_path / 'broken.sqlite'}")
    delivery = deliver(broken, mailbox, clock)
    await delivery.once()
    clock.advance(seconds=30)
    await delivery.once()
    broken.dispose()
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
    recording.record_alerts(engine, [ending], [])
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
    assert (alert.kind, str(alert.detail)) == (AlertKind.TEMPLATE, "client.txt.j2: UndefinedError")
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


@contextmanager
def written_by_us(engine: Engine) -> Iterator[Callable[[], object]]:
    """The importing process holds SQLite's write lock, until it is told to commit."""
    with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield lambda: [*writer.execute("COMMIT")]


@pytest.fixture
def impatient(engine: Engine) -> Iterator[Engine]:
    """The same database, but who waits for a lock gives up at once."""
    made = make_engine(f"sqlite:///{engine.url.database}", busy_seconds=0)
    yield made
    made.dispose()


async def test_who_waits_for_our_own_import_is_in_no_outage(impatient: Engine, mailbox: Mailbox, clock: Clock) -> None:
    store(impatient, failed_rows())
    delivery = deliver(impatient, mailbox, clock, is_writing=lambda: True)
    with capture_logs() as logs, written_by_us(impatient) as commit:
        for _ in range(3):
            assert await delivery.once() == Delivered()
            clock.advance(hours=1)
        assert open_kinds(delivery) == set()
        assert mailbox.taken == []
        commit()
        assert await delivery.once() == Delivered(formed=1, sent=1)
    assert len(mailbox.taken) == 1
    assert [entry["event"] for entry in logs if entry["event"] in {"mails_wait", "database_failed"}] == ["mails_wait"]


async def test_an_outage_that_the_import_meets_is_mailed_while_it_tries_again(
    impatient: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    delivery = deliver(impatient, mailbox, clock, is_writing=lambda: True)
    with written_by_us(impatient):
        await delivery.once()
        delivery.alerts.open(AlertKind.DATABASE, detail="OperationalError: database is locked")
        await delivery.once()
        assert mailbox.taken == []
        clock.advance(seconds=30)
        await delivery.once()
        await delivery.once()
    ((_, message),) = mailbox.taken
    assert message["Subject"] == "[userdrop] [critical] the database cannot be used"


async def test_a_lock_that_another_program_holds_is_an_outage(
    impatient: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(impatient, failed_rows())
    delivery = deliver(impatient, mailbox, clock)
    with written_by_us(impatient):
        await delivery.once()
        assert open_kinds(delivery) == {AlertKind.DATABASE}


async def test_another_failure_of_the_database_during_an_import_is_an_outage(
    engine: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(engine, failed_rows())
    delivery = deliver(engine, mailbox, clock, is_writing=lambda: True)
    Switch(engine).off = True
    await delivery.once()
    assert open_kinds(delivery) == {AlertKind.DATABASE}


async def test_a_mail_that_cannot_be_marked_while_we_import_is_not_sent_again(
    impatient: Engine, mailbox: Mailbox, clock: Clock
) -> None:
    store(impatient, failed_rows())
    delivery = deliver(impatient, mailbox, clock, is_writing=lambda: True)
    with ExitStack() as writing:
        commits = []

        def begin(_recipient: str) -> Failure | None:
            commits.append(writing.enter_context(written_by_us(impatient)))
            return None

        mailbox.failures = begin
        await delivery.once()
        mailbox.recover()
        for _ in range(3):
            clock.advance(hours=1)
            await delivery.once()
        assert len(mailbox.taken) == 1
        (commit,) = commits
        commit()
        await delivery.end()
    assert [row["state"] for row in rows_of(impatient, mails)] == ["sent"]
    assert await deliver(impatient, mailbox, clock).once() == Delivered()
    assert len(mailbox.taken) == 1

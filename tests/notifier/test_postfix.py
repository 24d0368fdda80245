"""A real Postfix as the peer: what it takes, what it refuses, and what is sent twice when we are killed."""

import dataclasses
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from importer.database.tables import mails
from notifier import outbox
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.messages import Message
from notifier.model import Dead, Delivered, FailureMeaning, Later, Misconfigured, Refused, SendError
from notifier.retrying import classify
from notifier.smtp import SmtpTransport
from tests.mailing import ADDRESSES, LETTERS, NOW, Clock, database, failed_rows, queue, store, store_import
from tests.servers import processes
from tests.servers.postfix import DOMAIN, Postfix, postfix
from tests.servers.tools import environment, wait_until

MAILS, KILLS = 30, 8


@pytest.fixture
def peer() -> Iterator[Postfix]:
    with postfix() as server:
        yield server


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = database(tmp_path)
    yield made
    made.dispose()


def delivery(engine: Engine, peer: Postfix) -> Delivery:
    clock = Clock()
    return Delivery(
        engine=engine,
        transport=SmtpTransport(host=peer.host, port=peer.port, ca_file=peer.ca_file),
        addresses=ADDRESSES,
        letters=LETTERS,
        clock=clock,
        next_run=lambda: None,
        jitter=lambda: 0,
        alerts=Alerts(clock, clock.elapsed),
    )


def parsed(mail: bytes) -> EmailMessage:
    message = message_from_bytes(mail, policy=default)
    assert isinstance(message, EmailMessage)
    return message


async def test_postfix_takes_a_mail_and_its_report_arrives_byte_for_byte(
    tmp_path: Path, engine: Engine, peer: Postfix
) -> None:
    report = b"unique_id,city,import_error\r\n" + b"".join(
        b"U%d,%s,city is too long\r\n" % (number, os.urandom(30).hex().encode()) for number in range(80_000)
    )
    store_import(engine, failed_rows(), tmp_path, archived=True, report=report)
    store(engine, failed_rows())
    assert await delivery(engine, peer).once() == Delivered(formed=1, sent=1)
    (mail,) = map(parsed, peer.wait_for(1))
    (attachment,) = mail.iter_attachments()
    assert attachment.get_payload(decode=True) == report
    assert mail["Message-ID"] == queue(engine)[0]["message_id"]
    assert mail["Content-Language"] == "en"
    assert "(using TLS" in str(mail["Received"]) or "ESMTPS" in str(mail["Received"])


async def test_postfixs_size_limit_is_obeyed_by_a_smaller_message(tmp_path: Path, engine: Engine) -> None:
    with postfix(size_limit=100_000) as peer:
        body = b"".join(b"U%d,%s\r\n" % (number, os.urandom(60).hex().encode()) for number in range(5000))
        store_import(engine, failed_rows(), tmp_path, archived=True, report=b"unique_id,city\r\n" + body)
        store(engine, failed_rows())
        assert await delivery(engine, peer).once() == Delivered(formed=1, sent=1)
        (mail,) = map(parsed, peer.wait_for(1))
        (attachment,) = mail.iter_attachments()
        assert str(attachment.get_filename()).endswith(".first-rows.failed.csv")
        assert len(peer.delivered()[0]) < 101_000


async def test_postfix_takes_an_address_beyond_ascii(engine: Engine, peer: Postfix) -> None:
    store(engine, failed_rows(report=None))
    changed = dataclasses.replace(ADDRESSES, failed_import=("josé@client.example",))
    outbox.form(engine, LETTERS, changed, now=NOW, next_run=None)
    assert (await delivery(engine, peer).once()).sent == 1
    assert "josé" in str(parsed(peer.wait_for(1)[0])["To"])


NOWHERE = {"mynetworks": "192.0.2.0/24"}
"""With it Postfix does not know us."""


@pytest.mark.parametrize(
    ("settings", "hello", "said", "meaning"),
    [
        (NOWHERE, None, "454: 4.7.1 <(address)>: Relay access denied", Later(server=False)),
        (
            NOWHERE | {"smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"},
            None,
            "554: 5.7.1 <(address)>: Relay access denied",
            Refused(ours=False),
        ),
        (
            {"smtpd_sender_restrictions": "check_sender_access inline:{parking.example=REJECT}"},
            None,
            "554: 5.7.1 <(address)>: Sender address rejected: Access denied",
            Refused(ours=False),
        ),
        (
            {"smtpd_helo_restrictions": "reject_non_fqdn_helo_hostname"},
            "drop",
            "504: 5.5.2 <drop>: Helo command rejected: need fully-qualified hostname",
            Misconfigured(),
        ),
        (
            {"smtpd_recipient_restrictions": "reject_unlisted_recipient", "virtual_mailbox_maps": "inline:{x=y}"},
            None,
            "550: 5.1.1 <(address)>: Recipient address rejected: User unknown in virtual mailbox table",
            Dead(),
        ),
    ],
    ids=["relay put off", "relay denied", "sender denied", "name without a domain", "unknown"],
)
async def test_a_refusal_of_postfix_is_known_as_what_it_is(
    settings: dict[str, str], hello: str | None, said: str, meaning: FailureMeaning
) -> None:
    to = f"nobody@{DOMAIN}" if "virtual_mailbox_maps" in settings else "ana@elsewhere.example"
    with postfix(settings=settings) as peer:
        sender = SmtpTransport(host=peer.host, port=peer.port, ca_file=peer.ca_file, hello=hello)
        with pytest.raises(SendError) as caught:
            await sender.send(_to(to), to)
    failure = caught.value.failure
    assert (str(failure.text), classify(failure)) == (said, meaning)


async def test_postfix_takes_the_name_that_is_given_by_default() -> None:
    with postfix(settings={"smtpd_helo_restrictions": "reject_non_fqdn_helo_hostname"}) as peer:
        recipient = f"ana@{DOMAIN}"
        await SmtpTransport(host=peer.host, port=peer.port, ca_file=peer.ca_file).send(_to(recipient), recipient)


def _to(recipient: str) -> Message:
    message = EmailMessage()
    message["From"], message["To"] = ADDRESSES.admin, recipient
    message.set_content("text\n")
    return Message(tree=message)


def test_whoever_is_killed_loses_no_mail_and_repeats_one_with_its_message_id(tmp_path: Path, peer: Postfix) -> None:
    engine = database(tmp_path)
    store(engine, *(failed_rows(number, client=f"c{number}", report=None) for number in range(MAILS)))
    outbox.form(engine, LETTERS, ADDRESSES, now=NOW, next_run=None)
    with engine.begin() as connection:
        connection.execute(update(mails).values(created_at=NOW))
    engine.dispose()
    program = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from importer.database.engines import make_engine
        from tests.servers.postfix import Postfix
        from tests.notifier.test_postfix import delivery

        place = Path({str(peer.log)!r})
        peer = Postfix(
            host={peer.host!r}, port={peer.port}, ca_file=Path({str(peer.ca_file)!r}), log=place, inbox=place
        )
        asyncio.run(delivery(make_engine({str(engine.url)!r}), peer).once())
    """)
    for kill in range(KILLS):
        known = peer.taken().total()
        sender = subprocess.Popen(
            [sys.executable, "-c", program], cwd=Path(__file__).parents[2], env=environment(), stdout=subprocess.DEVNULL
        )
        more = known + 1 + kill % 3
        wait_until(lambda: peer.taken().total() >= more or sender.poll() is not None, "mails", timeout=60)  # noqa: B023
        processes.end_tree(sender)
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], env=environment(), check=True)
    engine = database(tmp_path)
    stored = queue(engine)
    engine.dispose()
    assert {row["state"] for row in stored} == {"sent"}
    taken = peer.taken()
    assert set(taken) == {row["message_id"] for row in stored}
    assert taken.total() - MAILS <= KILLS  # each repeats the mail in hand at most
    found = [parsed(mail) for mail in peer.wait_for(taken.total())]
    assert {str(mail["Date"]) for mail in found} == {"Sun, 01 Mar 2026 14:33:07 +0000"}

"""What is asked of the queue of mails, in a real SQLite file and in a real PostgreSQL."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from importer.database.tables import metadata
from importer.model import Audience
from notifier import outbox
from notifier.queueing import MailCounts, about, counted
from tests.mailing import ADDRESSES, LETTERS, NOW, failed_rows, refused, store

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    metadata.create_all(engine)
    return engine


def _form(engine: Engine) -> None:
    outbox.form(engine, LETTERS, ADDRESSES, now=LATER, next_run=None, gather=timedelta(0))


def test_the_mails_about_an_import_are_those_formed_from_its_notices(engine: Engine) -> None:
    one, other = failed_rows(1), failed_rows(2, client="other")
    store(engine, one, one.to(Audience.ADMIN), other, at=NOW)
    with engine.connect() as connection:
        waiting = about(connection, one.client, str(one.claim_id), NOW, now=LATER)
    assert (waiting.is_to_be_formed, waiting.mails) == (True, ())
    _form(engine)
    with engine.connect() as connection:
        found = about(connection, one.client, str(one.claim_id), NOW, now=LATER)
        nothing = about(connection, one.client, "another", NOW, now=LATER)
    assert not found.is_to_be_formed
    assert [mail.recipient for mail in found.mails] == ["admin@parking.example", "registrar@client.example"]
    assert (nothing.is_to_be_formed, nothing.mails) == (False, ())


def test_mails_are_counted_by_state(engine: Engine) -> None:
    with engine.connect() as connection:
        assert counted(connection, now=NOW) == MailCounts(queued=0, refused=0, sending=0, dead=0, sent=0)
    store(engine, failed_rows(1), failed_rows(2, client="other"), refused().to(Audience.ADMIN))
    _form(engine)
    outbox.lease(engine, node="n", now=LATER, limit=1)
    with engine.connect() as connection:
        assert counted(connection, now=LATER) == MailCounts(queued=3, refused=0, sending=1, dead=0, sent=0)
        assert counted(connection, now=LATER + timedelta(days=1)).sending == 0

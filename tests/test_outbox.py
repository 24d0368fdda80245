"""Notices, mails and alerts in a real SQLite file and in a real PostgreSQL."""

import dataclasses
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select

from importer.database import mails, metadata, notices
from importer.engines import database_time, make_engine
from importer.model import Audience, Counts
from notifier import outbox
from notifier.messages import build
from notifier.model import (
    Addresses,
    Alert,
    AlertKind,
    AlertMail,
    Attachment,
    Occasion,
    OwnAddresses,
    Queued,
    StoredMail,
)
from notifier.packing import Packing, pack
from tests.mailing import ADDRESSES, LETTERS, NOTES, NOW, REPORT, failed_rows, queue, refused, store, store_import
from tests.servers.postgresql import PostgresqlServer

NODE = "this node"


@pytest.fixture
def engine(engine: Engine) -> Engine:
    metadata.create_all(engine)
    return engine


def _form(engine: Engine, *, gather: timedelta = timedelta(0), addresses: Addresses = ADDRESSES) -> list[Queued]:
    return outbox.form(engine, LETTERS, addresses, now=NOW, next_run=None, gather=gather)


def _lease(engine: Engine, limit: int = 100, **later: float) -> list[StoredMail]:
    return outbox.lease(engine, node=NODE, now=NOW + timedelta(**later), limit=limit)


def test_a_thousand_notices_of_a_client_are_one_mail(engine: Engine) -> None:
    store(engine, *(failed_rows(number) for number in range(1000)))
    assert [(mail.audience, mail.client) for mail in _form(engine)] == [(Audience.CLIENT, "acme")]
    assert _form(engine) == []
    (mail,) = queue(engine)
    assert mail["recipient"] == "registrar@client.example"
    assert len(mail["attachments"]) == 1000
    assert mail["text"].startswith("37,000 of 1,204,000 users in 1,000 files were not imported.")


def test_clients_and_audiences_get_mails_of_their_own(engine: Engine) -> None:
    store(engine, failed_rows(1), refused(), refused().to(Audience.ADMIN), failed_rows(2, client="other"))
    _form(engine)
    assert [(mail["client"], mail["recipient"]) for mail in queue(engine)] == [
        ("acme", "admin@parking.example"),
        ("acme", "registrar@client.example"),
        ("other", "registrar@client.example"),
    ]


def test_what_a_mail_says_without_its_reports_is_kept_with_it(engine: Engine) -> None:
    store(engine, failed_rows(1), failed_rows(2, client="other", report=None))
    _form(engine)
    letters = {mail.client: mail.letter for mail in _lease(engine)}
    assert "attached" in letters["acme"].bodies(attached=True).text
    assert "attached" not in letters["acme"].bodies(attached=False).text
    assert letters["other"].unattached is None


def test_every_recipient_has_a_row_of_its_own(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine, addresses=Addresses(failed_import=("a@x.example", "b@x.example"), admin="admin@x.example"))
    first, second = queue(engine)
    assert (first["recipient"], second["recipient"]) == ("a@x.example", "b@x.example")
    assert first["message_id"] != second["message_id"]


def test_without_an_address_for_clients_the_admin_gets_their_mail(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine, addresses=Addresses(failed_import=(), admin="admin@x.example"))
    assert [mail["recipient"] for mail in queue(engine)] == ["admin@x.example"]


def test_notices_wait_until_the_client_is_quiet_but_not_for_ever(engine: Engine) -> None:
    store(engine, failed_rows(1), at=NOW - timedelta(seconds=60))
    store(engine, failed_rows(2), at=NOW - timedelta(seconds=9))
    assert _form(engine, gather=timedelta(seconds=10)) == []
    store(engine, failed_rows(3), at=NOW - timedelta(minutes=5))
    assert len(_form(engine, gather=timedelta(seconds=10))) == 1


def test_a_crash_while_forming_leaves_all_notices_and_no_mail(engine: Engine) -> None:
    store(engine, failed_rows(1), failed_rows(2, client="other"))
    calls: list[str] = []

    def fail(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        calls.append(statement)
        if statement.startswith("UPDATE notices") and sum(call.startswith("UPDATE notices") for call in calls) == 2:
            raise MemoryError

    event.listen(engine, "before_cursor_execute", fail)
    with pytest.raises(MemoryError):
        _form(engine)
    event.remove(engine, "before_cursor_execute", fail)
    assert queue(engine) == []
    assert len(_form(engine)) == 2


def test_a_formed_notice_is_kept(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    with engine.connect() as connection:
        assert connection.execute(select(notices.c.formed_at)).scalars().all() == [NOW]


def test_message_id_and_date_are_those_of_the_forming_at_every_try(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    (first,) = _lease(engine)
    (again,) = _lease(engine, minutes=15)
    packed = pack(first, [], NOTES, largest=10**7, at_least=Packing.FILES)
    one, two = build(first, ADDRESSES.admin, packed), build(again, ADDRESSES.admin, packed)
    assert one["Message-ID"] == two["Message-ID"] == first.message_id
    assert one["Date"] == two["Date"] == "Sun, 01 Mar 2026 14:33:07 +0000"


def test_a_leased_mail_is_nobody_elses_until_the_lease_ends(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    assert len(_lease(engine)) == 1
    assert _lease(engine, minutes=14, seconds=59) == []
    assert len(_lease(engine, minutes=15)) == 1


def test_senders_that_look_at_once_take_mails_of_their_own_and_do_not_wait(postgresql: PostgresqlServer) -> None:
    engine = make_engine(postgresql.url())
    metadata.create_all(engine)
    store(engine, failed_rows(1, client="a"), failed_rows(2, client="b"))
    _form(engine)
    with engine.begin() as other:
        (taken,) = other.execute(select(mails.c.id).order_by(mails.c.id).limit(1).with_for_update()).scalars()
        assert [mail.id for mail in _lease(engine)] == [taken + 1]
    engine.dispose()


def test_a_released_mail_is_free_at_once(engine: Engine) -> None:
    store(engine, failed_rows(), failed_rows(client="other"))
    _form(engine)
    first, second = _lease(engine)
    outbox.release(engine, NODE, [first.id])
    assert [mail.id for mail in _lease(engine)] == [first.id]
    outbox.release(engine, NODE)
    assert [mail.id for mail in _lease(engine)] == [first.id, second.id]


def test_a_node_that_starts_gives_back_its_own_leases_and_leaves_those_of_others(engine: Engine) -> None:
    store(engine, failed_rows(1, client="a"), failed_rows(2, client="b"))
    _form(engine)
    (own,) = _lease(engine, limit=1)
    (others,) = outbox.lease(engine, node="another node", now=NOW, limit=1)
    outbox.release(engine, NODE)
    outbox.release(engine, NODE, [others.id])
    assert [mail.id for mail in _lease(engine)] == [own.id]
    assert [mail.id for mail in _lease(engine, minutes=15)] == [own.id, others.id]


def test_a_node_whose_clock_is_ahead_takes_no_mail_that_another_node_sends(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    assert len(_lease(engine)) == 1
    ahead = NOW + timedelta(minutes=16)
    assert outbox.lease(engine, node="ahead", now=ahead, limit=1, database_now=NOW + timedelta(minutes=1)) == []
    assert len(outbox.lease(engine, node="ahead", now=ahead, limit=1, database_now=NOW + timedelta(minutes=15))) == 1


def test_nodes_agree_on_the_time_of_a_server_and_a_file_has_that_of_its_service(engine: Engine) -> None:
    its = database_time(engine, NOW)
    assert its.tzinfo is UTC
    assert (its == NOW) == (engine.dialect.name == "sqlite")


def test_a_deferred_mail_comes_back_when_it_is_due(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    (mail,) = _lease(engine)
    outbox.mark_later(engine, mail, next_try_at=NOW + timedelta(minutes=1), error="450 busy")
    assert _lease(engine, seconds=59) == []
    (again,) = _lease(engine, seconds=60)
    assert (again.id, again.tries) == (mail.id, 1)


def test_a_clock_that_was_set_back_keeps_no_mail_waiting(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    (mail,) = _lease(engine, days=300)
    assert len(_lease(engine)) == 1
    outbox.mark_later(engine, mail, next_try_at=NOW + timedelta(days=300), error="")
    assert len(_lease(engine)) == 1


def test_a_small_step_back_of_the_clock_ends_no_lease(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    _lease(engine)
    assert _lease(engine, seconds=-2) == []


def test_a_mail_can_be_taken_early_and_all_be_hurried(engine: Engine) -> None:
    store(engine, failed_rows(), failed_rows(client="other"))
    _form(engine)
    for mail in _lease(engine):
        outbox.mark_later(engine, mail, next_try_at=NOW + timedelta(minutes=30), error="")
    assert _lease(engine) == []
    assert len(outbox.lease(engine, node=NODE, now=NOW, limit=1, early=True)) == 1
    outbox.release(engine, NODE)
    outbox.hurry(engine, now=NOW)
    assert len(_lease(engine)) == 2


def test_a_sent_mail_is_never_leased_again(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    (mail,) = _lease(engine)
    outbox.mark_sent(engine, mail, now=NOW)
    assert _lease(engine, days=1) == []
    assert [(row["state"], row["tries"]) for row in queue(engine)] == [("sent", 1)]


def test_a_dead_mail_and_the_mail_that_says_so_are_one_transaction(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    (mail,) = _lease(engine)
    letter = LETTERS.undeliverable(mail=7, recipient="a@x.example", subject="s", client="acme", said="550 no")
    outbox.mark_dead(
        engine, mail, now=NOW, error="550 no", instead=outbox.to_admin(ADDRESSES, letter, mail.client, NOW)
    )
    dead, told = queue(engine)
    assert (dead["state"], dead["last_error"]) == ("dead", "550 no")
    assert (told["state"], told["recipient"]) == ("queued", ADDRESSES.admin)


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_a_report_is_found_wherever_it_lies(engine: Engine, tmp_path: Path, *, archived: bool, moved: bool) -> None:
    notice, directory = failed_rows(), tmp_path / "upload"
    place = store_import(engine, notice, directory, archived=archived)
    if moved:
        other = directory / ".importing/claim-1/.failed.csv" if archived else directory / "bak" / str(notice.report)
        other.parent.mkdir(parents=True, exist_ok=True)
        place.rename(other)
    store(engine, notice)
    _form(engine)
    (mail,) = _lease(engine)
    packed = pack(mail, outbox.reports(engine, mail.letter.attachments), NOTES, largest=10**7, at_least=Packing.FILES)
    assert packed.files == (("students.20260301T143301Z.1.failed.csv", REPORT),)
    assert packed.note == ""


def test_a_report_that_is_gone_is_named_and_the_mail_goes_out(engine: Engine, tmp_path: Path) -> None:
    store_import(engine, failed_rows(), tmp_path, archived=True, report=None)
    store(engine, failed_rows())
    _form(engine)
    (mail,) = _lease(engine)
    packed = pack(mail, outbox.reports(engine, mail.letter.attachments), NOTES, largest=10**7, at_least=Packing.FILES)
    assert packed.files == ()
    assert "students.20260301T143301Z.1.failed.csv" in packed.note
    assert packed.note in build(mail, ADDRESSES.admin, packed).tree.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_claim_that_the_ledger_does_not_know_has_no_report(engine: Engine) -> None:
    assert outbox.reports(engine, [Attachment(claim_id="unknown", filename="x.failed.csv")]) == []


def test_alerts_survive_a_restart_as_they_were(engine: Engine) -> None:
    alert = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW)
    outbox.record_alerts(engine, [alert], [])
    assert outbox.known_alerts(engine, now=NOW) == [alert]
    mail = AlertMail(alert=alert, occasion=Occasion.OPENED)
    letter = LETTERS.about_alert(mail, NOW)
    later = NOW + timedelta(seconds=30)
    outbox.record_alerts(engine, [], [(mail, outbox.to_admin(ADDRESSES, letter, "acme", later))])
    (known,) = outbox.known_alerts(engine, now=NOW)
    assert known.mailed_at == later
    assert len(queue(engine)) == 1


def _tell(engine: Engine, alert: Alert, occasion: Occasion, **later: float) -> int:
    """How many mails a node queues that has this alert and finds that it is time to tell of it."""
    now = NOW + timedelta(**later)
    mail = AlertMail(alert=alert, occasion=occasion)
    about = outbox.to_admin(ADDRESSES, LETTERS.about_alert(mail, now), alert.client or None, now)
    return len(outbox.record_alerts(engine, [alert], [(mail, about)]))


def test_a_condition_that_two_nodes_meet_is_one_alert_and_each_occasion_one_mail(engine: Engine) -> None:
    one = Alert(kind=AlertKind.DISK_FULL, client="", detail="full", opened_at=NOW)
    two = replace(one, opened_at=NOW + timedelta(seconds=1))
    assert [_tell(engine, alert, Occasion.OPENED, seconds=40) for alert in (one, two)] == [1, 0]
    assert len(outbox.known_alerts(engine, now=NOW)) == 1
    one, two = (replace(alert, mailed_at=NOW + timedelta(seconds=40)) for alert in (one, two))
    assert [_tell(engine, alert, Occasion.REPEATED, hours=5) for alert in (two, one)] == [1, 0]
    ended = [replace(alert, resolved_at=NOW + timedelta(hours=6)) for alert in (one, two)]
    assert [_tell(engine, alert, Occasion.RESOLVED, hours=6) for alert in ended] == [1, 0]
    assert [alert.resolved_at for alert in outbox.known_alerts(engine, now=NOW)] == [NOW + timedelta(hours=6)]


def test_what_only_one_of_two_nodes_has_met_is_told_as_well(engine: Engine) -> None:
    one = Alert(kind=AlertKind.ODD_FILE, client="acme", detail="a.xlsx", opened_at=NOW)
    assert _tell(engine, one, Occasion.OPENED, minutes=1) == 1
    mailed = replace(one, mailed_at=NOW + timedelta(minutes=1), told=("a.xlsx",))
    for detail, mails_of_it in (("a.xlsx", 0), ("a.xlsx, b.xlsx", 1), ("b.xlsx", 0)):
        news = replace(mailed, detail=detail, changed_at=NOW + timedelta(minutes=2))
        assert _tell(engine, news, Occasion.CHANGED, minutes=3) == mails_of_it


def test_a_condition_that_comes_again_is_an_alert_of_its_own(engine: Engine) -> None:
    one = Alert(kind=AlertKind.DISK_FULL, client="", detail="full", opened_at=NOW)
    assert _tell(engine, one, Occasion.OPENED, minutes=1) == 1
    ended = replace(one, mailed_at=NOW + timedelta(minutes=1), resolved_at=NOW + timedelta(minutes=9))
    assert _tell(engine, ended, Occasion.RESOLVED, minutes=9) == 1
    again = replace(one, opened_at=NOW + timedelta(minutes=10))
    assert _tell(engine, again, Occasion.OPENED, minutes=11) == 1
    assert len(outbox.known_alerts(engine, now=NOW)) == 2


def test_success_is_mailed_to_those_who_want_to_know(engine: Engine) -> None:
    fine = failed_rows(counts=Counts(records=3, accepted=3), reasons=(), report=None, warnings=())
    store(engine, fine.to(Audience.SUCCESS))
    addresses = dataclasses.replace(ADDRESSES, success=("head@client.example",))
    assert len(outbox.form(engine, LETTERS, addresses, now=NOW, next_run=None)) == 1
    (mail,) = queue(engine)
    assert (mail["recipient"], mail["subject"]) == (
        "head@client.example",
        "[userdrop] all users in students.csv were imported",
    )


def test_a_client_s_success_is_mailed_to_whom_that_client_names(engine: Engine) -> None:
    fine = failed_rows(counts=Counts(records=3, accepted=3), reasons=(), report=None, warnings=())
    store(engine, fine.to(Audience.SUCCESS), replace(fine, client="other").to(Audience.SUCCESS))
    addresses = dataclasses.replace(
        ADDRESSES,
        own=lambda client: OwnAddresses(success=("head@acme.example",) if client == "acme" else ()),
    )
    outbox.form(engine, LETTERS, addresses, now=NOW, next_run=None)
    assert [(mail["client"], mail["recipient"]) for mail in queue(engine)] == [("acme", "head@acme.example")]

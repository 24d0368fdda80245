"""Notices, mails and alerts in a real SQLite file and in a real PostgreSQL."""

import dataclasses
import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, null, select, update

from importer.database.engines import database_time, make_engine
from importer.database.tables import alerts, mails, metadata, notices, tellings
from importer.model import Audience, Claim, Counts, Notice, NoticeKind, Status
from importer.storing.ledger import NOTHING, entry_values, write_entries
from importer.words.details import detail, listed
from notifier import outbox, recording
from notifier.alerting import opened, restored
from notifier.messages import build
from notifier.model import (
    Addresses,
    Alert,
    AlertKind,
    AlertNotice,
    Attachment,
    LeasedMail,
    Mail,
    Occasion,
    OwnAddresses,
    Queued,
)
from notifier.packing import Packing, pack
from notifier.retrying import LONGEST_WAIT
from tests.mailing import ADDRESSES, LETTERS, NOTES, NOW, REPORT, failed_rows, queue, refused, store, store_import
from tests.servers.postgresql import PostgresqlServer

NODE = "this node"


@pytest.fixture
def engine(engine: Engine) -> Engine:
    metadata.create_all(engine)
    return engine


def _form(engine: Engine, *, gather: timedelta = timedelta(0), addresses: Addresses = ADDRESSES) -> list[Queued]:
    return outbox.form(engine, LETTERS, addresses, now=NOW, next_run=None, gather=gather)


def _lease(engine: Engine, limit: int = 100, **later: float) -> list[LeasedMail]:
    return outbox.lease(engine, node=NODE, now=NOW + timedelta(**later), limit=limit)


def test_a_thousand_notices_and_one_of_a_client_are_one_mail(engine: Engine) -> None:
    store(engine, *(failed_rows(number) for number in range(1001)))
    assert [(mail.audience, mail.client) for mail in _form(engine)] == [(Audience.CLIENT, "acme")]
    assert _form(engine) == []
    (mail,) = queue(engine)
    assert mail["recipient"] == "registrar@client.example"
    assert len(mail["attachments"]) == 1001
    assert mail["text"].startswith("37,037 of 1,205,204 users in 1,001 files were not imported.")


@pytest.mark.parametrize(
    "notice",
    [
        failed_rows(),
        refused(),
        Notice(client="acme", audience=Audience.ADMIN, kind=NoticeKind.INCOMPLETE, file="a.csv"),
    ],
)
def test_a_notice_comes_back_from_its_facts(notice: Notice) -> None:
    facts = json.loads(json.dumps(asdict(notice)))
    assert outbox.notice_from(facts | {"of_a_later_version": 1}) == notice


def test_facts_that_an_earlier_version_did_not_know_are_missing_and_not_made_up() -> None:
    facts = {"client": "acme", "audience": "admin", "kind": "incomplete", "file": "a.csv"}
    assert outbox.notice_from(facts) == Notice(
        client="acme", audience=Audience.ADMIN, kind=NoticeKind.INCOMPLETE, file="a.csv"
    )


@pytest.mark.parametrize(
    ("admin", "domain"),
    [
        ("admin@parking.example", "parking.example"),
        ("admin@b\u00fccher.example", "xn--bcher-kva.example"),
        ('"a@b"@parking.example', "parking.example"),
        ("admin@", "localhost"),
    ],
)
def test_a_message_id_is_new_and_of_the_administrators_domain(admin: str, domain: str) -> None:
    one, two = (outbox.new_message_id(Addresses(failed_import=(), admin=admin)) for _ in range(2))
    assert re.fullmatch(rf"<[0-9a-f]{{32}}@{re.escape(domain)}>", one)
    assert one != two


def test_a_mail_is_queued_with_all_that_its_sending_needs(engine: Engine) -> None:
    notice, next_run = failed_rows(), NOW + timedelta(days=1)
    store(engine, notice, notice.to(Audience.ADMIN), at=NOW - timedelta(minutes=1))
    formed = outbox.form(engine, LETTERS, ADDRESSES, now=NOW, next_run=next_run)
    rows = queue(engine)
    assert formed == [
        Queued(id=row["id"], audience=audience, client="acme")
        for row, audience in zip(rows, (Audience.ADMIN, Audience.CLIENT), strict=True)
    ]
    letters = (
        (ADDRESSES.admin, LETTERS.to_admin([notice.to(Audience.ADMIN)], next_run)),
        (ADDRESSES.failed_import[0], LETTERS.to_client([notice], next_run)),
    )
    for row, (recipient, letter) in zip(rows, letters, strict=True):
        assert row == {
            "id": row["id"],
            "message_id": row["message_id"],
            "recipient": recipient,
            "client": "acme",
            "subject": letter.subject,
            "text": letter.text,
            "html": letter.html,
            "attachments": [asdict(attachment) for attachment in letter.attachments],
            "unattached": None if letter.unattached is None else asdict(letter.unattached),
            "language": "en",
            "state": "queued",
            "tries": 0,
            "created_at": NOW,
            "next_try_at": NOW,
            "leased_until": None,
            "leased_by": None,
            "ended_at": None,
            "last_error": None,
            "refused_since": None,
        }
        assert row["message_id"].endswith("@parking.example>")


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


@pytest.mark.parametrize(("stored", "language"), [("fr", "fr"), (None, "en")])
def test_a_mail_is_sent_as_it_was_formed(engine: Engine, stored: str | None, language: str) -> None:
    store(engine, failed_rows())
    _form(engine)
    with engine.begin() as connection:
        connection.execute(update(mails).values(language=stored))
    (mail,) = _lease(engine)
    letter = LETTERS.to_client([failed_rows()], None)
    assert mail == LeasedMail(
        id=mail.id,
        message_id=mail.message_id,
        recipient="registrar@client.example",
        client="acme",
        letter=replace(letter, language=language),
        created_at=NOW,
        tries=0,
        next_try_at=NOW,
    )


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


def test_a_mail_to_the_administrator_goes_to_the_clients_own_where_there_is_one() -> None:
    addresses = replace(
        ADDRESSES, own=lambda client: OwnAddresses(admin="it@acme.example" if client == "acme" else None)
    )
    letter = LETTERS.undeliverable(mail=7, recipient="a@x.example", subject="s", client="acme", said="550 no")
    made = outbox.to_admin(addresses, letter, "acme", NOW)
    assert made == Mail(
        message_id=made.message_id,
        recipient="it@acme.example",
        audience=Audience.ADMIN,
        client="acme",
        letter=letter,
        created_at=NOW,
    )
    assert outbox.to_admin(addresses, letter, "other", NOW).recipient == ADDRESSES.admin


def test_notices_wait_until_the_client_is_quiet_but_not_for_ever(engine: Engine) -> None:
    store(engine, failed_rows(1), at=NOW - timedelta(seconds=60))
    store(engine, failed_rows(2), at=NOW - timedelta(seconds=9))
    assert _form(engine, gather=timedelta(seconds=10)) == []
    store(engine, failed_rows(3), at=NOW - timedelta(minutes=5))
    assert len(_form(engine, gather=timedelta(seconds=10))) == 1


def test_a_client_that_is_not_quiet_holds_up_no_other(engine: Engine) -> None:
    gather = timedelta(seconds=10)
    store(engine, failed_rows(client="busy"), at=NOW)
    store(engine, failed_rows(client="quiet"), at=NOW - gather)
    assert [mail.client for mail in _form(engine, gather=gather)] == ["quiet"]


def test_a_notice_from_the_future_waits_for_no_more(engine: Engine) -> None:
    store(engine, failed_rows(), at=NOW + timedelta(days=300))
    assert len(_form(engine, gather=timedelta(seconds=10))) == 1


def test_the_oldest_notices_are_formed_first_where_they_are_many(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifier.outbox.MOST_NOTICES", 2)
    store(engine, *(failed_rows(client=client) for client in ("c", "b", "a")))
    assert [[mail.client for mail in _form(engine)] for _ in range(3)] == [["b", "c"], ["a"], []]


def _form_at(engine: Engine, at: datetime) -> list[Queued]:
    return outbox.form(engine, LETTERS, ADDRESSES, now=at, next_run=None)


def _pending(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(connection.execute(select(notices.c.id).where(notices.c.formed_at.is_(None))).all())


def test_a_refused_file_each_minute_is_few_mails_and_each_file_is_named_in_one(engine: Engine) -> None:
    at = NOW
    for minute in range(180):
        at = NOW + timedelta(minutes=minute)
        store(engine, refused(minute, file=f"f{minute}.csv"), refused(minute).to(Audience.ADMIN), at=at)
        _form_at(engine, at)
    at += timedelta(minutes=50)
    _form_at(engine, at)
    assert _pending(engine) == 0
    to_client = [mail for mail in queue(engine) if mail["recipient"] in ADDRESSES.failed_import]
    to_admin = [mail for mail in queue(engine) if mail["recipient"] == ADDRESSES.admin]
    assert (len(to_client), len(to_admin)) == (10, 5)
    named = [re.findall(r"f[0-9]+\.csv was not imported", mail["text"]) for mail in to_client]
    assert [len({*names}) for names in named] == [1, 1, 1, 1, 1, 15, 30, 50, 50, 30]
    assert ["50 minutes" in mail["text"] for mail in to_client] == [False] * 5 + [True] * 5
    assert "50 files were not imported" in to_client[7]["subject"]


def _noise(engine: Engine, client: str, files: int) -> datetime:
    """A refused file each second, each told of or held back; when the last one came."""
    at = NOW
    for number in range(files):
        at = NOW + timedelta(seconds=number)
        store(engine, refused(number, client=client), at=at)
        _form_at(engine, at)
    return at


def test_a_report_goes_out_at_once_and_takes_along_what_was_held_back(engine: Engine) -> None:
    at = _noise(engine, "acme", 9)
    assert (len(queue(engine)), _pending(engine)) == (5, 4)
    store(engine, failed_rows(), at=at)
    assert [mail.audience for mail in _form_at(engine, at)] == [Audience.CLIENT]
    mail = queue(engine)[-1]
    assert "37 of 1,204 users in students.csv were not imported; 4 files were not imported" in mail["subject"]
    assert len(mail["attachments"]) == 1
    assert _pending(engine) == 0


def test_a_report_is_told_at_length_however_much_was_held_back_before_it(engine: Engine) -> None:
    at = _noise(engine, "acme", 25)
    store(engine, failed_rows(), at=at)
    _form_at(engine, at)
    assert "Why, how many rows, and an example" in queue(engine)[-1]["text"]


def test_what_is_held_back_of_one_client_is_in_nobody_s_way(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifier.outbox.MOST_NOTICES", 3)
    at = _noise(engine, "noisy", 12)
    assert _pending(engine) == 7
    store(engine, refused(1, client="quiet"), at=at)
    assert [mail.client for mail in _form_at(engine, at)] == ["quiet"]
    for hour in range(1, 9):  # only so many are told of at once, but all are
        _form_at(engine, NOW + timedelta(hours=hour))
    assert _pending(engine) == 0


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
def test_a_clock_that_jumps_holds_no_notice_back_for_longer(engine: Engine, jump: timedelta) -> None:
    _noise(engine, "acme", 6)
    assert _pending(engine) == 1
    assert len(_form_at(engine, NOW + jump)) == 1


def test_what_was_told_more_than_a_day_ago_is_not_kept(engine: Engine) -> None:
    for day in range(4):
        at = NOW + timedelta(days=day)
        store(engine, refused(day), refused(day, refusal=None), at=at)
        _form_at(engine, at)
    with engine.connect() as connection:
        kept = [tuple(row) for row in connection.execute(select(tellings.c.code, tellings.c.told_at))]
    assert sorted(kept) == [("refused", at), ("refused empty_file", at)]


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
    assert [(row["leased_until"], row["leased_by"]) for row in queue(engine)] == [
        (None, None),
        (NOW + outbox.LEASE, NODE),
    ]
    assert [mail.id for mail in _lease(engine)] == [first.id]
    outbox.release(engine, NODE)
    assert [mail.id for mail in _lease(engine)] == [first.id, second.id]


def test_the_mail_that_is_due_longest_is_taken_first(engine: Engine) -> None:
    store(engine, failed_rows(client="a"), failed_rows(client="b"), failed_rows(client="c"))
    _form(engine)
    mails_ = _lease(engine)
    for mail, minutes in zip(mails_, (3, 1, 2), strict=True):
        outbox.mark_later(engine, mail, next_try_at=NOW + timedelta(minutes=minutes), error="")
    assert [mail.client for mail in _lease(engine, minutes=4, limit=2)] == ["b", "c"]


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
    assert _ends(engine) == [("queued", 1, None, "450 busy", None)]
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
    earlier = NOW - timedelta(minutes=5)
    assert outbox.lease(engine, node=NODE, now=earlier, limit=1, early=True) == []


def test_a_small_step_back_of_the_clock_makes_no_mail_due(engine: Engine) -> None:
    store(engine, failed_rows())
    _form(engine)
    (mail,) = _lease(engine)
    outbox.mark_later(engine, mail, next_try_at=NOW + LONGEST_WAIT, error="")
    assert _lease(engine) == []
    assert _lease(engine, minutes=-5) == []


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


def test_only_mails_that_wait_are_hurried(engine: Engine) -> None:
    store(engine, failed_rows(client="a"), failed_rows(client="b"), failed_rows(client="c"))
    _form(engine)
    due, waiting, sent = _lease(engine)
    later = NOW + timedelta(minutes=30)
    for mail in (waiting, sent):
        outbox.mark_later(engine, mail, next_try_at=later, error="")
    outbox.mark_sent(engine, sent, now=NOW)
    soon = NOW + timedelta(minutes=1)
    outbox.hurry(engine, now=soon)
    assert [(row["id"], row["next_try_at"]) for row in queue(engine)] == [
        (due.id, NOW),
        (waiting.id, soon),
        (sent.id, later),
    ]


def _ends(engine: Engine) -> list[tuple[object, ...]]:
    """How far each mail came: its state, tries, end, last error and who sends it."""
    return [(row["state"], row["tries"], row["ended_at"], row["last_error"], row["leased_by"]) for row in queue(engine)]


def test_the_end_of_a_mail_is_written_down_and_touches_no_other(engine: Engine) -> None:
    store(engine, failed_rows(client="a"), failed_rows(client="b"))
    _form(engine)
    first, _ = _lease(engine)
    outbox.mark_later(engine, first, next_try_at=NOW, error="450 busy")
    (first,) = _lease(engine)
    outbox.mark_sent(engine, first, now=NOW)
    waiting = ("queued", 0, None, None, NODE)
    assert _ends(engine) == [("sent", 2, NOW, None, None), waiting]
    outbox.mark_later(engine, first, next_try_at=NOW, error="too late")
    assert _ends(engine) == [("sent", 2, NOW, None, None), waiting]


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
    _, told = queue(engine)
    assert _ends(engine)[0] == ("dead", 1, NOW, "550 no", None)
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


@pytest.mark.parametrize("archived", [False, True])
def test_a_report_that_is_gone_is_named_and_the_mail_goes_out(
    engine: Engine, tmp_path: Path, *, archived: bool
) -> None:
    store_import(engine, failed_rows(), tmp_path, archived=archived).unlink()
    store(engine, failed_rows())
    _form(engine)
    (mail,) = _lease(engine)
    packed = pack(mail, outbox.reports(engine, mail.letter.attachments), NOTES, largest=10**7, at_least=Packing.FILES)
    assert packed.files == ()
    assert "students.20260301T143301Z.1.failed.csv" in packed.note
    assert packed.note in build(mail, ADDRESSES.admin, packed).tree.get_body(("plain",)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize(("archived", "looks"), [(False, ["work", "bak"]), (True, ["bak", "work", "bak"])])
def test_bak_is_looked_into_after_the_work_directory_and_first_where_the_report_is_there(
    engine: Engine, tmp_path: Path, *, archived: bool, looks: list[str]
) -> None:
    notice = failed_rows()
    store_import(engine, notice, tmp_path, archived=archived)
    (report,) = outbox.reports(engine, [Attachment(claim_id=str(notice.claim_id), filename="x.failed.csv")])
    places = {
        "work": Claim(id=str(notice.claim_id), client="acme", directory=tmp_path, name="").report,
        "bak": tmp_path / "bak" / str(notice.report),
    }
    assert list(report.places) == [places[look] for look in looks]


def test_a_claim_that_the_ledger_does_not_know_has_no_report(engine: Engine) -> None:
    assert outbox.reports(engine, [Attachment(claim_id="unknown", filename="x.failed.csv")]) == []


def test_the_reports_of_a_thousand_imports_and_one_are_found(engine: Engine, tmp_path: Path) -> None:
    claims = [Claim(id=f"claim-{number}", client="acme", directory=tmp_path, name="a.csv") for number in range(1001)]
    entries = [
        entry_values(claim, Status.IMPORTED, NOTHING, "a.csv", NOW) | {"report": f"{claim.id}.csv"} for claim in claims
    ]
    with engine.begin() as connection:
        write_entries(connection, entries)
    found = outbox.reports(engine, [Attachment(claim_id=claim.id, filename="x.failed.csv") for claim in claims])
    assert [report.in_bak for report in found] == [f"{claim.id}.csv" for claim in claims]


def test_alerts_survive_a_restart_as_they_were(engine: Engine) -> None:
    alert = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW)
    recording.record_alerts(engine, [alert], [])
    assert recording.known_alerts(engine, now=NOW) == [alert]
    mail = AlertNotice(alert=alert, occasion=Occasion.OPENED)
    letter = LETTERS.about_alert(mail, NOW)
    later = NOW + timedelta(seconds=30)
    recording.record_alerts(engine, [], [(mail, outbox.to_admin(ADDRESSES, letter, "acme", later))])
    (known,) = recording.known_alerts(engine, now=NOW)
    assert known == replace(alert, mailed_at=later, told=("full",))
    assert len(queue(engine)) == 1


def test_what_failed_is_told_in_every_language_after_a_restart(engine: Engine) -> None:
    failed = listed([detail("folder_is_link", folder="acme"), detail("not_writable", why=detail("EACCES")), "bak"])
    alert = Alert(kind=AlertKind.CLIENT_FOLDERS, client="", detail=failed, opened_at=NOW)
    recording.record_alerts(engine, [alert], [])
    assert recording.known_alerts(engine, now=NOW) == [alert]
    told = replace(alert, detail=detail("threads"), mailed_at=NOW, changed_at=NOW, told=(failed,))
    recording.record_alerts(engine, [told], [])
    assert recording.known_alerts(engine, now=NOW) == [replace(alert, mailed_at=NOW, told=(failed,))]


@pytest.mark.parametrize(
    "values", [{"detail_facts": null()}, {"detail": "full"}], ids=["stored before", "changed by a node of before"]
)
def test_what_a_version_without_facts_has_stored_is_shown_as_it_is_and_is_no_news(
    engine: Engine, values: dict[str, Any]
) -> None:
    alert = Alert(kind=AlertKind.ARCHIVE, client="acme", detail=detail("ENOSPC"), opened_at=NOW, mailed_at=NOW)
    recording.record_alerts(engine, [alert], [])
    with engine.begin() as connection:
        connection.execute(update(alerts).values(values))
    (known,) = recording.known_alerts(engine, now=NOW)
    shown = values.get("detail", "No space left on device")
    assert (known.detail, known.told) == (shown, (shown,))
    (again,) = opened(restored([known], NOW), AlertKind.ARCHIVE, "acme", detail("ENOSPC"), NOW).alerts
    assert again.detail == detail("ENOSPC")
    assert (again.changed_at is None) == (shown == "No space left on device")


def test_what_was_not_told_yet_is_new_again_after_a_restart(engine: Engine) -> None:
    alert = Alert(
        kind=AlertKind.ODD_FILE,
        client="acme",
        detail="d.xlsx",
        opened_at=NOW,
        mailed_at=NOW,
        changed_at=NOW,
        told=("a.xlsx", "b.xlsx", "c.xlsx"),
    )
    recording.record_alerts(engine, [alert], [])
    assert [known.detail for known in recording.known_alerts(engine, now=NOW)] == ["c.xlsx"]


def test_what_was_held_back_is_known_after_a_restart_until_a_mail_has_summed_it_up(engine: Engine) -> None:
    held = Alert(
        kind=AlertKind.ODD_FILE,
        client="acme",
        detail="a.xlsx",
        opened_at=NOW,
        resolved_at=NOW + timedelta(minutes=1),
        held=2,
    )
    recording.record_alerts(engine, [held], [])
    later = NOW + timedelta(minutes=16)
    (known,) = restored(recording.known_alerts(engine, now=later), later).alerts
    assert known.held == 2
    main = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW)
    mail = AlertNotice(
        alert=main,
        occasion=Occasion.OPENED,
        summed=(AlertNotice(alert=known, occasion=Occasion.RESOLVED),),
    )
    letter = outbox.to_admin(ADDRESSES, LETTERS.about_alert(mail, later), "acme", later)
    recording.record_alerts(engine, [], [(mail, letter)])
    (left,) = restored(recording.known_alerts(engine, now=later), later).alerts
    assert left.kind is AlertKind.ARCHIVE
    recording.record_alerts(engine, [], [(mail, letter)])  # another node's
    assert len(queue(engine)) == 1


def test_news_that_was_held_back_and_is_none_any_more_is_mailed_all_the_same(engine: Engine) -> None:
    known = Alert(kind=AlertKind.ODD_FILE, client="acme", detail="a", opened_at=NOW, mailed_at=NOW, told=("a",), held=3)
    recording.record_alerts(engine, [known], [])
    held = AlertNotice(alert=known, occasion=Occasion.CHANGED)
    mail = replace(held, summed=(held,))
    letter = outbox.to_admin(ADDRESSES, LETTERS.about_alert(mail, NOW), "acme", NOW)
    assert len(recording.record_alerts(engine, [], [(mail, letter)])) == 1
    assert [each.held for each in recording.known_alerts(engine, now=NOW)] == [0]


def test_other_conditions_and_other_clients_have_alerts_of_their_own(engine: Engine) -> None:
    one = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW)
    known = [one, replace(one, kind=AlertKind.ODD_FILE, detail="a.xlsx"), replace(one, client="other")]
    recording.record_alerts(engine, known, [])
    assert recording.known_alerts(engine, now=NOW) == known


def test_alerts_are_known_for_a_day_after_their_end_in_the_order_in_which_they_came(engine: Engine) -> None:
    one = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW)
    two = replace(one, client="other")
    recording.record_alerts(engine, [one, two], [])
    one = replace(one, resolved_at=NOW + timedelta(minutes=1))
    recording.record_alerts(engine, [one], [])
    day = timedelta(days=1, minutes=1)
    assert recording.known_alerts(engine, now=NOW + day - timedelta(seconds=1)) == [one, two]
    assert recording.known_alerts(engine, now=NOW + day) == [two]


def _at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_an_alert_that_comes_back_is_open_again(engine: Engine) -> None:
    alert = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW)
    for resolved_at in (None, _at(1), None):
        recording.record_alerts(engine, [replace(alert, resolved_at=resolved_at)], [])
    assert recording.known_alerts(engine, now=NOW) == [alert]


def test_a_condition_that_another_node_still_meets_after_its_end_is_an_alert_of_its_own(engine: Engine) -> None:
    ended = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW, resolved_at=_at(2))
    lasting = replace(ended, opened_at=_at(1), resolved_at=None)
    recording.record_alerts(engine, [ended, lasting], [])
    assert recording.known_alerts(engine, now=NOW) == [ended, lasting]


def test_an_alert_that_began_and_ended_since_another_ended_at_that_moment_is_the_same(engine: Engine) -> None:
    ended = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="full", opened_at=NOW, resolved_at=_at(2))
    recording.record_alerts(engine, [ended, replace(ended, opened_at=_at(2), resolved_at=_at(3))], [])
    assert recording.known_alerts(engine, now=NOW) == [ended]


def test_an_end_is_that_of_the_open_alert_or_of_the_last_one_that_it_has_seen(engine: Engine) -> None:
    first = Alert(kind=AlertKind.ARCHIVE, client="acme", detail="first", opened_at=NOW, resolved_at=_at(1))
    second = replace(first, detail="second", opened_at=_at(2), resolved_at=None)
    recording.record_alerts(engine, [first, second, replace(second, resolved_at=_at(3))], [])
    seen = replace(first, detail="seen", opened_at=_at(1), resolved_at=_at(4))
    recording.record_alerts(engine, [seen], [])
    assert [alert.detail for alert in recording.known_alerts(engine, now=NOW)] == ["first", "seen"]
    recording.record_alerts(engine, [replace(first, resolved_at=None), replace(seen, detail="first")], [])
    assert [(alert.detail, alert.resolved_at) for alert in recording.known_alerts(engine, now=NOW)] == [
        ("first", _at(4)),
        ("seen", _at(3)),
    ]


def _tell(engine: Engine, alert: Alert, occasion: Occasion, **later: float) -> int:
    """How many mails a node queues that has this alert and finds that it is time to tell of it."""
    now = NOW + timedelta(**later)
    mail = AlertNotice(alert=alert, occasion=occasion)
    about = outbox.to_admin(ADDRESSES, LETTERS.about_alert(mail, now), alert.client or None, now)
    return len(recording.record_alerts(engine, [alert], [(mail, about)]))


def test_a_condition_that_two_nodes_meet_is_one_alert_and_each_occasion_one_mail(engine: Engine) -> None:
    one = Alert(kind=AlertKind.DISK_FULL, client="", detail="full", opened_at=NOW)
    two = replace(one, opened_at=NOW + timedelta(seconds=1))
    assert [_tell(engine, alert, Occasion.OPENED, seconds=40) for alert in (one, two)] == [1, 0]
    assert len(recording.known_alerts(engine, now=NOW)) == 1
    one, two = (replace(alert, mailed_at=NOW + timedelta(seconds=40)) for alert in (one, two))
    assert [_tell(engine, alert, Occasion.REPEATED, hours=5) for alert in (two, one)] == [1, 0]
    ended = [replace(alert, resolved_at=NOW + timedelta(hours=6)) for alert in (one, two)]
    assert [_tell(engine, alert, Occasion.RESOLVED, hours=6) for alert in ended] == [1, 0]
    assert [alert.resolved_at for alert in recording.known_alerts(engine, now=NOW)] == [NOW + timedelta(hours=6)]


def test_what_only_one_of_two_nodes_has_met_is_told_as_well(engine: Engine) -> None:
    one = Alert(kind=AlertKind.ODD_FILE, client="acme", detail="a.xlsx", opened_at=NOW)
    assert _tell(engine, one, Occasion.OPENED, minutes=1) == 1
    mailed = replace(one, mailed_at=NOW + timedelta(minutes=1), told=("a.xlsx",))
    for named, mails_of_it in (("a.xlsx", 0), ("a.xlsx, b.xlsx", 1), ("b.xlsx", 0)):
        news = replace(mailed, detail=named, changed_at=NOW + timedelta(minutes=2))
        assert _tell(engine, news, Occasion.CHANGED, minutes=3) == mails_of_it


def test_a_condition_that_comes_again_is_an_alert_of_its_own(engine: Engine) -> None:
    one = Alert(kind=AlertKind.DISK_FULL, client="", detail="full", opened_at=NOW)
    assert _tell(engine, one, Occasion.OPENED, minutes=1) == 1
    ended = replace(one, mailed_at=NOW + timedelta(minutes=1), resolved_at=NOW + timedelta(minutes=9))
    assert _tell(engine, ended, Occasion.RESOLVED, minutes=9) == 1
    again = replace(one, opened_at=NOW + timedelta(minutes=10))
    assert _tell(engine, again, Occasion.OPENED, minutes=11) == 1
    assert len(recording.known_alerts(engine, now=NOW)) == 2


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

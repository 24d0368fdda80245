"""What does not work for a while costs time, and nothing else."""

import json
import sys

import pytest

from tests.e2e import files
from tests.e2e.house import ADMIN_ADDRESS, House, Record, imported_at_next_tick
from tests.servers.smtp import Faults, SmtpServer
from tests.servers.tools import run, wait_until

STUDENTS = files.csv_of(files.good(1), files.bad(2))


def status(house: House) -> Record:
    """What `userdrop status` says of the running service."""
    shown: Record = json.loads(run([sys.executable, "-m", "watcher", "status", "--json"], env=house.environment))
    return shown


def test_without_a_usable_database_files_stay_and_are_imported_when_it_is_back(house: House) -> None:
    house.state.mkdir()
    house.database.write_bytes(b"this is no database. " * 1000)
    house.drop("students.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("alert_opened", kind="database")
        service.wait_for_event("upload_settled", file="students.csv")
        service.tick()
        service.wait_for_event("import_interrupted", kind="database", nth=2)
        assert [alert["kind"] for alert in status(house)["alerts"]] == ["database"]
        assert house.waiting() == ["students.csv"]
        assert not service.events("batch_started")
        house.database.unlink()
        service.wait_for_event("file_archived", file="students.csv")
        service.wait_for_event("alert_resolved", kind="database")
        assert not service.events("worker_died")
        assert service.terminate() == 0
    assert house.ids() == [f"{files.CANARY}-001"]
    assert house.waiting() == []


def test_room_is_looked_for_where_files_arrive_are_archived_and_stored(house: House) -> None:
    house.set(MIN_FREE_MB=10**9)
    (house.upload / "bak").mkdir(mode=0o750)
    service = house.once()
    (opened,) = service.events("alert_opened", kind="low_disk")
    assert {*opened["detail"].split(", ")} == {
        "upload directory",
        "bak",
        "state directory",
        "database",
        "mail directory",
    }


@pytest.mark.full
@pytest.mark.timeout(300)
def test_who_runs_it_once_is_told_that_the_database_cannot_be_used(house: House) -> None:
    house.state.mkdir()
    house.database.write_bytes(b"this is no database. " * 1000)
    house.drop("students.csv", STUDENTS)
    with house.service("--once", ready=False) as service:
        assert service.wait(150) == 69  # two minutes of patience at most
    assert service.tail().splitlines()[-1].startswith("userdrop: the database cannot be used: ")
    assert house.waiting() == ["students.csv"]


@pytest.mark.full
def test_the_admin_hears_of_an_unusable_database_without_it_and_of_its_end(house: House, smtp: SmtpServer) -> None:
    house.mails_through(smtp)
    house.state.mkdir()
    house.database.write_bytes(b"this is no database. " * 1000)
    with house.service() as service:
        (opened,) = smtp.wait_for(1, timeout=60)
        assert opened.recipients == (ADMIN_ADDRESS,)
        assert b"[critical]" in opened.data
        house.database.unlink()
        service.wait_for_event("alert_resolved", 90, kind="database")
        _, ended = smtp.wait_for(2, timeout=20)
        assert ended.recipients == (ADMIN_ADDRESS,)
        assert b"[resolved]" in ended.data


def test_a_busy_database_is_waited_for(house: House) -> None:
    house.drop("first.csv", files.csv_of(files.good(3)))
    with house.service() as service:
        imported_at_next_tick(service, "first.csv")
        with house.locked_database():
            house.drop("students.csv", STUDENTS)
            service.wait_for_event("upload_settled", file="students.csv")
            service.tick()
            wait_until(lambda: bool(house.claimed()), "the claim", timeout=30)
            assert not service.events("import_finished", file="students.csv")
        service.wait_for_event("file_archived", file="students.csv")
        assert not service.events("alert_opened")


def test_status_shows_a_mail_server_that_refuses(house: House, smtp: SmtpServer) -> None:
    house.mails_through(smtp)
    smtp.faults = Faults(greeting="421 4.3.2 closing")
    house.drop("students.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("upload_settled", file="students.csv")
        service.tick()
        service.wait_for_event("alert_opened", kind="smtp")
        shown = status(house)
        assert service.terminate() == 0
    assert [alert["kind"] for alert in shown["alerts"]] == ["smtp"]
    assert service.tail().splitlines()[-1].startswith("userdrop: mail cannot be sent: connect: 421")


def test_a_mail_server_that_refuses_delays_mails_and_no_import(house: House, smtp: SmtpServer) -> None:
    house.mails_through(smtp)
    smtp.faults = Faults(greeting="421 4.3.2 closing")
    house.drop("students.csv", STUDENTS)
    service = house.once()
    service.wait_for_event("mail_deferred")
    service.wait_for_event("file_archived", file="students.csv")
    assert house.ids() == [f"{files.CANARY}-001"]
    assert smtp.received == []
    assert service.tail().splitlines()[-1] == (
        "userdrop: mail cannot be sent: connect: 421: 4.3.2 closing. Files are imported as usual. All mails wait in the"
        " queue, for five days at least."
    )
    smtp.faults = Faults()
    with house.service() as service:
        service.wait_for_event("mail_sent")
        service.wait_for_event("alert_resolved", kind="smtp")
    assert len(smtp.received) == 1

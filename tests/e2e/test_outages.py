"""What does not work for a while costs time, and nothing else."""

import email
import email.policy
import json
import sys

import pytest

from tests.e2e import files
from tests.e2e.house import ADMIN_ADDRESS, House, Record, imported_at_next_tick
from tests.importing import mounted
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
        (alert,) = status(house)["alerts"]
        assert alert["kind"] == "database"
        assert "the SQLite file is damaged, or no database" in str(alert["detail"])
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


@pytest.mark.full
def test_a_directory_that_the_unit_keeps_read_only_is_told_as_that_and_not_as_a_full_disk(
    house: House, smtp: SmtpServer
) -> None:
    """What ProtectSystem=strict leaves of a directory that ReadWritePaths= does not name is a read-only mount of it."""
    house.mails_through(smtp)
    house.drop("students.csv", STUDENTS)
    with house.service() as service:
        with mounted(house.upload, "--bind", "-o", "ro", str(house.upload)):
            service.wait_for_event("alert_opened", 60, kind="upload_directory")
            (opened,) = smtp.wait_for(1, timeout=90)
            message = email.message_from_bytes(opened.data, policy=email.policy.default)
            body = message.get_body(("plain",))
            assert body is not None
            told = " ".join(body.get_content().split())
            assert "Read-only file system" in told
            assert "ReadWritePaths=" in told
            assert f"More: findmnt --target {house.upload};" in told
            assert "df -h" not in told
            assert "full" not in message["Subject"]
        service.wait_for_event("alert_resolved", 90, kind="upload_directory")
        service.wait_for_event("upload_settled", file="students.csv")
        service.tick()
        service.wait_for_event("file_archived", file="students.csv")


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


def test_when_the_relay_is_put_right_all_mails_that_waited_for_it_go(house: House, smtp: SmtpServer) -> None:
    """The administrator's own domain is taken all the time, as by a server that relays for nobody."""
    readers = [f"{name}@{files.CANARY}.org" for name in ("ana", "ben", "cleo")]
    house.mails_through(smtp)
    house.set(FAILED_IMPORT_EMAIL=",".join(readers))
    smtp.faults = Faults(recipients=dict.fromkeys(readers, "554 5.7.1 Relay access denied"))
    house.drop("students.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("upload_settled", file="students.csv")
        service.tick()
        opened = service.wait_for_event("alert_opened", kind="smtp_refuses")
        assert opened["detail"] == "recipient: 554: 5.7.1 Relay access denied"
        (told,) = smtp.wait_for(1, timeout=90)
        assert told.recipients == (ADMIN_ADDRESS,)
        shown = status(house)
        assert [alert["kind"] for alert in shown["alerts"]] == ["smtp_refuses"]
        assert (shown["mails"]["refused"], shown["mails"]["dead"]) == (3, 0)
        smtp.faults = Faults()
        command = [sys.executable, "-m", "watcher", "mail", "retry", "--all"]
        assert run(command, env=house.environment) == b"3 mails are queued again\n"
        service.wait_for_event("alert_resolved", kind="smtp_refuses")
        wait_until(lambda: len(smtp.received) >= 4, "the mails")
        assert service.terminate() == 0
    assert {mail.recipients for mail in smtp.received} >= {(reader,) for reader in readers}
    assert not service.events("mail_dead")


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

"""Starting, ticking and stopping."""

import contextlib
import fcntl
import json
import resource
import sqlite3
import sys

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.tools import environment, run, wait_until

STUDENTS = files.csv_of(files.good(1), files.bad(2))


def test_a_tick_takes_what_is_complete_and_leaves_what_is_being_written_to_the_next(house: House) -> None:
    with house.service() as service, (house.upload / "slow.csv").open("wb") as slow:
        fcntl.lockf(slow, fcntl.LOCK_EX)
        slow.write(STUDENTS)
        slow.flush()
        house.drop("first.csv", files.csv_of(files.good(3)))
        service.wait_for_event("upload_settled", file="first.csv")
        service.tick()
        service.wait_for_event("batch_finished", files=1)
        assert house.waiting() == ["slow.csv"]
        slow.close()
        imported_at_next_tick(service, "slow.csv")
    assert [entry["file"] for entry in house.imports()] == ["first.csv", "slow.csv"]


def test_files_that_are_none_of_ours_are_left_alone_and_told_to_the_admin(house: House) -> None:
    for name in ("students.xlsx", "students.csv.filepart", ".in.students.csv."):
        house.drop(name, STUDENTS)
    service = house.once()
    assert [event["detail"] for event in service.events("alert_opened", kind="odd_file")] == ["students.xlsx"]
    assert house.waiting() == [".in.students.csv.", "students.csv.filepart", "students.xlsx"]
    assert house.imports() == []


def test_a_second_instance_is_refused_at_once_and_told_who_runs(house: House) -> None:
    with house.service() as first:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with house.service(ready=False) as second:
            assert second.wait() == 75
            assert f"process {first.process.pid}" in second.tail()
            assert not second.events()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # The processor's time: on a busy machine the wall clock would judge the machine.
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
        assert first.process.poll() is None
        assert first.terminate() == 0


def test_now_has_the_running_service_import_at_once_and_reimport_drops_a_file_again(house: House) -> None:
    with house.service() as service:
        house.drop("first.csv", files.csv_of(files.good(3)))
        service.wait_for_event("upload_settled", file="first.csv")
        asked = run([sys.executable, "-m", "watcher", "now"], env=house.environment)
        assert f"process {service.process.pid}" in asked.decode()
        service.wait_for_event("file_archived", file="first.csv")
        run([sys.executable, "-m", "watcher", "reimport", "first.csv"], env=house.environment)
        service.wait_for_event("upload_settled", nth=2, file="first.csv")
        run([sys.executable, "-m", "watcher", "now"], env=house.environment)
        service.wait_for_event("file_archived", nth=2, file="first.csv")
    assert [entry["file"] for entry in house.imports()] == ["first.csv", "first.csv"]


def test_status_shows_what_waits_and_why(house: House) -> None:
    command = [sys.executable, "-m", "watcher", "status"]
    house.drop("students.xlsx", STUDENTS)
    with house.service() as service, (house.upload / "slow.csv").open("wb") as slow:
        fcntl.lockf(slow, fcntl.LOCK_EX)
        house.drop("first.csv", files.csv_of(files.good(3)))
        service.wait_for_event("upload_settled", file="first.csv")
        service.wait_for_event("upload_seen", file="slow.csv")
        shown = json.loads(run([*command, "--json"], env=house.environment))
        table = run(command, env=house.environment | {"COLUMNS": "150"}).decode()
    (client,) = shown["clients"]
    assert {each["file"]: each["reason"] for each in client["waiting"]["shown"]} == {
        "first.csv": "complete",
        "slow.csv": "locked",
    }
    assert (shown["pid"], client["watch"]["state"]) == (service.process.pid, "live")
    assert [alert["kind"] for alert in shown["alerts"]] == ["odd_file"]
    for fact in (f"process {service.process.pid}", "default", "live", "slow.csv", "locked", "students.xlsx"):
        assert fact in table


def test_status_shows_what_is_imported_now_and_what_the_database_has(house: House) -> None:
    command = [sys.executable, "-m", "watcher", "status"]
    house.drop("first.csv", STUDENTS)
    with house.service() as service:
        imported_at_next_tick(service, "first.csv")
        service.wait_for_event("mail_sent", nth=1)
        house.drop("second.csv", STUDENTS)
        service.wait_for_event("upload_settled", file="second.csv")
        with contextlib.closing(sqlite3.connect(house.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            service.tick()
            service.wait_for_event("batch_started", nth=2)
            shown = json.loads(run([*command, "--json"], env=house.environment))
            table = run(command, env=house.environment | {"COLUMNS": "150"}).decode()
            other.execute("ROLLBACK")
        service.wait_for_event("file_archived", file="second.csv")
        with contextlib.closing(sqlite3.connect(house.database)) as other:
            other.execute("UPDATE alembic_version SET version_num = 'of another day'")
            other.commit()
        without = json.loads(run([*command, "--json"], env=house.environment))
    assert (shown["running"]["client"], shown["running"]["files"]) == ("default", 1)
    assert [(each["file"], each["counts"]["failed"]) for each in shown["imports"]] == [("first.csv", 1)]
    assert shown["mails"] == {"queued": 0, "refused": 0, "sending": 0, "dead": 0, "sent": 1}
    assert shown["database"].startswith("SQLite 3.")
    for fact in ("importing", "first.csv", "SQLite 3.", "1 sent"):
        assert fact in table
    assert (without["pid"], without["database"]) == (service.process.pid, None)
    assert "newer userdrop" in without["error"]


def test_what_the_doctor_finds_at_the_start_is_logged_with_its_cure_and_stops_nothing(house: House) -> None:
    (house.upload / "bak").write_bytes(b"not a directory")
    house.set(VSFTPD_CONF=house.root / "vsftpd.conf")
    with house.service() as service:
        found = service.wait_for_event("doctor_found", about="vsftpd configuration")
        assert (found["state"], "was not examined" in found["what"]) == ("warning", True)
        assert "USERDROP_VSFTPD_CONF" in found["cure"]
        house.drop("first.csv", files.csv_of(files.good(3)))
        service.wait_for_event("upload_settled", file="first.csv")
        service.tick()
        service.wait_for_event("import_finished", file="first.csv")
    broken = [each for each in service.events("doctor_found") if each["state"] == "broken"]
    assert [each["about"] for each in broken if "bak" in each["what"]] == ["bak"]


def test_sigterm_ends_an_idle_service(house: House) -> None:
    with house.service() as service:
        assert service.terminate(30) == 0
        service.wait_for_event("service_stopping", why="SIGTERM")
        service.wait_for_event("service_stopped")


def test_a_tick_that_is_asked_for_while_the_service_stops_ends_it_no_otherwise(house: House) -> None:
    with house.service() as service:
        service.process.terminate()
        while service.process.poll() is None:
            service.tick()
        assert service.wait() == 0


def test_sigterm_leaves_an_upload_that_waits_for_its_tick_to_the_next_run(house: House) -> None:
    house.drop("students.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("upload_settled", file="students.csv")
        assert service.terminate(30) == 0
    assert house.waiting() == ["students.csv"]
    assert house.imports() == []
    house.once()
    assert house.ids() == [f"{files.CANARY}-001"]


def test_sigterm_lets_the_file_in_hand_be_finished(house: House) -> None:
    house.drop("students.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("upload_settled", file="students.csv")
        service.tick()
        service.wait_for_event("batch_started")
        assert service.terminate(30) == 0
        service.wait_for_event("file_archived", file="students.csv")
    assert house.waiting() == []
    assert house.claimed() == []
    assert len(house.archived()) == 2


@pytest.mark.full
def test_sigterm_ends_a_service_whose_database_is_busy_and_its_file_is_imported_by_the_next(house: House) -> None:
    house.drop("first.csv", files.csv_of(files.good(3)))
    with house.service() as service:
        imported_at_next_tick(service, "first.csv")
        with house.locked_database():
            house.drop("students.csv", STUDENTS)
            service.wait_for_event("upload_settled", file="students.csv")
            service.tick()
            wait_until(lambda: bool(house.claimed()), "the claim", timeout=30)
            assert service.terminate(30) == 0
    assert len(house.imports()) == 1
    house.once()
    assert [entry["file"] for entry in house.imports()] == ["first.csv", "students.csv"]
    assert house.waiting() == []
    assert house.claimed() == []


def test_once_leaves_nothing_to_do(house: House) -> None:
    house.drop("students.csv", STUDENTS)
    house.once()
    assert len(house.mail_files()) == 1
    service = house.once()
    assert not service.events("batch_started")
    assert not service.events("mail_queued")


def test_the_demo_shows_the_drop_the_users_the_mail_and_bak(house: House) -> None:
    program = f"import os, runpy, sys; os.chdir({str(house.root)!r}); sys.argv = ['userdrop', 'demo']; "
    shown = run(
        [sys.executable, "-c", program + "runpy.run_module('watcher', run_name='__main__')"],
        env=environment(COLUMNS="120"),
    )
    text = shown.decode()
    titles = ("1. A client", "2. userdrop", "3. Every good", "4. Every bad", "5. The file and", "What is next")
    assert [text.count(f"─ {title}") for title in titles] == [1] * len(titles)
    assert "It was uploaded over FTPS to a vsftpd" in text
    assert "\x1b" not in text
    assert " check FILE " in text.splitlines()[-3]
    for fact in ("sam.okonjo@example.edu", "import_finished", "Correct the attached file", "Attached: students."):
        assert fact in text
    demo = house.root / "var" / "demo"
    assert [path.suffix for path in (demo / "mail").iterdir()] == [".eml"]
    for path in (demo / "upload" / "bak").iterdir():
        assert path.name in text

"""An upload that is not finished is never taken for one that is."""

import itertools
import json
from collections.abc import Callable

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers import clients
from tests.servers.ftps import FtpsServer
from watcher.base.clock import elapsed

Ftps = Callable[..., FtpsServer]

WHOLE = files.csv_of(*map(files.good, range(100, 200)))
LINES = WHOLE.splitlines(keepends=True)
CUT = sum(map(len, LINES[:51])) + len(LINES[51]) // 2
"""After 50 users and half of the next one."""
QUICK = files.csv_of(files.good(1))


def whole_users(count: int) -> list[str]:
    return [f"{files.CANARY}-{number}" for number in range(100, 100 + count)]


@pytest.mark.parametrize("reads_log", [True, False], ids=["with the log", "without the log"])
@pytest.mark.parametrize("stall", [0, pytest.param(10, marks=pytest.mark.full)], ids=["one tick", "10 s"])
def test_an_upload_that_still_runs_at_a_tick_is_left_alone_and_imported_whole_later(
    house: House, ftps: Ftps, stall: float, *, reads_log: bool
) -> None:
    """It stands still for at least `stall` seconds, in which files come that are imported at many ticks."""
    server = ftps()
    if reads_log:
        house.reads_log_of(server)
    with house.service() as service:
        with clients.slow_upload(server, WHOLE, "slow.csv", hold_after=CUT) as upload:
            service.wait_for_event("upload_seen", file="slow.csv")
            stalled = elapsed()
            for name in (f"quick-{number}.csv" for number in itertools.count()):
                clients.upload_with_ftplib(server, QUICK, name)
                imported_at_next_tick(service, name)
                if elapsed() - stalled >= stall:
                    break
            assert not service.events("upload_settled", file="slow.csv")
            assert house.waiting() == ["slow.csv"]
            assert upload.finish().startswith("226")
        imported_at_next_tick(service, "slow.csv")
    (*_, entry) = house.imports()
    assert (entry["accepted"], entry["failed"], json.loads(entry["warnings"])) == (100, 0, [])
    assert house.archived()[entry["archive"]] == WHOLE


def test_what_the_server_calls_failed_is_never_imported_and_told_once_and_may_be_sent_again(
    house: House, ftps: Ftps
) -> None:
    server = ftps()
    house.reads_log_of(server)
    with house.service() as service:
        for name, end in {"killed.csv": clients.SlowUpload.kill, "reset.csv": clients.SlowUpload.reset}.items():
            with clients.slow_upload(server, WHOLE, name, hold_after=CUT) as upload:
                end(upload)
            service.wait_for_event("upload_held", file=name)
        clients.upload_with_ftplib(server, QUICK, "quick.csv")
        imported_at_next_tick(service, "quick.csv")
        assert house.waiting() == ["killed.csv", "reset.csv"]
        assert service.terminate() == 0
    house.once().wait_for_event("upload_held", file="reset.csv")
    assert house.ids() == [f"{files.CANARY}-001"]
    told = [(notice["kind"], notice["file"]) for notice in house.notices()]
    assert told == [("incomplete", "killed.csv"), ("incomplete", "reset.csv")]
    assert len(house.mail_files()) == 1

    clients.upload_with_ftplib(server, WHOLE, "killed.csv")
    house.once()
    assert house.waiting() == ["reset.csv"]
    assert [entry["accepted"] for entry in house.imports()] == [1, 100]
    assert len(house.notices()) == 2
    assert len(house.mail_files()) == 1


def test_of_what_the_log_does_not_tell_the_end_is_never_imported_and_told_once(house: House, ftps: Ftps) -> None:
    server = ftps()
    house.reads_log_of(server)
    with house.service() as service:
        clients.upload_with_ftplib(server, QUICK, "quick.csv")
        with clients.slow_upload(server, WHOLE, "students.csv", hold_after=CUT) as upload:
            upload.vanish()
        service.wait_for_event("upload_held", file="students.csv")
        imported_at_next_tick(service, "quick.csv")
        assert house.waiting() == ["students.csv"]
    assert house.ids() == [f"{files.CANARY}-001"]
    assert [(notice["kind"], notice["file"]) for notice in house.notices()] == [("incomplete", "students.csv")]


def test_in_a_log_that_has_told_of_no_upload_yet_a_cut_one_waits_the_long_time_and_is_marked(
    house: House, ftps: Ftps
) -> None:
    server = ftps()
    house.reads_log_of(server)
    with house.service() as service:
        with clients.slow_upload(server, WHOLE, "students.csv", hold_after=CUT) as upload:
            upload.vanish()
        assert service.wait_for_event("upload_settled", file="students.csv")["evidence"] == "long_quiet"
        imported_at_next_tick(service, "students.csv")
    assert_marked_as_cut(house)


def test_without_the_log_a_cut_upload_waits_the_quiet_time_and_is_marked(house: House, ftps: Ftps) -> None:
    server = ftps()
    with house.service() as service:
        with clients.slow_upload(server, WHOLE, "students.csv", hold_after=CUT) as upload:
            upload.kill()
        assert service.wait_for_event("upload_settled", file="students.csv")["evidence"] == "quiet_and_unlocked"
        imported_at_next_tick(service, "students.csv")
    assert_marked_as_cut(house)


def test_what_the_server_takes_for_complete_is_marked_where_it_ends_in_a_line(house: House, ftps: Ftps) -> None:
    server = ftps()
    house.reads_log_of(server)
    with house.service() as service:
        with clients.slow_upload(server, WHOLE, "students.csv", hold_after=CUT) as upload:
            assert upload.end_early().startswith("226")
        assert service.wait_for_event("upload_settled", file="students.csv")["evidence"] == "server_log"
        imported_at_next_tick(service, "students.csv")
    assert_marked_as_cut(house)


def assert_marked_as_cut(house: House) -> None:
    (entry,) = house.imports()
    assert [warning["code"] for warning in json.loads(entry["warnings"])] == ["may_be_cut"]
    assert house.ids() == whole_users(50)
    (notice,) = house.notices()
    assert [warning["code"] for warning in notice["warnings"]] == ["may_be_cut"]
    assert [reason["code"] for reason in notice["reasons"]] == ["too_few_cells"]


def test_what_was_cut_off_while_nobody_looked_is_held_by_the_log_after_a_start(house: House, ftps: Ftps) -> None:
    server = ftps()
    house.reads_log_of(server)
    with clients.slow_upload(server, WHOLE, "students.csv", hold_after=CUT) as upload:
        upload.kill()
    server.wait_for_log("FAIL UPLOAD", "students.csv")
    house.once().wait_for_event("upload_held", file="students.csv")
    assert house.waiting() == ["students.csv"]
    assert house.ids() == []
    assert len(house.mail_files()) == 1

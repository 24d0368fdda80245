"""What clients do to an upload, on the real server, case by case: what is imported, what is held, what is told.

Cuts of a running upload are in `test_interrupted_uploads`, SFTP in `test_sftp`.
"""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers import clients
from tests.servers.ftps import FtpsServer

WHOLE = files.csv_of(*map(files.good, range(100, 200)))
HALF = len(WHOLE) // 2


def assert_imported_whole(house: House, *names: str) -> None:
    """Each once, every row, in bak as it was sent, and nobody was told anything."""
    found = house.imports()
    assert sorted(entry["file"] for entry in found) == sorted(names)
    for entry in found:
        assert (entry["accepted"], entry["failed"], json.loads(entry["warnings"])) == (100, 0, [])
        assert house.archived()[entry["archive"]] == WHOLE
    assert house.waiting() == []
    assert house.notices() == []


def test_curl_that_runs_out_of_time_passes_for_complete_and_is_imported_and_marked(
    house: House, logged_server: FtpsServer
) -> None:
    large = files.csv_of(*map(files.good, range(10_000)))
    (house.root / "large.csv").write_bytes(large)
    with house.service() as service:
        with pytest.raises(RuntimeError, match="ended with 28"):
            clients.upload_with_curl(
                logged_server, house.root / "large.csv", "students.csv", "--limit-rate", "100k", "--max-time", "2"
            )
        assert service.wait_for_event("upload_settled", file="students.csv")["evidence"] == "server_log"
        imported_at_next_tick(service, "students.csv")
    (entry,) = house.imports()
    cut = house.archived()[entry["archive"]]
    assert len(cut) < len(large)
    assert large.startswith(cut)
    told = [warning["code"] for warning in json.loads(entry["warnings"])]
    assert told == ([] if cut.endswith(b"\n") else ["may_be_cut"])


@pytest.mark.parametrize("reads_log", [True, False], ids=["with the log", "without the log"])
def test_an_upload_whose_server_process_is_killed_is_held_by_the_log_and_else_imported_and_marked(
    house: House, logged_server: FtpsServer, *, reads_log: bool
) -> None:
    if not reads_log:
        house.set(VSFTPD_LOG="")
    with house.service() as service:
        with clients.slow_upload(logged_server, WHOLE, "students.csv", hold_after=HALF):
            logged_server.kill_sessions()
        if reads_log:
            service.wait_for_event("upload_held", file="students.csv")
        else:
            imported_at_next_tick(service, "students.csv")
        assert service.terminate() == 0
    if reads_log:
        house.once()  # the first run may have ended before it told anybody
        assert house.imports() == []
        assert [notice["kind"] for notice in house.notices()] == ["incomplete"]
        assert house.waiting() == ["students.csv"]
    else:
        (entry,) = house.imports()
        assert [warning["code"] for warning in json.loads(entry["warnings"])] == ["may_be_cut"]


def resume_by_rest(server: FtpsServer) -> None:
    with clients.ftplib_session(server) as ftp:
        ftp.storbinary("STOR students.csv", io.BytesIO(WHOLE[HALF:]), rest=HALF)
        ftp.quit()


def resume_by_appe(server: FtpsServer) -> None:
    with clients.ftplib_session(server) as ftp:
        ftp.storbinary("APPE students.csv", io.BytesIO(WHOLE[HALF:]))
        ftp.quit()


@pytest.mark.parametrize("resume", [resume_by_rest, resume_by_appe], ids=["REST", "APPE"])
def test_an_upload_that_was_cut_is_held_and_once_it_is_resumed_imported_whole(
    house: House, logged_server: FtpsServer, resume: Callable[[FtpsServer], None]
) -> None:
    house.set(LONG_QUIET_SECONDS=60)
    with house.service() as service:
        with clients.slow_upload(logged_server, WHOLE, "students.csv", hold_after=HALF) as upload:
            upload.kill()
        service.wait_for_event("upload_held", file="students.csv")
        resume(logged_server)
        assert service.wait_for_event("upload_settled", file="students.csv")["size"] == len(WHOLE)
        imported_at_next_tick(service, "students.csv")
    (entry,) = house.imports()
    assert (entry["accepted"], json.loads(entry["warnings"])) == (100, [])
    assert house.archived()[entry["archive"]] == WHOLE
    assert house.notices() == [], "the client has put it right by itself"


@pytest.mark.parametrize("resume", [resume_by_rest, resume_by_appe], ids=["REST", "APPE"])
def test_an_upload_that_was_cut_and_resumed_while_no_service_ran_is_imported_whole(
    house: House, logged_server: FtpsServer, resume: Callable[[FtpsServer], None]
) -> None:
    house.set(LONG_QUIET_SECONDS=60)
    with clients.slow_upload(logged_server, WHOLE, "students.csv", hold_after=HALF) as upload:
        upload.kill()
    logged_server.wait_for_log("FAIL UPLOAD", "students.csv")
    resume(logged_server)
    service = house.once()
    (settled,) = service.events("upload_settled", file="students.csv")
    assert settled["evidence"] == "server_log"
    assert_imported_whole(house, "students.csv")


def test_a_refused_upload_of_another_account_leaves_a_complete_file_of_the_same_name_complete(
    house: House, logged_server: FtpsServer
) -> None:
    with house.service() as service:
        clients.upload_with_ftplib(logged_server, WHOLE, "students.csv")
        service.wait_for_event("upload_settled", file="students.csv")
        done = logged_server.wait_for_log("OK UPLOAD", "students.csv")
        refused, _, _ = done.replace("OK UPLOAD", "FAIL UPLOAD").rpartition(f", {len(WHOLE)} bytes")
        with logged_server.log.open("a") as log:
            log.write(f"{refused}, 0.00Kbyte/sec\n")
        clients.upload_with_ftplib(logged_server, WHOLE, "later.csv")
        imported_at_next_tick(service, "later.csv", "students.csv")
    assert_imported_whole(house, "later.csv", "students.csv")


def test_files_that_are_put_back_while_no_service_runs_are_imported_with_a_remark(
    house: House, logged_server: FtpsServer
) -> None:
    with house.service():
        clients.upload_with_ftplib(logged_server, WHOLE, "earlier.csv")
    house.drop("students.csv", WHOLE)
    house.once()
    found = {entry["file"]: json.loads(entry["warnings"]) for entry in house.imports()}
    assert [each["code"] for each in found["students.csv"]] == ["end_not_seen"]
    assert house.notices() == [], "nobody is told that an upload has stopped"


def test_a_waiting_file_that_is_overwritten_is_imported_as_it_is_then_and_once(
    house: House, logged_server: FtpsServer
) -> None:
    with house.service() as service:
        clients.upload_with_ftplib(logged_server, files.csv_of(files.good(1)), "students.csv")
        service.wait_for_event("upload_settled", file="students.csv")
        clients.upload_with_ftplib(logged_server, WHOLE, "students.csv")
        service.wait_for_event("upload_settled", file="students.csv", size=len(WHOLE))
        imported_at_next_tick(service, "students.csv")
        service.wait_for_event("upload_replaced", file="students.csv")
    imported, superseded = sorted(house.imports(), key=lambda entry: str(entry["status"]))
    assert (superseded["status"], superseded["size"]) == ("superseded", len(files.csv_of(files.good(1))))
    assert (imported["status"], imported["accepted"]) == ("imported", 100)
    assert list(house.archived().values()) == [WHOLE]
    assert house.notices() == []


def filepart(house: House, server: FtpsServer) -> None:
    del house
    with clients.ftplib_session(server) as ftp:
        ftp.storbinary("STOR students.csv.filepart", io.BytesIO(WHOLE))
        ftp.rename("students.csv.filepart", "students.csv")


def lftp_temporary(house: House, server: FtpsServer) -> None:
    (house.root / "students.csv").write_bytes(WHOLE)
    clients.upload_with_lftp(server, house.root / "students.csv", "students.csv", temp_name=True)


def from_another_folder(house: House, server: FtpsServer) -> None:
    del house
    with clients.ftplib_session(server) as ftp:
        ftp.mkd("staging")
        ftp.storbinary("STOR staging/students.csv", io.BytesIO(WHOLE))
        ftp.rename("staging/students.csv", "students.csv")
        ftp.rmd("staging")


def from_outside(house: House, server: FtpsServer) -> None:
    del server
    house.drop("students.csv", WHOLE)


@pytest.mark.parametrize("reads_log", [True, False], ids=["with the log", "without the log"])
@pytest.mark.parametrize("give_name", [filepart, lftp_temporary, from_another_folder, from_outside])
def test_a_file_that_is_renamed_into_place_is_imported_whole_after_the_short_time(
    house: House, logged_server: FtpsServer, give_name: Callable[[House, FtpsServer], None], *, reads_log: bool
) -> None:
    if not reads_log:
        house.set(VSFTPD_LOG="")
    with house.service() as service:
        give_name(house, logged_server)
        settled = service.wait_for_event("upload_settled", file="students.csv")
        assert settled["evidence"] in ({"rename", "server_log"} if reads_log else {"rename"})
        imported_at_next_tick(service, "students.csv")
    assert_imported_whole(house, "students.csv")


def test_an_empty_file_waits_the_long_time_and_is_refused_and_told(house: House, logged_server: FtpsServer) -> None:
    with house.service() as service:
        clients.upload_with_ftplib(logged_server, b"", "students.csv")
        assert service.wait_for_event("upload_settled", file="students.csv")["evidence"] == "long_quiet"
        imported_at_next_tick(service, "students.csv")
        assert [event["code"] for event in service.events("import_refused")] == ["empty_file"]
    (entry,) = house.imports()
    assert house.archived()[entry["archive"]] == b""
    assert {(notice["kind"], notice["audience"]) for notice in house.notices()} >= {("refused", "client")}


def test_two_hundred_small_files_of_one_session_are_all_imported(house: House, logged_server: FtpsServer) -> None:
    names = [f"{number:03}.csv" for number in range(200)]
    with clients.ftplib_session(logged_server) as ftp:
        for number, name in enumerate(names):
            ftp.storbinary(f"STOR {name}", io.BytesIO(files.csv_of(files.good(number))))
        ftp.quit()
    house.once()
    assert sorted(entry["file"] for entry in house.imports()) == names
    assert len(house.ids()) == 200
    assert house.waiting() == []
    assert house.notices() == []


def test_files_of_four_sessions_at_once_are_all_imported_whole(house: House, logged_server: FtpsServer) -> None:
    names = [f"{session}-{number}.csv" for session in range(4) for number in range(5)]
    with house.service() as service:
        with ThreadPoolExecutor(4) as sessions:
            replies = list(sessions.map(lambda name: clients.upload_with_ftplib(logged_server, WHOLE, name), names))
        assert all(reply.startswith("226") for reply in replies)
        imported_at_next_tick(service, *names)
    assert_imported_whole(house, *names)


@pytest.mark.parametrize("time", ["19800101000000", "20991231235959"], ids=["past", "future"])
@pytest.mark.parametrize("reads_log", [True, False], ids=["with the log", "without the log"])
def test_a_time_that_the_sender_sets_says_nothing(
    house: House, logged_server: FtpsServer, time: str, *, reads_log: bool
) -> None:
    if not reads_log:
        house.set(VSFTPD_LOG="")
    with house.service() as service:
        with clients.ftplib_session(logged_server) as ftp:
            ftp.storbinary("STOR students.csv", io.BytesIO(WHOLE))
            ftp.voidcmd(f"MDTM {time} students.csv")
            ftp.quit()
        imported_at_next_tick(service, "students.csv")
        with clients.slow_upload(logged_server, WHOLE, "slow.csv", hold_after=HALF) as upload:
            service.wait_for_event("upload_seen", file="slow.csv")
            with clients.ftplib_session(logged_server) as ftp:
                ftp.voidcmd(f"MDTM {time} slow.csv")
            upload.finish()
        imported_at_next_tick(service, "slow.csv")
    assert_imported_whole(house, "students.csv", "slow.csv")


HOSTILE_NAMES = {
    "latin-1": b"caf\xe9.csv",
    "newline": b"two\nlines.csv",
    "dash": b"-rf.csv",
    "255 bytes": b"x" * 251 + b".csv",
    "glob": b"a*.csv",
    "question mark": b"a?.csv",
    "quotes": b'a", 7 bytes, 1.00Kbyte.csv',
}


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES.keys())
def test_a_file_of_a_hostile_name_is_imported_whole_and_no_other_file_with_it(
    house: House, logged_server: FtpsServer, name: bytes
) -> None:
    other = files.csv_of(files.good(1), files.bad(2))
    sent = name.replace(b"\n", b"\0").decode("latin-1")  # vsftpd makes a newline of a NUL
    with clients.ftplib_session(logged_server) as ftp:
        ftp.encoding = "latin-1"
        ftp.storbinary(f"STOR {sent}", io.BytesIO(WHOLE))
        ftp.storbinary("STOR ab.csv", io.BytesIO(other))
        ftp.quit()
    house.once()
    assert (house.upload / name.decode(errors="surrogateescape")).exists() is False
    entries = {entry["file"]: entry for entry in house.imports()}
    assert len(entries) == 2
    assert entries.pop("ab.csv")["records"] == 2
    (entry,) = entries.values()
    assert (entry["accepted"], entry["failed"]) == (100, 0)
    assert house.archived()[entry["archive"]] == WHOLE
    assert house.waiting() == []

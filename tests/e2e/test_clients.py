"""Folders that are clients, each with a bak, users, mails and a queue of its own."""

import dataclasses
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import files
from tests.e2e.house import ADMIN_ADDRESS, CLIENT_ADDRESS, House, Record, imported_at_next_tick
from tests.servers import clients
from tests.servers.ftps import FtpsServer, reachable_directory
from tests.servers.processes import descendants
from tests.servers.smtp import SmtpServer
from watcher.doctor.reach import THREADS, THREADS_OF_A_PROCESSOR
from watcher.work.turns import IN_COMPANY

Ftps = Callable[..., FtpsServer]

ACME_ADDRESS = f"acme@{files.CANARY}.example"
NORTH_ADMIN = f"north-admin@{files.CANARY}.example"


@pytest.fixture
def house(house: House) -> House:
    """One with client folders."""
    house.set(CLIENT_FOLDERS="true")
    return house


def drop(house: House, client: str, name: str, content: bytes) -> None:
    folder = house.upload / client
    folder.mkdir(exist_ok=True)
    draft = house.root / name
    draft.write_bytes(content)
    draft.rename(folder / name)


def in_bak(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("bak/*")) if not path.name.endswith(".failed.csv")]


def users(house: House) -> list[tuple[str, str]]:
    found: list[Record] = house.records("SELECT client, unique_id FROM users ORDER BY client, unique_id")
    return [(user["client"], user["unique_id"]) for user in found]


def test_each_client_has_its_own_users_bak_ledger_and_mails(house: House, smtp: SmtpServer) -> None:
    house.mails_through(smtp)
    house.set(
        CLIENTS__ACME__FAILED_IMPORT_EMAIL=ACME_ADDRESS,
        CLIENTS__NORTH_SHORE__REPLY_TO_ADMIN_EMAIL=NORTH_ADMIN,
    )
    sent = files.csv_of(files.good(1), files.bad(2))
    for client in ("acme", "north shore", "third"):
        drop(house, client, "students.csv", sent)
    house.once()
    one = f"{files.CANARY}-001"
    assert users(house) == [("acme", one), ("north shore", one), ("third", one)]
    assert [entry["client"] for entry in sorted(house.imports(), key=lambda entry: str(entry["client"]))] == [
        "acme",
        "north shore",
        "third",
    ]
    for client in ("acme", "north shore", "third"):
        assert in_bak(house.upload / client) == [sent]
        assert len([*(house.upload / client / "bak").iterdir()]) == 2
    assert house.archived() == {}
    assert sorted((mail.sender, *mail.recipients) for mail in smtp.received) == [
        (ADMIN_ADDRESS, ACME_ADDRESS),
        (ADMIN_ADDRESS, CLIENT_ADDRESS),
        (NORTH_ADMIN, CLIENT_ADDRESS),
    ]


def test_a_folder_that_is_made_while_the_service_runs_becomes_a_client(house: House) -> None:
    (house.upload / "first").mkdir()
    with house.service() as service:
        drop(house, "second", "students.csv", files.csv_of(files.good(1)))
        service.wait_for_event("client_found", client="second")
        imported_at_next_tick(service, "students.csv")
        (house.upload / "second").rename(house.root / "second")
        service.wait_for_event("client_gone", client="second")
        assert service.terminate() == 0
    assert users(house) == [("second", f"{files.CANARY}-001")]


@pytest.mark.parametrize("number", [100, pytest.param(10_000, marks=[pytest.mark.full, pytest.mark.timeout(600)])])
def test_many_files_of_one_client_delay_another_by_one_small_group(house: House, number: int) -> None:
    for each in range(number):
        drop(house, "acme", f"{each:05}.csv", files.csv_of(files.good(each)))
    drop(house, "other", "students.csv", files.csv_of(files.good(1)))
    with house.service("--once", ready=False) as service:
        assert service.wait(500) == 0
    order = [event["client"] for event in service.events("import_finished")]
    assert len(order) == number + 1
    assert order.index("other") <= IN_COMPANY.files


def test_a_link_in_the_place_of_a_clients_work_directory_is_told_and_holds_up_nobody_else(house: House) -> None:
    elsewhere = house.root / "elsewhere"
    elsewhere.mkdir()
    for client in ("acme", "other"):
        drop(house, client, "students.csv", files.csv_of(files.good(1)))
    (house.upload / "acme" / ".importing").symlink_to(elsewhere)
    with house.service() as service:
        for client in ("acme", "other"):
            service.wait_for_event("upload_settled", client=client)
        service.tick()
        service.wait_for_event("file_archived", client="other")
        alert = service.wait_for_event("alert_opened", client="acme")
        assert alert["detail"].endswith(": .importing is not a directory of the service's own")
        (house.upload / "acme" / ".importing").unlink()
        service.tick()
        service.wait_for_event("file_archived", client="acme")
        service.wait_for_event("alert_resolved", client="acme", kind=alert["kind"])
        assert service.terminate() == 0
    assert {event["client"] for event in service.events("alert_opened")} == {"acme"}
    assert [*elsewhere.iterdir()] == []


def test_a_file_in_a_sub_folder_or_beside_the_folders_is_told_once_and_left_alone(house: House) -> None:
    drop(house, "acme", "students.csv", files.csv_of(files.good(1)))
    drop(house, "acme/archive", "old.csv", files.csv_of(files.good(2)))
    house.drop("astray.csv", files.csv_of(files.good(3)))
    with house.service() as service:
        imported_at_next_tick(service, "students.csv")
        service.wait_for_event("alert_opened", kind="odd_file", client="acme")
        assert service.terminate() == 0
    told = [(event["client"], event["detail"]) for event in service.events("alert_opened", kind="odd_file")]
    beside = "beside the clients' folders, where nothing is imported until it is moved into one: astray.csv"
    assert sorted(told) == [("", beside), ("acme", "archive/old.csv")]
    assert (house.upload / "acme" / "archive" / "old.csv").exists()
    assert users(house) == [("acme", f"{files.CANARY}-001")]


@pytest.fixture
def own_folders(ftps: Ftps) -> Iterator[tuple[FtpsServer, FtpsServer]]:
    """A server whose users see just their own folder, as two of them see it."""
    names = ("daemon", "bin")
    with reachable_directory() as parent:
        upload = parent / "upload"
        upload.mkdir()
        settings = {"user_sub_token": "$USER", "local_root": f"{upload}/$USER"}
        server = ftps(upload=upload, local_user=names[0], settings=settings)
        upload.chmod(0o3771)
        for name in names:
            folder = upload / name
            folder.mkdir()
            os.chown(folder, -1, pwd.getpwnam(name).pw_gid)
            folder.chmod(0o3770)
        one, other = (dataclasses.replace(server, user=name, upload=upload / name) for name in names)
        yield one, other


def test_sessions_that_are_each_in_a_folder_of_their_own_are_told_apart_in_the_log(
    tmp_path: Path, own_folders: tuple[FtpsServer, FtpsServer]
) -> None:
    of_daemon, of_bin = own_folders
    house = House(tmp_path, of_daemon.upload.parent)
    house.set(CLIENT_FOLDERS="true")
    house.reads_log_of(of_daemon, str(house.upload / "$USER"))
    whole = files.csv_of(*map(files.good, range(50)))
    with house.service() as service:
        service.wait_for_event("watch_changed", client="daemon", to="live")
        service.wait_for_event("watch_changed", client="bin", to="live")
        with clients.slow_upload(of_daemon, whole, "students.csv", hold_after=len(whole) // 2) as upload:
            clients.upload_with_ftplib(of_bin, whole, "students.csv")
            settled = service.wait_for_event("upload_settled", file="students.csv")
            upload.kill()
        assert (settled["client"], settled["evidence"]) == ("bin", "server_log")
        assert service.wait_for_event("upload_held", file="students.csv")["client"] == "daemon"
        service.tick()
        service.wait_for_event("file_archived", client="bin")
        assert service.terminate() == 0
    assert {client for client, _ in users(house)} == {"bin"}
    assert (house.upload / "daemon" / "students.csv").exists()


@pytest.mark.parametrize("number", [40, pytest.param(300, marks=[pytest.mark.full, pytest.mark.timeout(600)])])
def test_many_folders_with_a_servers_log_are_served_by_a_few_threads_and_each_upload_settles(
    house: House, number: int
) -> None:
    """As the unit allows: its TasksMax counts the threads of both processes, and none may be there for each client."""
    uploads = {f"client{each:03}": files.csv_of(files.good(each)) for each in range(number)}
    log = house.root / "vsftpd.log"
    log.write_text("".join(_logged(client, "old.csv", 1) * 100 for client in uploads), encoding="ascii")
    house.set(VSFTPD_LOG=log, LONG_QUIET_SECONDS="600")
    for client in uploads:
        (house.upload / client).mkdir()
    with house.service(ready=False) as service:
        service.wait_for_event("watch_changed", to="live", nth=number, timeout=300)
        with log.open("a", encoding="ascii") as told:
            for client, content in uploads.items():
                (house.upload / client / "students.csv").write_bytes(content)
                told.write(_logged(client, "students.csv", len(content)))
                told.flush()
        service.wait_for_event("upload_settled", evidence="server_log", nth=number, timeout=300)
        service.tick()
        service.wait_for_event("file_archived", nth=3, timeout=120)
        threads = {pid: _threads(pid) for pid in (service.process.pid, *descendants(service.process.pid))}
        assert sum(threads.values()) <= THREADS + THREADS_OF_A_PROCESSOR * (os.cpu_count() or 1)
        assert threads[service.process.pid] <= 48, "its own, 32 of which are the event loop's on a large machine"
        assert not service.events("alert_opened")
    settled = service.events("upload_settled", evidence="server_log")
    assert {event["client"] for event in settled} == {*uploads}


def _logged(client: str, name: str, size: int) -> str:
    head = "Wed Jul  1 12:00:00 2026 [pid 7] [ftp] OK UPLOAD: Client"
    return f'{head} "127.0.0.1", "/{client}/{name}", {size} bytes, 1.00Kbyte/sec\n'


def _threads(pid: int) -> int:
    return len([*Path(f"/proc/{pid}/task").iterdir()])

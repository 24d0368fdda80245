"""The kernel does not tell everything: limits that are used up, a queue that overflows, a directory that moves."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers import clients
from tests.servers.ftps import FtpsServer
from tests.servers.service import RUN
from tests.servers.tools import needs

STUDENTS = files.csv_of(files.good(1))
_LIMIT = "/proc/sys/user/max_inotify_instances"
"""That of a user namespace; namespaces(7)."""
_OBEYING = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", *RUN)
"""Root that obeys the modes of files."""
_LIMITED = ("unshare", "--user", "--map-root-user", "sh", "-c", f'echo 0 > {_LIMIT}; exec "$@"', "sh", *RUN)


def test_where_the_limit_of_inotify_is_reached_files_are_scanned_for_and_one_alert_names_the_cure(
    house: House,
) -> None:
    with house.service(command=_LIMITED, ready=False) as service:
        changed = service.wait_for_event("watch_changed", to="scanning_only")
        assert "fs.inotify.max_user_instances" in changed["why"]
        (house.upload / "students.csv").write_bytes(STUDENTS)
        imported_at_next_tick(service, "students.csv")
        namespace = ("nsenter", "--user", "--preserve-credentials", "--target", str(service.process.pid))
        subprocess.run([needs("nsenter"), *namespace[1:], "sh", "-c", f"echo 9 > {_LIMIT}"], check=True)
        service.wait_for_event("watch_changed", to="live")
        service.wait_for_event("alert_resolved", kind="watch")
        assert [event["detail"] for event in service.events("alert_opened")] == [changed["why"]]


def test_an_upload_directory_that_is_moved_behind_a_link_is_served_there(house: House) -> None:
    with house.service() as service:
        moved = house.upload.rename(house.root / "moved")
        house.upload.symlink_to(moved)
        service.wait_for_event("client_found", directory=str(moved))
        (house.upload / "students.csv").write_bytes(STUDENTS)
        imported_at_next_tick(service, "students.csv")
    with house.service() as service:  # given as a link from the beginning
        (house.upload / "others.csv").write_bytes(STUDENTS)
        imported_at_next_tick(service, "others.csv")


def test_with_vsftpds_own_umask_a_file_is_told_unreadable_once_it_is_complete_and_imported_when_that_is_mended(
    tmp_path: Path, ftps: Callable[..., FtpsServer]
) -> None:
    server = ftps(local_user="daemon", settings={"local_umask": "077"})
    house = House(tmp_path, upload=server.upload)
    with house.service(command=_OBEYING) as service:
        with clients.slow_upload(server, STUDENTS, "students.csv", hold_after=20) as upload:
            service.wait_for_event("upload_seen", file="students.csv")
            assert not service.events("alert_opened")
            upload.finish()
        assert service.wait_for_event("alert_opened", kind="unreadable_file")["detail"] == "students.csv"
        (server.upload / "students.csv").chmod(0o644)
        service.tick()
        service.wait_for_event("alert_resolved", kind="unreadable_file")
        imported_at_next_tick(service, "students.csv")
        assert len(service.events("alert_opened")) == 1


def test_what_is_dropped_while_the_service_is_stopped_and_the_queue_overflows_is_seen(house: House) -> None:
    _overflow(house, _most_events() // 2 + 500)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_100_000_files_that_are_dropped_while_the_service_is_stopped_are_seen(house: House) -> None:
    _overflow(house, 100_000)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_20_000_files_that_are_dropped_while_the_service_is_stopped_are_all_imported(house: House) -> None:
    """To import 100,000 takes a quarter of an hour: each group of 256 waits a second for its writers."""
    _overflow(house, 20_000, is_imported=True)
    counted = "SELECT count(*) AS files, count(DISTINCT file) AS names, count(archived_at) AS archived FROM imports"
    assert house.records(f"{counted} WHERE status = 'imported'") == [
        {"files": 20_000, "names": 20_000, "archived": 20_000}
    ]
    assert house.waiting() == []


def _overflow(house: House, number: int, *, is_imported: bool = False) -> None:
    """Drop so many files, each of which makes two events, while the service cannot read them."""
    assert number * 2 > _most_events()
    with house.service() as service:
        service.process.send_signal(signal.SIGSTOP)
        for at in range(number):
            (house.upload / f"{at:06}.csv").write_bytes(files.csv_of(files.good(at)))
        service.process.send_signal(signal.SIGCONT)
        service.wait_for_event("watch_changed", to="deaf", why="there were more events than the kernel keeps")
        service.wait_for_event("upload_settled", timeout=600, nth=number)
        assert len({event["file"] for event in service.events("upload_settled")}) == number
        service.wait_for_event("watch_changed", to="live", nth=2)
        service.tick()
        service.wait_for_event("batch_started", timeout=600, files=number)
        if is_imported:
            service.wait_for_event("batch_finished", timeout=900, done=number)
        assert len(service.events("alert_opened")) == len(service.events("alert_resolved")) == 1


def _most_events() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

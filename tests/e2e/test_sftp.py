"""Uploads by OpenSSH's SFTP, whose server takes no locks and logs nothing that could be used."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers import clients, sftp
from tests.servers.ftps import FtpsServer
from tests.servers.sftp import SftpServer

Ftps = Callable[..., FtpsServer]

WHOLE = files.csv_of(*map(files.good, range(100, 3100)))
"""Enough for a transfer that can be cut: about 300 KB."""
SLOW_KILOBITS = 800
USERS = len(WHOLE.splitlines()) - 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp.sshd(tmp_path) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, server: SftpServer) -> House:
    """An installation that knows of SFTP, whose long quiet time is longer than what the tests do within it."""
    house = House(tmp_path, server.upload)
    house.set(SFTP="true", LONG_QUIET_SECONDS=4)
    (house.root / "whole.csv").write_bytes(WHOLE)
    return house


def assert_imported_whole(house: House) -> None:
    (entry,) = house.imports()
    assert (entry["accepted"], entry["failed"], json.loads(entry["warnings"])) == (USERS, 0, [])
    assert house.archived()[entry["archive"]] == WHOLE
    assert house.waiting() == []


def test_a_file_that_is_renamed_into_place_needs_no_long_quiet_time(house: House, server: SftpServer) -> None:
    with house.service() as service:
        sftp.sftp(
            server,
            f"put {house.root / 'whole.csv'} upload/whole.csv.filepart",
            "rename upload/whole.csv.filepart upload/whole.csv",
        )
        assert service.wait_for_event("upload_settled", file="whole.csv")["evidence"] == "rename"
        imported_at_next_tick(service, "whole.csv")
    assert_imported_whole(house)


def test_lftp_may_send_under_a_temporary_name(house: House, server: SftpServer) -> None:
    with house.service() as service:
        sftp.upload_with_lftp(server, house.root / "whole.csv", "whole.csv", temp_name=True)
        assert service.wait_for_event("upload_settled", file="whole.csv")["evidence"] == "rename"
        imported_at_next_tick(service, "whole.csv")
    assert_imported_whole(house)


@pytest.mark.parametrize("client", ["sftp", "lftp"])
def test_a_transfer_that_stalls_is_killed_and_resumed_is_imported_whole_and_once(
    house: House, server: SftpServer, client: str
) -> None:
    whole = house.root / "whole.csv"
    house.change(LONG_QUIET_SECONDS="8")  # longer than all that happens between
    with house.service() as service:
        with sftp.slow_sftp(server, whole, "students.csv", kilobits=SLOW_KILOBITS) as slow:
            service.wait_for_event("upload_seen", file="students.csv")
            slow.send_signal(signal.SIGSTOP)
            # Another client's file is sent, settles and is imported meanwhile: more than the short quiet time passes.
            sftp.sftp(server, f"put {whole} upload/.other", "rename upload/.other upload/other.csv")
            imported_at_next_tick(service, "other.csv")
        sftp.wait_for_sessions_to_end(server)
        assert 0 < (server.upload / "students.csv").stat().st_size < len(WHOLE)
        assert not service.events("upload_settled", file="students.csv")
        if client == "sftp":
            sftp.sftp(server, f"reput {whole} upload/students.csv")
        else:
            sftp.upload_with_lftp(server, whole, "students.csv", resume=True)
        settled = service.wait_for_event("upload_settled", file="students.csv")
        assert (settled["evidence"], settled["size"]) == ("long_quiet", len(WHOLE))
        imported_at_next_tick(service, "students.csv")
    assert [entry["accepted"] for entry in house.imports()] == [USERS, USERS]
    assert all(content == WHOLE for content in house.archived().values())
    assert not service.events("upload_held")


def test_a_transfer_that_is_cut_and_not_resumed_is_imported_after_the_long_quiet_time_and_marked(
    house: House, server: SftpServer
) -> None:
    whole = house.root / "whole.csv"
    with house.service() as service:
        with sftp.slow_sftp(server, whole, "students.csv", kilobits=SLOW_KILOBITS):
            service.wait_for_event("upload_seen", file="students.csv")
        assert service.wait_for_event("upload_settled", file="students.csv")["evidence"] == "long_quiet"
        imported_at_next_tick(service, "students.csv")
    (entry,) = house.imports()
    assert entry["accepted"] < USERS
    assert [warning["code"] for warning in json.loads(entry["warnings"])] == ["may_be_cut"]


def test_where_ftps_uploads_are_logged_those_by_sftp_are_not_taken_for_cut(
    house: House, server: SftpServer, ftps: Ftps
) -> None:
    by_ftps = ftps(upload=server.upload)
    house.reads_log_of(by_ftps)
    with house.service() as service:
        clients.upload_with_ftplib(by_ftps, WHOLE, "ftps.csv")
        assert service.wait_for_event("upload_settled", file="ftps.csv")["evidence"] == "server_log"
        sftp.sftp(server, f"put {house.root / 'whole.csv'} upload/sftp.csv")
        assert service.wait_for_event("upload_settled", file="sftp.csv")["evidence"] == "long_quiet"
        imported_at_next_tick(service, "ftps.csv", "sftp.csv")
        assert not service.events("upload_held")
    assert [entry["accepted"] for entry in house.imports()] == [USERS, USERS]

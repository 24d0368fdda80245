"""What the doctor says of a configuration is what a real vsftpd does with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import clients
from tests.servers.ftps import FtpsServer
from watcher.doctor.directory import NEWEST, newest_readable
from watcher.doctor.findings import Finding, State
from watcher.doctor.ftp_server import Needs, judged
from watcher.doctor.vsftpd_conf import understood

GOOD = Path(__file__).parents[3] / "deploy" / "vsftpd.conf"
PLACES = {"local_root", "secure_chroot_dir", "pam_service_name", "vsftpd_log_file", "xferlog_file"}
"""What each server of a test has for itself; besides, ports and certificates."""
LOCKS = Path("/proc/locks")

Ftps = Callable[..., FtpsServer]


def uploaded(server: FtpsServer) -> int:
    """The mode of a file that a client has sent."""
    clients.upload_with_ftplib(server, b"unique_id\nA1001\n", "students.csv")
    server.wait_for_sessions_to_end()
    return (server.upload / "students.csv").stat().st_mode & 0o7777


def findings(server: FtpsServer) -> list[Finding]:
    path = server.home / "vsftpd.conf"
    needs = Needs(log=server.log, long_quiet_seconds=601)
    return list(judged(understood(path, path.read_text(encoding="utf-8")), needs))


def test_vsftpd_runs_with_the_configuration_in_deploy_and_the_doctor_finds_no_fault(ftps: Ftps) -> None:
    given = understood(GOOD, GOOD.read_text(encoding="utf-8")).given
    kept = {name: value for name, value in given.items() if name not in PLACES and not name.startswith(("rsa", "pasv"))}
    server = ftps(local_user="daemon", settings=kept)
    assert uploaded(server) == 0o640
    assert [each for each in findings(server) if each.state is not State.OK] == []
    assert "OK UPLOAD" in server.wait_for_log("students.csv")
    found = newest_readable(server.upload, LOCKS)
    assert (found.name, found.state) == (NEWEST, State.OK)


@pytest.mark.parametrize("umask", ["077", "027", "27", "002", "0777"])
def test_uploads_have_the_mode_that_the_doctor_tells(ftps: Ftps, umask: str) -> None:
    server = ftps(local_user="daemon", settings={"local_umask": umask})
    mode = uploaded(server)
    (found,) = (each for each in findings(server) if each.name == "vsftpd local_umask")
    assert f"the mode {mode:04o}" in found.what

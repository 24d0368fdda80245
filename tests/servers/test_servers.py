"""The harness itself: the servers are real, the clients get through, and what is to go wrong goes wrong."""

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from tests.servers import clients, processes, service, tools
from tests.servers.ftps import FtpsServer, ServerDidNotStartError, vsftpd
from tests.servers.ports import is_listening, reserved_ports
from tests.servers.smtp import Faults, SmtpServer, smtp_server

Ftps = Callable[..., FtpsServer]

CONTENT = b"user_name;first_name\r\nanna;Anna\r\n"
BIG = bytes(range(256)) * 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "to send.csv"
    path.write_bytes(BIG)
    return path


# FTPS: the clients


def test_what_lftp_sends_is_there_and_logged(ftps: Ftps, file: Path) -> None:
    server = ftps()
    clients.upload_with_lftp(server, file, 'stu"dents\\ 1.csv')
    assert (server.upload / 'stu"dents\\ 1.csv').read_bytes() == BIG
    assert f"{len(BIG)} bytes" in server.wait_for_log("OK UPLOAD", f"{server.root}/stu")


def test_lftp_can_rename_into_place(ftps: Ftps, file: Path) -> None:
    server = ftps()
    clients.upload_with_lftp(server, file, "students.csv", temp_name=True)
    assert (server.upload / "students.csv").read_bytes() == BIG
    assert server.wait_for_log("OK RENAME", "students.csv")


def test_what_curl_sends_is_there_and_logged(ftps: Ftps, file: Path) -> None:
    server = ftps()
    clients.upload_with_curl(server, file, "stu dents#1.csv")
    assert (server.upload / "stu dents#1.csv").read_bytes() == BIG
    assert server.wait_for_log("OK UPLOAD", "stu dents#1.csv")


def test_what_ftplib_sends_is_there_and_logged(ftps: Ftps) -> None:
    server = ftps()
    assert clients.upload_with_ftplib(server, BIG, "students.csv").startswith("226")
    assert (server.upload / "students.csv").read_bytes() == BIG
    assert server.wait_for_log("OK UPLOAD", "students.csv")


def test_clients_see_and_fetch_what_is_there(ftps: Ftps) -> None:
    server = ftps()
    (server.upload / "bak").mkdir()
    (server.upload / "bak" / "old one.csv").write_bytes(CONTENT)
    (server.upload / ".hidden").touch()
    assert clients.listing(server) == [".hidden", "bak"]
    assert clients.listing(server, "bak") == ["old one.csv"]
    assert clients.download(server, "bak/old one.csv") == CONTENT


def test_without_encryption_nobody_gets_in(ftps: Ftps, tmp_path: Path) -> None:
    server = ftps()
    url = f"ftp://{server.user}:{server.password}@{server.host}:{server.port}/"
    with pytest.raises(RuntimeError, match="curl ended with 67"):
        tools.run(["curl", "-q", "-sS", url], env=tools.environment(HOME=str(tmp_path)))


def test_the_server_speaks_tls_1_2(ftps: Ftps) -> None:
    with clients.ftplib_session(ftps()) as ftp:
        assert isinstance(ftp.sock, ssl.SSLSocket)
        assert ftp.sock.version() == "TLSv1.2"


# FTPS: uploads that take their time


def is_locked(path: Path) -> bool:
    """Ask with F_OFD_GETLK, which takes nothing, whether another process may write."""
    with path.open("rb") as file:
        answer = fcntl.fcntl(file, 36, struct.pack("@hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    return bool(struct.unpack("@hhqqi4x", answer)[0] == fcntl.F_WRLCK)


def test_a_held_upload_stays_where_it_is_until_it_is_finished(ftps: Ftps) -> None:
    server = ftps()
    with clients.slow_upload(server, BIG, "slow.csv", hold_after=100_000) as upload:
        assert (server.upload / "slow.csv").stat().st_size == 100_000
        assert is_locked(server.upload / "slow.csv")
        assert not any("UPLOAD" in line for line in server.log_lines())
        assert upload.finish().startswith("226")
    assert (server.upload / "slow.csv").read_bytes() == BIG
    assert server.wait_for_log("OK UPLOAD", "slow.csv")
    # vsftpd answers and logs just before it closes the file.
    server.wait_for_sessions_to_end()
    assert not is_locked(server.upload / "slow.csv")


@pytest.mark.parametrize("end", [clients.SlowUpload.kill, clients.SlowUpload.reset])
def test_a_killed_upload_is_logged_as_failed(ftps: Ftps, end: Callable[[clients.SlowUpload], None]) -> None:
    server = ftps(settings={"strict_ssl_read_eof": "YES"})
    with clients.slow_upload(server, BIG, "half.csv", hold_after=100_000) as upload:
        end(upload)
    assert server.wait_for_log("FAIL UPLOAD", "half.csv")
    assert (server.upload / "half.csv").read_bytes() == BIG[:100_000]


def test_a_client_that_vanishes_leaves_no_verdict(ftps: Ftps) -> None:
    server = ftps()
    with clients.slow_upload(server, BIG, "half.csv", hold_after=100_000) as upload:
        upload.vanish()
    server.wait_for_sessions_to_end()
    assert (server.upload / "half.csv").read_bytes() == BIG[:100_000]
    assert not any("half.csv" in line for line in server.log_lines())


def test_a_killed_upload_passes_for_complete_where_the_server_is_lenient(ftps: Ftps) -> None:
    server = ftps(settings={"strict_ssl_read_eof": "NO"})
    with clients.slow_upload(server, BIG, "half.csv", hold_after=100_000) as upload:
        upload.kill()
    assert server.wait_for_log("OK UPLOAD", "half.csv")


def test_an_upload_that_ends_early_and_properly_passes_for_complete(ftps: Ftps) -> None:
    server = ftps()
    with clients.slow_upload(server, BIG, "cut.csv", hold_after=100_000) as upload:
        assert upload.end_early().startswith("226")
    assert server.wait_for_log("OK UPLOAD", "cut.csv", "100000 bytes")


def test_a_killed_session_leaves_no_verdict_and_the_server_goes_on(ftps: Ftps) -> None:
    server = ftps()
    with clients.slow_upload(server, BIG, "half.csv", hold_after=100_000):
        assert server.sessions()
        server.kill_sessions()
        assert not is_locked(server.upload / "half.csv")
    clients.upload_with_ftplib(server, CONTENT, "next.csv")
    assert server.wait_for_log("OK UPLOAD", "next.csv")
    assert not any("half.csv" in line for line in server.log_lines())


# FTPS: the server's life


def test_a_stopped_server_leaves_no_process_behind(ftps: Ftps) -> None:
    server = ftps()
    with clients.slow_upload(server, BIG, "half.csv", hold_after=1000):
        with processes.handles([server.process.pid, *server.sessions()]) as opened:
            server.stop()
            processes.wait_for_end(opened, timeout=0)
        assert len(opened) > 1
    assert not is_listening(server.port)
    server.stop()


def test_two_servers_run_side_by_side(ftps: Ftps) -> None:
    one, other = ftps(), ftps()
    clients.upload_with_ftplib(one, CONTENT, "one.csv")
    clients.upload_with_ftplib(other, CONTENT, "other.csv")
    assert one.port != other.port
    assert one.wait_for_log("OK UPLOAD", "one.csv")
    assert other.wait_for_log("OK UPLOAD", "other.csv")


def test_a_server_can_be_followed_by_one_that_goes_on_with_its_log(tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.mkdir()
    settings = {"vsftpd_log_file": str(tmp_path / "vsftpd.log")}
    for name in ("one.csv", "other.csv"):
        with vsftpd(tmp_path, upload, settings=settings) as server:
            clients.upload_with_ftplib(server, CONTENT, name)
            server.wait_for_log("OK UPLOAD", name)
    assert sum("OK UPLOAD" in line for line in server.log_lines()) == 2


def test_ports_that_are_reserved_are_not_given_out_again() -> None:
    with reserved_ports() as one, reserved_ports() as other:
        assert not set(one) & set(other)


def test_a_server_that_does_not_start_says_why(ftps: Ftps) -> None:
    with pytest.raises(ServerDidNotStartError, match="500 OOPS: unrecognised variable in config file: no_such_setting"):
        ftps(settings={"no_such_setting": "YES"})


def test_a_local_user_is_another_account_in_a_chroot(ftps: Ftps, file: Path) -> None:
    server = ftps(local_user="daemon")
    clients.upload_with_lftp(server, file, "students.csv")
    assert server.wait_for_log("OK UPLOAD", '"/students.csv"')
    sent = server.upload / "students.csv"
    assert (sent.owner(), sent.group(), oct(sent.stat().st_mode)) == ("daemon", "daemon", "0o100640")


def test_a_local_user_can_look_into_bak_but_not_move_it(ftps: Ftps) -> None:
    server = ftps(local_user="daemon")
    bak = server.upload / "bak"
    bak.mkdir()
    bak.chmod(0o2750)
    (bak / "old.csv").write_bytes(CONTENT)
    (bak / "old.csv").chmod(0o640)
    assert clients.download(server, "bak/old.csv") == CONTENT
    with clients.ftplib_session(server) as ftp, pytest.raises(Exception, match="550"):
        ftp.rename("bak", "mine")


def test_a_local_user_without_a_way_to_the_directory_is_an_error(ftps: Ftps, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "upload").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(PermissionError, match="is closed"):
        ftps(local_user="daemon", upload=closed / "upload")


def test_a_missing_program_fails_the_test_only_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        tools.needs("no-such-program")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        tools.needs("no-such-program")


# SMTP


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "userdrop@example.org", "school@example.org", "37 of 1,204"
    message.set_content("Correct the attached file and drop it again.\n")
    return message


async def send(server: SmtpServer, *, to: Sequence[str] = ("school@example.org",), **options: Any) -> None:  # noqa: ANN401 # aiosmtplib's
    arguments = {"start_tls": True, "cert_bundle": str(server.ca_file), "timeout": 10, **options}
    connection = socket.create_connection((server.host, server.port))
    try:
        async with aiosmtplib.SMTP(hostname=server.host, sock=connection, **arguments) as client:
            await client.send_message(mail(), recipients=list(to))
    finally:
        await closed(connection)


async def closed(connection: socket.socket) -> None:
    """Wait for the end of a TLS connection, for which aiosmtplib doesn't wait: the loop must not end before it."""
    async with asyncio.timeout(10):
        while connection.fileno() != -1:  # noqa: ASYNC110 # asyncio has no event for it
            await asyncio.sleep(0)


async def test_a_mail_arrives_encrypted(smtp: SmtpServer) -> None:
    await send(smtp)
    (received,) = smtp.wait_for(1)
    assert (received.sender, received.recipients) == ("userdrop@example.org", ("school@example.org",))
    assert received.encrypted
    assert b"\r\n\r\nCorrect the attached file and drop it again.\r\n" in received.data


async def test_a_client_that_does_not_know_the_authority_is_not_served(smtp: SmtpServer) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await send(smtp, cert_bundle=None)
    assert smtp.received == []


async def test_implicit_tls_is_encrypted_from_the_first_byte(tmp_path: Path) -> None:
    with smtp_server(tmp_path, security="implicit", login=("userdrop", "secret")) as server:
        await send(server, start_tls=False, use_tls=True, username="userdrop", password="secret")
        (received,) = server.wait_for(1)
    assert (received.encrypted, received.user) == (True, "userdrop")


async def test_a_login_is_asked_for_and_checked(tmp_path: Path) -> None:
    with smtp_server(tmp_path, login=("userdrop", "secret")) as server:
        with pytest.raises(aiosmtplib.SMTPSenderRefused, match="530"):
            await send(server)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError, match="535"):
            await send(server, username="userdrop", password="wrong")
        await send(server, username="userdrop", password="secret")
        assert [received.user for received in server.wait_for(1)] == ["userdrop"]


async def test_a_server_without_starttls_does_not_offer_it(tmp_path: Path) -> None:
    with smtp_server(tmp_path, security="none") as server:
        with pytest.raises(aiosmtplib.SMTPException, match="STARTTLS"):
            await send(server)
        await send(server, start_tls=False)
        assert not server.wait_for(1)[0].encrypted


@pytest.mark.parametrize(
    ("faults", "error", "code"),
    [
        (Faults(greeting="421 4.3.2 closing"), aiosmtplib.SMTPConnectResponseError, 421),
        (Faults(sender="451 4.3.0 later"), aiosmtplib.SMTPSenderRefused, 451),
        (Faults(data="552 5.3.4 too big"), aiosmtplib.SMTPDataError, 552),
    ],
)
async def test_a_refusal_is_said_with_its_code(
    smtp: SmtpServer, faults: Faults, error: type[aiosmtplib.SMTPResponseException], code: int
) -> None:
    smtp.faults = faults
    with pytest.raises(error) as caught:
        await send(smtp)
    assert caught.value.code == code
    assert smtp.received == []


@pytest.mark.parametrize("reply", ["450 4.2.1 busy", "550 5.1.1 unknown"])
async def test_a_refused_recipient_does_not_harm_the_other(smtp: SmtpServer, reply: str) -> None:
    smtp.faults = Faults(recipients={"gone@example.org": reply})
    await send(smtp, to=["gone@example.org", "school@example.org"])
    assert smtp.wait_for(1)[0].recipients == ("school@example.org",)
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await send(smtp, to=["gone@example.org"])


async def test_every_login_can_be_refused(tmp_path: Path) -> None:
    faults = Faults(login="535 5.7.8 no")
    with (
        smtp_server(tmp_path, login=("userdrop", "secret"), faults=faults) as server,
        pytest.raises(aiosmtplib.SMTPAuthenticationError, match="535"),
    ):
        await send(server, username="userdrop", password="secret")


@pytest.mark.parametrize(
    ("faults", "taken"),
    [(Faults(drop_at_data=True), 0), (Faults(drop_after_data=True), 0), (Faults(lose_reply=True), 1)],
)
async def test_a_connection_can_be_cut_before_and_after_the_mail_is_taken(
    smtp: SmtpServer, faults: Faults, taken: int
) -> None:
    smtp.faults = faults
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await send(smtp)
    assert len(smtp.received) == taken
    smtp.faults = Faults()
    await send(smtp)
    assert len(smtp.wait_for(taken + 1)) == taken + 1


async def test_a_server_that_never_answers_runs_into_the_timeout(smtp: SmtpServer) -> None:
    smtp.faults = Faults(hang_after_data=True)
    with pytest.raises(aiosmtplib.SMTPTimeoutError):
        await send(smtp, timeout=0.5)


def test_waiting_for_a_mail_that_does_not_come_has_an_end(smtp: SmtpServer) -> None:
    with pytest.raises(TimeoutError, match=r"0 of 1 mails after 0.01 s"):
        smtp.wait_for(1, timeout=0.01)


# The service, here a stand-in that says what is done to it

STAND_IN = """
import json, os, signal, subprocess, sys

def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)

orders = {signal.SIGUSR1, signal.SIGTERM}
child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "cat"], stdin=subprocess.PIPE)
signal.pthread_sigmask(signal.SIG_BLOCK, orders)
print("not JSON", file=sys.stderr, flush=True)
say("started", child=child.pid, environment=sorted(os.environ))
while signal.sigwait(orders) != signal.SIGTERM:
    say("tick")
say("stopped")
sys.exit(3)
"""


def stand_in() -> list[str]:
    return [sys.executable, "-c", STAND_IN]


def test_a_service_is_ticked_and_stopped_by_signals() -> None:
    with service.running_service(env={"USERDROP_X": "1"}, command=stand_in()) as running:
        started = running.wait_for_event("started")
        assert set(started["environment"]) - {"LC_CTYPE"} == {"PATH", "USERDROP_X"}
        running.tick()
        running.wait_for_event("tick")
        running.tick()
        running.wait_for_event("tick", nth=2)
        assert running.terminate() == 3
        assert running.events("stopped") == [{"event": "stopped"}]


def test_a_killed_service_takes_its_children_along() -> None:
    with service.running_service(env={}, command=stand_in()) as running:
        child = running.wait_for_event("started")["child"]
        with processes.handles([child]) as opened:
            running.kill()
            processes.wait_for_end(opened, timeout=0)
        assert running.process.returncode == -9


def test_waiting_for_an_event_of_an_ended_service_shows_its_log() -> None:
    with service.running_service(env={}, command=stand_in()) as running:
        running.wait_for_event("started")
        running.terminate()
        with pytest.raises(AssertionError, match=r"(?s)ended before event imported .*rows.*not JSON.*started"):
            running.wait_for_event("imported", rows=3)


def test_waiting_for_an_event_that_does_not_come_has_an_end() -> None:
    with (
        service.running_service(env={}, command=stand_in()) as running,
        pytest.raises(AssertionError, match=r"0.01 s passed before event imported"),
    ):
        running.wait_for_event("imported", 0.01)


def test_a_failure_shows_the_log_of_the_service() -> None:
    def fail() -> None:
        with service.running_service(env={}, command=stand_in()) as running:
            running.wait_for_event("started")
            int("wrong")

    with pytest.raises(ValueError, match="wrong") as caught:
        fail()
    assert '"event": "started"' in caught.value.__notes__[0]

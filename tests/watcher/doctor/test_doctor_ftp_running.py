"""What is said of an FTP server that is asked: whether it answers, and of its certificate."""

import datetime as dt
from pathlib import Path

import pytest
import trustme

from tests.servers.ftps import reachable_directory, vsftpd_as_written
from tests.servers.ports import reserved_ports
from watcher.doctor.findings import State
from watcher.doctor.ftp_running import Answer, asked, files, judged
from watcher.doctor.vsftpd_conf import understood

NOW = dt.datetime(2031, 5, 1, tzinfo=dt.UTC)
CONF = understood(Path("/etc/vsftpd.conf"), "listen=YES\nssl_enable=YES\n")
DEPLOY = Path(__file__).parents[3] / "deploy" / "vsftpd.conf"


def answer(end: str, *, subject: str = "us", issuer: str = "them") -> Answer:
    fields = {
        "notAfter": end,
        "subjectAltName": (("DNS", "ftp.example.org"),),
        "subject": subject,
        "issuer": issuer,
    }
    return Answer(banner="220 (vsFTPd 3.0.3)", tls="TLSv1.2", certificate=b"der", fields=fields)


@pytest.mark.parametrize(
    ("given", "state", "what"),
    [
        (answer("May 31 00:00:01 2031 GMT"), State.OK, "for ftp.example.org and ends on 2031-05-31"),
        (answer("May 30 23:59:59 2031 GMT"), State.WARNING, "within 30 days"),
        (answer("May  1 00:00:00 2041 GMT", issuer="us"), State.WARNING, "signed by itself"),
        (Answer(banner="220", tls="TLSv1.2", certificate=b"der"), State.BROKEN, "has expired"),
    ],
)
def test_a_certificate_is_told_with_its_names_and_its_end(given: Answer, state: State, what: str) -> None:
    (found,) = (each for each in judged(CONF, given, NOW) if each.name == "vsftpd certificate")
    assert found.state is state
    assert what in found.what


@pytest.mark.parametrize(("banner", "state"), [("220 (vsFTPd 3.0.3)", State.BROKEN), ("220 hello", State.WARNING)])
def test_tls_1_3_is_a_fault_of_the_version_that_cuts_uploads_under_it(banner: str, state: State) -> None:
    given = Answer(banner=banner, tls="TLSv1.3", fields=answer("May 31 00:00:01 2031 GMT").fields)
    (found,) = (each for each in judged(CONF, given, NOW) if each.name == "vsftpd TLS version")
    assert found.state is state
    assert "OPENSSL_CONF" in found.cure


def test_a_server_that_does_not_run_is_told() -> None:
    with reserved_ports() as ports:
        conf = understood(Path("/etc/vsftpd.conf"), f"listen=YES\nlisten_port={ports[0]}\n")
        nothing, (found,) = asked(conf)
    assert nothing is None
    assert found.state is State.BROKEN
    assert f"nothing listens at 127.0.0.1 port {ports[0]}" in found.what


@pytest.mark.parametrize(("end", "is_over"), [(dt.datetime(2001, 1, 2, tzinfo=dt.UTC), True), (None, False)])
def test_a_real_servers_certificate_is_seen_and_whether_it_has_expired(
    tmp_path: Path, end: dt.datetime | None, *, is_over: bool
) -> None:
    begin = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    certificate = tmp_path / "certificate.pem"
    made = trustme.CA().issue_cert("ftp.example.org", not_before=begin, not_after=end)
    made.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    text = DEPLOY.read_text(encoding="utf-8")
    with (
        reachable_directory() as upload,
        vsftpd_as_written(tmp_path, text, upload, user="daemon", certificate=certificate) as server,
    ):
        conf = understood(server.home / "vsftpd.conf", (server.home / "vsftpd.conf").read_text(encoding="utf-8"))
        told, silence = asked(conf)
        assert silence == []
        assert told is not None
        assert (told.version, told.tls, told.fields == {}) == ("3.0.3", "TLSv1.2", is_over)
        assert bool(told.certificate)
        assert [*files(conf)] == []


def test_a_certificate_that_is_not_there_keeps_vsftpd_from_starting() -> None:
    (found,) = files(understood(Path("/etc/vsftpd.conf"), "ssl_enable=YES\nrsa_cert_file=/nowhere.pem\n"))
    assert found.state is State.BROKEN
    assert "does not start" in found.what
    assert [*files(understood(Path("/etc/vsftpd.conf"), "ssl_enable=NO\nrsa_cert_file=/nowhere.pem\n"))] == []

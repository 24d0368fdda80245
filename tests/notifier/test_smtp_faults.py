"""Everything that a mail server can do wrong, by name, and which class of failure it is."""

import dataclasses
import datetime as dt
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from notifier.messages import build
from notifier.model import Dead, FailureMeaning, Later, LeasedMail, Misconfigured, Refused, SendError, Sent, Shrink
from notifier.packing import Packed, Packing
from notifier.retrying import classify
from notifier.smtp import SmtpTransport, Tls
from tests.mailing import ADDRESSES, LETTERS, NOW, failed_rows
from tests.servers.scripted_smtp import CLOSE, DROP, HANG, Moment, Script, ScriptedServer, scripted_server

RECIPIENT = "registrar@client.example"
LETTER = LETTERS.to_client([failed_rows()], NOW)
SERVER, MAIL = Later(server=True), Later(server=False)
SECRET = ("MAIL", "AUTH", "RCPT", "DATA")
IN_TIME = {"connect_seconds": 0.4, "command_seconds": 0.4, "final_dot_seconds": 0.4, "session_seconds": 5.0}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the server does instead, and what that is to us."""

    expected: FailureMeaning | Sent
    instead: Mapping[Moment, str] = dataclasses.field(default_factory=dict)
    certificate: str = "good"
    recipient: str = RECIPIENT
    script: Mapping[str, object] = dataclasses.field(default_factory=dict)
    transport: Mapping[str, object] = dataclasses.field(default_factory=dict)


FAULTS: dict[str, Fault] = {
    "none": Fault(expected=Sent()),
    "banner_421": Fault(instead={"CONNECT": "421 4.3.2 too busy"}, expected=SERVER),
    "banner_554": Fault(instead={"CONNECT": "554 5.3.2 no service"}, expected=SERVER),
    "banner_garbage": Fault(instead={"CONNECT": "\x16\x03 hello?"}, expected=SERVER),
    "banner_of_http": Fault(instead={"CONNECT": "HTTP/1.1 400 Bad Request"}, expected=SERVER),
    "banner_silence": Fault(instead={"CONNECT": HANG}, expected=SERVER),
    "banner_dropped": Fault(instead={"CONNECT": DROP}, expected=SERVER),
    "banner_closed": Fault(instead={"CONNECT": CLOSE}, expected=SERVER),
    "banner_endless": Fault(instead={"CONNECT": "\r\n".join(["220-x" * 100] * 400)}, expected=SERVER),
    "ehlo_421": Fault(instead={"EHLO": "421 4.3.2 shutting down"}, expected=SERVER),
    "ehlo_dropped": Fault(instead={"EHLO": DROP}, expected=SERVER),
    "ehlo_silence": Fault(instead={"EHLO": HANG}, expected=SERVER),
    "ehlo_504": Fault(instead={"EHLO": "504 no", "HELO": "504 5.5.2 no such host"}, expected=Misconfigured()),
    "ehlo_unknown": Fault(
        instead={"EHLO": "502 what"}, script={"tls": "none"}, transport={"user": None}, expected=Sent()
    ),
    "ehlo_unknown_and_tls_wanted": Fault(instead={"EHLO": "502 what"}, expected=Misconfigured()),
    "starttls_missing": Fault(script={"tls": "none"}, transport={"tls": Tls.STARTTLS}, expected=Misconfigured()),
    "starttls_454": Fault(instead={"STARTTLS": "454 4.7.0 not now"}, expected=SERVER),
    "starttls_502": Fault(instead={"STARTTLS": "502 5.5.1 no"}, expected=Misconfigured()),
    "starttls_dropped": Fault(instead={"STARTTLS": DROP}, expected=SERVER),
    "starttls_broken": Fault(certificate="none", expected=Misconfigured()),
    "starttls_with_words_slipped_in_behind": Fault(
        instead={"STARTTLS": "220 go ahead\r\n250 mail.evil.example"}, expected=Sent()
    ),
    "certificate_of_another_name": Fault(certificate="other name", expected=Misconfigured()),
    "certificate_of_an_unknown_authority": Fault(certificate="other authority", expected=Misconfigured()),
    "certificate_expired": Fault(certificate="expired", expected=Misconfigured()),
    "implicit_certificate_of_another_name": Fault(
        certificate="other name", script={"tls": "implicit"}, expected=Misconfigured()
    ),
    "implicit_certificate_of_an_unknown_authority": Fault(
        certificate="other authority", script={"tls": "implicit"}, expected=Misconfigured()
    ),
    "implicit_tls_to_a_plain_port": Fault(
        script={"tls": "none"}, transport={"tls": Tls.IMPLICIT}, expected=Misconfigured()
    ),
    "implicit_dropped": Fault(instead={"CONNECT": DROP}, script={"tls": "implicit"}, expected=SERVER),
    "auth_535": Fault(instead={"AUTH": "535 5.7.8 wrong"}, expected=Misconfigured()),
    "auth_534": Fault(instead={"AUTH": "534 5.7.9 too weak"}, expected=Misconfigured()),
    "auth_454": Fault(instead={"AUTH": "454 4.7.0 directory is down"}, expected=SERVER),
    "auth_dropped": Fault(instead={"AUTH": DROP}, expected=SERVER),
    "auth_not_offered": Fault(script={"login": False}, expected=Misconfigured()),
    "mail_451": Fault(instead={"MAIL": "451 4.3.0 later"}, expected=SERVER),
    "mail_452": Fault(instead={"MAIL": "452 4.3.1 no room"}, expected=SERVER),
    "mail_530": Fault(instead={"MAIL": "530 5.7.0 log in first"}, expected=Misconfigured()),
    "mail_550": Fault(instead={"MAIL": "550 5.7.1 not this sender"}, expected=Refused(ours=True)),
    "mail_552": Fault(instead={"MAIL": "552 5.3.4 too big"}, expected=Shrink(limit=None)),
    "mail_dropped": Fault(instead={"MAIL": DROP}, expected=SERVER),
    "rcpt_421": Fault(instead={"RCPT": "421 4.3.2 shutting down"}, expected=MAIL),
    "rcpt_450": Fault(instead={"RCPT": "450 4.2.1 greylisted"}, expected=MAIL),
    "rcpt_452": Fault(instead={"RCPT": "452 4.2.2 mailbox full"}, expected=MAIL),
    "rcpt_550": Fault(instead={"RCPT": "550 5.1.1 unknown"}, expected=Dead()),
    "rcpt_551": Fault(instead={"RCPT": "551 5.1.6 moved"}, expected=Dead()),
    "rcpt_552": Fault(instead={"RCPT": "552 5.2.2 mailbox full"}, expected=MAIL),
    "rcpt_553": Fault(instead={"RCPT": "553 5.1.3 bad name"}, expected=Dead()),
    "rcpt_530": Fault(instead={"RCPT": "530 5.7.0 log in first"}, expected=Misconfigured()),
    "rcpt_dropped": Fault(instead={"RCPT": DROP}, expected=MAIL),
    "rcpt_garbage": Fault(instead={"RCPT": "?!"}, expected=MAIL),
    "data_451": Fault(instead={"DATA": "451 4.3.0 later"}, expected=MAIL),
    "rcpt_554": Fault(instead={"RCPT": "554 5.7.1 relay access denied"}, expected=Refused(ours=False)),
    "rcpt_504": Fault(instead={"RCPT": "504 5.5.2 need fully-qualified hostname"}, expected=Misconfigured()),
    "data_554": Fault(instead={"DATA": "554 5.7.1 no"}, expected=Refused(ours=False)),
    "data_dropped": Fault(instead={"DATA": DROP}, expected=MAIL),
    "dot_451": Fault(instead={".": "451 4.7.1 scanner is down"}, expected=MAIL),
    "dot_552": Fault(instead={".": "552 5.3.4 too big"}, expected=Shrink(limit=None)),
    "dot_554": Fault(instead={".": "554 5.6.0 looks like spam"}, expected=Dead()),
    "dot_554_send_as": Fault(instead={".": "554 5.2.252 SendAsDenied"}, expected=Refused(ours=True)),
    "dot_550_in_lines": Fault(instead={".": "550-5.7.26 blocked\r\n550 5.7.26 see there"}, expected=Refused(ours=True)),
    "dot_dropped": Fault(instead={".": DROP}, expected=MAIL),
    "dot_closed": Fault(instead={".": CLOSE}, expected=MAIL),
    "dot_silence": Fault(instead={".": HANG}, expected=MAIL),
    "dot_garbage": Fault(instead={".": "\xff\xfe"}, expected=MAIL),
    "size_100": Fault(script={"extensions": ("SIZE 100",)}, expected=Shrink(limit=100)),
    "size_without_a_number": Fault(script={"extensions": ("SIZE",)}, expected=Sent()),
    "size_0": Fault(script={"extensions": ("SIZE 0",)}, expected=Sent()),
    "no_smtputf8": Fault(script={"extensions": ()}, recipient="josé@client.example", expected=Dead()),
    "smtputf8": Fault(recipient="josé@client.example", expected=Sent()),
    "slow": Fault(script={"seconds_a_byte": 0.01}, transport={"session_seconds": 0.5}, expected=MAIL),
    "quit_dropped": Fault(instead={"QUIT": DROP}, expected=Sent()),
    "quit_closed": Fault(instead={"QUIT": CLOSE}, expected=Sent()),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, ssl.SSLContext | None]]:
    """The file of the authority that is trusted, and certificates by what is the matter with them."""
    ours, others = trustme.CA(), trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    ours.cert_pem.write_to_path(path)
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    leaves = {
        "good": ours.issue_cert("localhost"),
        "other name": ours.issue_cert("mail.example.com"),
        "other authority": others.issue_cert("localhost"),
        "expired": ours.issue_cert("localhost", not_before=past, not_after=past + dt.timedelta(days=30)),
    }
    contexts: dict[str, ssl.SSLContext | None] = {"none": None}
    for name, leaf in leaves.items():
        contexts[name] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
    return path, contexts


def transport(fault: Fault, server: ScriptedServer, ca_file: Path) -> SmtpTransport:
    offered = fault.script.get("tls", "starttls")
    made = SmtpTransport(
        host="localhost",
        port=server.port,
        tls=Tls(str(offered)),
        user="robot",
        password="s3cret",
        ca_file=ca_file,
        connect_tries=1,
    )
    return dataclasses.replace(made, **(IN_TIME | dict(fault.transport)))  # type: ignore[arg-type]


async def outcome(sender: SmtpTransport, recipient: str) -> FailureMeaning | Sent:
    """The class of the failure; what is stored of it names neither the recipient nor the password."""
    mail = LeasedMail(
        id=1,
        message_id="<1234@parking.example>",
        recipient=recipient,
        client="acme",
        letter=LETTER,
        created_at=NOW,
        tries=0,
        next_try_at=NOW,
    )
    message = build(mail, ADDRESSES.admin, Packed(packing=Packing.FILES, files=(("x.failed.csv", b"uid\r\nU1\r\n"),)))
    try:
        await sender.send(message, recipient)
    except SendError as error:
        failure = error.failure
    else:
        return Sent()
    assert not any(secret in repr(failure) for secret in ("registrar", "s3cret"))
    return classify(failure)


def test_there_are_thirty_faults_or_more() -> None:
    assert sum(fault.expected != Sent() for fault in FAULTS.values()) >= 30


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_of_its_class_and_nothing_leaks_in_clear(
    name: str, authority: tuple[Path, dict[str, ssl.SSLContext | None]]
) -> None:
    fault, (ca_file, certificates) = FAULTS[name], authority
    script = Script(instead=fault.instead, certificate=certificates[fault.certificate])
    script = dataclasses.replace(script, **dict(fault.script))  # type: ignore[arg-type]
    async with scripted_server(script) as server:
        sender = transport(fault, server, ca_file)
        assert await outcome(sender, fault.recipient) == fault.expected
    if sender.tls is not Tls.NONE:
        assert not server.heard_in_clear & {*SECRET}
    assert len(server.contents) <= 1


@pytest.mark.parametrize(
    ("instead", "tries", "sessions"),
    [
        ({}, 3, 1),
        ({"RCPT": "450 4.2.1 greylisted"}, 3, 1),
        ({"DATA": DROP}, 3, 1),
        ({".": DROP}, 3, 1),
        ({"CONNECT": "421 4.3.2 too busy"}, 3, 1),
        ({"CONNECT": DROP}, 1, 1),
        ({"CONNECT": DROP}, 2, 2),
    ],
)
async def test_an_attempt_connects_again_only_before_a_mail_begins_and_names_one_recipient(
    authority: tuple[Path, dict[str, ssl.SSLContext | None]],
    instead: Mapping[Moment, str],
    tries: int,
    sessions: int,
) -> None:
    ca_file, certificates = authority
    async with scripted_server(Script(instead=instead, certificate=certificates["good"])) as server:
        sender = transport(Fault(expected=Sent(), transport={"connect_tries": tries}), server, ca_file)
        await outcome(sender, RECIPIENT)
    verbs = [line.split(maxsplit=1)[0].upper() for _, line in server.heard if line.strip()]
    assert server.sessions == sessions
    assert verbs.count("RCPT") <= verbs.count("MAIL") <= 1


@pytest.mark.parametrize("tls", Tls)
async def test_nobody_listening_is_an_outage_of_the_server(tls: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sender = SmtpTransport(host="127.0.0.1", port=port, tls=tls, connect_tries=1)
    assert await outcome(sender, RECIPIENT) == SERVER


async def test_a_name_that_does_not_exist_is_an_outage_of_the_server() -> None:
    sender = SmtpTransport(host="mail.invalid", port=25, tls=Tls.NONE, connect_tries=1)
    assert await outcome(sender, RECIPIENT) == SERVER

"""What goes over the wire, and what every kind of failure is called."""

import asyncio
import contextlib
import dataclasses
import io
import os
import socket
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifier.messages import Message, build, encode
from notifier.model import Attachment, Failure, LeasedMail, Letter, Report, SendError, Stage
from notifier.packing import LARGEST, Packed, Packing, pack
from notifier.retrying import classify
from notifier.smtp import FolderTransport, SmtpTransport, Tls, hello_name, without_addresses
from tests.mailing import ADDRESSES, LETTERS, NOTES, NOW, REPORT, failed_rows
from tests.servers.scripted_smtp import Script, scripted_server
from tests.servers.smtp import Faults, Login, Security, SmtpServer, smtp_server

RECIPIENT = "registrar@client.example"
LOGIN = ("robot", "s3cret")
ALLOWED_HEADERS = {
    "From",
    "Reply-To",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
    "Content-Language",
    "Content-Transfer-Encoding",
}


def stored(letter: Letter, **changes: object) -> LeasedMail:
    mail = LeasedMail(
        id=1,
        message_id="<1234@parking.example>",
        recipient=RECIPIENT,
        client="acme",
        letter=letter,
        created_at=NOW,
        tries=0,
        next_try_at=NOW,
    )
    return dataclasses.replace(mail, **changes)  # type: ignore[arg-type]


MAIL = stored(LETTERS.to_client([failed_rows()], NOW))
MESSAGE = build(MAIL, ADDRESSES.admin, Packed(packing=Packing.FILES, files=(("students.failed.csv", REPORT),)))


def transport(server: SmtpServer, tls: Tls = Tls.STARTTLS, **changes: object) -> SmtpTransport:
    made = SmtpTransport(host="localhost", port=server.port, tls=tls, ca_file=server.ca_file, connect_tries=1)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


async def failure(sender: SmtpTransport, message: Message = MESSAGE, recipient: str = RECIPIENT) -> Failure:
    with pytest.raises(SendError) as caught:
        await sender.send(message, recipient)
    return caught.value.failure


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., SmtpServer]]:
    with contextlib.ExitStack() as stack:

        def begin(security: Security = "starttls", login: Login | None = None, **faults: object) -> SmtpServer:
            made = Faults(**faults)  # type: ignore[arg-type]
            return stack.enter_context(smtp_server(tmp_path, security=security, login=login, faults=made))

        yield begin


@contextlib.asynccontextmanager
async def scripted(*replies: str) -> AsyncIterator[int]:
    """A server that says these replies in order whatever it hears, and then closes."""

    ended: list[asyncio.Event] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(end := asyncio.Event())
        with contextlib.suppress(ConnectionError):
            for reply in replies:
                writer.write(reply.encode() + b"\r\n")
                await writer.drain()
                await reader.readline()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        end.set()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for end in ended:
            await end.wait()


@pytest.mark.parametrize(
    ("security", "tls", "login"),
    [
        ("starttls", Tls.STARTTLS, None),
        ("starttls", Tls.STARTTLS, LOGIN),
        ("implicit", Tls.IMPLICIT, LOGIN),
        ("none", Tls.NONE, None),
    ],
)
async def test_a_mail_arrives(
    start: Callable[..., SmtpServer], security: Security, tls: Tls, login: Login | None
) -> None:
    server = start(security, login)
    user, password = login or (None, None)
    await transport(server, tls, user=user, password=password).send(MESSAGE, RECIPIENT)
    (mail,) = server.wait_for(1)
    assert (mail.sender, mail.recipients) == (ADDRESSES.admin, (RECIPIENT,))
    assert mail.encrypted is (tls is not Tls.NONE)
    assert mail.user == user


async def test_the_report_arrives_byte_for_byte(smtp: SmtpServer) -> None:
    await transport(smtp).send(MESSAGE, RECIPIENT)
    received = message_from_bytes(smtp.wait_for(1)[0].data, policy=default)
    (attachment,) = received.iter_attachments()
    assert attachment["Content-Type"] == 'text/csv; charset="utf-8"'
    assert attachment.get_filename() == "students.failed.csv"
    assert attachment.get_payload(decode=True) == REPORT


async def test_headers_are_ours_and_say_that_a_machine_wrote(smtp: SmtpServer) -> None:
    await transport(smtp).send(MESSAGE, RECIPIENT)
    received = message_from_bytes(smtp.wait_for(1)[0].data, policy=default)
    assert set(received.keys()) <= ALLOWED_HEADERS
    assert received["From"] == received["Reply-To"] == ADDRESSES.admin
    assert received["To"] == RECIPIENT
    assert received["Message-ID"] == MAIL.message_id
    assert received["Auto-Submitted"] == "auto-generated"
    assert received["X-Auto-Response-Suppress"] == "All"


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=100)
    | st.builds("=?utf-8?q?x=0D=0A{}?=".format, st.text(max_size=40))
    | st.binary(max_size=80).map(lambda name: name.decode("utf-8", "surrogateescape"))
)
def test_no_file_name_shapes_the_headers(name: str) -> None:
    letter = LETTERS.to_client([failed_rows(file=name, client=name, report=name, archive=name)], NOW)
    files = tuple((attachment.filename, REPORT) for attachment in letter.attachments)
    wire = encode(build(stored(letter), ADDRESSES.admin, Packed(packing=Packing.FILES, files=files)))
    received = message_from_bytes(wire, policy=default)
    assert set(received.keys()) <= ALLOWED_HEADERS
    assert wire.isascii()
    assert max(map(len, wire.splitlines())) < 998


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"greeting": "421 4.3.2 later"}, (Stage.CONNECT, 421, False)),
        ({"greeting": "554 5.3.2 no"}, (Stage.CONNECT, 554, False)),
        ({"greeting": "hello?"}, (Stage.CONNECT, None, False)),
        ({"sender": "452 4.3.1 no room"}, (Stage.SENDER, 452, False)),
        ({"sender": "552 5.3.4 too big"}, (Stage.SENDER, 552, False)),
        ({"sender": "530 5.7.0 log in first"}, (Stage.SENDER, 530, False)),
        ({"recipients": {"*": "450 4.2.1 busy"}}, (Stage.RECIPIENT, 450, False)),
        ({"recipients": {"*": "550 5.1.1 unknown"}}, (Stage.RECIPIENT, 550, False)),
        ({"data": "451 4.3.0 later"}, (Stage.CONTENT, 451, False)),
        ({"data": "554 5.6.0 no"}, (Stage.CONTENT, 554, False)),
        ({"drop_at_data": True}, (Stage.CONTENT, None, False)),
        ({"drop_after_data": True}, (Stage.CONTENT, None, False)),
        ({"lose_reply": True}, (Stage.CONTENT, None, False)),
    ],
)
async def test_a_fault_has_a_name(
    start: Callable[..., SmtpServer], faults: dict[str, object], expected: tuple[Stage, int | None, bool]
) -> None:
    found = await failure(transport(start(**faults)))
    assert (found.stage, found.code, found.unfit) == expected


async def test_a_hanging_server_is_left_after_the_time_for_the_final_dot(start: Callable[..., SmtpServer]) -> None:
    found = await failure(transport(start(hang_after_data=True), final_dot_seconds=0.2))
    assert (found.stage, found.code) == (Stage.CONTENT, None)


async def test_a_delivery_that_is_cancelled_closes_its_connection(start: Callable[..., SmtpServer]) -> None:
    server = start(hang_after_data=True)
    sending = asyncio.create_task(transport(server).send(MESSAGE, RECIPIENT))
    await asyncio.to_thread(server.wait_for, 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_one_deadline_ends_the_whole_session(start: Callable[..., SmtpServer]) -> None:
    found = await failure(transport(start(hang_after_data=True), session_seconds=0.5))
    assert str(found.text) == "the session took too long"


@pytest.mark.parametrize("answered", [1, 2, 3, 4, 5])
async def test_a_reply_that_comes_together_with_the_deadline_gives_no_command_more_time(answered: int) -> None:
    """The last answer comes in the turn of the loop in which the deadline falls; then the server is silent."""
    loop, seconds = asyncio.get_running_loop(), 0.3
    ends_at = loop.time() + seconds
    sessions: list[asyncio.StreamWriter] = []
    replies = ("220 hi", "250 mail.example.com", "250 ok", "250 2.1.5 ok", "354 go")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies[:answered]:
            writer.write(f"{reply}\r\n".encode())
            if reply is not replies[answered - 1]:
                await reader.readline()
        while loop.time() < ends_at + 0.1:
            """The loop does nothing else."""
        sessions.append(writer)  # it stays open

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        sender = SmtpTransport(
            host="127.0.0.1",
            port=server.sockets[0].getsockname()[1],
            tls=Tls.NONE,
            connect_tries=1,
            session_seconds=seconds,
        )
        found = await failure(sender)
        for session in sessions:
            session.close()
    assert str(found.text) == "the session took too long"


async def test_nobody_listening_is_a_failure_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sender = SmtpTransport(host="127.0.0.1", port=port, tls=Tls.NONE, connect_tries=2)
    assert (await failure(sender)).stage is Stage.CONNECT


@pytest.mark.parametrize(("security", "tls"), [("starttls", Tls.STARTTLS), ("implicit", Tls.IMPLICIT)])
async def test_an_unknown_authority_is_unfit_and_no_mail_is_sent(
    start: Callable[..., SmtpServer], security: Security, tls: Tls
) -> None:
    server = start(security, LOGIN)
    found = await failure(transport(server, tls, ca_file=None, user="robot", password="s3cret"))
    assert (found.stage, found.unfit) == (Stage.TLS, True)
    assert server.received == []


async def test_implicit_tls_to_a_plain_port_is_unfit(start: Callable[..., SmtpServer]) -> None:
    found = await failure(transport(start("none"), Tls.IMPLICIT))
    assert (found.stage, found.unfit) == (Stage.TLS, True)


async def test_starttls_that_is_not_offered_is_unfit(start: Callable[..., SmtpServer]) -> None:
    server = start("none")
    found = await failure(transport(server, Tls.STARTTLS))
    assert (found.stage, found.unfit) == (Stage.TLS, True)
    assert server.received == []


async def test_starttls_that_is_busy_is_not() -> None:
    async with scripted("220 hi", "250-hi\r\n250 STARTTLS", "454 4.7.0 later") as port:
        sender = SmtpTransport(host="127.0.0.1", port=port, connect_tries=1)
        found = await failure(sender)
    assert (found.stage, found.code, found.unfit) == (Stage.TLS, 454, False)


@pytest.mark.parametrize(("reply", "code"), [("535 5.7.8 wrong", 535), ("454 4.7.0 later", 454)])
async def test_a_refused_login_has_its_code(start: Callable[..., SmtpServer], reply: str, code: int) -> None:
    found = await failure(transport(start(login=LOGIN), user="robot", password="wrong"))
    assert (found.stage, found.code) == (Stage.LOGIN, 535)
    server = start(login=LOGIN)
    server.faults = Faults(login=reply)
    found = await failure(transport(server, user="robot", password="s3cret"))
    assert (found.stage, found.code) == (Stage.LOGIN, code)


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        ("250-hi\r\n250 AUTH XOAUTH2 OAUTHBEARER", "it offers only XOAUTH2, OAUTHBEARER, which userdrop does not know"),
        ("250 hi", "the server offers no login on this port and with this encryption"),
    ],
)
async def test_a_server_that_takes_no_password_is_told_as_such(offered: str, said: str) -> None:
    async with scripted("220 hi", offered) as port:
        sender = SmtpTransport(host="127.0.0.1", port=port, tls=Tls.NONE, user="robot", password="x", connect_tries=1)
        found = await failure(sender)
    assert (found.stage, found.code, found.unfit) == (Stage.LOGIN, None, True)
    assert said in str(found.text)


@pytest.mark.parametrize(
    ("machine", "sender", "name"),
    [
        ("drop.example.org", "admin@parking.example", "drop.example.org"),
        ("drop", "admin@parking.example", "parking.example"),
        ("localhost", "admin@parking.example", "parking.example"),
        ("localhost.localdomain", "admin@parking.example", "parking.example"),
        ("drop", "admin@müller.example", "xn--mller-kva.example"),
        ("drop", "admin@localhost", "drop"),
        ("drop", "admin@..", "drop"),
        ("ünknown", "", "localhost"),
        ("two words.example.org", "admin@parking.example", "parking.example"),
    ],
)
def test_a_name_with_a_domain_is_given_in_ehlo(machine: str, sender: str, name: str) -> None:
    assert hello_name(machine, sender) == name


async def test_the_name_of_the_settings_is_given_in_ehlo() -> None:
    async with scripted_server(Script(tls="none", login=False)) as server:
        await SmtpTransport(
            host="127.0.0.1", port=server.port, tls=Tls.NONE, hello="drop.example.org", connect_tries=1
        ).send(MESSAGE, RECIPIENT)
    assert server.heard[0][1] == "EHLO drop.example.org\r\n"


async def test_a_probe_names_senders_and_recipients_and_sends_nothing(start: Callable[..., SmtpServer]) -> None:
    server = start(recipients={"x@x.example": "550 5.7.1 relay denied"}, senders={"c@x.example": "553 5.7.1 not owned"})
    reached = await transport(server).probe(
        {
            "good": (ADDRESSES.admin, RECIPIENT),
            "bad": (ADDRESSES.admin, "x@x.example"),
            "own": ("c@x.example", RECIPIENT),
        }
    )
    found = {name: (failure.stage, failure.code, failure.enhanced) for name, failure in reached.refused.items()}
    assert found == {"bad": (Stage.RECIPIENT, 550, "5.7.1"), "own": (Stage.SENDER, 553, "5.7.1")}
    assert server.received == []


async def test_a_server_without_ehlo_gets_its_mail() -> None:
    replies = ("220 hi", "502 what", "250 hi", "250 ok", "250 ok", "354 go")
    async with scripted(*replies) as port:
        sender = SmtpTransport(host="127.0.0.1", port=port, tls=Tls.NONE, connect_tries=1)
        assert (await failure(sender)).stage is Stage.CONTENT


async def test_a_message_over_the_servers_size_is_not_begun(tmp_path: Path) -> None:
    with smtp_server(tmp_path, size_limit=1000) as server:
        found = await failure(transport(server))
    assert (found.stage, found.limit) == (Stage.SIZE, 1000)


async def test_a_login_without_tls_is_refused_except_on_loopback() -> None:
    with pytest.raises(ValueError, match="TLS"):
        SmtpTransport(host="mail.example.com", port=25, tls=Tls.NONE, user="robot", password="s3cret")
    SmtpTransport(host="127.0.0.1", port=25, tls=Tls.NONE, user="robot", password="s3cret")


def test_the_password_is_not_shown() -> None:
    assert "s3cret" not in repr(SmtpTransport(host="mail.example.com", port=587, user="robot", password="s3cret"))


async def test_an_address_beyond_ascii_needs_smtputf8(smtp: SmtpServer) -> None:
    mail = dataclasses.replace(MAIL, recipient="josé@client.example")
    message = build(mail, ADDRESSES.admin, Packed(packing=Packing.FILES))
    await transport(smtp).send(message, mail.recipient)
    assert smtp.wait_for(1)[0].recipients == ("josé@client.example",)
    async with scripted("220 hi", "250 hi") as port:
        sender = SmtpTransport(host="127.0.0.1", port=port, tls=Tls.NONE, connect_tries=1)
        found = await failure(sender, message, mail.recipient)
    assert (found.stage, found.unfit) == (Stage.RECIPIENT, True)


@pytest.mark.parametrize("recipient", ["two words@x.example", "a@x.example>\r\nRCPT TO:<b@x.example", "<>", ""])
async def test_an_impossible_address_fails_alone(smtp: SmtpServer, recipient: str) -> None:
    found = await failure(transport(smtp), recipient=recipient)
    assert found.stage is Stage.RECIPIENT
    assert smtp.received == []


def test_what_a_server_says_loses_its_addresses() -> None:
    said = "550 5.1.1 <ana@client.example>: Recipient ana@client.example rejected\r\nBcc: x"
    assert without_addresses(said) == "550 5.1.1 <(address)>: Recipient (address) rejected  Bcc: x"


def _report(directory: Path, name: str, content: bytes) -> Report:
    bak = directory / "bak"
    bak.mkdir(exist_ok=True)
    (bak / name).write_bytes(content)
    attachment = Attachment(claim_id=name, filename=f"{name}.failed.csv")
    return Report(attachment=attachment, directory=directory, places=(bak / name,), in_bak=f"{name}.failed.csv")


def test_large_reports_are_zipped_and_larger_ones_are_named(tmp_path: Path) -> None:
    reports = [_report(tmp_path, "a", b"unique_id\r\n" * 10_000), _report(tmp_path, "b", b"x")]
    files = pack(MAIL, reports, NOTES, largest=LARGEST, at_least=Packing.FILES)
    assert [name for name, _ in files.files] == ["a.failed.csv", "b.failed.csv"]
    zipped = pack(MAIL, reports, NOTES, largest=50_000, at_least=Packing.FILES)
    ((name, content),) = zipped.files
    assert (zipped.packing, name) == (Packing.ZIP, "failed.zip")
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["a.failed.csv", "b.failed.csv"]
    nothing = pack(MAIL, reports, NOTES, largest=1000, at_least=Packing.FILES)
    assert nothing.files == ()
    assert "bak/a.failed.csv, bak/b.failed.csv" in nothing.note


@pytest.mark.parametrize("kind", ["link to a file", "link to its folder", "second name", "pipe", "folder"])
def test_a_report_that_is_not_a_plain_file_of_ours_is_not_mailed(tmp_path: Path, kind: str) -> None:
    secret, bak = tmp_path / "elsewhere" / "a", tmp_path / "bak"
    secret.parent.mkdir()
    secret.write_bytes(b"a secret")
    if kind == "link to its folder":
        bak.symlink_to(secret.parent)
    else:
        bak.mkdir()
        makers: dict[str, Callable[[], object]] = {
            "link to a file": lambda: (bak / "a").symlink_to(secret),
            "second name": lambda: (bak / "a").hardlink_to(secret),
            "pipe": lambda: os.mkfifo(bak / "a"),
            "folder": (bak / "a").mkdir,
        }
        makers[kind]()
    attachment = Attachment(claim_id="a", filename="a.failed.csv")
    report = Report(attachment=attachment, directory=tmp_path, places=(bak / "a",), in_bak="a")
    assert pack(MAIL, [report], NOTES, largest=LARGEST, at_least=Packing.FILES, waits=False).files == ()


@pytest.mark.parametrize("largest", [20_000, 60_000, 200_000, 500_000])
def test_a_message_stays_within_its_size(tmp_path: Path, largest: int) -> None:
    rows = b"".join(b'U%d,"%s"\r\n' % (n, os.urandom(40).hex().encode()) for n in range(2000))
    reports = [_report(tmp_path, "a", b"unique_id,city\r\n" + rows)]
    packed = pack(MAIL, reports, NOTES, largest=largest, at_least=Packing.FILES)
    assert len(encode(build(MAIL, ADDRESSES.admin, packed))) <= largest


def test_each_packing_is_another_message(tmp_path: Path) -> None:
    reports = [_report(tmp_path, "a", b"x\r\ny\r\n")]
    sizes = {
        len(encode(build(MAIL, ADDRESSES.admin, pack(MAIL, reports, NOTES, largest=LARGEST, at_least=least))))
        for least in Packing
    }
    assert len(sizes) == len(Packing)


def _contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


async def test_a_folder_receives_whole_files_with_names_of_ours(tmp_path: Path) -> None:
    folder = FolderTransport(directory=tmp_path)
    await folder.send(MESSAGE, RECIPIENT)
    await folder.send(MESSAGE, RECIPIENT)
    assert _contents(tmp_path) == {"20260301T143307Z-1234.eml": encode(MESSAGE)}


async def test_a_missing_folder_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(SendError) as caught:
        await FolderTransport(directory=tmp_path / "missing").send(MESSAGE, RECIPIENT)
    assert caught.value.failure.stage is Stage.FOLDER
    classify(caught.value.failure)

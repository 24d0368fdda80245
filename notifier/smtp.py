"""How a message leaves: to a mail server, or into a folder. Every failure is a SendError that says how far it came."""

import asyncio
import datetime as dt
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parseaddr, parsedate_to_datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Protocol

import aiosmtplib
import tenacity

from importer.durability import fsync_directory
from importer.words.details import detail, os_error_detail
from notifier.loopback import is_loopback
from notifier.messages import Message, encode
from notifier.model import Failure, SendError, Stage
from notifier.refusing import enhanced_in
from notifier.safety import safe_text

CONNECT_SECONDS = 30.0
COMMAND_SECONDS = 60.0
FINAL_DOT_SECONDS = 600.0
SESSION_SECONDS = 720.0
"""One deadline over the session; with the wait for SQLite's lock it stays within `outbox.LEASE`."""

_SET_UP_FAILURES = (ConnectionRefusedError, ConnectionResetError, aiosmtplib.SMTPServerDisconnected)
"""Causes for which another connection is tried within the attempt: nothing of a message was sent yet."""


class Transport(Protocol):
    """Takes one message to one recipient."""

    async def send(self, message: Message, recipient: str) -> None:
        """Return when somebody else is responsible for the message.

        Raises:
            SendError: nobody is, as far as we know.
        """


class Tls(StrEnum):
    """How the connection is encrypted; the certificate is always verified."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What a mail server says before a mail.

    Attributes:
        largest: its largest message in bytes.
        certificate_until: until when its certificate is valid.
        refused: of the senders and recipients that were asked for, those that it refuses.
    """

    largest: int | None
    certificate_until: dt.datetime | None
    refused: Mapping[str, Failure]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpTransport:
    """A mail server.

    Attributes:
        host: also the name that its certificate must have.
        port: 587 for starttls, 465 for implicit and 25 for none are usual.
        user: None to send without a login.
        ca_file: trusted instead of the system's authorities.
        hello: our name for EHLO; by default that of this machine, or the sender's domain where that has none.

    Raises:
        ValueError: a login without TLS, other than on loopback.
    """

    host: str
    port: int
    tls: Tls = Tls.STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    hello: str | None = None
    connect_tries: int = 3
    connect_seconds: float = CONNECT_SECONDS
    command_seconds: float = COMMAND_SECONDS
    final_dot_seconds: float = FINAL_DOT_SECONDS
    session_seconds: float = SESSION_SECONDS

    def __post_init__(self) -> None:
        if self.user is not None and self.tls is Tls.NONE and not is_loopback(self.host):
            message = "a login is only sent over TLS: choose starttls or implicit"
            raise ValueError(message)

    async def send(self, message: Message, recipient: str) -> None:
        """Hand the message to the server; the envelope sender is the message's From address."""
        if parseaddr(recipient)[1] != recipient or not recipient:
            raise SendError(Failure(stage=Stage.RECIPIENT, unfit=True, text=detail("not_one_address")))
        content = await asyncio.to_thread(encode, message)
        sender = message["From"]
        async with self._session(sender, Stage.CONTENT) as smtp:
            await self._transact(smtp, sender, recipient, content)

    async def probe(self, envelopes: Mapping[str, tuple[str, str]]) -> Reached:
        """Connect and log in as for a message, name senders and recipients, and leave without a message.

        Args:
            envelopes: senders and recipients, by a name for each pair of them; the first sender is also who connects.

        Raises:
            SendError: that is not possible.
            OSError: the file with the authorities cannot be used; an `ssl.SSLError` is one, too.
        """
        first = next((sender for sender, _ in envelopes.values()), "")
        async with self._session(first, Stage.CONNECT) as smtp:
            refused = {name: await _refusal(smtp, *envelope) for name, envelope in envelopes.items()}
            reached = Reached(
                largest=_largest(smtp),
                certificate_until=_certificate_until(smtp),
                refused={name: failure for name, failure in refused.items() if failure is not None},
            )
            await _quit(smtp)
        return reached

    @asynccontextmanager
    async def _session(self, sender: str, too_long: Stage) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection that is logged in, and cut at the deadline; `too_long` is the stage of a failure by that."""
        deadline = _Deadline(self.session_seconds)
        try:
            smtp = await self._connected(sender, deadline)
            yield smtp
        except SendError as error:
            if deadline.is_over():
                raise SendError(Failure(stage=too_long, text=detail("session_too_long"))) from error
            raise
        finally:
            await deadline.end()

    async def _connected(self, sender: str, deadline: "_Deadline") -> aiosmtplib.SMTP:
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.connect_tries) | tenacity.stop_after_delay(CONNECT_SECONDS),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
            retry=tenacity.retry_if_exception_cause_type(_SET_UP_FAILURES),
            reraise=True,
        )
        connected: aiosmtplib.SMTP = await retrying(self._connect, sender, deadline)
        return connected

    async def _connect(self, sender: str, deadline: "_Deadline") -> aiosmtplib.SMTP:
        """A session that is encrypted as it must be and logged in."""
        stage = Stage.CONNECT
        smtp = await asyncio.to_thread(self._client, sender)
        try:
            await smtp.connect(timeout=deadline.left(self.connect_seconds))
            deadline.cuts(smtp)
            stage = Stage.HELLO
            await _greet(smtp)
            if self.tls is Tls.STARTTLS:
                stage = Stage.TLS
                await smtp.starttls()
                stage = Stage.HELLO
                await _greet(smtp)
            if self.user is not None:
                stage = Stage.LOGIN
                _expect_login(smtp)
                await smtp.login(self.user, self.password or "")
        except (aiosmtplib.SMTPException, OSError, ValueError, SendError) as error:
            await _end(smtp)
            if isinstance(error, SendError):
                raise
            raise SendError(failure_of(error, stage)) from (error.__cause__ or error)
        except BaseException:
            await _end(smtp)
            raise
        return smtp

    def _client(self, sender: str) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            timeout=self.command_seconds,
            use_tls=self.tls is Tls.IMPLICIT,
            start_tls=False,
            tls_context=None if self.tls is Tls.NONE else _tls_context(self.ca_file),
            local_hostname=self.hello or hello_name(_machine_name(), sender),
        )

    async def _transact(self, smtp: aiosmtplib.SMTP, sender: str, recipient: str, content: bytes) -> None:
        stage = Stage.SIZE
        try:
            options = _mail_options(smtp, sender + recipient, len(content))
            encoding = "utf-8" if "SMTPUTF8" in options else "ascii"
            stage = Stage.SENDER
            await smtp.mail(sender, options=options, encoding=encoding)
            stage = Stage.RECIPIENT
            await smtp.rcpt(recipient, encoding=encoding)
            stage = Stage.CONTENT
            await smtp.data(content, timeout=self.final_dot_seconds)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise SendError(failure_of(error, stage)) from error
        await _quit(smtp)


class _Deadline:
    """The end of a session: its connection is cut, so that whatever waits for a reply hears that there is none.

    A cancellation would not do: `asyncio.wait_for` of Python 3.11, with which aiosmtplib waits, swallows one that falls
    together with a reply, and the command after it would have all of its own time.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time() + seconds
        self._smtp: aiosmtplib.SMTP | None = None
        self._cutting = self._loop.call_at(self._at, self._cut)

    def left(self, most: float) -> float:
        """The seconds until the end, or `most` where that is less."""
        return max(0.0, min(most, self._at - self._loop.time()))

    def is_over(self) -> bool:
        """Whether the end has come."""
        return self._loop.time() >= self._at

    def cuts(self, smtp: aiosmtplib.SMTP) -> None:
        """From now on this is the connection of the session."""
        self._smtp = smtp
        if self.is_over():
            self._cut()

    async def end(self) -> None:
        """The session is over in time."""
        self._cutting.cancel()
        if self._smtp is not None:
            await _end(self._smtp)

    def _cut(self) -> None:
        if self._smtp is not None and isinstance(self._smtp.transport, asyncio.WriteTransport):
            self._smtp.transport.abort()


@cache
def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies the certificate and its name; made once, because loading the authorities takes longer than a mail."""
    return ssl.create_default_context(cafile=ca_file)


@cache
def _machine_name() -> str:
    """The name of this machine, looked up once."""
    return socket.getfqdn()


def hello_name(machine: str, sender: str) -> str:
    """Our name for EHLO: many servers take none without a domain, and a machine need not have one."""
    try:
        domain = sender.rpartition("@")[2].encode("idna").decode("ascii")
    except UnicodeError:
        domain = ""
    names = [name for name in (machine, domain) if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", name)]
    with_domain = (name for name in names if "." in name and name.partition(".")[0] != "localhost")
    return next(with_domain, names[0] if names else "localhost")


async def _greet(smtp: aiosmtplib.SMTP) -> None:
    """EHLO, whose answer names the extensions; HELO for a server that knows none."""
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError:
        await smtp.helo()


def _expect_login(smtp: aiosmtplib.SMTP) -> None:
    """Go on if there is a way to log in that aiosmtplib knows.

    Raises:
        SendError: there is none, as where a server wants a token of OAuth in place of a password.
    """
    if smtp.supported_auth_methods:
        return
    offered = ", ".join(method.upper() for method in smtp.server_auth_methods)
    why = detail("login_by", methods=safe_text(offered, 100)) if offered else detail("no_login")
    raise SendError(Failure(stage=Stage.LOGIN, unfit=True, text=why))


async def _refusal(smtp: aiosmtplib.SMTP, sender: str, recipient: str) -> Failure | None:
    """What the server has against a mail from one to the other, as far as it says before the content."""
    stage = Stage.SENDER
    try:
        options = ["SMTPUTF8"] if smtp.supports_extension("smtputf8") and not (sender + recipient).isascii() else []
        encoding = "utf-8" if options else "ascii"
        await smtp.mail(sender, options=options, encoding=encoding)
        stage = Stage.RECIPIENT
        await smtp.rcpt(recipient, encoding=encoding)
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return failure_of(error, stage)
    finally:
        with suppress(aiosmtplib.SMTPException, OSError):
            await smtp.rset()
    return None


async def _quit(smtp: aiosmtplib.SMTP) -> None:
    """The message is the server's now, whatever it answers."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await smtp.execute_command(b"QUIT", timeout=5)


async def _end(smtp: aiosmtplib.SMTP) -> None:
    """Let go of the connection at once: nothing that matters is said on it any more.

    A mere close waits for the server's close_notify, and nobody is told when that is over.
    """
    transport = smtp.transport
    smtp.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
        await asyncio.sleep(0)


def _mail_options(smtp: aiosmtplib.SMTP, addresses: str, size: int) -> list[str]:
    """Options of MAIL.

    Raises:
        SendError: the server says beforehand that it will not take the message.
    """
    options = []
    if not addresses.isascii():
        if not smtp.supports_extension("smtputf8"):
            raise SendError(Failure(stage=Stage.RECIPIENT, unfit=True, text=detail("no_smtputf8")))
        options.append("SMTPUTF8")
    if smtp.supports_extension("size"):
        limit = _largest(smtp)
        if limit is not None and limit < size:
            raise SendError(Failure(stage=Stage.SIZE, limit=limit, text=detail("server_takes", limit=limit)))
        options.append(f"SIZE={size}")
    return options


def _largest(smtp: aiosmtplib.SMTP) -> int | None:
    """The server's largest message in bytes; None where it names none. Source: RFC 1870, in which 0 is no limit."""
    limit = smtp.esmtp_extensions.get("size", "").strip()
    return int(limit) if limit.isdecimal() and int(limit) > 0 else None


def _certificate_until(smtp: aiosmtplib.SMTP) -> dt.datetime | None:
    certificate = None if smtp.transport is None else smtp.transport.get_extra_info("peercert")
    if not certificate:
        return None
    return dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), dt.UTC)


def failure_of(error: Exception, stage: Stage) -> Failure:
    """What an exception of aiosmtplib 5.1.3 or of the system says, without addresses.

    A certificate failure is a bare `SSLCertVerificationError` with STARTTLS, and an `SMTPConnectError` with that cause
    with implicit TLS; a missing extension is a plain `SMTPException`; an impossible address is a `ValueError`.
    """
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) and error.code > 0 else None
    said = error.message if isinstance(error, aiosmtplib.SMTPException) else str(error)
    tls = _tls_error(error)
    kind = str(code or type(error).__name__)
    return Failure(
        stage=Stage.TLS if tls else stage,
        code=code,
        enhanced=None if code is None else enhanced_in(said),
        unfit=tls or isinstance(error, ValueError) or type(error) is aiosmtplib.SMTPException,
        text=detail("at", where=kind, why=without_addresses(f"{kind}: {said}").removeprefix(f"{kind}: ")),
    )


def _tls_error(error: BaseException) -> bool:
    """Whether the two sides cannot agree on TLS; a connection that merely ends is none."""
    causes = (error, error.__cause__)
    return any(isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError) for cause in causes)


def without_addresses(text: str) -> str:
    """What a server said, fit for the log and the queue."""
    return re.sub(r"[^\s<>:;,\"'()]+@[^\s<>:;,\"'()]+", "(address)", safe_text(text, 300))


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTransport:
    """A directory that receives each message as a file, for sites that fetch their mails."""

    directory: Path

    async def send(self, message: Message, recipient: str) -> None:
        """Write DATE-ID.eml; a message that is sent again replaces its file."""
        del recipient
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            text = detail("at", where=type(error).__name__, why=os_error_detail(error))
            raise SendError(Failure(stage=Stage.FOLDER, text=text)) from error

    def _write(self, message: Message) -> None:
        name = _file_name(message)
        draft = self.directory / f".{name}.tmp"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as target:
            target.write(encode(message))
            target.flush()
            os.fsync(target.fileno())
        draft.replace(self.directory / name)
        fsync_directory(self.directory)


def _file_name(message: Message) -> str:
    date = parsedate_to_datetime(message["Date"])
    identity = re.sub(r"[^A-Za-z0-9]", "", message["Message-ID"].partition("@")[0])
    return f"{date:%Y%m%dT%H%M%SZ}-{identity}.eml"

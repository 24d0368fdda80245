"""How a message leaves: to a mail server, or into a folder. Every failure is a SendError that says how far it came."""

import asyncio
import datetime as dt
import ipaddress
import os
import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parseaddr, parsedate_to_datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Protocol

import aiosmtplib
import tenacity

from notifier.messages import Message, encode
from notifier.model import Failure, SendError, Stage
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
    """What a mail server says before a mail: its largest message in bytes, and until when its certificate is valid."""

    largest: int | None
    certificate_until: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpTransport:
    """A mail server.

    Attributes:
        host: also the name that its certificate must have.
        port: 587 for starttls, 465 for implicit and 25 for none are usual.
        user: None to send without a login.
        ca_file: trusted instead of the system's authorities.

    Raises:
        ValueError: a login without TLS, other than on loopback.
    """

    host: str
    port: int
    tls: Tls = Tls.STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    connect_tries: int = 3
    connect_seconds: float = CONNECT_SECONDS
    command_seconds: float = COMMAND_SECONDS
    final_dot_seconds: float = FINAL_DOT_SECONDS
    session_seconds: float = SESSION_SECONDS

    def __post_init__(self) -> None:
        if self.user is not None and self.tls is Tls.NONE and not _is_loopback(self.host):
            message = "a login is only sent over TLS: choose starttls or implicit"
            raise ValueError(message)

    async def send(self, message: Message, recipient: str) -> None:
        """Hand the message to the server; the envelope sender is the message's From address."""
        if parseaddr(recipient)[1] != recipient or not recipient:
            raise SendError(Failure(stage=Stage.RECIPIENT, unfit=True, text="the recipient is not one address"))
        content = await asyncio.to_thread(encode, message)
        sender = message["From"]
        try:
            async with asyncio.timeout(self.session_seconds):
                smtp = await self._connected()
                try:
                    await self._transact(smtp, sender, recipient, content)
                finally:
                    await _end(smtp)
        except TimeoutError as error:
            raise SendError(Failure(stage=Stage.CONTENT, text="the session took too long")) from error

    async def probe(self) -> Reached:
        """Connect and log in as for a message, and leave.

        Raises:
            SendError: that is not possible.
            OSError: the file with the authorities cannot be used; an `ssl.SSLError` is one, too.
        """
        try:
            async with asyncio.timeout(self.session_seconds):
                smtp = await self._connected()
                try:
                    reached = Reached(largest=_largest(smtp), certificate_until=_certificate_until(smtp))
                    await _quit(smtp)
                finally:
                    await _end(smtp)
        except TimeoutError as error:
            raise SendError(Failure(stage=Stage.CONNECT, text="the session took too long")) from error
        return reached

    async def _connected(self) -> aiosmtplib.SMTP:
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.connect_tries) | tenacity.stop_after_delay(CONNECT_SECONDS),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
            retry=tenacity.retry_if_exception_cause_type(_SET_UP_FAILURES),
            reraise=True,
        )
        connected: aiosmtplib.SMTP = await retrying(self._connect)
        return connected

    async def _connect(self) -> aiosmtplib.SMTP:
        """A session that is encrypted as it must be and logged in."""
        stage = Stage.CONNECT
        smtp = await asyncio.to_thread(self._client)
        try:
            await smtp.connect(timeout=self.connect_seconds)
            await _greet(smtp)
            if self.tls is Tls.STARTTLS:
                stage = Stage.TLS
                await smtp.starttls()
                await _greet(smtp)
            if self.user is not None:
                stage = Stage.LOGIN
                await smtp.login(self.user, self.password or "")
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            await _end(smtp)
            raise SendError(failure_of(error, stage)) from (error.__cause__ or error)
        except BaseException:
            await _end(smtp)
            raise
        return smtp

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            timeout=self.command_seconds,
            use_tls=self.tls is Tls.IMPLICIT,
            start_tls=False,
            tls_context=None if self.tls is Tls.NONE else _tls_context(self.ca_file),
            local_hostname=_own_name(),
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


@cache
def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies the certificate and its name; made once, because loading the authorities takes longer than a mail."""
    return ssl.create_default_context(cafile=ca_file)


@cache
def _own_name() -> str:
    """Our name for EHLO, looked up once."""
    name = socket.getfqdn()
    return name if re.fullmatch(r"[A-Za-z0-9.-]+", name) else "localhost"


async def _greet(smtp: aiosmtplib.SMTP) -> None:
    """EHLO, whose answer names the extensions; HELO for a server that knows none."""
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError:
        await smtp.helo()


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
            raise SendError(Failure(stage=Stage.RECIPIENT, unfit=True, text="the server does not know SMTPUTF8"))
        options.append("SMTPUTF8")
    if smtp.supports_extension("size"):
        limit = _largest(smtp)
        if limit is not None and limit < size:
            raise SendError(Failure(stage=Stage.SIZE, limit=limit, text=f"the server takes {limit} bytes"))
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
    return Failure(
        stage=Stage.TLS if tls else stage,
        code=code,
        unfit=tls or isinstance(error, ValueError) or type(error) is aiosmtplib.SMTPException,
        text=without_addresses(f"{code or type(error).__name__}: {said}"),
    )


def _tls_error(error: BaseException) -> bool:
    """Whether the two sides cannot agree on TLS; a connection that merely ends is none."""
    causes = (error, error.__cause__)
    return any(isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError) for cause in causes)


def without_addresses(text: str) -> str:
    """What a server said, fit for the log and the queue."""
    return re.sub(r"[^\s<>:;,\"'()]+@[^\s<>:;,\"'()]+", "(address)", safe_text(text, 300))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
            text = safe_text(f"{type(error).__name__}: {error.strerror}")
            raise SendError(Failure(stage=Stage.FOLDER, text=text)) from error

    def _write(self, message: Message) -> None:
        name = _file_name(message)
        draft = self.directory / f".{name}.tmp"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640), "wb") as target:
            target.write(encode(message))
            target.flush()
            os.fsync(target.fileno())
        draft.replace(self.directory / name)
        _sync_directory(self.directory)


def _file_name(message: Message) -> str:
    date = parsedate_to_datetime(message["Date"])
    identity = re.sub(r"[^A-Za-z0-9]", "", message["Message-ID"].partition("@")[0])
    return f"{date:%Y%m%dT%H%M%SZ}-{identity}.eml"


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

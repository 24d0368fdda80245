"""A real SMTP server on a free loopback port, that misbehaves by name."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, AnyStr, Literal, NoReturn

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers import tls
from tests.servers.ports import LOOPBACK

Security = Literal["starttls", "implicit", "none"]
Login = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A mail that the server took: its envelope, its bytes, and whether the session was encrypted and logged in."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    encrypted: bool
    user: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the server does wrong. Texts are whole replies, such as "450 4.2.1 mailbox busy"."""

    greeting: str | None = None
    """said instead of the greeting; then the connection is closed"""
    login: str | None = None
    """reply to every login, right or wrong"""
    sender: str | None = None
    """reply to MAIL FROM"""
    senders: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """replies to MAIL FROM by address"""
    recipients: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """replies to RCPT TO by address; "*" stands for all others"""
    data: str | None = None
    """reply after the final dot; the mail is not taken"""
    drop_at_data: bool = False
    """cut the connection at the command DATA"""
    drop_after_data: bool = False
    """cut the connection after the final dot; the mail is lost"""
    lose_reply: bool = False
    """cut the connection after the final dot; the mail is taken"""
    hang_after_data: bool = False
    """never answer the final dot"""

    def reply_to(self, recipient: str) -> str | None:
        """Return the reply that refuses a recipient, if there is one."""
        return self.recipients.get(recipient, self.recipients.get("*"))


class SmtpServer:
    """A running server. `faults` may be replaced while it runs: the next command sees the new ones."""

    host = LOOPBACK

    def __init__(self, *, port: int, certificate: tls.Certificate, login: Login | None, faults: Faults) -> None:
        self.port = port
        self.ca_file = certificate.ca_file
        self.login = login
        self.faults = faults
        self._received: list[Received] = []
        self._changed = threading.Condition()
        self._hang_up: Callable[[], object] = lambda: None

    @property
    def received(self) -> list[Received]:
        """The mails taken so far, in order."""
        with self._changed:
            return list(self._received)

    def wait_for(self, count: int, timeout: float = 30) -> list[Received]:
        """Return all mails once there are at least `count`; TimeoutError after `timeout` seconds."""
        with self._changed:
            if self._changed.wait_for(lambda: len(self._received) >= count, timeout):
                return list(self._received)
            message = f"{len(self._received)} of {count} mails after {timeout} s: {self._received}"
            raise TimeoutError(message)

    def serves_with(self, hang_up: Callable[[], object]) -> None:
        """Tell how connections are cut."""
        self._hang_up = hang_up

    def hang_up(self) -> None:
        """Cut every connection, also one that is never answered; the server goes on listening."""
        self._hang_up()

    def take(self, mail: Received) -> None:
        """Keep a mail and wake who waits for it."""
        with self._changed:
            self._received.append(mail)
            self._changed.notify_all()


class _Hooks:
    """aiosmtpd's hooks, which decide the replies."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def handle_EHLO(  # noqa: N802 # aiosmtpd's name
        self, _smtp: SMTP, session: Session, _envelope: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if self._server.login:
            return replies
        # aiosmtpd always offers AUTH.
        return [reply for reply in replies if not reply.startswith("250-AUTH")]

    async def handle_MAIL(  # noqa: N802
        self, _smtp: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self._server.faults.sender or self._server.faults.senders.get(address)
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _smtp: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refusal = self._server.faults.reply_to(address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, smtp: "_Smtp", session: Session, envelope: Envelope) -> str:  # noqa: N802
        faults = self._server.faults
        if faults.drop_after_data:
            await smtp.drop()
        if faults.data:
            return faults.data
        self._server.take(_received(smtp, session, envelope))
        if faults.lose_reply:
            await smtp.drop()
        if faults.hang_after_data:
            await _until_cancelled()
        return "250 OK"

    def authenticate(
        self, _smtp: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: LoginPassword
    ) -> AuthResult:
        fault = self._server.faults.login
        known = self._server.login and tuple(part.encode() for part in self._server.login)
        if fault or (given.login, given.password) != known:
            return AuthResult(success=False, handled=False, message=fault)
        return AuthResult(success=True, auth_data=given)


def _received(smtp: "_Smtp", session: Session, envelope: Envelope) -> Received:
    return Received(
        sender=envelope.mail_from or "",
        recipients=tuple(envelope.rcpt_tos),
        data=envelope.original_content or b"",
        encrypted=smtp.is_encrypted(),
        user=session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else None,
    )


class _Smtp(SMTP):
    """One connection, with the faults that aiosmtpd has no hook for."""

    def __init__(self, server: SmtpServer, sessions: "set[_Smtp]", security: Security, **options: Any) -> None:  # noqa: ANN401 # aiosmtpd's own
        hooks = _Hooks(server)
        super().__init__(hooks, authenticator=hooks.authenticate, auth_require_tls=security == "starttls", **options)
        # aiosmtpd warns of a login without TLS at construction, but it can't see implicit TLS.
        self._auth_required = server.login is not None
        self._server = server
        self._sessions = sessions
        self._greeted = False
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._sessions.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._sessions.discard(self)
        self.lost.set()

    async def push(self, status: AnyStr) -> None:
        greeting, self._greeted = not self._greeted, True
        if greeting and self._server.faults.greeting:
            await super().push(self._server.faults.greeting)
            self._writer.close()
            await _until_cancelled()
        await super().push(status)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if self._server.faults.drop_at_data:
            await self.drop()
        await super().smtp_DATA(arg)

    def is_encrypted(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    async def drop(self) -> NoReturn:
        self.abort()
        await _until_cancelled()

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


async def _until_cancelled() -> NoReturn:
    """Wait for aiosmtpd to cancel the session, as it does when its connection is lost."""
    await asyncio.Event().wait()
    raise AssertionError


@contextlib.contextmanager
def smtp_server(
    tmp: Path,
    *,
    security: Security = "starttls",
    login: Login | None = None,
    faults: Faults | None = None,
    size_limit: int = 2**25,
    certificate_until: dt.datetime | None = None,
) -> Iterator[SmtpServer]:
    """Run an SMTP server in a thread.

    With `login` (user, password) a mail needs AUTH first. `size_limit` in bytes is announced as SIZE and enforced.
    The certificate's authority is written to a folder of `tmp`; clients find it as `ca_file`.
    """
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        home = Path(tempfile.mkdtemp(prefix="smtp-", dir=tmp))
        certificate = tls.issue(home, not_after=certificate_until)
        server = SmtpServer(port=port, certificate=certificate, login=login, faults=faults or Faults())
        with _serving(listener, server, certificate, security, size_limit):
            yield server


@contextlib.contextmanager
def _serving(
    listener: socket.socket, server: SmtpServer, certificate: tls.Certificate, security: Security, size_limit: int
) -> Iterator[None]:
    context = tls.server_context(certificate)
    sessions: set[_Smtp] = set()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def connection() -> _Smtp:
        return _Smtp(
            server,
            sessions,
            security,
            hostname="localhost",
            tls_context=context if security == "starttls" else None,
            data_size_limit=size_limit,
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )

    async def serve() -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        accepting = await loop.create_server(connection, sock=listener, ssl=context if security == "implicit" else None)
        server.serves_with(lambda: loop.call_soon_threadsafe(_hang_up, sessions))
        started.set_result((loop, stopping))
        await stopping.wait()
        accepting.close()
        await _abort(sessions)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name=f"smtp {server.port}")
    thread.start()
    loop, stopping = started.result(timeout=10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)


def _hang_up(sessions: "set[_Smtp]") -> None:
    for session in list(sessions):
        session.abort()


async def _abort(sessions: "set[_Smtp]") -> None:
    _hang_up(sessions)
    async with asyncio.timeout(5):
        for session in list(sessions):
            await session.lost.wait()

"""An SMTP server that follows a script to the letter, and remembers every command and whether it came encrypted."""

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Literal

from tests.servers.ports import LOOPBACK

Moment = Literal["CONNECT", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", ".", "QUIT"]
"""A command, or the connection itself, or the final dot."""

ORDINARY: Mapping[Moment, str] = {
    "CONNECT": "220 mail.example.com ESMTP",
    "HELO": "250 mail.example.com",
    "STARTTLS": "220 go ahead",
    "AUTH": "235 welcome",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go on",
    ".": "250 taken",
    "QUIT": "221 bye",
}
DROP, HANG, CLOSE = "drop", "hang", "close"
"""Instead of a reply: cut the connection by a reset, never answer, close the connection in order."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the server says.

    Attributes:
        tls: what clients are offered.
        login: whether AUTH is offered.
        extensions: in the answer to EHLO, besides STARTTLS and AUTH.
        instead: replies that differ from the ordinary ones, or DROP, HANG or CLOSE.
        certificate: for the handshake; None answers it with garbage.
        seconds_a_byte: how slowly replies come.
    """

    tls: Literal["starttls", "implicit", "none"] = "starttls"
    login: bool = True
    extensions: tuple[str, ...] = ("SIZE 33554432", "8BITMIME", "SMTPUTF8")
    instead: Mapping[Moment, str] = dataclasses.field(default_factory=dict)
    certificate: ssl.SSLContext | None = None
    seconds_a_byte: float = 0

    def reply(self, moment: Moment, *, encrypted: bool) -> str:
        """What is said at that moment."""
        if moment in self.instead:
            return self.instead[moment]
        if moment != "EHLO":
            return ORDINARY[moment]
        offered = ["mail.example.com", *self.extensions]
        offered += ["STARTTLS"] if self.tls == "starttls" and not encrypted else []
        offered += ["AUTH PLAIN"] if self.login and (encrypted or self.tls == "none") else []
        return "\r\n".join(f"250{' ' if line is offered[-1] else '-'}{line}" for line in offered)


class ScriptedServer:
    """A running server; `heard` is every line of a client, with whether it came encrypted, without the content."""

    host = LOOPBACK

    def __init__(self, script: Script) -> None:
        self.port = 0
        self.heard: list[tuple[bool, str]] = []
        self.contents: list[bytes] = []
        self._script = script
        self._sessions: set[asyncio.Task[None]] = set()

    @property
    def sessions(self) -> int:
        """How often somebody has connected."""
        return len(self._sessions)

    @property
    def heard_in_clear(self) -> set[str]:
        """The commands that came unencrypted."""
        return {line.split(maxsplit=1)[0].upper() for encrypted, line in self.heard if not encrypted and line.strip()}

    def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session; it ends with the server."""
        self._sessions.add(asyncio.create_task(self._session(reader, writer)))

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, ValueError):
            try:
                await self._talk(reader, writer)
            finally:
                writer.transport.abort()

    async def close(self) -> None:
        """End all sessions."""
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        for _ in range(3):  # an aborted connection is let go of in the turns that follow
            await asyncio.sleep(0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted = self._script.tls == "implicit"
        await self._say(writer, self._script.reply("CONNECT", encrypted=encrypted))
        while line := (await reader.readline()).decode(errors="replace"):
            self.heard.append((encrypted, line))
            verb = line.split(maxsplit=1)[0].upper() if line.strip() else ""
            if verb not in (*ORDINARY, "EHLO"):
                await self._say(writer, "500 what?")
                continue
            reply = self._script.reply(verb, encrypted=encrypted)
            await self._say(writer, reply)
            if verb == "STARTTLS" and reply.startswith("220"):
                await self._encrypt(reader, writer)
                encrypted = True
            elif verb == "DATA" and reply.startswith("354"):
                self.contents.append(await reader.readuntil(b"\r\n.\r\n"))
                await self._say(writer, self._script.reply(".", encrypted=encrypted))

    async def _encrypt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._script.certificate is None:
            await reader.read(1)
            await self._say(writer, "this is no TLS")
            await asyncio.Event().wait()
        else:
            await writer.start_tls(self._script.certificate)

    async def _say(self, writer: asyncio.StreamWriter, reply: str) -> None:
        if reply == DROP:
            writer.transport.abort()
        elif reply == CLOSE:
            writer.close()
        elif reply == HANG:
            await asyncio.Event().wait()
        elif self._script.seconds_a_byte:
            for byte in f"{reply}\r\n".encode():
                writer.write(bytes([byte]))
                await asyncio.sleep(self._script.seconds_a_byte)
        else:
            writer.write(f"{reply}\r\n".encode("latin-1"))
            await writer.drain()


@contextlib.asynccontextmanager
async def scripted_server(script: Script) -> AsyncIterator[ScriptedServer]:
    """Run a server on a free port of loopback, on the test's own loop."""
    server = ScriptedServer(script)
    context = script.certificate if script.tls == "implicit" else None
    listening = await asyncio.start_server(server.meet, LOOPBACK, 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        await server.close()

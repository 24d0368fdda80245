"""The HTTP server, which only ever reads: GET and HEAD, a few connections, small requests, nothing kept.

Without a token only requests that name this machine are answered; with one, only those that show it.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from watcher.logs import place
from watcher.web.doors import names_this_machine, shows
from watcher.web.metrics import CONTENT_TYPE
from watcher.web.page import Html
from watcher.web.readiness import Readiness

MOST_CONNECTIONS = 32
IDLE_SECONDS = 15.0
"""How long a connection may be without a request."""
LINE_BYTES = 4096
MOST_HEADERS = 64

POLICY = "Content-Security-Policy"
HEADERS = {
    "Cache-Control": "no-store",
    POLICY: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer; the page allows its own style sheet besides."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What is told; each may take a moment, and none raises where something is out."""

    metrics: Callable[[], Awaitable[bytes]]
    readiness: Callable[[], Awaitable[Readiness]]
    page: Callable[[], Awaitable[Html]]


def listening(host: str, port: int) -> socket.socket:
    """A socket that nobody else has.

    Raises:
        OSError: the address is not this machine's, or its port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


@asynccontextmanager
async def serving(listener: socket.socket, answers: Answers, *, token: str | None) -> AsyncIterator[None]:
    """Answer meanwhile. The listener is closed at the end."""
    app = web.Application(middlewares=[_guarded(token), _whatever_happens])
    app.on_response_prepare.append(_with_headers)
    app.add_routes(_routes(answers))
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_silent(),
        keepalive_timeout=IDLE_SECONDS,
        max_line_size=LINE_BYTES,
        max_field_size=LINE_BYTES,
        max_headers=MOST_HEADERS,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(lambda: _received(runner), sock=listener)
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()


def _routes(answers: Answers) -> list[web.RouteDef]:
    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        found = await answers.readiness()
        if found.is_ready:
            return web.Response(text="ready\n")
        text = "".join(f"{complaint}\n" for complaint in found.complaints)
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=text)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await answers.metrics(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def page(_: web.Request) -> web.Response:
        html = await answers.page()
        return web.Response(text=html.text, content_type="text/html", headers={POLICY: html.policy})

    return [
        web.get("/", page),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


def _guarded(token: str | None) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == "/healthz":
            return await handler(request)
        if token is None and not names_this_machine(request.headers.get(hdrs.HOST, "")):
            return web.Response(status=HTTPStatus.MISDIRECTED_REQUEST, text="ask for localhost\n")
        if token is not None and not shows(request.headers.get(hdrs.AUTHORIZATION, ""), token):
            asked = {hdrs.WWW_AUTHENTICATE: 'Basic realm="userdrop", charset="UTF-8", Bearer realm="userdrop"'}
            return web.Response(status=HTTPStatus.UNAUTHORIZED, text="show the token\n", headers=asked)
        return await handler(request)

    return guarded


@web.middleware
async def _whatever_happens(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A bug is logged by its place, as everywhere, and ends this answer only."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - files are imported without that, too
        log.error("http_failed", path=request.path, error=place(error))
        return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR, text="this could not be told\n")


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = "userdrop"
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _received(runner: web.AppRunner) -> asyncio.BaseProtocol:
    """Who serves a new connection; above the limit it is closed at once, so that none uses up the descriptors."""
    server = runner.server
    if server is None or len(server.connections) >= MOST_CONNECTIONS:
        return _Refused()
    return server()


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _silent() -> logging.Logger:
    """What strangers send that is no HTTP need not be in the log, as whoever can connect could fill it."""
    logger = logging.getLogger("userdrop.http")
    logger.disabled = True
    return logger

"""The HTTP server, which only ever reads: GET and HEAD, a few connections, small requests, nothing kept.

Without a token only requests that name this machine are answered; with one, only those that show it.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from watcher.base.accepting import WAITING_CONNECTIONS, accepting
from watcher.base.logs import place
from watcher.web.doors import names_this_machine, shows
from watcher.web.language import preferred
from watcher.web.metrics import CONTENT_TYPE
from watcher.web.page import Html
from watcher.web.readiness import Readiness

MOST_CONNECTIONS = 32
IDLE_SECONDS = 15.0
"""Seconds for which a connection may be without a request."""
LINE_BYTES = 4096
MOST_HEADERS = 64

POLICY = "Content-Security-Policy"
HEADERS = {
    "Cache-Control": "no-store",
    POLICY: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""The headers of every answer; the page allows its own style sheet besides."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The sources of the server's answers; each may take a moment, and none raises where something is out."""

    metrics: Callable[[], Awaitable[bytes]]
    readiness: Callable[[], Awaitable[Readiness]]
    page: Callable[[str], Awaitable[Html]]
    story: Callable[[str, str, str], Awaitable[Html | None]]


def listening(host: str, port: int) -> socket.socket:
    """Open a listening socket that no other process shares.

    Raises:
        OSError: the address is not this machine's, or its port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=WAITING_CONNECTIONS)


@asynccontextmanager
async def serving(listener: socket.socket, answers: Answers, *, token: str | None) -> AsyncIterator[None]:
    """Answer requests while the block runs; the listener is closed at the end."""
    app = web.Application(middlewares=[_guarded(token), _whatever_happens])
    app.on_response_prepare.append(_with_headers)
    app.add_routes(_routes(answers))
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        with listener:
            async with accepting(listener, partial(_serve, runner)):
                yield
    finally:
        await runner.cleanup()


async def _serve(runner: web.AppRunner, connection: socket.socket) -> None:
    """Serve connections; one above the limit is closed at once, so that they never use up the descriptors."""
    loop, server = asyncio.get_running_loop(), runner.server
    if server is None or len(server.connections) >= MOST_CONNECTIONS:
        connection.close()
    else:
        await loop.connect_accepted_socket(partial(_Connection, server, loop=loop), connection)


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

    async def page(request: web.Request) -> web.Response:
        language = preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))
        return _shown(await answers.page(language), language)

    async def file(request: web.Request) -> web.Response:
        language = preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))
        html = await answers.story(request.query.get("client", ""), request.query.get("name", ""), language)
        if html is None:
            return web.Response(status=HTTPStatus.NOT_FOUND, text="There is no such client, or no such name.\n")
        return _shown(html, language)

    return [
        web.get("/", page),
        web.get("/file", file),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


def _shown(html: Html, language: str) -> web.Response:
    headers = {POLICY: html.policy, hdrs.CONTENT_LANGUAGE: language, hdrs.VARY: hdrs.ACCEPT_LANGUAGE}
    return web.Response(text=html.text, content_type="text/html", headers=headers)


def _guarded(token: str | None) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == "/healthz":
            return await handler(request)
        if token is None and not names_this_machine(request.headers.get(hdrs.HOST, "")):
            return web.Response(
                status=HTTPStatus.MISDIRECTED_REQUEST, text="Only requests for localhost are answered.\n"
            )
        if token is not None and not shows(request.headers.get(hdrs.AUTHORIZATION, ""), token):
            asked = {hdrs.WWW_AUTHENTICATE: 'Basic realm="userdrop", charset="UTF-8", Bearer realm="userdrop"'}
            return web.Response(status=HTTPStatus.UNAUTHORIZED, text="This request requires a token.\n", headers=asked)
        return await handler(request)

    return guarded


@web.middleware
async def _whatever_happens(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log a bug by its place, as everywhere, and let it end this one answer only."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - files are imported without that, too
        log.error("http_failed", path=request.path, error=place(error))
        return web.Response(
            status=HTTPStatus.INTERNAL_SERVER_ERROR, text="The server failed to answer; its log says where.\n"
        )


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    _add_headers(response)


def _add_headers(response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = "userdrop"
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


class _Connection(web.RequestHandler):
    """An HTTP connection within bounds."""

    __slots__ = ()

    def __init__(self, server: web.Server, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=_silent(),
            logger=_silent(),
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=MOST_HEADERS,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may repeat what was sent
    ) -> web.StreamResponse:
        """Answer what is no HTTP without repeating any of it, and without naming the software that serves it."""
        if request.writer.output_size > 0:
            raise ConnectionError  # as aiohttp does: half an answer cannot be followed by another one
        if isinstance(exc, UnicodeError):  # aiohttp repeats some headers, and cannot where they are not UTF-8
            status = HTTPStatus.BAD_REQUEST
        response = web.Response(status=status, text="The server cannot answer this request.\n")
        _add_headers(response)
        response.force_close()
        return response


def _silent() -> logging.Logger:
    """Make a logger that drops all: whoever can connect could fill the log by sending what is no HTTP."""
    logger = logging.getLogger("userdrop.http")
    logger.disabled = True
    return logger

"""The HTTP server: who is answered, how, and what readiness says. It runs in the test's own loop, on a free port."""

import asyncio
import base64
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given as made
from hypothesis import strategies as st
from structlog.testing import capture_logs

from importer.words.details import detail
from importer.words.translating import LANGUAGES
from tests.servers.ports import LOOPBACK
from watcher.uploads.gauging import Gauges
from watcher.uploads.supervision import WatchState
from watcher.web.doors import names_this_machine, shows
from watcher.web.language import preferred
from watcher.web.page import Html
from watcher.web.readiness import Readiness, readiness
from watcher.web.serving import HEADERS, LINE_BYTES, MOST_CONNECTIONS, Answers, listening, serving

TOKEN = "0123456789abcdef"
DEAF = detail("found_late.deaf", client="acme")
READY = Readiness(complaints=())
UNREADY = Readiness(complaints=(detail("database_is_silent"), DEAF))
PATHS = ("/", "/file?client=acme&name=a.csv", "/metrics", "/readyz")


@asynccontextmanager
async def served(
    *, token: str | None = None, ready: Readiness = READY, metrics: bytes | None = b"x 1\n"
) -> AsyncIterator[aiohttp.ClientSession]:
    async def told_metrics() -> bytes:
        if metrics is None:
            message = "with a canary"
            raise RuntimeError(message)
        return metrics

    async def told_readiness() -> Readiness:
        return ready

    async def told_page(language: str) -> Html:
        return Html(text=f"<!DOCTYPE html>{language}", policy="default-src 'none'; style-src 'sha256-x'")

    async def told_story(client: str, name: str, language: str) -> Html | None:
        told = Html(text=f"{client}, {name}, {language}", policy="default-src 'none'")
        return told if client == "acme" else None

    answers = Answers(metrics=told_metrics, readiness=told_readiness, page=told_page, story=told_story)
    listener = listening(LOOPBACK, 0)
    base = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    async with (
        serving(listener, answers, token=token),
        aiohttp.ClientSession(base) as session,
    ):
        yield session


async def status(session: aiohttp.ClientSession, path: str, method: str = "GET", **headers: str) -> int:
    async with session.request(method, path, headers=headers) as response:
        await response.read()
        return response.status


# What is answered


async def test_metrics_are_prometheus_text() -> None:
    async with served() as session, session.get("/metrics") as response:
        assert (response.status, await response.read()) == (HTTPStatus.OK, b"x 1\n")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_who_is_not_ready_says_why() -> None:
    async with served() as session, session.get("/readyz") as response:
        assert (response.status, await response.text()) == (HTTPStatus.OK, "ready\n")
    async with served(ready=UNREADY) as session, session.get("/readyz") as response:
        assert response.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert await response.text() == f"The database does not answer.\n{DEAF}\n"
    async with served(ready=UNREADY) as session:
        assert await status(session, "/healthz") == HTTPStatus.OK


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("fr", "fr"),
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("en-US,en;q=0.9,fr;q=0.8", "en"),
        ("de, fr;q=0.3", "fr"),
        ("EN;q=0.2, FR ; q=0.3", "fr"),
        ("fr;q=0", "en"),
        ("*", "en"),
        ("de", "en"),
        ("", "en"),
        ("fr;q=2", "en"),
        ("\x00,;=", "en"),
    ],
)
def test_the_language_is_the_one_that_is_wanted_most(asked: str, given: str) -> None:
    assert preferred(asked) == given


@made(st.text())
def test_whatever_a_header_says_there_is_a_language(asked: str) -> None:
    assert preferred(asked) in LANGUAGES


async def test_a_browser_gets_the_page_in_its_language() -> None:
    async with served() as session, session.get("/", headers={"Accept-Language": "fr-CA"}) as response:
        assert (await response.text()).endswith("fr")
        assert (response.headers["Content-Language"], response.headers["Vary"]) == ("fr", "Accept-Language")


async def test_a_file_has_a_page_of_its_own() -> None:
    async with served() as session:
        async with session.get("/file", params={"client": "acme", "name": "a b&c.csv"}) as response:
            assert await response.text() == "acme, a b&c.csv, en"
            assert response.headers["Content-Security-Policy"] == "default-src 'none'"
        assert await status(session, "/file?client=stranger&name=a.csv") == HTTPStatus.NOT_FOUND
        assert await status(session, "/file") == HTTPStatus.NOT_FOUND


async def test_the_page_is_html_and_allows_its_own_style_only() -> None:
    async with served() as session, session.get("/") as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'sha256-x'"


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nowhere"])
async def test_every_answer_has_the_headers_that_browsers_heed(path: str) -> None:
    async with served() as session, session.get(path) as response:
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
        assert response.headers["Server"] == "userdrop"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_nothing_can_be_sent(method: str) -> None:
    async with served() as session:
        assert await status(session, "/metrics", method) == HTTPStatus.METHOD_NOT_ALLOWED
        assert await status(session, "/metrics", "HEAD") == HTTPStatus.OK


async def test_a_bug_is_logged_by_its_place_and_ends_one_answer_only() -> None:
    with capture_logs() as logs:
        async with served(metrics=None) as session:
            assert await status(session, "/metrics") == HTTPStatus.INTERNAL_SERVER_ERROR
            assert await status(session, "/readyz") == HTTPStatus.OK
    (failed,) = logs
    assert (failed["event"], failed["path"]) == ("http_failed", "/metrics")
    assert "RuntimeError in " in failed["error"]
    assert "canary" not in failed["error"]


# Who is answered


@pytest.mark.parametrize("path", PATHS)
async def test_with_a_token_nobody_else_is_told_anything_but_that_the_service_lives(path: str) -> None:
    async with served(token=TOKEN) as session:
        assert await status(session, "/healthz") == HTTPStatus.OK
        assert await status(session, path) == HTTPStatus.UNAUTHORIZED
        assert await status(session, "/nowhere") == HTTPStatus.UNAUTHORIZED
        assert await status(session, path, Authorization=f"Bearer {TOKEN}x") == HTTPStatus.UNAUTHORIZED
        assert await status(session, path, Authorization=f"Bearer {TOKEN}") == HTTPStatus.OK
        assert await status(session, path, Authorization=f"Bearer {TOKEN}", Host="drop.example") == HTTPStatus.OK


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_token_a_page_of_another_site_learns_nothing(path: str) -> None:
    async with served() as session:
        assert await status(session, path, Host="evil.example") == HTTPStatus.MISDIRECTED_REQUEST
        assert await status(session, path, Host="localhost:9464") == HTTPStatus.OK


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "is_shown"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (basic(f"anybody:{TOKEN}"), True),
        (basic(f":{TOKEN}"), True),
        (basic(TOKEN), False),
        (basic(f"{TOKEN}:"), False),
        (f"Basic {TOKEN}é", False),
        ("Basic ?", False),
        ("Bearer", False),
        ("Bearer é", False),
        ("Bearer \udce9", False),
        ("Basic \udce9", False),
        (TOKEN, False),
        (f"Digest {TOKEN}", False),
        ("", False),
    ],
)
def test_the_token_is_shown_as_a_bearers_or_as_a_password(header: str, is_shown: bool) -> None:  # noqa: FBT001
    assert shows(header, TOKEN) is is_shown


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1", "127.9.9.9:9464", "[::1]", "[::1]:9464"])
def test_these_are_names_of_this_machine(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example:80", "192.0.2.1", "[2001:db8::1]:80"])
def test_these_are_not(host: str) -> None:
    assert not names_this_machine(host)


# What strangers send


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2 * LINE_BYTES + b"\r\n\r\n",
        b"GET /" + b"x" * 2 * LINE_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 200 + b"\r\n",
    ],
    ids=["TLS", "long header", "long line", "many headers"],
)
async def test_nonsense_is_refused_without_a_line_in_the_log(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs:
        async with served() as session:
            reader, writer = await asyncio.open_connection(LOOPBACK, port_of(session))
            writer.write(sent)
            answer = await reader.read()
            assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
            assert told_headers(answer) >= {*HEADERS.items(), ("Server", "userdrop")}
            assert b"xxx" not in answer
            assert answer.endswith(b"\r\n\r\nThe server cannot answer this request.\n")
            writer.close()
            assert await status(session, "/healthz") == HTTPStatus.OK
    assert (logs, caplog.records) == ([], [])


def told_headers(answer: bytes) -> set[tuple[str, str]]:
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {(name, value) for name, _, value in (line.partition(": ") for line in lines)}


@pytest.mark.parametrize("token", [TOKEN, None])
@pytest.mark.parametrize(
    "header", ["Authorization", "Host", "Cookie", "Accept", "X-Forwarded-For", "Content-Type", "Expect", "Range"]
)
@pytest.mark.parametrize(
    "value", [b"Bearer \xe9", b"\xff\xfe", b"Basic \xe9==", "caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode()]
)
async def test_a_header_that_is_not_ascii_is_no_error_of_ours(token: str | None, header: str, value: bytes) -> None:
    with capture_logs() as logs:
        async with served(token=token) as session:
            for path in (b"/metrics", b"/\xe9", b"/?\xe9"):
                reader, writer = await asyncio.open_connection(LOOPBACK, port_of(session))
                host = b"" if header == "Host" else b"Host: localhost\r\n"
                sent = header.encode() + b": " + value
                writer.write(b"GET " + path + b" HTTP/1.1\r\n" + host + sent + b"\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                assert answer.split(b" ")[1] in {b"200", b"400", b"401", b"404", b"417", b"421"}
                assert ("Server", "userdrop") in told_headers(answer)
                writer.close()
    assert logs == []


async def test_a_burst_of_connections_never_uses_more_descriptors_than_are_allowed() -> None:
    async with served() as session:
        before, most = open_descriptors(), 0
        sockets = [socket.socket() for _ in range(1200)]
        with ExitStack() as stack:
            for each in sockets:
                stack.enter_context(each)
                each.setblocking(False)  # noqa: FBT003 - its own word
            loop, address = asyncio.get_running_loop(), (LOOPBACK, port_of(session))
            burst = asyncio.gather(*(loop.sock_connect(each, address) for each in sockets), return_exceptions=True)
            while not burst.done():
                most = max(most, open_descriptors() - before - len(sockets))
                await asyncio.sleep(0)
        await burst
        assert 0 < most <= MOST_CONNECTIONS + 1
        await asyncio.sleep(0)
    async with served() as session:
        assert await status(session, "/healthz") == HTTPStatus.OK


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_more_connections_than_a_few_are_closed_at_once() -> None:
    async with served() as session:
        port = port_of(session)
        held = [await asyncio.open_connection(LOOPBACK, port) for _ in range(MOST_CONNECTIONS)]
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        assert await reader.read() == b""
        for _, each in (*held, (reader, writer)):
            each.close()


def port_of(session: aiohttp.ClientSession) -> int:
    base = session._base_url  # noqa: SLF001 - the only place that has it
    assert base is not None
    assert base.port is not None
    return base.port


# Readiness


def gauges(*, watch: WatchState = WatchState.LIVE, tick_seconds: float = 0.0) -> Gauges:
    return Gauges(
        client="acme", watch=watch, files=Counter(), bytes=Counter(), oldest_seconds=0.0, tick_seconds=tick_seconds
    )


def complaints(*clients: Gauges, database_answers: bool = True) -> tuple[str, ...]:
    found = readiness(clients, interval_seconds=300.0, database_answers=database_answers)
    return tuple(map(str, found.complaints))


@pytest.mark.parametrize("watch", [WatchState.LIVE, WatchState.SCANNING_ONLY])
def test_a_service_is_ready_that_finds_files_and_has_its_ticks_and_its_database(watch: WatchState) -> None:
    assert complaints(gauges(watch=watch, tick_seconds=600.0)) == ()
    assert complaints() == ()


@pytest.mark.parametrize("watch", [WatchState.STARTING, WatchState.DEAF, WatchState.REBUILDING])
def test_a_service_whose_watch_is_not_proved_is_not_ready(watch: WatchState) -> None:
    (complaint,) = complaints(gauges(watch=watch))
    assert complaint.startswith("New files of acme may be found late: ")


def test_everything_that_is_wrong_is_named() -> None:
    assert complaints(gauges(tick_seconds=600.1), gauges(watch=WatchState.DEAF), database_answers=False) == (
        "The database does not answer.",
        "The last tick of acme was 600 s ago.",
        str(DEAF),
    )

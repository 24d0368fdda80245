"""What the running service tells by HTTP, asked as Prometheus and a load balancer would."""

import contextlib
import resource
import socket
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.ports import LOOPBACK, reserved_ports
from tests.servers.tools import wait_until

TOKEN = f"{files.CANARY}-0123456789abcdef"
STUDENTS = files.csv_of(files.good(1), files.good(2), files.bad(3))

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def port(house: House) -> Iterator[int]:
    """Where the house's service is to listen; it asks for a token."""
    with reserved_ports() as ports:
        house.set(HTTP_LISTEN=f"{LOOPBACK}:{ports[0]}", HTTP_TOKEN=TOKEN)
        yield ports[0]


def asked(port: int, path: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - http
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scraped(port: int) -> Samples:
    status, text = asked(port, "/metrics")
    assert status == 200
    assert files.CANARY not in text.lower()
    assert "@" not in text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_what_became_of_a_file(house: House, port: int) -> None:
    house.drop("first.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("upload_settled", file="first.csv")
        before = scraped(port)
        imported_at_next_tick(service, "first.csv")
        service.wait_for_event("mail_sent")
        after = scraped(port)
    client = ("client", "default")
    assert before["userdrop_outstanding_files", (client, ("state", "complete"))] == 1
    assert before["userdrop_outstanding_bytes", (client, ("state", "complete"))] == len(STUDENTS)
    assert after["userdrop_outstanding_files", (client, ("state", "complete"))] == 0
    assert after["userdrop_rows_total", (client, ("outcome", "inserted"))] == 2
    assert after["userdrop_rows_total", (client, ("outcome", "failed"))] == 1
    assert after["userdrop_failed_rows_total", (("reason", "invalid"),)] == 1
    assert after["userdrop_files_total", (client, ("outcome", "archived"))] == 1
    assert after["userdrop_close_to_imported_seconds_count", ()] == 1
    assert after["userdrop_stage_seconds_count", (("stage", "archiving"),)] == 1
    assert after["userdrop_watch_state", (client, ("state", "live"))] == 1
    assert (after["userdrop_ready", ()], after["userdrop_database_up", ()]) == (1, 1)
    assert after["process_resident_memory_bytes", ()] > 0


def test_the_page_shows_what_became_of_a_file_and_nothing_of_its_users(house: House, port: int) -> None:
    house.drop("first.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("upload_settled", file="first.csv")
        wait_until(lambda: asked(port, "/readyz")[0] == 200, "a service that is ready", timeout=30)
        waiting = page(port)
        imported_at_next_tick(service, "first.csv")
        imported = page(port)
    assert "it is complete and waits for the next run" in waiting
    assert "No file has come." in waiting
    assert 'data-label="What became of it">imported<' in imported
    assert "default: 3 rows, 1 failed" in imported


def page(port: int) -> str:
    status, html = asked(port, "/")
    assert status == 200
    assert files.CANARY not in html.lower()
    assert "@" not in html.partition("</style>")[2]
    return html


def test_readiness_says_what_is_out(house: House, port: int) -> None:
    with house.service():
        wait_until(lambda: asked(port, "/readyz") == (200, "ready\n"), "a service that is ready", timeout=30)
        rename(house, "mails", "elsewhere")
        assert asked(port, "/readyz") == (503, "The database does not answer.\n")
        assert asked(port, "/healthz") == (200, "ok\n")
        rename(house, "elsewhere", "mails")
        wait_until(lambda: asked(port, "/readyz")[0] == 200, "the database's return", timeout=30)


def test_bursts_of_connections_are_in_no_files_way(house: House, port: int) -> None:
    house.drop("first.csv", STUDENTS)
    with house.service() as service, bursts(port):
        service.wait_for_event("upload_settled", file="first.csv")
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (128, 128))
        imported_at_next_tick(service, "first.csv")
        service.wait_for_event("mail_sent")
        assert not service.events("alert_opened")
    assert len(house.ids()) == 2


@contextlib.contextmanager
def bursts(port: int) -> Iterator[None]:
    """1,200 connections at once, again and again meanwhile."""
    ended = threading.Event()

    def connect() -> None:
        while not ended.is_set():
            with contextlib.ExitStack() as held:
                for _ in range(1200):
                    stranger = held.enter_context(socket.socket())
                    stranger.setblocking(False)  # noqa: FBT003 - its own word
                    stranger.connect_ex((LOOPBACK, port))

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(connect)
        try:
            yield
        finally:
            ended.set()
    done.result()


def rename(house: House, table: str, name: str) -> None:
    with contextlib.closing(sqlite3.connect(house.database, isolation_level=None)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")


def test_a_port_that_is_taken_is_told_and_nothing_is_begun(house: House, port: int, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    second = House(other)
    second.set(HTTP_LISTEN=f"{LOOPBACK}:{port}")
    with house.service(), second.service(ready=False) as refused:
        assert refused.wait() == 69
        told = f"userdrop: USERDROP_HTTP_LISTEN: {LOOPBACK}:{port} cannot be listened at: Address already in use"
        assert told in refused.tail()
        assert not second.database.exists()

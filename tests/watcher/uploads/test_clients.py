"""The task that keeps an intake for each client, on real folders."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.clients import STAGGER_SECONDS, Clients
from watcher.uploads.folders import Found, find
from watcher.uploads.intake import Intake
from watcher.uploads.settling import Patience

NOW = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)


class Desk:
    """Clients of an upload directory, and what is asked of their intakes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.alerts = Alerts(lambda: NOW, lambda: 0.0)
        self.served: list[str] = []
        self.staggers: list[float] = []
        self.handed_on: list[tuple[str, list[str]]] = []
        self.has_served = asyncio.Event()
        self.clients = Clients(find=self.find, serve=self.serve, alerts=self.alerts, elapsed=lambda: 0.0)

    def find(self) -> Found:
        return find(self.directory, ())

    def serve(self, client: str, directory: Path, stagger: float) -> Intake:
        self.served.append(client)
        self.staggers.append(stagger)
        self.has_served.set()
        return Intake(
            client=client,
            directory=directory,
            interval=dt.timedelta(minutes=5),
            patience=Patience(proven=0.01, quiet=0.01, long_quiet=0.01),
            verdicts=None,
            now=lambda: NOW,
            elapsed=asyncio.get_running_loop().time,
            alerts=self.alerts,
            hand_on=lambda uploads: self.handed_on.append((client, [upload.name for upload in uploads])),
            tell_doubt=lambda _: None,
            stagger=stagger,
        )

    def make(self, *names: str) -> None:
        for name in names:
            (self.directory / name).mkdir()

    async def look(self) -> list[str]:
        """Look for folders; returns the names of those that came."""
        before = len(self.served)
        await self.clients.look()
        return self.served[before:]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    directory = tmp_path / "upload"
    directory.mkdir()
    made = Desk(directory)
    yield made
    await made.clients.close()


async def test_each_folder_is_served_once_and_new_ones_as_they_come(desk: Desk) -> None:
    desk.make("acme", "other")
    assert await desk.look() == ["acme", "other"]
    desk.make("third")
    assert await desk.look() == ["third"]
    assert await desk.look() == []


async def test_clients_wake_one_after_the_other_for_what_all_of_them_wake_for(desk: Desk) -> None:
    desk.make(*(f"client{number}" for number in range(5)))
    await desk.look()
    assert desk.staggers == [number * STAGGER_SECONDS for number in range(5)]


async def test_a_folder_that_goes_is_served_no_more_until_it_comes_back(desk: Desk) -> None:
    desk.make("acme", "other")
    await desk.look()
    desk.alerts.open(AlertKind.ODD_FILE, "acme", "a.xlsx")
    (desk.directory / "acme").rmdir()
    with capture_logs() as logs:
        assert await desk.look() == []
    assert [entry["client"] for entry in logs if entry["event"] == "client_gone"] == ["acme"]
    assert not desk.alerts.is_open(AlertKind.ODD_FILE, "acme")
    desk.clients.release("acme", ["a.csv"])
    desk.make("acme")
    assert await desk.look() == ["acme"]


async def test_a_folder_that_is_replaced_by_a_link_is_served_no_more(desk: Desk) -> None:
    desk.make("acme", "other")
    await desk.look()
    (desk.directory / "acme").rename(desk.directory.parent / "acme")
    (desk.directory / "acme").symlink_to(desk.directory / "other")
    with capture_logs() as logs:
        await desk.look()
    assert [entry["client"] for entry in logs if entry["event"] == "client_gone"] == ["acme"]
    assert desk.alerts.is_open(AlertKind.CLIENT_FOLDERS)


async def test_a_directory_that_was_moved_is_served_where_it_is_now(desk: Desk, tmp_path: Path) -> None:
    """The administrator may move it and leave a link; what is served is where that leads to."""

    def whole() -> Found:
        return Found(clients={"default": desk.directory.resolve()})

    clients = Clients(find=whole, serve=desk.serve, alerts=desk.alerts, elapsed=lambda: 0.0)
    await clients.look()
    desk.directory.rename(tmp_path / "away")
    desk.directory.symlink_to(tmp_path / "away")
    await clients.look()
    await clients.look()
    assert desk.served == ["default"] * 2
    assert (await clients.snapshot())[0].directory == str(tmp_path / "away")


async def test_where_every_folder_is_gone_the_directory_is_taken_for_one_that_is_not_mounted(desk: Desk) -> None:
    desk.make("acme")
    await desk.look()
    (desk.directory / "acme").rename(desk.directory.parent / "acme")
    with capture_logs() as logs:
        await desk.look()
    assert not logs
    (desk.directory.parent / "acme").rename(desk.directory / "acme")
    assert await desk.look() == []


async def test_a_directory_that_cannot_be_read_is_told_until_it_can(desk: Desk) -> None:
    aside = desk.directory.rename(desk.directory.with_name("aside"))
    assert await desk.look() == []
    assert desk.alerts.is_open(AlertKind.UPLOAD_DIRECTORY)
    aside.rename(desk.directory)
    await desk.look()
    assert not desk.alerts.is_open(AlertKind.UPLOAD_DIRECTORY)


async def test_what_is_no_folder_and_what_is_no_client_is_told_until_it_is_gone(desk: Desk) -> None:
    desk.make("acme")
    (desk.directory / "astray.csv").touch()
    (desk.directory / "link").symlink_to("acme")
    await desk.look()
    assert desk.alerts.is_open(AlertKind.ODD_FILE)
    assert desk.alerts.is_open(AlertKind.CLIENT_FOLDERS)
    (desk.directory / "astray.csv").unlink()
    (desk.directory / "link").unlink()
    await desk.look()
    assert not desk.alerts.is_open(AlertKind.ODD_FILE)
    assert not desk.alerts.is_open(AlertKind.CLIENT_FOLDERS)


async def test_every_client_is_settled_and_has_a_tick_after_what_is_to_be_done_first(desk: Desk) -> None:
    desk.make("acme", "other")
    (desk.directory / "acme" / "a.csv").write_bytes(b"unique_id\nU1\n")

    async def first(_: asyncio.Event) -> None:
        assert desk.served == ["acme", "other"]
        (desk.directory / "other" / "given back.csv").write_bytes(b"unique_id\nU1\n")

    await desk.clients.settle(asyncio.Event(), first=first)
    assert sorted(desk.handed_on) == [("acme", ["a.csv"]), ("other", ["given back.csv"])]


async def test_running_ends_with_every_intake(desk: Desk) -> None:
    desk.make("acme", "other")
    stopping = asyncio.Event()
    running = asyncio.create_task(desk.clients.run(stopping))
    async with asyncio.timeout(20):
        await desk.has_served.wait()
        desk.clients.tick()
        stopping.set()
        desk.clients.wake()
        await running
    assert desk.served == ["acme", "other"]


async def test_who_has_done_nothing_for_the_longest_time_speaks_for_all(desk: Desk) -> None:
    assert desk.clients.got_on() == 0.0
    desk.make("acme", "other")
    await desk.look()
    desk.clients._served["other"].intake.got_on = -9.0  # noqa: SLF001
    assert desk.clients.got_on() == -9.0
    assert [each.client for each in await desk.clients.gauges()] == ["acme", "other"]

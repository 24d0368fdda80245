"""Little room is told before it is none."""

import asyncio
from pathlib import Path

import pytest

from importer.model import Detail
from importer.words.details import detail
from notifier.alert_texts import ALERT_TEXTS
from notifier.alerting import is_open
from notifier.alerts import Alerts
from notifier.model import AlertKind
from tests.importing import mounted
from tests.mailing import Clock
from watcher.disks import Disks, Room, low_places

FREE: dict[Detail | str, int] = {"uploads": 500, "bak": 2000, "database": 900}


@pytest.mark.parametrize(
    ("limit", "were_low", "low"),
    [
        (400, False, ()),
        (500, False, ()),
        (501, False, ("uploads",)),
        (1000, False, ("uploads", "database")),
        (500, True, ("uploads",)),
        (454, True, ()),
        (455, True, ("uploads",)),
        (0, False, ()),
        (0, True, ()),
    ],
)
def test_a_place_is_low_below_the_limit_until_a_tenth_more_is_free(
    *,
    limit: int,
    were_low: bool,
    low: tuple[str, ...],
) -> None:
    rooms = {name: Room(free=free, limit=limit) for name, free in FREE.items()}
    assert low_places(rooms, were_low=were_low) == low


async def test_an_alert_names_the_places_and_ends_when_there_is_room(tmp_path: Path) -> None:
    alerts = Alerts(Clock(), lambda: 0.0)
    places: dict[Detail | str, Path] = {"uploads": tmp_path, "bak": tmp_path / "missing"}
    await Disks(places=places, limit=1 << 60, alerts=alerts).look()
    (alert,) = alerts.board.alerts
    assert (alert.kind, alert.client, str(alert.detail)) == (AlertKind.LOW_DISK, "", "uploads")
    await Disks(places=places, limit=0, alerts=alerts).look()
    assert not any(is_open(alert) for alert in alerts.board.alerts)


async def test_a_small_disk_is_told_while_there_is_room_yet(tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        alerts = Alerts(Clock(), lambda: 0.0)
        await Disks(places={"uploads": tmp_path}, limit=1 << 19, alerts=alerts).look()
        assert not alerts.is_open(AlertKind.LOW_DISK)
        (tmp_path / "file").write_bytes(b"x" * 600_000)
        await Disks(places={"uploads": tmp_path}, limit=1 << 19, alerts=alerts).look()
        assert alerts.is_open(AlertKind.LOW_DISK)


async def test_a_disk_with_few_inodes_is_told_while_files_can_be_made_yet(tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=64m,nr_inodes=2000", "tmpfs"):
        alerts = Alerts(Clock(), lambda: 0.0)
        disks = Disks(places={detail("upload_directory"): tmp_path}, limit=1 << 19, alerts=alerts)
        await disks.look()
        assert not alerts.is_open(AlertKind.LOW_DISK)
        for number in range(1_920):
            (tmp_path / str(number)).touch()
        await disks.look()
        (alert,) = alerts.board.alerts
        assert str(alert.detail) == "inodes of: upload directory"
        assert "df -i" in ALERT_TEXTS[AlertKind.LOW_DISK].cure


async def test_looking_ends_with_the_service() -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(Disks(places={}, limit=1, alerts=Alerts(Clock(), lambda: 0.0)).run(stopping))
    stopping.set()
    await asyncio.wait_for(running, 5)

"""The power goes after each system call of a whole import, and nothing that was told or archived is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crashes import seeded
from tests.crashes.house import ONE_FILE, SEVERAL_FILES, Build, House, deliver, import_all
from tests.crashes.power import losses

Record = Callable[[str, object], None]


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("how", "at_least"),
    [({"data": "ordered"}, 15), ({"data": "writeback"}, 15), ({"flush_every": 3}, 45)],
    ids=["nothing but what was synced", "data after metadata", "flushed now and then"],
)
def test_no_power_loss_loses_or_repeats_anything(
    tmp_path: Path, record_property: Record, how: dict[str, Any], at_least: int
) -> None:
    found = losses((import_all, deliver), House(place=tmp_path / "house", story=SEVERAL_FILES), **how)
    record_property("points", found.points)
    record_property("different disks", found.restarts)
    assert found.wrong == []
    assert found.points >= 90
    assert found.restarts >= at_least


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("build", "shown"),
    [(seeded.SYNCHRONOUS_NORMAL, "users: "), (seeded.COPY_WITHOUT_FSYNC, "people.csv: its bytes are not in bak")],
    ids=["synchronous=NORMAL", "no fsync of the copy"],
)
def test_what_does_not_wait_for_the_disk_is_found(tmp_path: Path, build: Build, shown: str) -> None:
    found = losses((import_all,), House(place=tmp_path / "house", story=ONE_FILE, build=build))
    assert any(shown in line for line in found.wrong), found.wrong

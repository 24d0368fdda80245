"""What was decided of files is known after a restart, and only of files that have not changed since."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from importer.model import Fingerprint
from watcher.base.instance import UPLOADS_FILE
from watcher.uploads.memory import Memory
from watcher.uploads.model import Evidence, Sighting
from watcher.uploads.settling import InDoubt, Settled, Waiting

SEEN = Sighting(
    name="\udce9t\xe9.csv",
    content=Fingerprint(device=1, inode=2, size=100, modified_ns=1_000),
    changed_ns=1_000,
    is_locked=False,
)
SETTLED = Settled(Evidence.SERVER_LOG)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / UPLOADS_FILE


def test_what_was_decided_is_known_after_a_restart(path: Path) -> None:
    memory = Memory(path)
    memory.of("acme").keep(SEEN, SETTLED)
    memory.of("acme").keep(replace(SEEN, name="b.csv"), InDoubt())
    memory.of("other").keep(SEEN, InDoubt())
    memory.save()
    again = Memory(path)
    assert again.of("acme").recall(SEEN) == SETTLED
    assert again.of("acme").recall(replace(SEEN, name="b.csv")) == InDoubt()
    assert again.of("other").recall(SEEN) == InDoubt()
    assert again.of("nobody").recall(SEEN) is None
    moved = replace(SEEN, content=replace(SEEN.content, device=7), changed_ns=9)
    assert again.of("acme").recall(moved) == SETTLED, "a disk's number may be another one"


@pytest.mark.parametrize("change", [{"size": 101}, {"inode": 3}, {"modified_ns": 2}])
def test_of_a_file_that_has_changed_nothing_is_known(path: Path, change: dict[str, int]) -> None:
    kept = Memory(path).of("acme")
    kept.keep(SEEN, SETTLED)
    assert kept.recall(replace(SEEN, content=replace(SEEN.content, **change))) is None


def test_what_is_gone_or_undecided_again_is_forgotten(path: Path) -> None:
    kept = Memory(path).of("acme")
    for name in ("a.csv", "b.csv", "c.csv"):
        kept.keep(replace(SEEN, name=name), SETTLED)
    kept.keep(replace(SEEN, name="a.csv"), Waiting(5))
    kept.forget("b.csv")
    assert [kept.recall(replace(SEEN, name=name)) for name in ("a.csv", "b.csv", "c.csv")] == [None, None, SETTLED]
    kept.keep_only(["a.csv"])
    assert kept.recall(replace(SEEN, name="c.csv")) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"acme": 5}', b'{"acme": {"a.csv": [1]}}', b"\xff"])
def test_a_damaged_file_is_no_memory_and_is_written_anew(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    memory = Memory(path)
    memory.of("acme").keep(SEEN, SETTLED)
    memory.save()
    assert Memory(path).of("acme").recall(SEEN) == SETTLED


def test_a_decision_of_another_version_is_passed_over(path: Path) -> None:
    path.write_text(json.dumps({"acme": {"a.csv": [2, 100, 1_000, "by the stars"]}}), encoding="ascii")
    assert Memory(path).of("acme").recall(replace(SEEN, name="a.csv")) is None


def test_a_file_that_cannot_be_written_is_logged_and_no_error(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "missing" / UPLOADS_FILE)
    memory.of("acme").keep(SEEN, SETTLED)
    with capture_logs() as events:
        memory.save()
    assert [event["event"] for event in events] == ["uploads_not_remembered"]


async def test_it_is_written_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.uploads.memory.SAVE_SECONDS", 0.001)
    memory, stopping = Memory(path), asyncio.Event()
    memory.of("acme").keep(SEEN, SETTLED)
    running = asyncio.create_task(memory.run(stopping))
    async with asyncio.timeout(20):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - nothing tells of it
            await asyncio.sleep(0)
    stopping.set()
    await running
    assert Memory(path).of("acme").recall(SEEN) == SETTLED

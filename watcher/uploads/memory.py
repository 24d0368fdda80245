"""What was decided of the files that wait, kept over a restart of the service.

The FTP server's log may not tell it again: lines are rotated away, and silence tells nothing of a file that was there
before. It is kept in a file of the state directory, which is written now and then and at the end; what it lacks costs
time and no upload.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import assert_never

import structlog

from watcher.uploads.model import Evidence, Sighting
from watcher.uploads.settling import Decision, InDoubt, Settled, Waiting

SAVE_SECONDS = 10.0
"""Seconds from one writing to the next, where something has changed."""
_HELD = "held"

_Kept = tuple[int, int, int, str]
"""A file's inode, size and mtime, and what was decided: its evidence, or that it is held."""

log = structlog.get_logger()


class Memory:
    """The file in which the decisions on all clients' files are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clients: dict[str, dict[str, _Kept]] = _read(path)
        self._is_changed = False

    def of(self, client: str) -> "ClientMemory":
        """What is kept of a client's files."""
        return ClientMemory(self._clients.setdefault(client, {}), self._note_change)

    async def run(self, stopping: asyncio.Event) -> None:
        """Write now and then what has changed, until `stopping` is set."""
        stop = asyncio.ensure_future(stopping.wait())
        while not stop.done():
            await asyncio.wait({stop}, timeout=SAVE_SECONDS)
            if self._is_changed:
                self._is_changed = False
                text = self._text()
                await asyncio.to_thread(self._write, text)

    def save(self) -> None:
        """Write what has changed, at the end of the service."""
        if self._is_changed:
            self._write(self._text())

    def _note_change(self) -> None:
        self._is_changed = True

    def _text(self) -> str:
        return json.dumps({client: kept for client, kept in self._clients.items() if kept})

    def _write(self, text: str) -> None:
        draft = self._path.with_name(f".{self._path.name}")
        try:
            draft.write_text(text, encoding="ascii")
            draft.replace(self._path)
        except OSError as error:
            log.warning("uploads_not_remembered", error=error.strerror)


class ClientMemory:
    """What is kept of one client's files; `Memory.of` makes it."""

    def __init__(self, kept: dict[str, _Kept], changed: Callable[[], None]) -> None:
        self._kept = kept
        self._changed = changed

    def recall(self, seen: Sighting) -> Settled | InDoubt | None:
        """What was decided of a file that has not changed since; None where that is not known."""
        kept = self._kept.get(seen.name)
        if kept is None or kept[:3] != _identity(seen):
            return None
        return InDoubt() if kept[3] == _HELD else Settled(Evidence(kept[3]))

    def keep(self, seen: Sighting, decision: Decision) -> None:
        """Keep what is decided of a file now."""
        match decision:
            case Waiting():
                self.forget(seen.name)
            case Settled(evidence):
                self._put(seen, evidence.value)
            case InDoubt():
                self._put(seen, _HELD)
            case _:
                assert_never(decision)

    def forget(self, name: str) -> None:
        """Forget a file that is gone, or undecided."""
        if self._kept.pop(name, None) is not None:
            self._changed()

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all files but these."""
        for name in self._kept.keys() - {*names}:
            self.forget(name)

    def _put(self, seen: Sighting, decided: str) -> None:
        kept = (*_identity(seen), decided)
        if self._kept.get(seen.name) != kept:
            self._kept[seen.name] = kept
            self._changed()


def _identity(seen: Sighting) -> tuple[int, int, int]:
    """What tells a file from others, without the device, whose number may be another after a restart."""
    return seen.content.inode, seen.content.size, seen.content.modified_ns


def _read(path: Path) -> dict[str, dict[str, _Kept]]:
    """Read what is kept; nothing where it is missing or damaged."""
    known = {_HELD, *Evidence}
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return {
            client: {
                name: (int(inode), int(size), int(modified_ns), decided)
                for name, (inode, size, modified_ns, decided) in kept.items()
                if decided in known
            }
            for client, kept in json.loads(path.read_bytes()).items()
        }
    return {}

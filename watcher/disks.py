"""The alert about disks that have little room left where the service works, before it is an outage."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from importer.model import Detail
from importer.words.details import detail, listed
from notifier.alerts import Alerts
from notifier.model import AlertKind

LOOK_SECONDS = 60.0
ENOUGH_INODES = 10_000
FEW_OF_INODES = 20
"""The part of a file system's inodes, one in so many, that must be free where that is less than ENOUGH_INODES."""
ENOUGH_AGAIN = 1.1
"""The multiple of the limit that must be free before the alert ends, so that it does not flutter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many bytes, or inodes, are free in a place, and how many must be."""

    free: int
    limit: int


def low_places(rooms: Mapping[Detail | str, Room], *, were_low: bool) -> tuple[Detail | str, ...]:
    """The names of the places with too little room.

    Args:
        rooms: the room in each place.
        were_low: whether the alert is open; then more than the limit must be left.
    """
    low = tuple(name for name, room in rooms.items() if room.free < room.limit)
    if low or not were_low:
        return low
    return tuple(name for name, room in rooms.items() if room.free < room.limit * ENOUGH_AGAIN)


def rooms_of(name: Detail | str, status: os.statvfs_result, limit: int) -> Iterator[tuple[Detail | str, Room]]:
    """The room for bytes and for inodes in a place; some file systems keep no count of inodes. Source: statvfs(3).

    Args:
        name: the place's.
        status: of its file system.
        limit: bytes that must be free for others than root.
    """
    yield name, Room(free=status.f_bavail * status.f_frsize, limit=limit)
    if status.f_files:
        least = min(ENOUGH_INODES, status.f_files // FEW_OF_INODES)
        yield detail("inodes_of", where=name), Room(free=status.f_favail, limit=least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disks:
    """Watches the room that is left in the places of the service.

    Attributes:
        places: name → a directory; one that is not there yet is left out.
        limit: bytes that must be free for others than root.
    """

    places: Mapping[Detail | str, Path]
    limit: int
    alerts: Alerts

    async def run(self, stopping: asyncio.Event) -> None:
        """Look at the places every minute until `stopping` is set."""
        while not stopping.is_set():
            await self.look()
            try:
                await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Look at the places, and open or resolve the alert."""
        rooms = dict(await asyncio.to_thread(lambda: [*self._rooms()]))
        low = low_places(rooms, were_low=self.alerts.is_open(AlertKind.LOW_DISK))
        if low:
            self.alerts.open(AlertKind.LOW_DISK, detail=listed(low))
        else:
            self.alerts.resolve(AlertKind.LOW_DISK)

    def _rooms(self) -> Iterator[tuple[Detail | str, Room]]:
        for name, path in self.places.items():
            try:
                status = os.statvfs(path)
            except OSError:
                continue  # that it is missing is another alert
            yield from rooms_of(name, status, self.limit)

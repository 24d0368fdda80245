"""How much room is left where the service works: an alert before it is an outage."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from notifier.alerts import Alerts
from notifier.model import AlertKind

LOOK_SECONDS = 60.0
ENOUGH_AGAIN = 1.1
"""How many times the limit must be free before the alert ends, so that it does not flutter."""


def low_places(free: Mapping[str, int], *, limit: int, were_low: bool) -> tuple[str, ...]:
    """The names of the places with too little room.

    Args:
        free: bytes that are left in each place.
        limit: fewer are too few.
        were_low: whether the alert is open; then it takes more than the limit to end it.
    """
    least = limit * ENOUGH_AGAIN if were_low else limit
    low = tuple(name for name, size in free.items() if size < limit)
    return low if low or not were_low else tuple(name for name, size in free.items() if size < least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disks:
    """Looks at the places of the service.

    Attributes:
        places: name → a directory; one that is not there yet is left out.
        limit: bytes that must be free for others than root.
    """

    places: Mapping[str, Path]
    limit: int
    alerts: Alerts

    async def run(self, stopping: asyncio.Event) -> None:
        """Look every minute until `stopping`."""
        while not stopping.is_set():
            await self.look()
            try:
                await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Open or resolve the alert."""
        free = dict(await asyncio.to_thread(lambda: [*self._free()]))
        low = low_places(free, limit=self.limit, were_low=self.alerts.is_open(AlertKind.LOW_DISK))
        if low:
            self.alerts.open(AlertKind.LOW_DISK, detail=", ".join(low))
        else:
            self.alerts.resolve(AlertKind.LOW_DISK)

    def _free(self) -> Iterator[tuple[str, int]]:
        for name, path in self.places.items():
            try:
                status = os.statvfs(path)
            except OSError:
                continue  # that it is missing is another alert
            yield name, status.f_bavail * status.f_frsize

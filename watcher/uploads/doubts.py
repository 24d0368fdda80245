"""The uploads whose end is in doubt, and when their sender is told. Pure; times are monotonic seconds.

Most clients whose connection breaks try again by themselves, within seconds or a few minutes. Whoever is told at once
drops a file again that is whole by then.
"""

import math
from dataclasses import dataclass

from watcher.uploads.model import Sighting

SELF_RETRY_SECONDS = 180.0
"""Seconds after its last change for which an upload that was cut off may be gone on with, or come anew, untold."""


@dataclass(slots=True)
class _Doubt:
    seen: Sighting
    tell_at: float
    is_told: bool = False


class Doubts:
    """The uploads in doubt of one client's directory, by name.

    Args:
        patience: seconds after its last change that an upload lies before its sender is told.
    """

    def __init__(self, patience: float = SELF_RETRY_SECONDS) -> None:
        self._patience = patience
        self._doubts: dict[str, _Doubt] = {}

    def add(self, seen: Sighting, since: float) -> None:
        """Note that an upload is in doubt which has not changed since a time."""
        self._doubts[seen.name] = _Doubt(seen=seen, tell_at=since + self._patience)

    def end(self, name: str) -> None:
        """Note that a file of that name is not in doubt, or gone; nobody is told of it any more."""
        self._doubts.pop(name, None)

    @property
    def next_due(self) -> float:
        """The time at which a sender is to be told next."""
        return min((each.tell_at for each in self._doubts.values() if not each.is_told), default=math.inf)

    def due(self, now: float) -> list[Sighting]:
        """The uploads whose sender is to be told now, each once."""
        due = [each for each in self._doubts.values() if not each.is_told and each.tell_at <= now]
        for each in due:
            each.is_told = True
        return [each.seen for each in due]

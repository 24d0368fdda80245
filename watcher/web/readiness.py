"""Whether the service does its work now, for who has to decide where to look: pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from watcher.gauging import Gauges
from watcher.supervision import WatchState

TICKS = 2
"""So many intervals may pass from tick to tick."""
_FINDS_FILES = frozenset({WatchState.LIVE, WatchState.SCANNING_ONLY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What is not as it should be, a line each; nothing where the service is ready."""

    complaints: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        """Whether files are found and imported."""
        return not self.complaints


def readiness(clients: Iterable[Gauges], *, interval_seconds: float, database_answers: bool) -> Readiness:
    """Judge the service by its directories and its database."""
    return Readiness(complaints=tuple(_complaints(clients, interval_seconds, database_answers=database_answers)))


def _complaints(clients: Iterable[Gauges], interval_seconds: float, *, database_answers: bool) -> Iterator[str]:
    if not database_answers:
        yield "database: no answer"
    for each in clients:
        if each.watch not in _FINDS_FILES:
            yield f"watch of {each.client}: {each.watch}"
        if each.tick_seconds > TICKS * interval_seconds:
            yield f"ticks of {each.client}: the last one was {each.tick_seconds:.0f} s ago"

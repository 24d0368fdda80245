"""The judgement whether the service does its work now, for people who have to decide where to look. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from importer.model import Detail
from importer.words.details import detail
from watcher.uploads.gauging import Gauges
from watcher.uploads.supervision import WatchState

TICKS = 2
"""The number of intervals that may pass from one tick to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Complaints about what is not as it should be, a sentence each; none where the service is ready."""

    complaints: tuple[Detail, ...]

    @property
    def is_ready(self) -> bool:
        """Whether files are found and imported."""
        return not self.complaints


def readiness(clients: Iterable[Gauges], *, interval_seconds: float, database_answers: bool) -> Readiness:
    """Judge the service by its directories and its database."""
    return Readiness(complaints=tuple(_complaints(clients, interval_seconds, database_answers=database_answers)))


def _complaints(clients: Iterable[Gauges], interval_seconds: float, *, database_answers: bool) -> Iterator[Detail]:
    if not database_answers:
        yield detail("database_is_silent")
    for each in clients:
        if (complaint := _of_watch(each)) is not None:
            yield complaint
        if each.tick_seconds > TICKS * interval_seconds:
            yield detail("tick_is_late", client=each.client, seconds=f"{each.tick_seconds:.0f}")


def _of_watch(gauges: Gauges) -> Detail | None:
    match gauges.watch:
        case WatchState.LIVE | WatchState.SCANNING_ONLY:
            return None
        case WatchState.STARTING:
            return detail("found_late.starting", client=gauges.client)
        case WatchState.DEAF:
            return detail("found_late.deaf", client=gauges.client)
        case WatchState.REBUILDING:
            return detail("found_late.rebuilding", client=gauges.client)
        case _:
            assert_never(gauges.watch)

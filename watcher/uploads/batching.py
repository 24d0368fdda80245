"""The windows of imports: when the next run comes, and in which order a client's files are taken. Pure.

A tick comes when the UTC minute is a multiple of the interval, like cron's `*/5`, and never later than one interval
of monotonic time after the last one, whatever the wall clock does.
"""

import datetime as dt
import heapq
from collections.abc import Sequence

from watcher.uploads.model import Upload

SORTED_AT_ONCE = 5_000
"""The number of files sorted in one go: no other thread gets the interpreter meanwhile (100,000: 0.2 s, measured)."""


def next_tick(now: dt.datetime, interval: dt.timedelta) -> dt.datetime:
    """The next time whose minute is a multiple of the interval; every hour begins anew, as with cron."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    slots = (now - hour) // interval + 1
    return min(hour + slots * interval, hour + dt.timedelta(hours=1))


def seconds_to_tick(now: dt.datetime, due: dt.datetime, interval: dt.timedelta, since_last_tick: float) -> float:
    """The seconds to wait for a tick, 0 where it is due.

    Args:
        now: the wall clock, which may jump.
        due: `next_tick` as it was right after the last tick, or at the start.
        interval: the time from one tick to the next.
        since_last_tick: seconds of monotonic time since the last tick, or since the start.
    """
    by_wall_clock = (due - now).total_seconds()
    by_monotonic_clock = interval.total_seconds() - since_last_tick
    return max(0.0, min(by_wall_clock, by_monotonic_clock))


def oldest_first(uploads: Sequence[Upload]) -> list[Upload]:
    """The order in which files of one client are imported; by name where they changed at the same time."""
    parts = (
        sorted(uploads[first : first + SORTED_AT_ONCE], key=_age) for first in range(0, len(uploads), SORTED_AT_ONCE)
    )
    return [*heapq.merge(*parts, key=_age)]


def _age(upload: Upload) -> tuple[int, str]:
    return upload.sighting.changed_ns, upload.name

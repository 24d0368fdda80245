"""Windows and their batches: when the next import run comes, and in which order files are taken. Pure.

A tick comes when the UTC minute is a multiple of the interval, like cron's `*/5`, and never later than one interval
of monotonic time after the last one, whatever the wall clock does.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from watcher.model import Group, Upload

MAX_FILES = 256
MAX_BYTES = 8 << 20
"""A group's limits: what shares one wait after claiming, before the next client has its turn."""


def next_tick(now: dt.datetime, interval: dt.timedelta) -> dt.datetime:
    """The next time whose minute is a multiple of the interval; every hour begins anew, as cron does it."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    slots = (now - hour) // interval + 1
    return min(hour + slots * interval, hour + dt.timedelta(hours=1))


def seconds_to_tick(now: dt.datetime, due: dt.datetime, interval: dt.timedelta, since_last_tick: float) -> float:
    """How long to wait for a tick, 0 where it is due.

    Args:
        now: the wall clock, which may jump.
        due: `next_tick` as it was right after the last tick, or at the start.
        interval: from tick to tick.
        since_last_tick: seconds of monotonic time since the last tick, or since the start.
    """
    by_wall_clock = (due - now).total_seconds()
    by_monotonic_clock = interval.total_seconds() - since_last_tick
    return max(0.0, min(by_wall_clock, by_monotonic_clock))


def groups(uploads: Iterable[Upload]) -> list[Group]:
    """Every upload once: oldest first within a client, one group of each client in turn."""
    queues: defaultdict[str, list[Upload]] = defaultdict(list)
    for upload in sorted(uploads, key=lambda each: (each.sighting.changed_ns, each.name)):
        queues[upload.client].append(upload)
    rounds = zip_longest(*(_cut(client, queue) for client, queue in sorted(queues.items())))
    return [group for turn in rounds for group in turn if group is not None]


def _cut(client: str, queue: list[Upload]) -> Iterator[Group]:
    taken: list[Upload] = []
    size = 0
    for upload in queue:
        if taken and (len(taken) == MAX_FILES or size + upload.size > MAX_BYTES):
            yield Group(client=client, uploads=tuple(taken))
            taken, size = [], 0
        taken.append(upload)
        size += upload.size
    if taken:
        yield Group(client=client, uploads=tuple(taken))

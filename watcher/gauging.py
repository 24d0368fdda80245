"""What a client's directory is like, as numbers. Pure, and cheap enough to be asked often of 100,000 files."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from watcher.settling import Watched
from watcher.snapshot import WaitReason
from watcher.supervision import WatchState

IMPORTING = "importing"
"""The state of files that a tick has handed on."""
STATES = (*WaitReason, IMPORTING)
_WAIT_FOR_THEIR_SENDER = frozenset({WaitReason.LOG_SAID_FAIL, WaitReason.LOG_IS_SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """One client's directory.

    Attributes:
        watch: how new files are found.
        files: how many are not imported yet, by one of `STATES`.
        bytes: of those whose size is known, likewise.
        oldest_seconds: since when the one has not changed that waits for us the longest; 0 where none waits.
        tick_seconds: how long ago the last tick was.
    """

    client: str
    watch: WatchState
    files: Counter[str]
    bytes: Counter[str]
    oldest_seconds: float
    tick_seconds: float


def gauges(
    client: str,
    watch: WatchState,
    *,
    seen: Mapping[str, Collection[Watched]],
    refused: Iterable[str],
    now: float,
    last_tick: float,
) -> Gauges:
    """All of a client's files summed up.

    Args:
        client: whose.
        watch: how new ones are found.
        seen: the files that were looked at, by state.
        refused: the states of those that could not be looked at.
        now: monotonic seconds, as the files have them.
        last_tick: when that was, likewise.
    """
    ours = (files for state, files in seen.items() if state not in _WAIT_FOR_THEIR_SENDER)
    oldest = min((each.since for files in ours for each in files), default=now)
    return Gauges(
        client=client,
        watch=watch,
        files=Counter(refused) + Counter({state: len(files) for state, files in seen.items()}),
        bytes=Counter({state: sum(each.sighting.content.size for each in files) for state, files in seen.items()}),
        oldest_seconds=now - oldest,
        tick_seconds=now - last_tick,
    )

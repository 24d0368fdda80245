"""Numbers about a client's directory. Pure, and cheap enough to be asked often of 100,000 files."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from watcher.uploads.settling import Watched
from watcher.uploads.snapshot import LEFT_ALONE, WaitReason, wait_reason
from watcher.uploads.supervision import WatchState
from watcher.uploads.tracking import HandedOn, Seen, Tracked, Untaken

IMPORTING = "importing"
"""The state of files that a tick has handed on."""
STATES = (*(reason for reason in WaitReason if reason not in LEFT_ALONE), IMPORTING)
_WAIT_FOR_THEIR_SENDER = frozenset({WaitReason.LOG_SAID_FAIL, WaitReason.LOG_IS_SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """The numbers of one client's directory.

    Attributes:
        watch: how new files are found.
        files: the number of files that are not imported yet, by one of `STATES`.
        bytes: the bytes of those whose size is known, by one of `STATES`.
        oldest_seconds: seconds since the last change of the file that waits for the service the longest; 0 where none
            waits.
        tick_seconds: seconds since the last tick.
    """

    client: str
    watch: WatchState
    files: Counter[str]
    bytes: Counter[str]
    oldest_seconds: float
    tick_seconds: float


def by_state(files: Iterable[Tracked]) -> dict[str, list[Watched]]:
    """Sort the files that were looked at by one of `STATES`."""
    found: defaultdict[str, list[Watched]] = defaultdict(list)
    for each in files:
        match each:
            case Seen():
                found[wait_reason(each.watched, each.decision)].append(each.watched)
            case HandedOn():
                found[IMPORTING].append(each.watched)
            case Untaken():
                pass
            case _:
                assert_never(each)
    return found


def gauges(
    client: str,
    watch: WatchState,
    *,
    seen: Mapping[str, Collection[Watched]],
    refused: Iterable[str],
    now: float,
    last_tick: float,
) -> Gauges:
    """Sum up all files of a client.

    Args:
        client: the client's name.
        watch: how new files are found.
        seen: the files that were looked at, by state.
        refused: the states of those that could not be looked at.
        now: monotonic seconds, as the files have them.
        last_tick: when the last tick was, in monotonic seconds.
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

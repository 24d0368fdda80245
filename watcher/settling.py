"""When is an upload complete? A pure state machine over sightings; each kind of evidence only vetoes.

Times are seconds of a monotonic clock: a sender may set mtime to anything, so it is watched for change and never
compared with now.
"""

from dataclasses import dataclass
from typing import assert_never

from watcher.model import Evidence, ServerVerdict, Sighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a file must lie unchanged, in seconds.

    Attributes:
        proven: after an OK in the server's log, or a rename.
        quiet: where nobody holds a write lock, and locks can be asked for.
        long_quiet: where there is no other evidence, and for empty files. More than twice vsftpd's
            data_connection_timeout: a stalled sender may come back until then.
        reads_log: whether the server's log is followed, so that silence in it means something.
        serves_sftp: whether files come by SFTP as well, whose server takes no locks and writes no such log.
    """

    proven: float = 3
    quiet: float = 30
    long_quiet: float = 601
    reads_log: bool = False
    serves_sftp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A file as it was seen last, and since when it has not changed."""

    sighting: Sighting
    since: float
    verdict: ServerVerdict | None
    came_by_rename: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not yet: look again at that time, or when something happens."""

    until: float


@dataclass(frozen=True, slots=True)
class Settled:
    """Complete."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Held:
    """Not complete, and waiting will not make it so; it is taken up again when it changes."""


Decision = Waiting | Settled | Held


def look(before: Watched | None, sighting: Sighting, now: float) -> Watched:
    """What is known of a file after one more look at it.

    A verdict holds for a size: clients set the time of a file just sent (MDTM) or its mode, which is no new upload.
    After a FAIL there is nothing to set the time of, so any new time means that somebody wrote again.
    """
    if before is None or not _is_as_long(before.sighting, sighting):
        return Watched(sighting=sighting, since=now, verdict=sighting.verdict, came_by_rename=sighting.came_by_rename)
    is_quiet = not sighting.is_locked and not _has_changed(before.sighting, sighting)
    return Watched(
        sighting=sighting,
        since=before.since if is_quiet else now,
        verdict=sighting.verdict or _kept_verdict(before, sighting),
        came_by_rename=sighting.came_by_rename or before.came_by_rename,
    )


def decide(watched: Watched, patience: Patience, now: float, *, is_unlogged: bool = False) -> Decision:
    """Whether the file is complete by what is known of it.

    Args:
        watched: the file.
        patience: how long to wait.
        now: monotonic seconds.
        is_unlogged: whether the server's log would have told of the file, had its upload ended well, and did not: its
            server process was killed then, which leaves no line.
    """
    if watched.verdict is ServerVerdict.FAILED:
        return Held()
    evidence = _evidence(watched, patience)
    until = watched.since + _needed(evidence, patience)
    if watched.sighting.is_locked or now < until:
        return Waiting(until)
    is_cut = is_unlogged and not patience.serves_sftp and watched.verdict is None and evidence is Evidence.LONG_QUIET
    return Held() if is_cut else Settled(evidence)


def _is_as_long(before: Sighting, now: Sighting) -> bool:
    one, other = before.content, now.content
    return (one.device, one.inode, one.size) == (other.device, other.inode, other.size)


def _kept_verdict(before: Watched, now: Sighting) -> ServerVerdict | None:
    wrote_again = before.verdict is ServerVerdict.FAILED and before.sighting.content != now.content
    return None if wrote_again else before.verdict


def _has_changed(before: Sighting, now: Sighting) -> bool:
    return (before.content, before.changed_ns) != (now.content, now.changed_ns)


def _evidence(watched: Watched, patience: Patience) -> Evidence:
    if watched.sighting.content.size == 0:
        return Evidence.LONG_QUIET
    if watched.verdict is ServerVerdict.OK:
        return Evidence.SERVER_LOG
    if watched.came_by_rename:
        return Evidence.RENAME
    if patience.reads_log or patience.serves_sftp or watched.sighting.is_locked is None:
        return Evidence.LONG_QUIET
    return Evidence.QUIET_AND_UNLOCKED


def _needed(evidence: Evidence, patience: Patience) -> float:
    match evidence:
        case Evidence.SERVER_LOG | Evidence.RENAME:
            return patience.proven
        case Evidence.QUIET_AND_UNLOCKED:
            return patience.quiet
        case Evidence.LONG_QUIET:
            return patience.long_quiet
        case _:
            assert_never(evidence)

"""The decision whether an upload is complete: a pure state machine over sightings; each kind of evidence only vetoes.

Times are seconds of a monotonic clock: a sender may set mtime to anything, so it is watched for change and never
compared with now.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from watcher.uploads.model import Evidence, ServerVerdict, Sighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The times for which a file must lie unchanged, in seconds.

    Attributes:
        proven: the time after an OK in the server's log, or a rename.
        quiet: the time where nobody holds a write lock, and locks can be asked for.
        long_quiet: the time where there is no other evidence, and for empty files. More than twice vsftpd's
            data_connection_timeout: a stalled sender may come back until then.
        reads_log: whether the server's log is followed, so that silence in it means something.
        serves_sftp: whether files come by SFTP as well, whose server takes no locks and writes no such log.
    """

    proven: float = 3
    quiet: float = 30
    long_quiet: float = 601
    reads_log: bool = False
    serves_sftp: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """The file is not complete yet: look again at that time, or when something happens."""

    until: float


@dataclass(frozen=True, slots=True)
class Settled:
    """The file is complete, by that evidence."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The end of the file is not certain, and waiting will not make it so; it is taken up again when it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A file as it was seen last, and since when it has not changed.

    Attributes:
        was_there: whether it lay there before anybody looked and has not changed since, so that silence in the log of
            the FTP server says nothing of it.
        standing: what was decided before a restart, which stands until the file changes or the log tells of it.
    """

    sighting: Sighting
    since: float
    verdict: ServerVerdict | None
    came_by_rename: bool
    was_there: bool = False
    standing: Settled | InDoubt | None = None


Decision = Waiting | Settled | InDoubt


def look(before: Watched | None, sighting: Sighting, now: float, *, is_proven: bool = False) -> Watched:
    """Work out what is known of a file after one more look at it.

    A verdict holds for a size: clients set the time of a file just sent (MDTM) or its mode, which is no new upload.
    After a FAIL there is nothing to set the time of, so any new time means that somebody wrote again. A FAIL that left
    a file as it was whose end was seen is about another one, as another account's that was refused.

    Args:
        before: what was known; None where the file is new.
        sighting: what is seen of the file.
        now: the time in monotonic seconds.
        is_proven: whether it was found to be complete by evidence of its end.
    """
    if before is None or not _is_as_long(before.sighting, sighting):
        return Watched(
            sighting=sighting,
            since=now,
            verdict=sighting.verdict,
            came_by_rename=sighting.came_by_rename,
            was_there=sighting.was_there,
        )
    is_quiet = not sighting.is_locked and not _has_changed(before.sighting, sighting)
    is_same = before.sighting.content == sighting.content
    heard = sighting.verdict
    if is_same and _is_about_another(heard, before.verdict, is_proven=is_proven):
        heard = None
    return Watched(
        sighting=sighting,
        since=before.since if is_quiet else now,
        verdict=heard or _kept_verdict(before, sighting),
        came_by_rename=sighting.came_by_rename or before.came_by_rename,
        was_there=before.was_there if is_same else sighting.was_there,
        standing=before.standing if is_same and heard is None and not sighting.is_locked else None,
    )


def look_again(decided: Settled | InDoubt, sighting: Sighting, now: float) -> Watched:
    """Work out what is known of a file that has not changed since it was decided on, before a restart."""
    unheard = replace(sighting, verdict=None, came_by_rename=False)
    before = Watched(sighting=unheard, since=now, verdict=None, came_by_rename=False, was_there=True, standing=decided)
    return look(before, sighting, now, is_proven=is_end_seen(decided))


def is_end_seen(decision: Decision | None) -> bool:
    """Whether a file was found to be complete by evidence of its end."""
    return isinstance(decision, Settled) and decision.evidence is not Evidence.LONG_QUIET


def decide(watched: Watched, patience: Patience, now: float, *, is_unlogged: bool = False) -> Decision:
    """Decide whether a file is complete by what is known of it.

    Args:
        watched: the file as it was seen.
        patience: how long to wait.
        now: the time in monotonic seconds.
        is_unlogged: whether the server's log, followed without a gap, would have told of the file, had its upload ended
            well, and did not: its server process was killed then, which leaves no line.
    """
    if watched.standing is not None:
        return watched.standing
    if watched.verdict is ServerVerdict.FAILED:
        return InDoubt()
    evidence = _evidence(watched, patience)
    until = watched.since + _needed(evidence, patience)
    if watched.sighting.is_locked or now < until:
        return Waiting(until)
    is_silent = is_unlogged and not watched.was_there and watched.verdict is None
    is_cut = is_silent and not patience.serves_sftp and evidence is Evidence.LONG_QUIET
    return InDoubt() if is_cut else Settled(evidence)


def _is_about_another(heard: ServerVerdict | None, known: ServerVerdict | None, *, is_proven: bool) -> bool:
    """Whether a verdict on a file that it left as it was is about another one of its name."""
    if heard is ServerVerdict.UNCLEAR:
        return is_proven or known is not None
    return heard is ServerVerdict.FAILED and (is_proven or known is ServerVerdict.OK)


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

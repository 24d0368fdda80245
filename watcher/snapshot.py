"""What the service shows of itself at one moment. Pure.

Inside, times are monotonic seconds, which mean nothing to another process; here they are UTC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from importer.model import InHand, NotTakenWhy, shown_name
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import Alert, AlertKind, Severity
from watcher.model import ServerVerdict
from watcher.settling import Decision, Held, Settled, Waiting, Watched
from watcher.supervision import WatchState

MOST_FILES_SHOWN = 200
"""Of each client; the totals count all."""


class WaitReason(StrEnum):
    """Why a file still lies in its directory."""

    QUIET = "quiet"
    LOCKED = "locked"
    LOG_SAID_FAIL = "log_said_fail"
    LOG_IS_SILENT = "log_is_silent"
    UNREADABLE = "unreadable"
    NOT_A_PLAIN_FILE = "not_a_plain_file"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Both clocks, read at the same moment: the wall clock in UTC, and monotonic seconds."""

    now: datetime
    elapsed: float

    def utc(self, elapsed: float) -> datetime:
        """The wall clock's time at that monotonic one."""
        return self.now + timedelta(seconds=elapsed - self.elapsed)

    def utc_second(self, elapsed: float) -> datetime:
        """The same, to the nearest second."""
        return (self.utc(elapsed) + timedelta(seconds=0.5)).replace(microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFile:
    """A file that was not imported yet.

    Attributes:
        file: its name, shown form.
        bytes: its size; None where it could not be looked at.
        since: when it was last seen to change; None where it could not be looked at.
        until: when its quiet time ends; None where no time alone ends the wait.
    """

    file: str
    bytes: int | None
    reason: WaitReason
    since: datetime | None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFiles:
    """What waits in a client's directory.

    Attributes:
        files: how many there are.
        bytes: of those whose size is known.
        oldest: `since` of the one that waits longest; None where none is known.
        shown: the `MOST_FILES_SHOWN` that wait longest, those without a time last.
    """

    files: int
    bytes: int
    oldest: datetime | None
    shown: tuple[WaitingFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How a client's new files are found.

    Attributes:
        since: when that state began.
        why: what brought it about; None before the first change.
    """

    state: WatchState
    since: datetime
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSnapshot:
    """One client's directory."""

    client: str
    directory: str
    watch: Watch
    next_tick: datetime
    waiting: WaitingFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNow:
    """What the service knows of one file.

    Attributes:
        waiting: as it was seen last; None where it does not wait.
        is_handed_on: whether a tick has handed it on to the import, and it was not dealt with yet.
        next_tick: None where the client is not served.
    """

    waiting: WaitingFile | None = None
    is_handed_on: bool = False
    next_tick: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """A condition that lasts; `client` is empty for the service as a whole."""

    kind: AlertKind
    client: str
    severity: Severity
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningImport:
    """What is imported now.

    Attributes:
        files: how many are imported together; 0 where a restart finds what was left half done.
        since: when they were begun.
        file: the one that is read or stored now, shown form; None while none takes long enough to be told of.
        claim: its id; it and the following are None where `file` is.
        rows: that were read and judged.
        percent: of its bytes that were read; at 100 its rows are stored.
        seconds_left: by the pace of the client's last file that took long; None where there was none.
    """

    client: str
    files: int
    since: datetime
    file: str | None = None
    claim: str | None = None
    rows: int | None = None
    percent: int | None = None
    seconds_left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSnapshot:
    """The whole service."""

    version: str
    pid: int
    node: str
    started_at: datetime
    running: RunningImport | None
    clients: tuple[ClientSnapshot, ...]
    alerts: tuple[OpenAlert, ...]


def running_import(
    *, client: str, files: int, began: float, in_hand: InHand | None, pace: float | None, clocks: Clocks
) -> RunningImport:
    """What is shown of an import.

    Args:
        client: whose.
        files: how many are imported together.
        began: monotonic seconds.
        in_hand: how far the file has come that is read or stored now.
        pace: seconds that a byte took of the last file.
        clocks: now.
    """
    running = RunningImport(client=client, files=files, since=clocks.utc(began))
    if in_hand is None:
        return running
    progress = in_hand.progress
    left = None if pace is None else max(0.0, pace * progress.total - (clocks.elapsed - began))
    return replace(
        running,
        file=shown_name(in_hand.claim.name),
        claim=in_hand.claim.id,
        rows=progress.rows,
        percent=100 if progress.is_all else 100 * progress.read // progress.total,
        seconds_left=None if left is None else round(left),
    )


def waiting_file(watched: Watched, decision: Decision, clocks: Clocks) -> WaitingFile:
    """What is shown of a file that was looked at."""
    reason = _reason(watched, decision)
    return WaitingFile(
        file=shown_name(watched.sighting.name),
        bytes=watched.sighting.content.size,
        reason=reason,
        since=clocks.utc(watched.since),
        until=clocks.utc(decision.until) if isinstance(decision, Waiting) and reason is WaitReason.QUIET else None,
    )


def refused_files(refused: Mapping[str, NotTakenWhy]) -> tuple[WaitingFile, ...]:
    """What is shown of files that could not be looked at; those that have gone are not shown."""
    reasons = {
        NotTakenWhy.UNREADABLE: WaitReason.UNREADABLE,
        NotTakenWhy.NOT_A_PLAIN_FILE: WaitReason.NOT_A_PLAIN_FILE,
    }
    return tuple(
        WaitingFile(file=shown_name(name), bytes=None, reason=reasons[why], since=None)
        for name, why in refused.items()
        if why in reasons
    )


def waiting_files(files: Iterable[WaitingFile], most: int = MOST_FILES_SHOWN) -> WaitingFiles:
    """All of a client's files counted, and at most so many of them shown."""
    every = sorted(files, key=_by_age)
    return WaitingFiles(
        files=len(every),
        bytes=sum(each.bytes or 0 for each in every),
        oldest=every[0].since if every else None,
        shown=tuple(every[:most]),
    )


def open_alerts(alerts: Iterable[Alert]) -> tuple[OpenAlert, ...]:
    """Those of the alerts that last, the oldest first."""
    lasting = (each for each in alerts if each.resolved_at is None)
    return tuple(
        OpenAlert(
            kind=each.kind,
            client=each.client,
            severity=ALERT_TEXTS[each.kind].severity,
            since=each.opened_at,
            detail=each.detail,
        )
        for each in sorted(lasting, key=lambda each: each.opened_at)
    )


def _reason(watched: Watched, decision: Decision) -> WaitReason:
    match decision:
        case Waiting():
            return WaitReason.LOCKED if watched.sighting.is_locked else WaitReason.QUIET
        case Held():
            said_fail = watched.verdict is ServerVerdict.FAILED
            return WaitReason.LOG_SAID_FAIL if said_fail else WaitReason.LOG_IS_SILENT
        case Settled():
            return WaitReason.COMPLETE
        case _:
            assert_never(decision)


def _by_age(file: WaitingFile) -> tuple[bool, float, str]:
    return (file.since is None, 0.0 if file.since is None else file.since.timestamp(), file.file)

"""The state of the service as it is shown, at one moment. Pure.

Inside, times are monotonic seconds, which mean nothing to another process; here they are UTC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, assert_never

from importer.model import InHand, NotTakenWhy, shown_name
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import Alert, AlertKind, Severity
from watcher.uploads.left_alone import LeftAlone, varied
from watcher.uploads.model import LogState, ServerVerdict
from watcher.uploads.settling import Decision, InDoubt, Settled, Waiting, Watched
from watcher.uploads.supervision import WatchState

MOST_FILES_SHOWN = 200
"""The number of files that are shown of each client; the totals count all."""


class WaitReason(StrEnum):
    """The reason why a file still lies in its directory."""

    QUIET = "quiet"
    LOCKED = "locked"
    LOG_SAID_FAIL = "log_said_fail"
    LOG_IS_SILENT = "log_is_silent"
    UNREADABLE = "unreadable"
    NOT_A_PLAIN_FILE = "not_a_plain_file"
    HARD_LINKED = "hard_linked"
    COMPLETE = "complete"
    TEMPORARY_NAME = "temporary_name"
    OTHER_NAME = "other_name"
    IN_A_FOLDER = "in_a_folder"


LEFT_ALONE = frozenset({WaitReason.TEMPORARY_NAME, WaitReason.OTHER_NAME, WaitReason.IN_A_FOLDER})
"""The reasons of files that are never imported as they lie there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Both clocks, read at the same moment: the wall clock in UTC, and monotonic seconds."""

    now: datetime
    elapsed: float

    def utc(self, elapsed: float) -> datetime:
        """The wall clock's time, UTC, at a time in monotonic seconds."""
        return self.now + timedelta(seconds=elapsed - self.elapsed)

    def utc_second(self, elapsed: float) -> datetime:
        """The wall clock's time, UTC, at a time in monotonic seconds, to the nearest second."""
        return (self.utc(elapsed) + timedelta(seconds=0.5)).replace(microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFile:
    """A file that was not imported yet.

    Attributes:
        file: the file's name, in its shown form.
        bytes: the file's size; None where it could not be looked at.
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
    """The files that wait in a client's directory.

    Attributes:
        files: the number of files.
        bytes: the bytes of the files whose size is known.
        oldest: `since` of the file that waits longest; None where none is known.
        shown: the `MOST_FILES_SHOWN` that wait longest, those without a time last.
    """

    files: int
    bytes: int
    oldest: datetime | None
    shown: tuple[WaitingFile, ...]


NO_FILES = WaitingFiles(files=0, bytes=0, oldest=None, shown=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The watch on a client's directory: how new files are found.

    Attributes:
        since: when that state began.
        why: what brought it about; None before the first change.
    """

    state: WatchState
    since: datetime
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSnapshot:
    """The state of one client's directory.

    Attributes:
        waiting: the files that wait to be imported.
        left_alone: the files that are not imported as they lie there: under a temporary name, another one, or in a
            folder.
        server_log: what the FTP server's log is good for.
    """

    client: str
    directory: str
    watch: Watch
    next_tick: datetime
    waiting: WaitingFiles
    left_alone: WaitingFiles = NO_FILES
    server_log: LogState = LogState.NOT_READ


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNow:
    """The knowledge of the service about one file.

    Attributes:
        waiting: the file as it was seen last; None where it does not wait.
        is_handed_on: whether a tick has handed the file on to the import, and it was not dealt with yet.
        next_tick: when the client's next tick comes, UTC; None where the client is not served.
        server_log: what the FTP server's log is good for.
    """

    waiting: WaitingFile | None = None
    is_handed_on: bool = False
    next_tick: datetime | None = None
    server_log: LogState = LogState.NOT_READ


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """An alert about a condition that lasts.

    Attributes:
        client: the client that it is about; empty for the service as a whole.
        held: mails about it that were held back since the last one, because they would have been too many.
    """

    kind: AlertKind
    client: str
    severity: Severity
    since: datetime
    detail: str
    held: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningImport:
    """The import that runs now.

    Attributes:
        files: how many are imported together; 0 where a restart finds what was left half done.
        since: when they were begun.
        file: the one that is read or stored now, shown form; None while none takes long enough to be told of.
        claim: the file's claim id; it and the following are None where `file` is.
        rows: the number of rows that were read and judged.
        percent: the part of its bytes that was read; at 100 its rows are stored.
        seconds_left: the time left by the pace of the client's last file that took long; None where there was none.
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
    """The state of the whole service."""

    version: str
    pid: int
    node: str
    started_at: datetime
    running: RunningImport | None
    clients: tuple[ClientSnapshot, ...]
    alerts: tuple[OpenAlert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSnapshot:
    """The answer of the service about one file.

    Attributes:
        file: the file as it is now.
        alerts: the alerts that are open for its client, or for the service as a whole.
        events: the log's recent events of it, in order.
    """

    file: FileNow
    alerts: tuple[OpenAlert, ...]
    events: tuple[Mapping[str, Any], ...]


def running_import(
    *, client: str, files: int, began: float, in_hand: InHand | None, pace: float | None, clocks: Clocks
) -> RunningImport:
    """The import as it is shown.

    Args:
        client: the client whose files are imported.
        files: how many files are imported together.
        began: when the import began, in monotonic seconds.
        in_hand: the file that is read or stored now, and how far it has come.
        pace: seconds that a byte of the last file took.
        clocks: the time of now.
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
    """A file that was looked at, as it is shown."""
    reason = wait_reason(watched, decision)
    return WaitingFile(
        file=shown_name(watched.sighting.name),
        bytes=watched.sighting.content.size,
        reason=reason,
        since=clocks.utc(watched.since),
        until=clocks.utc(decision.until) if isinstance(decision, Waiting) and reason is WaitReason.QUIET else None,
    )


def wait_reason(watched: Watched, decision: Decision) -> WaitReason:
    """The reason why a file that was looked at still lies in its directory."""
    match decision:
        case Waiting():
            return WaitReason.LOCKED if watched.sighting.is_locked else WaitReason.QUIET
        case InDoubt():
            said_fail = watched.verdict is ServerVerdict.FAILED
            return WaitReason.LOG_SAID_FAIL if said_fail else WaitReason.LOG_IS_SILENT
        case Settled():
            return WaitReason.COMPLETE
        case _:
            assert_never(decision)


def refused_files(refused: Mapping[str, NotTakenWhy]) -> tuple[WaitingFile, ...]:
    """The files that could not be looked at, as they are shown; those that have gone are left out."""
    reasons = {
        NotTakenWhy.UNREADABLE: WaitReason.UNREADABLE,
        NotTakenWhy.NOT_A_PLAIN_FILE: WaitReason.NOT_A_PLAIN_FILE,
        NotTakenWhy.HARD_LINKED: WaitReason.HARD_LINKED,
    }
    return tuple(
        WaitingFile(file=shown_name(name), bytes=None, reason=reasons[why], since=None)
        for name, why in refused.items()
        if why in reasons
    )


def left_files(left: LeftAlone, clocks: Clocks, most: int = MOST_FILES_SHOWN) -> WaitingFiles:
    """The files that are left alone, of which at most some are shown."""
    drafts = (
        WaitingFile(
            file=shown_name(name),
            bytes=each.draft.size,
            reason=WaitReason.TEMPORARY_NAME,
            since=clocks.utc(each.since),
        )
        for name, each in left.drafts.items()
    )
    odd = (
        WaitingFile(
            file=shown_name(name),
            bytes=None,
            reason=WaitReason.IN_A_FOLDER if "/" in name else WaitReason.OTHER_NAME,
            since=clocks.utc(left.odd[name]),
        )
        for name in varied(left.odd, most)
    )
    found = waiting_files([*drafts, *odd], most)
    return replace(found, files=len(left.drafts) + len(left.odd))


def waiting_files(files: Iterable[WaitingFile], most: int = MOST_FILES_SHOWN) -> WaitingFiles:
    """Count all files of a client, and show at most some of them."""
    every = sorted(files, key=_by_age)
    return WaitingFiles(
        files=len(every),
        bytes=sum(each.bytes or 0 for each in every),
        oldest=every[0].since if every else None,
        shown=tuple(every[:most]),
    )


def open_alerts(alerts: Iterable[Alert]) -> tuple[OpenAlert, ...]:
    """The alerts that are open, as they are shown, the oldest first."""
    lasting = (each for each in alerts if each.resolved_at is None)
    return tuple(
        OpenAlert(
            kind=each.kind,
            client=each.client,
            severity=ALERT_TEXTS[each.kind].severity,
            since=each.opened_at,
            detail=str(each.detail),
            held=each.held,
        )
        for each in sorted(lasting, key=lambda each: each.opened_at)
    )


def _by_age(file: WaitingFile) -> tuple[bool, float, str]:
    return (file.since is None, 0.0 if file.since is None else file.since.timestamp(), file.file)

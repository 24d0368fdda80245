"""Counts of what has become of files since the service began, for its metrics. Pure: times are arguments.

Counts only ever grow. What they are told apart by is bounded: `MOST_CLIENTS`, and the codes that this version knows.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from importer.formats.kinds import KIND_SENTENCES
from importer.model import (
    Archived,
    Claim,
    Counts,
    Imported,
    NotTaken,
    Outcome,
    Purged,
    Quarantined,
    Refused,
    Returned,
    Superseded,
    Suspected,
    Unarchived,
)
from importer.words.reasons import REFUSAL_SENTENCES, ROW_SENTENCES
from watcher.uploads.model import Upload

MOST_CLIENTS = 1000
OTHERS = "(others)"
"""The client of all clients beyond `MOST_CLIENTS`, and the code of all codes that are not known."""
ROW_CODES = tuple(dict.fromkeys(kind.partition(".")[0] for kind in (*ROW_SENTENCES, *KIND_SENTENCES)))
REFUSAL_CODES = tuple(REFUSAL_SENTENCES)
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
"""The bounds of a distribution's classes, in seconds; the window and the quiet times are among them."""
MOST_UNARCHIVED = 10_000


class FileOutcome(StrEnum):
    """What has become of a file that was offered to the importer, or of its archive."""

    IMPORTED = "imported"
    REFUSED = "refused"
    RETURNED = "returned"
    SUPERSEDED = "superseded"
    NOT_TAKEN = "not_taken"
    QUARANTINED = "quarantined"
    ARCHIVED = "archived"
    NOT_ARCHIVED = "not_archived"


class RowOutcome(StrEnum):
    """What has become of a row of an imported file."""

    INSERTED = "inserted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    BLANK = "blank"


_FILE_OUTCOMES: Mapping[type[Outcome], FileOutcome] = {
    Imported: FileOutcome.IMPORTED,
    Refused: FileOutcome.REFUSED,
    Returned: FileOutcome.RETURNED,
    Superseded: FileOutcome.SUPERSEDED,
    NotTaken: FileOutcome.NOT_TAKEN,
    Quarantined: FileOutcome.QUARANTINED,
    Archived: FileOutcome.ARCHIVED,
    Unarchived: FileOutcome.NOT_ARCHIVED,
}


class FileStage(StrEnum):
    """A stage of a file's way; all stages together last from the end of the upload until the file lies in bak."""

    WAITING = "waiting"
    IMPORTING = "importing"
    ARCHIVING = "archiving"


@dataclass(slots=True)
class Distribution:
    """The number of durations in each class of `BOUNDS`, and in the class above them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration; one that is negative, as a clock was set back, counts as 0."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Counting:
    """The counts, which are told of each upload that is begun, and of each outcome.

    Attributes:
        files: the number of files by client and outcome.
        rows: the number of rows by client and outcome.
        failed: the number of failed rows by the reason's code.
        refused: the number of refused files by the refusal's code.
        stages: how long each stage took, file by file.
        latency: the time from the last change of a file until its rows were users.
    """

    files: Counter[tuple[str, FileOutcome]] = field(default_factory=Counter)
    rows: Counter[tuple[str, RowOutcome]] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    stages: dict[FileStage, Distribution] = field(
        default_factory=lambda: {stage: Distribution() for stage in FileStage}
    )
    latency: Distribution = field(default_factory=Distribution)
    _clients: set[str] = field(default_factory=set)
    _closed: dict[tuple[str, str], float] = field(default_factory=dict)
    _committed: dict[str, float] = field(default_factory=dict)

    def copied(self) -> "Counting":
        """A copy of what was counted so far, for another thread to read."""
        stages = {
            stage: Distribution(counts=[*known.counts], total=known.total) for stage, known in self.stages.items()
        }
        return Counting(
            files=self.files.copy(),
            rows=self.rows.copy(),
            failed=self.failed.copy(),
            refused=self.refused.copy(),
            stages=stages,
            latency=Distribution(counts=[*self.latency.counts], total=self.latency.total),
        )

    def begun(self, uploads: Iterable[Upload], now: datetime) -> None:
        """Note that these files are imported now, and no others."""
        self._closed = {(each.client, each.name): each.sighting.changed_ns / 1e9 for each in uploads}
        for closed in self._closed.values():
            self.stages[FileStage.WAITING].add(now.timestamp() - closed)

    def heard(self, outcome: Outcome, now: datetime, elapsed: float) -> None:
        """Count what has become of a file now; durations are taken by the monotonic seconds that are given."""
        if isinstance(outcome, Purged | Suspected):
            return
        client = self._label(outcome.client if isinstance(outcome, NotTaken) else outcome.claim.client)
        self.files[client, _FILE_OUTCOMES[type(outcome)]] += 1
        match outcome:
            case Imported():
                self._imported(client, outcome, now, elapsed)
            case Refused():
                self.refused[_known(outcome.refusal.code, REFUSAL_CODES)] += 1
                self._ended(outcome.claim, outcome.seconds, elapsed)
            case Archived():
                if outcome.claim.id in self._committed:
                    self.stages[FileStage.ARCHIVING].add(elapsed - self._committed.pop(outcome.claim.id))
            case Returned() | Superseded() | NotTaken() | Quarantined() | Unarchived():
                pass
            case _:
                assert_never(outcome)

    def _imported(self, client: str, outcome: Imported, now: datetime, elapsed: float) -> None:
        for row_outcome, rows in _by_outcome(outcome.counts).items():
            self.rows[client, row_outcome] += rows
        for reason in outcome.reasons:
            self.failed[_known(reason.code, ROW_CODES)] += reason.count
        closed = self._closed.pop((outcome.claim.client, outcome.claim.name), None)
        if closed is not None:
            self.latency.add(now.timestamp() - closed)
        self._ended(outcome.claim, outcome.seconds, elapsed)

    def _ended(self, claim: Claim, seconds: float, elapsed: float) -> None:
        self.stages[FileStage.IMPORTING].add(seconds)
        if len(self._committed) < MOST_UNARCHIVED:
            self._committed[claim.id] = elapsed

    def _label(self, client: str) -> str:
        if len(self._clients) < MOST_CLIENTS:
            self._clients.add(client)
        return client if client in self._clients else OTHERS


def _by_outcome(counts: Counts) -> dict[RowOutcome, int]:
    return {
        RowOutcome.INSERTED: counts.inserted,
        RowOutcome.UPDATED: counts.updated,
        RowOutcome.UNCHANGED: counts.unchanged,
        RowOutcome.FAILED: counts.failed,
        RowOutcome.BLANK: counts.blank,
    }


def _known(code: str, codes: tuple[str, ...]) -> str:
    return code if code in codes else OTHERS

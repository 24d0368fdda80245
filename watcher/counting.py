"""What has become of files since the service began, counted for its metrics. Pure: times are arguments.

Counts only ever grow. What they are told apart by is bounded: `MOST_CLIENTS`, and the codes that this version knows.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from importer.model import (
    Archived,
    Claim,
    Imported,
    NotTaken,
    Outcome,
    Purged,
    Quarantined,
    Refused,
    Returned,
    Superseded,
    Unarchived,
)
from importer.reasons import REFUSAL_SENTENCES, ROW_SENTENCES
from watcher.model import Upload

MOST_CLIENTS = 1000
OTHERS = "(others)"
"""The client of all clients beyond `MOST_CLIENTS`, and the code of all codes that are not known."""
ROW_CODES = tuple(dict.fromkeys(kind.partition(".")[0] for kind in ROW_SENTENCES))
REFUSAL_CODES = tuple(REFUSAL_SENTENCES)
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
"""Of the classes of a distribution, in seconds; the window and the quiet times are among them."""
MOST_UNARCHIVED = 10_000

_FILE_OUTCOMES: Mapping[type[Outcome], str] = {
    Imported: "imported",
    Refused: "refused",
    Returned: "returned",
    Superseded: "superseded",
    NotTaken: "not_taken",
    Quarantined: "quarantined",
    Archived: "archived",
    Unarchived: "not_archived",
}
FILE_OUTCOMES = tuple(_FILE_OUTCOMES.values())
ROW_OUTCOMES = ("inserted", "updated", "unchanged", "failed", "blank")


class Stage(StrEnum):
    """Of a file's way; together they last from the end of the upload until the file lies in bak."""

    WAITING = "waiting"
    IMPORTING = "importing"
    ARCHIVING = "archiving"


@dataclass(slots=True)
class Distribution:
    """How many durations there were in each class of `BOUNDS`, and in the one above them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one; a clock that was set back makes none negative."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Counting:
    """Told of each upload that is begun, and of each outcome.

    Attributes:
        files: by client and outcome.
        rows: by client and outcome.
        failed: rows, by the reason's code.
        refused: files, by the refusal's code.
        stages: how long each stage took, by file.
        latency: from the last change of a file until its rows were users.
    """

    files: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    stages: dict[Stage, Distribution] = field(default_factory=lambda: {stage: Distribution() for stage in Stage})
    latency: Distribution = field(default_factory=Distribution)
    _clients: set[str] = field(default_factory=set)
    _closed: dict[tuple[str, str], float] = field(default_factory=dict)
    _committed: dict[str, datetime] = field(default_factory=dict)

    def begun(self, uploads: Iterable[Upload], now: datetime) -> None:
        """These files are imported now, and no others."""
        self._closed = {(each.client, each.name): each.sighting.changed_ns / 1e9 for each in uploads}
        for closed in self._closed.values():
            self.stages[Stage.WAITING].add(now.timestamp() - closed)

    def heard(self, outcome: Outcome, now: datetime) -> None:
        """This has become of a file."""
        if isinstance(outcome, Purged):
            return
        client = self._label(outcome.client if isinstance(outcome, NotTaken) else outcome.claim.client)
        self.files[client, _FILE_OUTCOMES[type(outcome)]] += 1
        match outcome:
            case Imported():
                self._imported(client, outcome, now)
            case Refused():
                self.refused[_known(outcome.refusal.code, REFUSAL_CODES)] += 1
                self._ended(outcome.claim, outcome.seconds, now)
            case Archived() if outcome.claim.id in self._committed:
                self.stages[Stage.ARCHIVING].add((now - self._committed.pop(outcome.claim.id)).total_seconds())
            case _:
                pass

    def _imported(self, client: str, outcome: Imported, now: datetime) -> None:
        for name in ROW_OUTCOMES:
            self.rows[client, name] += getattr(outcome.counts, name)
        for reason in outcome.reasons:
            self.failed[_known(reason.code, ROW_CODES)] += reason.count
        closed = self._closed.pop((outcome.claim.client, outcome.claim.name), None)
        if closed is not None:
            self.latency.add(now.timestamp() - closed)
        self._ended(outcome.claim, outcome.seconds, now)

    def _ended(self, claim: Claim, seconds: float, now: datetime) -> None:
        self.stages[Stage.IMPORTING].add(seconds)
        if len(self._committed) < MOST_UNARCHIVED:
            self._committed[claim.id] = now

    def _label(self, client: str) -> str:
        if len(self._clients) < MOST_CLIENTS:
            self._clients.add(client)
        return client if client in self._clients else OTHERS


def _known(code: str, codes: tuple[str, ...]) -> str:
    return code if code in codes else OTHERS

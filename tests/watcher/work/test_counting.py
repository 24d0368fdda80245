"""What metrics count: outcomes, durations, and bounds of what they are told apart by."""

import datetime as dt
from pathlib import Path

import pytest

from importer.model import (
    Archived,
    Claim,
    Counts,
    Fingerprint,
    Imported,
    NotTaken,
    NotTakenWhy,
    Outcome,
    Purged,
    Quarantined,
    ReasonCount,
    Refusal,
    Refused,
    Returned,
    Superseded,
    Unarchived,
)
from watcher.uploads.model import Evidence, Sighting, Upload
from watcher.work.counting import (
    BOUNDS,
    MOST_CLIENTS,
    MOST_UNARCHIVED,
    OTHERS,
    Counting,
    Distribution,
    FileOutcome,
    FileStage,
)

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def claim(number: int = 1, client: str = "acme") -> Claim:
    return Claim(id=f"c{number}", client=client, directory=Path("/upload"), name=f"{number}.csv")


def upload(number: int = 1, *, closed: float = 0.0) -> Upload:
    content = Fingerprint(device=1, inode=number, size=10, modified_ns=0)
    changed_ns = int(at(closed).timestamp() * 1e9)
    seen = Sighting(name=f"{number}.csv", content=content, changed_ns=changed_ns, is_locked=False)
    return Upload(client="acme", sighting=seen, evidence=Evidence.RENAME)


def imported(number: int = 1, *, client: str = "acme", failed: int = 0, code: str = "invalid") -> Imported:
    reason = ReasonCount(code=code, column="email", count=failed, example_row=2, example="email 'x' is none")
    counts = Counts(records=failed + 6, accepted=5, failed=failed, blank=1, inserted=2, updated=2, unchanged=1)
    return Imported(
        claim=claim(number, client),
        counts=counts,
        reasons=(reason,) if failed else (),
        warnings=(),
        sha256="",
        same_as=None,
        seconds=0.25,
        archive="",
        report=None,
    )


def refused(code: str) -> Refused:
    return Refused(claim=claim(), refusal=Refusal(code=code, message=""), sha256="", seconds=0.5, archive="")


def told(*outcomes: Outcome) -> Counting:
    counting = Counting()
    for outcome in outcomes:
        counting.heard(outcome, NOON, 0.0)
    return counting


def test_the_rows_of_imported_files_are_counted_by_what_became_of_them() -> None:
    counting = told(imported(1, failed=3), imported(2))
    assert counting.rows == {
        ("acme", "inserted"): 4,
        ("acme", "updated"): 4,
        ("acme", "unchanged"): 2,
        ("acme", "failed"): 3,
        ("acme", "blank"): 2,
    }
    assert counting.failed == {"invalid": 3}


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (refused("empty_file"), "refused"),
        (Returned(claim=claim()), "returned"),
        (Superseded(claim=claim(), archive=""), "superseded"),
        (NotTaken(client="acme", name="a.csv", why=NotTakenWhy.GONE), "not_taken"),
        (Quarantined(claim=claim(), attempts=3), "quarantined"),
        (Archived(claim=claim(), archive="", report=None), "archived"),
        (Unarchived(claim=claim(), why="bak is full"), "not_archived"),
    ],
)
def test_files_are_counted_by_what_became_of_them(outcome: Outcome, name: str) -> None:
    assert told(outcome).files == {("acme", name): 1}


def test_a_purge_is_nothing_that_becomes_of_a_file() -> None:
    assert told(Purged(client="acme", archives=7, reports=7)).files == {}


def test_codes_that_are_not_known_are_counted_together() -> None:
    assert told(refused("empty_file"), refused("x"), refused("y")).refused == {"empty_file": 1, OTHERS: 2}
    assert told(imported(failed=2, code="x")).failed == {OTHERS: 2}


def test_clients_beyond_the_limit_are_counted_together() -> None:
    counting = told(*(imported(client=f"c{number}") for number in range(MOST_CLIENTS + 5)), imported(client="c0"))
    clients = {client for client, _ in counting.files}
    assert len(clients) == MOST_CLIENTS + 1
    assert counting.files[OTHERS, FileOutcome.IMPORTED] == 5
    assert counting.files["c0", FileOutcome.IMPORTED] == 2


def test_a_file_that_was_closed_is_followed_until_it_lies_in_bak() -> None:
    counting = Counting()
    counting.begun([upload(1, closed=-40), upload(2, closed=-7)], at(0))
    counting.heard(imported(1), at(2), 2.0)
    counting.heard(Archived(claim=claim(1), archive="", report=None), at(-7200), 5.0)
    assert counting.stages[FileStage.WAITING].total == pytest.approx(47)
    assert counting.stages[FileStage.IMPORTING].total == pytest.approx(0.25)
    assert counting.stages[FileStage.ARCHIVING].total == pytest.approx(3)
    assert counting.latency.total == pytest.approx(42)
    assert sum(counting.latency.counts) == 1


def test_a_file_that_an_earlier_run_has_begun_has_no_latency() -> None:
    counting = told(imported(), Archived(claim=claim(9), archive="", report=None))
    assert sum(counting.latency.counts) == 0
    assert sum(counting.stages[FileStage.ARCHIVING].counts) == 0


def test_files_that_are_never_archived_use_no_memory_for_ever() -> None:
    counting = told(*(imported(number) for number in range(MOST_UNARCHIVED + 1)))
    counting.heard(Archived(claim=claim(MOST_UNARCHIVED), archive="", report=None), at(1), 1.0)
    assert sum(counting.stages[FileStage.ARCHIVING].counts) == 0


@pytest.mark.parametrize(
    ("seconds", "index"), [(-5.0, 0), (0.01, 0), (0.02, 1), (300.0, BOUNDS.index(300.0)), (1e6, len(BOUNDS))]
)
def test_a_duration_is_in_the_first_class_whose_bound_is_not_below_it(seconds: float, index: int) -> None:
    distribution = Distribution()
    distribution.add(seconds)
    assert distribution.counts[index] == 1
    assert distribution.total == max(0.0, seconds)

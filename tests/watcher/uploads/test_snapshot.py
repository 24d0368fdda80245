"""What the service shows of itself: the reason and the times of each file that waits, true totals, and plain JSON."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.model import Claim, Fingerprint, InHand, NotTakenWhy, Progress
from notifier.model import Alert, AlertKind, Severity
from watcher.base.encoding import plain, value_of
from watcher.uploads.model import Evidence, ServerVerdict, Sighting
from watcher.uploads.settling import Decision, InDoubt, Settled, Waiting, Watched
from watcher.uploads.snapshot import (
    ClientSnapshot,
    Clocks,
    OpenAlert,
    RunningImport,
    ServiceSnapshot,
    WaitingFile,
    WaitReason,
    Watch,
    open_alerts,
    refused_files,
    running_import,
    waiting_file,
    waiting_files,
)
from watcher.uploads.supervision import WatchState

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
CLOCKS = Clocks(now=NOON, elapsed=1000.0)


def watched(name: str = "a.csv", *, is_locked: bool = False, verdict: ServerVerdict | None = None) -> Watched:
    content = Fingerprint(device=1, inode=1, size=7, modified_ns=0)
    sighting = Sighting(name=name, content=content, changed_ns=0, is_locked=is_locked)
    return Watched(sighting=sighting, since=990.0, verdict=verdict, came_by_rename=False)


@pytest.mark.parametrize(
    ("seen", "decision", "reason"),
    [
        (watched(), Waiting(1020.0), WaitReason.QUIET),
        (watched(is_locked=True), Waiting(1020.0), WaitReason.LOCKED),
        (watched(verdict=ServerVerdict.FAILED), InDoubt(), WaitReason.LOG_SAID_FAIL),
        (watched(), InDoubt(), WaitReason.LOG_IS_SILENT),
        (watched(), Settled(Evidence.RENAME), WaitReason.COMPLETE),
    ],
)
def test_each_decision_is_shown_as_the_reason_of_the_wait(
    seen: Watched, decision: Decision, reason: WaitReason
) -> None:
    assert waiting_file(seen, decision, CLOCKS).reason is reason


def test_monotonic_times_are_shown_by_the_wall_clock() -> None:
    shown = waiting_file(watched(), Waiting(1020.0), CLOCKS)
    assert (shown.since, shown.until) == (NOON - timedelta(seconds=10), NOON + timedelta(seconds=20))


def test_no_time_ends_the_wait_of_a_locked_file() -> None:
    assert waiting_file(watched(is_locked=True), Waiting(1020.0), CLOCKS).until is None


def test_a_name_is_shown_in_its_safe_form() -> None:
    assert waiting_file(watched("a\n.csv"), InDoubt(), CLOCKS).file == r"a\n.csv"


def test_files_that_cannot_be_looked_at_are_shown_without_size_and_time() -> None:
    shown = refused_files({"a.csv": NotTakenWhy.UNREADABLE, "b.csv": NotTakenWhy.GONE})
    assert shown == (WaitingFile(file="a.csv", bytes=None, reason=WaitReason.UNREADABLE, since=None),)


FILES = st.builds(
    WaitingFile,
    file=st.text(max_size=5),
    bytes=st.none() | st.integers(0, 100),
    reason=st.sampled_from(WaitReason),
    since=st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)),  # noqa: DTZ001
)


@given(st.lists(FILES), st.integers(0, 5))
def test_totals_count_every_file_however_few_are_shown(files: list[WaitingFile], most: int) -> None:
    made = waiting_files(files, most)
    assert (made.files, made.bytes) == (len(files), sum(each.bytes or 0 for each in files))
    assert made.oldest == min((each.since for each in files if each.since), default=None)
    assert len(made.shown) == min(most, len(files))


def test_alerts_that_are_over_are_not_shown() -> None:
    lasting = Alert(kind=AlertKind.WATCH, client="a", detail="deaf", opened_at=NOON)
    over = Alert(kind=AlertKind.DATABASE, client="", detail="", opened_at=NOON, resolved_at=NOON)
    assert [(each.kind, each.detail) for each in open_alerts([over, lasting])] == [(AlertKind.WATCH, "deaf")]


def test_a_snapshot_goes_into_json() -> None:
    client = ClientSnapshot(
        client="default",
        directory="/srv/upload",
        watch=Watch(state=WatchState.LIVE, since=NOON, why=None),
        next_tick=NOON,
        waiting=waiting_files([waiting_file(watched(), InDoubt(), CLOCKS)]),
    )
    alert = OpenAlert(kind=AlertKind.WATCH, client="default", severity=Severity.ERROR, since=NOON, detail="deaf")
    made = ServiceSnapshot(
        version="1", pid=1, node="n", started_at=NOON, running=None, clients=(client,), alerts=(alert,)
    )
    read = json.loads(json.dumps(made, default=plain))
    assert value_of(ServiceSnapshot, read) == made
    assert read["started_at"] == "2030-01-01T12:00:00+00:00"
    assert read["clients"][0]["waiting"]["shown"][0]["reason"] == "log_is_silent"
    assert read["alerts"][0]["severity"] == "error"


def in_hand(read: int, total: int = 2_000) -> InHand:
    claim = Claim(id="c", client="default", directory=Path("/srv/upload"), name="a.csv")
    return InHand(claim=claim, progress=Progress(rows=7, read=read, total=total))


def running(hand: InHand | None, *, pace: float | None = None) -> RunningImport:
    return running_import(client="default", files=1, began=990.0, in_hand=hand, pace=pace, clocks=CLOCKS)


def test_an_import_that_has_just_begun_names_no_file() -> None:
    assert running(None) == RunningImport(client="default", files=1, since=NOON - timedelta(seconds=10))


@pytest.mark.parametrize(("read", "percent"), [(0, 0), (1_999, 99), (2_000, 100)])
def test_the_share_that_is_read_is_a_hundred_only_when_all_is(read: int, percent: int) -> None:
    shown = running(in_hand(read))
    assert (shown.file, shown.claim, shown.rows, shown.percent) == ("a.csv", "c", 7, percent)


@pytest.mark.parametrize(("pace", "left"), [(None, None), (0.015, 20), (0.001, 0)])
def test_what_is_left_is_told_by_the_pace_of_the_file_before(pace: float | None, left: int | None) -> None:
    assert running(in_hand(1_000), pace=pace).seconds_left == left


def test_nothing_is_left_of_an_empty_file() -> None:
    assert running(in_hand(0, total=0), pace=0.015).percent == 100


def test_a_value_that_has_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        plain({1})

"""A client's directory as numbers."""

from importer.model import Fingerprint
from watcher.uploads.gauging import IMPORTING, Gauges, gauges
from watcher.uploads.model import Sighting
from watcher.uploads.settling import Watched
from watcher.uploads.snapshot import WaitReason
from watcher.uploads.supervision import WatchState


def watched(size: int, since: float) -> Watched:
    content = Fingerprint(device=1, inode=1, size=size, modified_ns=0)
    seen = Sighting(name="a.csv", content=content, changed_ns=0, is_locked=False)
    return Watched(sighting=seen, since=since, verdict=None, came_by_rename=False)


def summed(seen: dict[str, list[Watched]], refused: tuple[str, ...] = ()) -> Gauges:
    return gauges("acme", WatchState.LIVE, seen=seen, refused=refused, now=100.0, last_tick=70.0)


def test_files_and_bytes_are_summed_up_by_state() -> None:
    found = summed(
        {
            WaitReason.QUIET: [watched(5, 90.0), watched(7, 95.0)],
            WaitReason.COMPLETE: [],
            IMPORTING: [watched(11, 80.0)],
        },
        refused=(WaitReason.UNREADABLE,),
    )
    assert found.files == {WaitReason.QUIET: 2, IMPORTING: 1, WaitReason.UNREADABLE: 1}
    assert +found.bytes == {WaitReason.QUIET: 12, IMPORTING: 11}
    assert (found.oldest_seconds, found.tick_seconds) == (20.0, 30.0)


def test_an_upload_that_was_cut_off_waits_for_its_sender_and_not_for_us() -> None:
    found = summed({WaitReason.LOG_SAID_FAIL: [watched(5, 1.0)], WaitReason.LOG_IS_SILENT: [watched(7, 2.0)]})
    assert found.files == {WaitReason.LOG_SAID_FAIL: 1, WaitReason.LOG_IS_SILENT: 1}
    assert found.oldest_seconds == 0.0

"""What is kept of a directory's files: one entry a name, whatever becomes of it, and whose quiet time has ended."""

import math

import pytest

from importer.model import Fingerprint, NotTakenWhy
from watcher.uploads.model import Evidence, Sighting
from watcher.uploads.settling import Decision, InDoubt, Settled, Waiting, Watched
from watcher.uploads.tracking import HandedOn, Seen, Tracked, TrackedFiles, Untaken, settled_uploads


def watched(name: str) -> Watched:
    content = Fingerprint(device=1, inode=1, size=7, modified_ns=0)
    sighting = Sighting(name=name, content=content, changed_ns=0, is_locked=False)
    return Watched(sighting=sighting, since=990.0, verdict=None, came_by_rename=False)


def seen(name: str, decision: Decision) -> Seen:
    return Seen(watched=watched(name), decision=decision)


def tracked(*files: Seen) -> TrackedFiles:
    made = TrackedFiles()
    for each in files:
        made.put(each.watched.sighting.name, each)
    return made


def test_those_are_due_whose_quiet_time_has_ended_as_often_as_it_is_asked() -> None:
    files = tracked(seen("a", Waiting(10.0)), seen("b", Waiting(20.0)), seen("c", Waiting(30.0)), seen("d", InDoubt()))
    assert [files.due(at) for at in (9.0, 10.0, 20.0, 20.0)] == [set(), {"a"}, {"a", "b"}, {"a", "b"}]


def test_no_quiet_time_ends_before_the_next_look() -> None:
    files = tracked(seen("a", Waiting(20.0)), seen("b", Waiting(10.0)))
    assert files.no_look_before == 10.0
    files.forget("b")
    assert files.due(10.0) == set()
    assert files.no_look_before == 20.0
    files.put("a", seen("a", InDoubt()))
    assert files.due(20.0) == set()
    assert files.no_look_before == math.inf


@pytest.mark.parametrize(
    "later",
    [
        seen("a", Settled(Evidence.RENAME)),
        seen("a", InDoubt()),
        HandedOn(watched=watched("a")),
        Untaken(why=NotTakenWhy.UNREADABLE),
    ],
)
def test_a_file_is_one_thing_at_a_time(later: Tracked) -> None:
    files = tracked(seen("a", Waiting(10.0)))
    files.put("a", later)
    assert (len(files), files.get("a"), files.number(Waiting)) == (1, later, 0)
    assert [len(each) for each in (files.seen(), files.handed_on(), files.untaken())].count(1) == 1
    files.forget("a")
    assert (len(files), files.get("a")) == (0, None)


def test_what_is_settled_is_an_upload_by_its_evidence() -> None:
    files = [seen("a", Settled(Evidence.SERVER_LOG)), seen("b", Waiting(10.0))]
    (upload,) = settled_uploads("acme", files)
    assert (upload.client, upload.name, upload.evidence) == ("acme", "a", Evidence.SERVER_LOG)

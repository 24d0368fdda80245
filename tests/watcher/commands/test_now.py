"""What `userdrop now` tells of the files that wait."""

import datetime as dt

from tests.tools.page import client, service
from watcher.commands.now import MOST_TOLD, taken
from watcher.uploads.snapshot import WaitingFile, WaitReason

NOW = dt.datetime(2026, 11, 22, 10, 10, 13, tzinfo=dt.UTC)


def waiting(name: str, reason: WaitReason, until: dt.datetime | None = None) -> WaitingFile:
    return WaitingFile(file=name, bytes=1, reason=reason, since=NOW, until=until)


def test_each_file_is_told_with_the_time_at_which_it_is_taken() -> None:
    files = [
        waiting("a.csv", WaitReason.COMPLETE),
        waiting("b.csv", WaitReason.QUIET, NOW + dt.timedelta(seconds=30)),
        waiting("c.csv", WaitReason.LOCKED),
    ]
    assert [*taken(service(client("acme", *files)))] == [
        "  acme: a.csv: taken now",
        "  acme: b.csv: not yet; whether it is complete is decided at 10:10:43 UTC if nothing changes until then",
        "  acme: c.csv: not now; `userdrop why` tells why it waits (locked)",
    ]


def test_of_many_files_only_the_first_are_told_and_the_rest_are_counted() -> None:
    files = [waiting(f"{number:03}.csv", WaitReason.COMPLETE) for number in range(500)]
    told = [*taken(service(client("default", *files)))]
    assert told[0] == "  000.csv: taken now"
    assert told[MOST_TOLD:] == ["  480 more wait; see `userdrop status`"]


def test_where_no_file_waits_that_is_told() -> None:
    assert [*taken(service(client("acme")))] == ["  no file waits"]

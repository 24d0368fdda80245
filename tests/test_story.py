"""What the story of a file says, in which order, and what is said of its present state."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from importer.history import FailureCount, PastImport
from importer.model import Counts
from notifier.queueing import MailsAbout, QueuedMail
from watcher.catalogue import EVENTS
from watcher.overview import PastFile
from watcher.snapshot import WaitReason
from watcher.story import events_of, now_told, story
from watcher.whereabouts import Whereabouts

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
VALUES: dict[str, object] = {
    "evidence": "rename",
    "why": "gone",
    "size": 7,
    "rows": 3,
    "accepted": 2,
    "attempts": 3,
    "claim": "C1",
    "report": None,
}


def event(name: str, seconds: float = 0, **values: object) -> dict[str, Any]:
    about = {"client": "default", "file": "a.csv", "event": name, "timestamp": _at(seconds).isoformat()}
    return {field: VALUES.get(field, "x") for field in EVENTS[name].fields} | about | values


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def past(status: str = "imported", *, mails: MailsAbout | None = None, **values: Any) -> PastFile:  # noqa: ANN401 - any field's
    facts: dict[str, Any] = {
        "claim_id": "C1",
        "client": "default",
        "file": "a.csv",
        "status": status,
        "size": 7,
        "same_as": None,
        "counts": Counts(records=3, accepted=2, failed=1, inserted=2),
        "reasons": (FailureCount(code="invalid", column="email", count=1),),
        "refusal_code": None,
        "refusal_message": None,
        "seconds": 1.0,
        "committed_at": _at(10),
        "archive": "a.20300101T120010Z.csv",
        "report": "a.20300101T120010Z.failed.csv",
        "archived_at": _at(11),
    }
    return PastFile(entry=PastImport(**facts | values), mails=mails or MailsAbout(is_to_be_formed=False, mails=()))


def mail(state: str, **values: Any) -> QueuedMail:  # noqa: ANN401 - any field's
    facts: dict[str, Any] = {
        "id": 4,
        "state": state,
        "recipient": "office@example.edu",
        "client": "default",
        "subject": "s",
        "message_id": "m",
        "created_at": _at(20),
        "tries": 2,
        "next_try_at": _at(30),
        "ended_at": None,
        "last_error": "450 later",
        "is_being_sent": False,
        "attachments": (),
    }
    return QueuedMail(**facts | values)


def told(events: list[dict[str, Any]], *files: PastFile) -> list[str]:
    return [each.what for each in story(events, files)]


def test_what_log_and_ledger_say_is_told_in_order_and_once() -> None:
    events = [
        event("upload_settled", 5),
        event("upload_seen", 1),
        event("import_finished", 10),
        event("file_archived", 11),
        event("upload_seen", 1),
    ]
    assert told(events, past()) == [
        "seen in the upload directory, 7 bytes",
        "complete, 7 bytes: it was renamed to this name after it was written",
        "imported: 2 of 3 rows are users (2 new, 0 changed, 0 unchanged); 1 failed (1x email invalid) [C1]",
        "no mail: there was nothing to tell, or nobody to tell it to",
        "lies in bak as a.20300101T120010Z.csv, its failed rows as a.20300101T120010Z.failed.csv",
    ]


def test_of_an_import_that_the_ledger_does_not_know_the_log_is_told() -> None:
    assert told([event("import_finished")], past(claim_id="C2"))[0] == "imported: 2 of 3 rows are users"


@pytest.mark.parametrize("name", [name for name, each in EVENTS.items() if {"client", "file"} <= {*each.fields}])
def test_every_event_that_names_a_file_is_told(name: str) -> None:
    assert told([event(name)])


def test_events_that_name_no_file_are_left_out() -> None:
    assert told([event("batch_started")]) == []


@pytest.mark.parametrize(
    ("file", "beginning"),
    [
        (past("refused", refusal_code="not_csv", refusal_message="It is a picture"), "refused (not_csv): It is a pict"),
        (past("superseded"), "not imported: a newer file of its name"),
        (past("quarantined", archive="", archived_at=None), "set aside in quarantine"),
        (past(same_as="C0"), "imported: 2 of 3"),
    ],
)
def test_each_end_of_a_file_is_told(file: PastFile, beginning: str) -> None:
    assert told([], file)[0].startswith(beginning)


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (MailsAbout(is_to_be_formed=True, mails=()), "a mail about it is to be written"),
        (
            MailsAbout(is_to_be_formed=False, mails=(mail("queued"),)),
            "mail 4 to office@example.edu: queued (tries: 2); the server said last: 450 later",
        ),
        (
            MailsAbout(is_to_be_formed=False, mails=(mail("queued", is_being_sent=True, last_error=None),)),
            "mail 4 to office@example.edu: being sent (tries: 2)",
        ),
        (
            MailsAbout(is_to_be_formed=False, mails=(mail("sent", ended_at=_at(40)),)),
            "mail 4 to office@example.edu: sent (tries: 2)",
        ),
    ],
)
def test_what_became_of_its_mails_is_told(about: MailsAbout, expected: str) -> None:
    assert expected in told([], past(mails=about))


def answer(waiting: dict[str, Any] | None = None, *, is_handed_on: bool = False) -> dict[str, Any]:
    file = {"waiting": waiting, "is_handed_on": is_handed_on, "next_tick": "2030-01-01T12:05:00+00:00"}
    return {"file": file, "alerts": []}


def waiting(reason: WaitReason, until: str | None = None) -> dict[str, Any]:
    return answer({"reason": reason.value, "until": until})


LYING = Whereabouts(bytes=7)


@pytest.mark.parametrize(
    ("name", "where", "service", "expected"),
    [
        ("a.csv", LYING, None, "nothing is done with it, as no userdrop runs"),
        ("a.csv.part", LYING, answer(), "clients still write"),
        ("a.xls", LYING, answer(), "left alone"),
        ("a.csv", LYING, answer(), "has not looked at it yet"),
        ("a.csv", LYING, answer(is_handed_on=True), "is imported now"),
        ("a.csv", LYING, waiting(WaitReason.QUIET, "2030-01-01T12:00:30+00:00"), "at 12:00:30 UTC if nothing changes"),
        ("a.csv", LYING, waiting(WaitReason.COMPLETE), "complete; the next run is at 12:05:00 UTC"),
        (
            "a.csv",
            Whereabouts(bytes=7, writers=(12,)),
            waiting(WaitReason.LOCKED),
            "still being written by process 12",
        ),
        ("a.csv", Whereabouts(claimed=("C1",)), None, "is imported when userdrop runs again"),
        ("a.csv", Whereabouts(set_aside=("C1",)), None, "`userdrop retry C1`"),
        ("a.csv", Whereabouts(archived=("a.1.csv",)), None, "bak as a.1.csv"),
        ("a.csv", Whereabouts(unseen=(".importing",)), None, ".importing cannot be looked into"),
    ],
)
def test_what_is_the_case_now_and_what_comes_next_is_told(
    name: str, where: Whereabouts, service: dict[str, Any] | None, expected: str
) -> None:
    (line,) = now_told(name, where, service)
    assert expected in line


@pytest.mark.parametrize("reason", WaitReason)
def test_every_reason_of_a_wait_is_told(reason: WaitReason) -> None:
    (line,) = now_told("a.csv", LYING, waiting(reason))
    assert len(line.partition("; ")[2]) > 10


def test_alerts_are_told_only_of_a_file_that_waits() -> None:
    alerting = answer() | {"alerts": [{"since": "2030-01-01T12:00:00+00:00", "kind": "database", "detail": "out"}]}
    assert [*now_told("a.csv", LYING, alerting)][1:] == ["an alert is open since 2030-01-01 12:00: database, out"]
    assert [*now_told("a.csv", Whereabouts(archived=("x",)), alerting)] == ["it lies in bak as x"]


def test_of_a_log_the_lines_about_the_file_are_taken() -> None:
    lines = ["no JSON", "[]", "1", *map(json.dumps, (event("upload_seen"), event("upload_seen", file="b.csv"), {}))]
    assert [*events_of(lines, "default", "a.csv")] == [event("upload_seen")]

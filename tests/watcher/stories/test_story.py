"""What the story of a file says, in which order, and what is said of its present state."""

import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from importer.database.history import FailureCount, PastImport
from importer.model import Counts
from notifier.model import AlertKind, MailState, Severity
from notifier.outbox import UNREAD
from notifier.queueing import ListedMail, MailsAbout
from watcher.base.log_events import EVENTS
from watcher.stories.past import PastFile
from watcher.stories.story import events_of, now_told, story
from watcher.stories.whereabouts import Whereabouts
from watcher.uploads.model import LogState
from watcher.uploads.snapshot import FileNow, FileSnapshot, OpenAlert, WaitingFile, WaitReason

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


def mail(state: str, **values: Any) -> ListedMail:  # noqa: ANN401 - any field's
    facts: dict[str, Any] = {
        "id": 4,
        "state": MailState(state),
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
        "refused_since": None,
        "attachments": (),
    }
    return ListedMail(**facts | values)


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


def test_of_an_import_it_is_told_that_the_end_of_the_upload_was_not_seen() -> None:
    assert "; the end of its upload was not seen" in told([], past(remarks=("end_not_seen",)))[0]


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
            MailsAbout(is_to_be_formed=True, mails=(), held_until=_at(3000)),
            f"a mail about it, and about others that were refused like it, is to be written by {_at(3000):%H:%M:%S}",
        ),
        (
            MailsAbout(is_to_be_formed=False, mails=(mail("queued"),)),
            "mail 4 to office@example.edu: queued (tries: 2); the last try failed: 450 later",
        ),
        (
            MailsAbout(is_to_be_formed=False, mails=(mail("queued", last_error=f"{UNREAD}/up: EIO"),)),
            "mail 4 to office@example.edu: queued (tries: 2); the last try failed: its report cannot be read: /up: EIO",
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


def answer(waiting: WaitingFile | None = None, *, is_handed_on: bool = False) -> FileSnapshot:
    file = FileNow(waiting=waiting, is_handed_on=is_handed_on, next_tick=_at(300))
    return FileSnapshot(file=file, alerts=(), events=())


def waiting(reason: WaitReason, until: datetime | None = None) -> FileSnapshot:
    return answer(WaitingFile(file="a.csv", bytes=7, reason=reason, since=NOON, until=until))


LYING = Whereabouts(bytes=7)


@pytest.mark.parametrize(
    ("name", "where", "service", "expected"),
    [
        ("a.csv", LYING, None, "nothing is done with it, as no userdrop runs"),
        ("a.csv.part", LYING, answer(), "clients still write"),
        ("a.xls", LYING, answer(), "left alone"),
        ("a.csv", LYING, answer(), "has not looked at it yet"),
        ("a.csv", LYING, answer(is_handed_on=True), "is imported now"),
        ("a.csv", LYING, waiting(WaitReason.QUIET, _at(30)), "at 12:00:30 UTC if nothing changes"),
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
        ("a.csv", Whereabouts(drafts=(("a.csv.part", 1234),)), None, "as a.csv.part, 1,234 bytes, a name under which"),
        ("a.csv", Whereabouts(folders=("x/y/a.csv",)), None, "in a folder, as x/y/a.csv: nothing is imported from"),
        ("a.csv", Whereabouts(bytes=7, links=2), waiting(WaitReason.HARD_LINKED), "2 names (hard links), as in"),
        ("a.csv", Whereabouts(bytes=7, links=3), waiting(WaitReason.HARD_LINKED), "it has 3 names (hard links)"),
    ],
)
def test_what_is_the_case_now_and_what_comes_next_is_told(
    name: str, where: Whereabouts, service: FileSnapshot | None, expected: str
) -> None:
    (line,) = now_told(name, where, service)
    assert expected in line


@pytest.mark.parametrize(
    ("state", "expected"), [(LogState.UNREADABLE, "cannot be read"), (LogState.HAS_TOLD_NOTHING, "told of no upload")]
)
def test_of_a_file_that_waits_it_is_told_that_the_servers_log_is_of_no_use(state: LogState, expected: str) -> None:
    quiet = waiting(WaitReason.QUIET, _at(600))
    (line,) = now_told("a.csv", LYING, replace(quiet, file=replace(quiet.file, server_log=state)))
    assert expected in line


def test_a_replaced_upload_is_told_by_the_ledger_or_else_by_the_log() -> None:
    replaced = event("upload_replaced")
    assert "replaced at 7 bytes" in told([replaced])[0]
    assert not any("replaced at" in line for line in told([replaced], past("superseded", archive="")))


def test_a_file_in_quarantine_is_told_with_a_command_that_finds_its_client() -> None:
    (line,) = now_told("a.csv", Whereabouts(set_aside=("C1",)), None, client="St Mary's")
    command = line.partition("`")[2].partition("`")[0]
    assert shlex.split(command) == ["userdrop", "retry", "--client", "St Mary's", "C1"]


@pytest.mark.parametrize("reason", WaitReason)
def test_every_reason_of_a_wait_is_told(reason: WaitReason) -> None:
    (line,) = now_told("a.csv", LYING, waiting(reason))
    assert len(line.partition("; ")[2]) > 10


def test_alerts_are_told_only_of_a_file_that_waits() -> None:
    alert = OpenAlert(kind=AlertKind.DATABASE, client="", severity=Severity.ERROR, since=NOON, detail="out")
    alerting = replace(answer(), alerts=(alert,))
    assert [*now_told("a.csv", LYING, alerting)][1:] == ["an alert is open since 2030-01-01 12:00: database, out"]
    assert [*now_told("a.csv", Whereabouts(archived=("x",)), alerting)] == ["it lies in bak as x"]


def test_of_a_log_the_lines_about_the_file_are_taken() -> None:
    lines = ["no JSON", "[]", "1", *map(json.dumps, (event("upload_seen"), event("upload_seen", file="b.csv"), {}))]
    assert [*events_of(lines, "default", "a.csv")] == [event("upload_seen")]

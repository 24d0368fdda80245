"""The story of a file, told from what the log, the ledger, the queue of mails and the directories say. Pure."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from importer.history import PastImport
from importer.model import NotTakenWhy, shown_name
from notifier.queueing import QueuedMail
from watcher.model import Evidence
from watcher.overview import PastFile
from watcher.scanning import IMPORTED_SUFFIXES, is_candidate, is_temporary
from watcher.snapshot import WaitReason
from watcher.whereabouts import Whereabouts

Event = Mapping[str, Any]

TOLD_REASONS = 3
"""Of one file; `history --json` has them all."""

_EVIDENCE = {
    Evidence.SERVER_LOG: "the FTP server's log says that the transfer ended well",
    Evidence.RENAME: "it was renamed to this name after it was written",
    Evidence.QUIET_AND_UNLOCKED: "it lay unchanged for the quiet time and nobody held a lock for writing",
    Evidence.LONG_QUIET: "it lay unchanged for the long quiet time, which is all that is known",
}
_NOT_TAKEN = {
    NotTakenWhy.GONE: "it was gone when it was to be taken",
    NotTakenWhy.NOT_A_PLAIN_FILE: "it was no regular file with one name, so that it was not opened",
    NotTakenWhy.UNREADABLE: "the service may not read it",
}
_SUFFIXES = ", ".join(IMPORTED_SUFFIXES)

_EVENTS: Mapping[str, Callable[[Event], str]] = MappingProxyType(
    {
        "upload_seen": lambda event: f"seen in the upload directory, {event['size']:,} bytes",
        "upload_resumed": lambda event: f"changed again, {event['size']:,} bytes, so that it waits anew",
        "upload_settled": lambda event: f"complete, {event['size']:,} bytes: {_EVIDENCE[Evidence(event['evidence'])]}",
        "upload_held": lambda event: (
            f"held at {event['size']:,} bytes: the FTP server's log says that the upload "
            "was cut off, or says nothing of its end; the sender is told by mail"
        ),
        "file_not_taken": lambda event: f"not taken: {_NOT_TAKEN[NotTakenWhy(event['why'])]}",
        "import_returned": lambda _: "it changed while it was taken: it was given back, and waits anew",
        "import_superseded": lambda _: "it changed while it was taken, and a newer file has its name: it goes to bak",
        "import_finished": lambda event: f"imported: {event['accepted']:,} of {event['rows']:,} rows are users",
        "import_refused": lambda event: f"refused ({event['code']}): nothing of it was imported",
        "file_archived": lambda event: _lies_in_bak(event["archive"], event["report"]),
        "file_not_archived": lambda event: f"imported, but bak cannot take it: {event['error']}; it is tried again",
        "file_quarantined": lambda event: (
            f"set aside in .quarantine: its import ended the importing process {event['attempts']} times"
        ),
    }
)
_IN_LEDGER = {"import_finished", "import_refused", "import_superseded", "file_archived", "file_quarantined"}
"""Events of which the ledger says more."""

_WAITS: Mapping[WaitReason, str] = MappingProxyType(
    {
        WaitReason.QUIET: "it is not known to be complete yet",
        WaitReason.LOCKED: "it is still being written",
        WaitReason.LOG_SAID_FAIL: "the FTP server's log says that its upload was cut off: it has to be dropped again",
        WaitReason.LOG_IS_SILENT: "the FTP server's log says nothing of the end of its upload: it has to be dropped "
        "again, or renamed where it is known to be whole",
        WaitReason.UNREADABLE: "the service may not read it: see `userdrop doctor`",
        WaitReason.NOT_A_PLAIN_FILE: "it is no regular file with one name, and is never opened: remove it",
        WaitReason.COMPLETE: "it is complete",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that happened; `at` is UTC."""

    at: datetime
    what: str


def story(events: Iterable[Event], past: Iterable[PastFile]) -> tuple[Told, ...]:
    """What happened to a file, in order.

    Args:
        events: of the log; those that are none of a file's are left out.
        past: what the ledger has.
    """
    past = [*past]
    known = {each.entry.claim_id for each in past}
    told = [
        Told(at=datetime.fromisoformat(event["timestamp"]), what=_EVENTS[event["event"]](event))
        for event in events
        if event["event"] in _EVENTS and not (event["event"] in _IN_LEDGER and event["claim"] in known)
    ]
    told += [line for each in past for line in _past(each)]
    return tuple(dict.fromkeys(sorted(told, key=lambda each: each.at)))


def events_of(lines: Iterable[str], client: str, file: str) -> Iterator[Event]:
    """The lines of a log that tell of a file, by its shown form; those that are none of ours are left out."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and (event.get("client"), event.get("file")) == (client, file) and "event" in event:
            yield event


def now_told(name: str, where: Whereabouts, answer: Mapping[str, Any] | None) -> Iterator[str]:
    """What is the case now, and what will happen or has to be done, a sentence without its full stop each.

    Args:
        name: the file's.
        where: it lies.
        answer: the running service's, None where none runs.
    """
    if where.bytes is not None:
        yield f"it lies in the upload directory, {where.bytes:,} bytes; {_next(name, where, answer)}"
    for claim in where.claimed:
        yield f"it was taken as {claim}, and is imported" + ("" if answer else " when userdrop runs again")
    for claim in where.set_aside:
        yield f"it lies in quarantine as {claim}; `userdrop retry {claim}` has it tried again"
    for archive in where.archived:
        yield f"it lies in bak as {shown_name(archive)}"
    for place in where.unseen:
        yield f"{place} cannot be looked into: ask as the service's user or as root"
    is_done = where.bytes is None and not where.claimed
    for alert in () if answer is None or is_done else answer["alerts"]:
        yield f"an alert is open since {alert['since'][:16].replace('T', ' ')}: {alert['kind']}, {alert['detail']}"


def reasons_told(found: PastImport) -> str:
    """Why rows failed, in a few words."""
    told = [f"{reason.count:,}x {reason.column or 'row'} {reason.code}" for reason in found.reasons[:TOLD_REASONS]]
    return ", ".join(told) + (", …" if len(found.reasons) > TOLD_REASONS else "")


def _next(name: str, where: Whereabouts, answer: Mapping[str, Any] | None) -> str:
    if is_temporary(name):
        return f"its name is one under which clients still write: renamed to one that ends with {_SUFFIXES} it is taken"
    if not is_candidate(name):
        return f"it is left alone, as only names that end with {_SUFFIXES} are imported"
    if answer is None:
        return "nothing is done with it, as no userdrop runs"
    known = answer["file"]
    if known["is_handed_on"]:
        return "it is imported now, or as soon as it has its turn"
    if known["waiting"] is None:
        return "the service has not looked at it yet, which it does at the next run at the latest"
    return _waits(known["waiting"], where, known["next_tick"])


def _waits(waiting: Mapping[str, Any], where: Whereabouts, next_tick: str) -> str:
    reason = WaitReason(waiting["reason"])
    why = _WAITS[reason]
    if reason is WaitReason.LOCKED and where.writers:
        why += " by process " + ", ".join(map(str, where.writers))
    if reason is WaitReason.QUIET and waiting["until"] is not None:
        why += f", and will be at {_clock(waiting['until'])} UTC if nothing changes"
    if reason in {WaitReason.QUIET, WaitReason.COMPLETE}:
        why += f"; the next run is at {_clock(next_tick)} UTC"
    return why


def _clock(time: str) -> str:
    return f"{datetime.fromisoformat(time):%H:%M:%S}"


def _past(each: PastFile) -> Iterator[Told]:
    entry = each.entry
    yield Told(at=entry.committed_at, what=f"{_decided(entry)} [{entry.claim_id}]")
    if entry.archived_at is not None and entry.archive:
        yield Told(at=entry.archived_at, what=_lies_in_bak(entry.archive, entry.report))
    for mail in each.mails.mails:
        yield Told(at=mail.ended_at or mail.created_at, what=_mailed(mail))
    if each.mails.is_to_be_formed:
        yield Told(at=entry.committed_at, what="a mail about it is to be written")
    elif not each.mails.mails:
        yield Told(at=entry.committed_at, what="no mail: there was nothing to tell, or nobody to tell it to")


def _decided(entry: PastImport) -> str:
    counts = entry.counts
    match entry.status:
        case "imported":
            users = f"{counts.inserted:,} new, {counts.updated:,} changed, {counts.unchanged:,} unchanged"
            told = f"imported: {counts.accepted:,} of {counts.records:,} rows are users ({users})"
            if counts.failed:
                told += f"; {counts.failed:,} failed ({reasons_told(entry)})"
            return told + (f"; the same bytes as {entry.same_as}" if entry.same_as else "")
        case "refused":
            return f"refused ({entry.refusal_code}): {entry.refusal_message}"
        case "superseded":
            return "not imported: a newer file of its name came while it was taken"
        case _:
            return "set aside in quarantine: its import ended the importing process too often"


def _lies_in_bak(archive: str, report: str | None) -> str:
    return f"lies in bak as {archive}" + (f", its failed rows as {report}" if report else "")


def _mailed(mail: QueuedMail) -> str:
    state = "being sent" if mail.is_being_sent else mail.state
    told = f"mail {mail.id} to {mail.recipient}: {state} (tries: {mail.tries:,})"
    return told + (f"; the server said last: {mail.last_error}" if mail.last_error and mail.state != "sent" else "")

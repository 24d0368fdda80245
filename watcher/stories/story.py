"""The story of a file, told from what the log, the ledger, the queue of mails and the directories say. Pure."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from types import MappingProxyType
from typing import Any

from importer.database.history import PastImport
from importer.model import NotTakenWhy, Status, shown_name
from notifier.model import MailState
from notifier.queueing import ListedMail
from watcher.stories.past import PastFile
from watcher.stories.whereabouts import Whereabouts
from watcher.uploads.model import CLIENT, Evidence, LogState
from watcher.uploads.scanning import IMPORTED_SUFFIXES, is_candidate, is_temporary
from watcher.uploads.snapshot import FileNow, FileSnapshot, WaitingFile, WaitReason

Event = Mapping[str, Any]

TOLD_REASONS = 3
"""The number of reasons that are told of a file; `history --json` has them all."""

_EVIDENCE = {
    Evidence.SERVER_LOG: "the FTP server's log says that the transfer ended well",
    Evidence.RENAME: "it was renamed to this name after it was written",
    Evidence.QUIET_AND_UNLOCKED: "it lay unchanged for the quiet time and nobody held a lock for writing",
    Evidence.LONG_QUIET: "it lay unchanged for the long quiet time, which is all that is known",
}
_NOT_TAKEN = {
    NotTakenWhy.GONE: "it was gone when it was to be taken",
    NotTakenWhy.NOT_A_PLAIN_FILE: "it was no regular file, so that it was not opened",
    NotTakenWhy.HARD_LINKED: "it had other names as well (hard links), so that it was not opened",
    NotTakenWhy.UNREADABLE: "the service may not read it",
    NotTakenWhy.NO_ROOM: "its client has too much in work (USERDROP_CLIENT_MAX_MB); it waits",
}
_SUFFIXES = ", ".join(IMPORTED_SUFFIXES)

_EVENTS: Mapping[str, Callable[[Event], str]] = MappingProxyType(
    {
        "upload_seen": lambda event: f"seen in the upload directory, {event['size']:,} bytes",
        "upload_resumed": lambda event: f"changed again, {event['size']:,} bytes, so that it waits anew",
        "upload_settled": lambda event: f"complete, {event['size']:,} bytes: {_EVIDENCE[Evidence(event['evidence'])]}",
        "upload_held": lambda event: (
            f"held at {event['size']:,} bytes: the FTP server's log says that the upload "
            "was cut off, or says nothing of its end; the sender is told by mail, unless it goes on within minutes"
        ),
        "upload_gone": lambda event: (
            f"gone from the upload directory at {event['size']:,} bytes, before it was taken here: removed, renamed, "
            "or taken by another node"
        ),
        "upload_replaced": lambda event: (
            f"replaced at {event['size']:,} bytes, complete and not yet taken, by a newer upload of its name, which "
            "counts"
        ),
        "file_not_taken": lambda event: f"not taken: {_NOT_TAKEN[NotTakenWhy(event['why'])]}",
        "import_returned": lambda _: "it changed while it was taken: it was given back, and waits anew",
        "import_superseded": lambda _: "it changed while it was taken, and a newer file has its name: it goes to bak",
        "import_finished": lambda event: f"imported: {event['accepted']:,} of {event['rows']:,} rows are users",
        "import_refused": lambda event: f"refused ({event['code']}): nothing of it was imported",
        "file_archived": lambda event: _lies_in_bak(event["archive"], event["report"]),
        "file_not_archived": lambda event: f"imported, but bak cannot take it: {event['error']}; it is tried again",
        "file_suspected": lambda _: (
            "the service ended without a stop while it was imported: it is tried alone, after all other files that wait"
        ),
        "file_quarantined": lambda event: (
            f"set aside in .quarantine: while it was imported, the importing process ended {event['attempts']} times, "
            "or the service while it did nothing else"
        ),
    }
)
_IN_LEDGER = {
    "upload_replaced",
    "import_finished",
    "import_refused",
    "import_superseded",
    "file_archived",
    "file_quarantined",
}
_LOG = {
    LogState.UNREADABLE: "; the FTP server's log cannot be read, so that it waits the long quiet time",
    LogState.HAS_TOLD_NOTHING: "; the FTP server's log has told of no upload into the directory yet, so that it waits"
    " the long quiet time",
}
"""Events of which the ledger says more."""

_WAITS: Mapping[WaitReason, str] = MappingProxyType(
    {
        WaitReason.QUIET: "it is not known to be complete yet",
        WaitReason.LOCKED: "it is still being written",
        WaitReason.LOG_SAID_FAIL: "the FTP server's log says that its upload was cut off: it has to be dropped again",
        WaitReason.LOG_IS_SILENT: "the FTP server's log says nothing of the end of its upload: it has to be dropped "
        "again, or renamed where it is known to be whole",
        WaitReason.UNREADABLE: "the service may not read it: see `userdrop doctor`",
        WaitReason.NOT_A_PLAIN_FILE: "it is no regular file, and is never opened: ask its sender for a plain one",
        WaitReason.HARD_LINKED: "it has other names as well (hard links): it is imported once this is its only one",
        WaitReason.TEMPORARY_NAME: "its name is one under which clients still write",
        WaitReason.OTHER_NAME: f"only names that end with {_SUFFIXES} are imported",
        WaitReason.IN_A_FOLDER: "nothing is imported from folders",
        WaitReason.COMPLETE: "it is complete",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something that happened to a file; `at` is UTC."""

    at: datetime
    what: str


def story(events: Iterable[Event], past: Iterable[PastFile]) -> tuple[Happened, ...]:
    """Tell what happened to a file, in order.

    Args:
        events: the events of the log; those that do not belong to a file are left out.
        past: the file's imports, as the ledger has them.
    """
    past = [*past]
    known = {each.entry.claim_id for each in past}
    told = [
        Happened(at=datetime.fromisoformat(event["timestamp"]), what=_EVENTS[event["event"]](event))
        for event in events
        if event["event"] in _EVENTS and not (event["event"] in _IN_LEDGER and event["claim"] in known)
    ]
    told += [line for each in past for line in _past(each)]
    return tuple(dict.fromkeys(sorted(told, key=lambda each: each.at)))


def events_of(lines: Iterable[str], client: str, file: str) -> Iterator[Event]:
    """The events of a log that tell of a file, by its shown form; lines that userdrop has not written are left out."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and (event.get("client"), event.get("file")) == (client, file) and "event" in event:
            yield event


def now_told(name: str, where: Whereabouts, answer: FileSnapshot | None, *, client: str = CLIENT) -> Iterator[str]:
    """Tell how things are now, and what will happen or has to be done: sentences without their full stops.

    Args:
        name: the file's name.
        where: the places in which the file lies.
        answer: the running service's answer; None where none runs.
        client: the client to whom the file belongs.
    """
    whose = "" if client == CLIENT else f"--client {quote(shown_name(client))} "
    if where.bytes is not None:
        yield f"it lies in the upload directory, {where.bytes:,} bytes; {_next(name, where, answer)}"
    for draft, size in where.drafts:
        yield (
            f"it lies in the upload directory as {shown_name(draft)}, {size:,} bytes, a name under which clients still "
            f"write: once that is renamed to {shown_name(name)}, it is taken"
        )
    for path in where.folders:
        yield f"a file of its name lies in a folder, as {shown_name(path)}: nothing is imported from folders"
    for claim in where.claimed:
        yield f"it was taken as {claim}, and is imported " + ("in its turn" if answer else "when userdrop runs again")
    for claim in where.set_aside:
        yield f"it lies in quarantine as {claim}; `userdrop retry {whose}{claim}` has it tried again"
    for archive in where.archived:
        yield f"it lies in bak as {shown_name(archive)}"
    for place in where.unseen:
        yield f"{place} cannot be looked into: ask as the service's user or as root, and see `userdrop doctor`"
    is_done = where.bytes is None and not (where.claimed or where.drafts or where.unseen)
    for alert in () if answer is None or is_done else answer.alerts:
        yield f"an alert is open since {alert.since:%Y-%m-%d %H:%M}: {alert.kind.value}, {alert.detail}"


def reasons_told(found: PastImport) -> str:
    """Tell in a few words why rows failed."""
    told = [f"{reason.count:,}x {reason.column or 'row'} {reason.code}" for reason in found.reasons[:TOLD_REASONS]]
    return ", ".join(told) + (", …" if len(found.reasons) > TOLD_REASONS else "")


def _next(name: str, where: Whereabouts, answer: FileSnapshot | None) -> str:
    if is_temporary(name):
        return f"its name is one under which clients still write: renamed to one that ends with {_SUFFIXES} it is taken"
    if not is_candidate(name):
        return f"it is left alone, as only names that end with {_SUFFIXES} are imported"
    if answer is None:
        return "nothing is done with it, as no userdrop runs"
    known = answer.file
    if known.is_handed_on:
        return "it is imported now, or as soon as it has its turn"
    if known.waiting is None:
        return "the service has not looked at it yet, which it does at the next run at the latest"
    return _waits(known.waiting, where, known)


def _waits(waiting: WaitingFile, where: Whereabouts, known: FileNow) -> str:
    reason, next_tick = waiting.reason, known.next_tick
    why = _WAITS[reason]
    if reason is WaitReason.HARD_LINKED and where.links > 1:
        why = (
            f"it has {where.links} names (hard links), as in a snapshot: it is imported once this one is its only name"
        )
    if reason is WaitReason.LOCKED and where.writers:
        why += " by process " + ", ".join(map(str, where.writers))
    if reason is WaitReason.QUIET and waiting.until is not None:
        why += f"; that is decided at {waiting.until:%H:%M:%S} UTC if nothing changes until then"
    if reason in {WaitReason.QUIET, WaitReason.COMPLETE} and next_tick is not None:
        why += f"; the next run is at {next_tick:%H:%M:%S} UTC"
    return why + (_LOG.get(known.server_log, "") if reason is WaitReason.QUIET else "")


def _past(each: PastFile) -> Iterator[Happened]:
    entry = each.entry
    yield Happened(at=entry.committed_at, what=f"{_decided(entry)} [{entry.claim_id}]")
    if entry.archived_at is not None and entry.archive:
        yield Happened(at=entry.archived_at, what=_lies_in_bak(entry.archive, entry.report))
    for mail in each.mails.mails:
        yield Happened(at=mail.ended_at or mail.created_at, what=_mailed(mail))
    if each.mails.is_to_be_formed:
        yield Happened(at=entry.committed_at, what=_to_be_written(each.mails.held_until))
    elif not each.mails.mails:
        yield Happened(at=entry.committed_at, what="no mail: there was nothing to tell, or nobody to tell it to")


def _to_be_written(held_until: datetime | None) -> str:
    if held_until is None:
        return "a mail about it is to be written"
    return f"a mail about it, and about others that were refused like it, is to be written by {held_until:%H:%M:%S}"


def _decided(entry: PastImport) -> str:
    counts = entry.counts
    match entry.status:
        case Status.IMPORTED:
            users = f"{counts.inserted:,} new, {counts.updated:,} changed, {counts.unchanged:,} unchanged"
            told = f"imported: {counts.accepted:,} of {counts.records:,} rows are users ({users})"
            if counts.failed:
                told += f"; {counts.failed:,} failed ({reasons_told(entry)})"
            if "end_not_seen" in entry.remarks:
                told += "; the end of its upload was not seen"
            return told + (f"; the same bytes as {entry.same_as}" if entry.same_as else "")
        case Status.REFUSED:
            return f"refused ({entry.refusal_code}): {entry.refusal_message}"
        case Status.SUPERSEDED:
            return f"not imported: a newer file of its name came before it was, and counts ({entry.size:,} bytes)"
        case Status.QUARANTINED:
            return (
                "set aside in quarantine: the importing process, or the service, ended too often while it was imported"
            )


def _lies_in_bak(archive: str, report: str | None) -> str:
    return f"lies in bak as {archive}" + (f", its failed rows as {report}" if report else "")


def _mailed(mail: ListedMail) -> str:
    state = "being sent" if mail.is_being_sent else mail.state
    told = f"mail {mail.id} to {mail.recipient}: {state} (tries: {mail.tries:,})"
    has_failed = mail.last_error and mail.state is not MailState.SENT
    return told + (f"; the last try failed: {mail.last_error}" if has_failed else "")

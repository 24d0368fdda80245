"""The story of a file, told from what the log, the ledger and the queue of mails say. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from importer.database.history import PastImport
from importer.model import Status
from notifier.model import MailState
from notifier.queueing import ListedMail
from watcher.stories.past import PastFile
from watcher.stories.sentences import BEING_SENT, EVENTS, Sentences

Event = Mapping[str, Any]

_IN_LEDGER = {
    "upload_replaced",
    "import_finished",
    "import_refused",
    "import_superseded",
    "file_archived",
    "file_quarantined",
}
"""Events of which the ledger says more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something that happened to a file; `at` is UTC."""

    at: datetime
    what: str


def story(events: Iterable[Event], past: Iterable[PastFile], language: str = "en") -> tuple[Happened, ...]:
    """Tell what happened to a file, in order.

    Args:
        events: the events of the log; those that do not belong to a file are left out.
        past: the file's imports, as the ledger has them.
        language: the reader's.
    """
    past, sentences = [*past], Sentences(language)
    known = {each.entry.claim_id for each in past}
    told = [
        Happened(at=datetime.fromisoformat(event["timestamp"]), what=_told(event, sentences))
        for event in events
        if event["event"] in EVENTS and not (event["event"] in _IN_LEDGER and event["claim"] in known)
    ]
    told += [line for each in past for line in _past(each, sentences)]
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


def _told(event: Event, sentences: Sentences) -> str:
    name = event["event"]
    return sentences.event("file_archived.report" if name == "file_archived" and event["report"] else name, event)


def _past(each: PastFile, sentences: Sentences) -> Iterator[Happened]:
    entry, mails = each.entry, each.mails
    yield Happened(at=entry.committed_at, what=f"{_decided(entry, sentences)} [{entry.claim_id}]")
    for warning in entry.warnings:
        yield Happened(at=entry.committed_at, what=sentences.remark(warning))
    if entry.archived_at is not None and entry.archive:
        names = {"event": "file_archived", "archive": entry.archive, "report": entry.report}
        yield Happened(at=entry.archived_at, what=_told(names, sentences))
    for mail in mails.mails:
        yield Happened(at=mail.ended_at or mail.created_at, what=_mailed(mail, sentences))
    if mails.is_to_be_formed:
        yield Happened(at=entry.committed_at, what=_to_be_written(mails.held_until, sentences))
    elif not mails.mails:
        yield Happened(at=entry.committed_at, what=sentences.say("no_mail.remarks" if entry.warnings else "no_mail"))


def _to_be_written(held_until: datetime | None, sentences: Sentences) -> str:
    if held_until is None:
        return sentences.say("mail_to_be_written")
    return sentences.say("mail_held", until=f"{held_until:%H:%M:%S}")


def _decided(entry: PastImport, sentences: Sentences) -> str:
    match entry.status:
        case Status.IMPORTED:
            return "; ".join(_imported(entry, sentences))
        case Status.REFUSED:
            return sentences.refusal(entry)
        case Status.SUPERSEDED:
            return sentences.say("superseded", size=entry.size)
        case Status.QUARANTINED:
            return sentences.say("quarantined")


def _imported(entry: PastImport, sentences: Sentences) -> Iterator[str]:
    counts = entry.counts
    yield sentences.say(
        "imported",
        accepted=counts.accepted,
        records=counts.records,
        inserted=counts.inserted,
        updated=counts.updated,
        unchanged=counts.unchanged,
    )
    if counts.failed:
        yield sentences.say("failed", failed=counts.failed, reasons=sentences.reasons(entry))
    if entry.same_as:
        yield sentences.say("same_as", claim=entry.same_as)


def _mailed(mail: ListedMail, sentences: Sentences) -> str:
    has_failed = mail.last_error and mail.state is not MailState.SENT
    return sentences.say(
        "mailed.failed" if has_failed else "mailed",
        id=str(mail.id),
        recipient=mail.recipient,
        state=sentences.word(BEING_SENT if mail.is_being_sent else mail.state),
        tries=mail.tries,
        error=mail.last_error,
    )

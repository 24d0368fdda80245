"""The sentences of a file's story in one language: what happened to it, how things are, what is to be done. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from importer.database.history import PastImport
from importer.model import NotTakenWhy, Remark, shown_name
from importer.words.reasons import stored_refusal_in, warning_in
from importer.words.translating import number_in, translated
from notifier.sentences import REASONS, REFUSED
from watcher.uploads.model import Evidence, LogState
from watcher.uploads.scanning import IMPORTED_SUFFIXES
from watcher.uploads.snapshot import WaitReason

TOLD_REASONS = 3
"""The number of reasons that are told of a file; `history --json` has them all."""

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "upload_seen": "seen in the upload directory, {size} bytes",
        "upload_resumed": "changed again, {size} bytes, so that it waits anew",
        "upload_settled": "complete, {size} bytes: {evidence}",
        "upload_held": "held at {size} bytes: the FTP server's log says that the upload was cut off, or says nothing of"
        " its end; the sender is told by mail, unless it goes on within minutes",
        "upload_gone": "gone from the upload directory at {size} bytes, before it was taken here: removed, renamed, or"
        " taken by another node",
        "upload_barred": "it waited, {size} bytes, and cannot be taken any more as it is: {why}",
        "upload_replaced": "replaced at {size} bytes, complete and not yet taken, by a newer upload of its name, which"
        " counts",
        "file_not_taken": "not taken: {why}",
        "import_returned": "it changed while it was taken: it was given back, and waits anew",
        "import_superseded": "it changed while it was taken, and a newer file has its name: it goes to bak",
        "import_finished": "imported: {accepted} of {rows} rows are users",
        "import_refused": "refused ({code}): nothing of it was imported",
        "file_archived": "lies in bak as {archive}",
        "file_archived.report": "lies in bak as {archive}, its failed rows as {report}",
        "file_not_archived": "imported, but bak cannot take it: {error}; it is tried again",
        "file_suspected": "the service ended without a stop while it was imported: it is tried alone, after all other"
        " files that wait",
        "file_quarantined": "set aside in .quarantine: while it was imported, the importing process ended {attempts}"
        " times, or the service while it did nothing else",
    }
)
"""What the log's events say of a file; facts have the names of their fields."""

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

_LEDGER = {
    "imported": "imported: {accepted} of {records} rows are users ({inserted} new, {updated} changed, {unchanged}"
    " unchanged)",
    "failed": "{failed} failed ({reasons})",
    "remark": "remark: {remark}",
    "same_as": "the same bytes as {claim}",
    "refused": "refused ({code}): {message}",
    "superseded": "not imported: a newer file of its name came before it was, and counts ({size} bytes)",
    "quarantined": "set aside in quarantine: the importing process, or the service, ended too often while it was"
    " imported",
    "mailed": "mail {id} to {recipient}: {state} (tries: {tries})",
    "mailed.failed": "mail {id} to {recipient}: {state} (tries: {tries}); the last try failed: {error}",
    "mail_to_be_written": "a mail about it is to be written",
    "mail_held": "a mail about it, and about others that were refused like it, is to be written by {until}",
    "no_mail": "no mail: there was nothing to tell, or nobody to tell it to",
    "no_mail.remarks": "no mail: no row failed, and its remarks are those of the file before it, or not mailed (see"
    " USERDROP_REMARKS)",
}

_PLACES = {
    "away": "{directory} is not there ({why}): nothing can be seen in it, and nothing is imported from it until it is"
    " back",
    "away.since": "{directory} is not there ({why}), as the service has known since {since} UTC: nothing can be seen in"
    " it, and nothing is imported from it until it is back",
    "folder_gone": "{directory}, the folder of its client, is no longer there: it was removed or has another name, and"
    " what lay in it, as in bak, lies where it is now; nothing is imported until it is back",
    "folder_gone.since": "{directory}, the folder of its client, is no longer there since {since} UTC:"
    " it was removed or has another name, and what lay in it, as in bak, lies where it is now; nothing is imported"
    " until it is back",
    "lies": "it lies in the upload directory, {bytes} bytes; {next}",
    "draft": "it lies in the upload directory as {draft}, {bytes} bytes, a name under which clients still write: once"
    " that is renamed to {name}, it is taken",
    "in_folder": "a file of its name lies in a folder, as {path}: nothing is imported from folders",
    "claimed": "it was taken as {claim}, and is imported in its turn",
    "claimed.later": "it was taken as {claim}, and is imported when userdrop runs again",
    "set_aside": "it lies in quarantine as {claim}; `userdrop retry {whose}{claim}` has it tried again",
    "in_bak": "it lies in bak as {archive}",
    "unseen": "{place} cannot be looked into: ask as the service's user or as root, and see `userdrop doctor`",
    "alert": "an alert is open since {since}: {title} ({kind}): {detail}",
    "unread": "the ledger and the mails cannot be read: {why}",
}
UPLOAD_DIRECTORY = "the upload directory"
"""The place that is meant where the directory itself cannot be looked into."""

_SUFFIXES = ", ".join(IMPORTED_SUFFIXES)
_NEXT = {
    "temporary": "its name is one under which clients still write: renamed to one that ends with {suffixes} it is"
    " taken",
    "other_name": "it is left alone, as only names that end with {suffixes} are imported",
    "no_service": "nothing is done with it, as no userdrop runs",
    "handed_on": "it is imported now, or as soon as it has its turn",
    "not_looked_at": "the service has not looked at it yet, which it does at the next run at the latest",
    "decided": "that is decided at {until} UTC if nothing changes until then",
    "next_run": "the next run is at {next} UTC",
    "many_names": "it has {links} names (hard links), as in a snapshot: it is imported once this one is its only name",
    "written_by": "it is still being written by process {processes}",
}
_WAITS: Mapping[WaitReason, str] = MappingProxyType(
    {
        WaitReason.QUIET: "it is not known to be complete yet",
        WaitReason.EMPTY: "it is empty: it waits the long quiet time for its content, and is refused if none comes",
        WaitReason.LOCKED: "it is still being written",
        WaitReason.LOG_SAID_FAIL: "the FTP server's log says that its upload was cut off: it has to be dropped again",
        WaitReason.LOG_IS_SILENT: "the FTP server's log says nothing of the end of its upload: it has to be dropped "
        "again, or renamed where it is known to be whole",
        WaitReason.UNREADABLE: "the service may not read it: see `userdrop doctor`",
        WaitReason.NOT_A_PLAIN_FILE: "it is no regular file, and is never opened: ask its sender for a plain one",
        WaitReason.HARD_LINKED: "it has other names as well (hard links): it is imported once this is its only one",
        WaitReason.TEMPORARY_NAME: "its name is one under which clients still write",
        WaitReason.OTHER_NAME: "only names that end with {suffixes} are imported",
        WaitReason.IN_A_FOLDER: "nothing is imported from folders",
        WaitReason.COMPLETE: "it is complete",
    }
)
_LOG = {
    LogState.UNREADABLE: "the FTP server's log cannot be read, so that it waits the long quiet time",
    LogState.HAS_TOLD_NOTHING: "the FTP server's log has told of no upload into the directory yet, so that it waits"
    " the long quiet time",
}

BEING_SENT = "being sent"
ROW = "row"
TEXTS = (
    *(*EVENTS.values(), *_EVIDENCE.values(), *_NOT_TAKEN.values(), *_LEDGER.values(), *_PLACES.values()),
    *(*_NEXT.values(), *_WAITS.values(), *_LOG.values(), UPLOAD_DIRECTORY, BEING_SENT, ROW),
)
"""The texts that are translated."""

_SENTENCES = {**_LEDGER, **_PLACES, **_NEXT}
_WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "evidence": {evidence.value: text for evidence, text in _EVIDENCE.items()},
        "why": {why.value: text for why, text in _NOT_TAKEN.items()},
        "code": REFUSED,
    }
)
"""The fields of events whose values stand for words."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """The sentences in one language, without their full stops."""

    language: str = "en"

    def say(self, code: str, /, **facts: object) -> str:
        """The sentence of a code with its facts; whole numbers are written as people write them."""
        return self._filled(_SENTENCES[code], facts)

    def word(self, text: str) -> str:
        """A word or sentence of ours without facts."""
        return translated(text, self.language)

    def event(self, name: str, fields: Mapping[str, object]) -> str:
        """What an event of EVENTS says."""
        known = {field: self.word(words.get(str(fields.get(field)), "")) for field, words in _WORDS.items()}
        return self._filled(EVENTS[name], {**fields, **{field: word for field, word in known.items() if word}})

    def wait(self, reason: WaitReason) -> str:
        """Why a file still lies in its directory."""
        return self._filled(_WAITS[reason], {"suffixes": _SUFFIXES})

    def log(self, state: LogState) -> str:
        """Of what use the FTP server's log is; empty where there is nothing to say of that."""
        return self.word(_LOG.get(state, ""))

    def name_hint(self, code: str) -> str:
        """A sentence of a code that names the suffixes of import files."""
        return self.say(code, suffixes=_SUFFIXES)

    def reasons(self, found: PastImport) -> str:
        """In a few words why rows failed."""
        told = [
            f"{number_in(each.count, self.language)}x {each.column or self.word(ROW)} "
            f"{self.word(REASONS.get(each.code, each.code))}"
            for each in found.reasons[:TOLD_REASONS]
        ]
        return ", ".join(told) + (", …" if len(found.reasons) > TOLD_REASONS else "")

    def remark(self, remark: Remark) -> str:
        """A remark about a file."""
        return self.say("remark", remark=shown_name(warning_in(remark, self.language)).rstrip("."))

    def refusal(self, found: PastImport) -> str:
        """Why a file was refused."""
        code, message = found.refusal_code or "", found.refusal_message or ""
        shown = self.word(REFUSED.get(code, code))
        return self.say("refused", code=shown, message=stored_refusal_in(code, message, self.language))

    def _filled(self, sentence: str, facts: Mapping[str, object]) -> str:
        shown = {
            name: number_in(fact, self.language) if isinstance(fact, int) else fact for name, fact in facts.items()
        }
        return translated(sentence, self.language).format(**shown)

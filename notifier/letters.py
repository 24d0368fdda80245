"""Facts become letters. The words are in templates/*.j2; what is counted, chosen and shortened is decided here.

Pure: the Jinja environment comes from outside (`notifier.templating`), and so does every time.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment

from importer.model import Counts, Notice, NoticeKind, ReasonCount
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import AlertMail, Attachment, Letter, Occasion

MOST_ATTACHMENTS = 10
"""Attachments of one mail; of further reports the mail says where they lie."""
MOST_REASONS = 10
MOST_LISTED = 200
"""Files that one mail lists by name."""

REASONS = {
    "required": "missing",
    "too_long": "too long",
    "invalid": "not valid",
    "unknown": "not known",
    "duplicate_in_file": "used twice in the file",
    "duplicate_user": "used by another user",
    "too_few_cells": "too few cells",
    "too_many_cells": "too many cells",
    "bad_quotes": "quotes do not match",
    "bad_encoding": "unreadable characters",
    "control_character": "control character",
    "too_large": "too long a row",
    "repeated_header": "header repeated",
}
"""Reason codes in two or three words, as the table shows them; the sentence is in the example."""

_UNFINISHED = "its upload did not finish; drop the file again"
_SHAPING = {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"}


def safe_text(text: str, limit: int = 200) -> str:
    """Text from a file, its name or a server, as one line that cannot shape a header, a page or a log.

    Controls, bidirectional and invisible marks, line separators and lone surrogates become U+FFFD, blanks become
    spaces, `=?` (an encoded word) is broken up, and more than `limit` characters are cut with an ellipsis.
    """
    normal = unicodedata.normalize("NFC", text[: 4 * limit])
    line = "".join(_safe_character(character) for character in normal).replace("=?", "= ?")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _safe_character(character: str) -> str:
    if character.isspace():
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in _SHAPING else character


def attachment_name(report: str) -> str:
    """An ASCII file name of our own for a report, ending in .failed.csv, from its name in bak."""
    stem = re.sub(r"\.failed\.csv$", "", report)
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    words = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")
    return f"{words[-100:].lstrip('._-') or 'users'}.failed.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One line of the table of reasons."""

    label: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """One file, as a template sees it; everything is safe to show."""

    name: str
    kind: NoticeKind
    sentence: str
    counts: Counts
    reasons: tuple[Reason, ...]
    more_reasons: int
    warnings: tuple[str, ...]
    attached: str | None
    report: str | None
    archive: str | None


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes every letter, with the templates of an environment.

    The environment needs the filters and settings of `notifier.templating.environment`.
    """

    environment: Environment

    def to_client(self, notices: Sequence[Notice], next_run: datetime | None) -> Letter:
        """One letter about all that happened to a client's files; at least one notice, all of one client."""
        attachments = _attachments(notices)
        attached = {attachment.claim_id: attachment.filename for attachment in attachments}
        files = [_file_view(notice, attached) for notice in notices]
        return self._letter(
            "client",
            subject=f"[userdrop] {_what_happened(notices)}",
            attachments=attachments,
            headline=headline(notices, attached=bool(attachments)),
            client=safe_text(notices[0].client, 80),
            detailed=files[:MOST_ATTACHMENTS],
            listed=files[MOST_ATTACHMENTS:MOST_LISTED],
            unlisted=max(0, len(files) - MOST_LISTED),
            next_run=next_run,
        )

    def to_admin(self, notices: Sequence[Notice], next_run: datetime | None) -> Letter:
        """One letter to the administrator about files of one client; it shows no cell and carries no report."""
        client = safe_text(notices[0].client, 80)
        return self._letter(
            "admin",
            subject=f"[userdrop] {client}: {_what_happened(notices)}",
            headline=f"{client}: {_what_happened(notices)}.",
            client=client,
            files=[_file_view(notice, {}) for notice in notices[:MOST_LISTED]],
            unlisted=max(0, len(notices) - MOST_LISTED),
            next_run=next_run,
        )

    def about_alert(self, mail: AlertMail, now: datetime) -> Letter:
        """The letter that opens, repeats or ends an alert."""
        alert, text = mail.alert, ALERT_TEXTS[mail.alert.kind]
        client = safe_text(alert.client, 80)
        state = {
            Occasion.OPENED: text.severity,
            Occasion.CHANGED: "new detail",
            Occasion.REPEATED: "still open",
            Occasion.RESOLVED: "resolved",
        }
        about = f"{text.title} ({client})" if client else text.title
        return self._letter(
            "alert",
            subject=f"[userdrop] [{state[mail.occasion]}] {about}",
            about=about,
            text=text,
            alert=alert,
            client=client,
            detail=safe_text(alert.detail, 500),
            occasion=mail.occasion,
            suppressed=mail.suppressed,
            now=now,
        )

    def undeliverable(self, *, recipient: str, subject: str, client: str | None, said: str) -> Letter:
        """To the administrator: a mail that its recipient's server will not take."""
        return self._letter(
            "undeliverable",
            subject="[userdrop] a mail could not be delivered" + (f" ({safe_text(client, 80)})" if client else ""),
            recipient=safe_text(recipient, 320),
            undelivered=safe_text(subject),
            client=safe_text(client or "", 80),
            said=safe_text(said, 300),
        )

    def _letter(self, name: str, *, subject: str, attachments: tuple[Attachment, ...] = (), **facts: Any) -> Letter:  # noqa: ANN401 - what a template asks for
        facts["subject"] = subject = safe_text(subject)
        text = self.environment.get_template(f"{name}.txt.j2").render(facts)
        html = self.environment.get_template(f"{name}.html.j2").render(facts)
        return Letter(subject=subject, text=_tidy(text), html=html, attachments=attachments)


def _tidy(text: str) -> str:
    """At most one empty line in a row, so that templates may be laid out to be read."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _attachments(notices: Sequence[Notice]) -> tuple[Attachment, ...]:
    names: dict[str, str] = {}
    for notice in notices:
        if notice.report is not None and notice.claim_id is not None and len(names) < MOST_ATTACHMENTS:
            names[notice.claim_id] = _unused(attachment_name(notice.report), set(names.values()))
    return tuple(Attachment(claim_id=claim_id, filename=name) for claim_id, name in names.items())


def _unused(name: str, used: set[str]) -> str:
    stem, number = name.removesuffix(".failed.csv"), 1
    while name in used:
        number += 1
        name = f"{stem}-{number}.failed.csv"
    return name


def _file_view(notice: Notice, attached: dict[str, str]) -> FileView:
    return FileView(
        name=safe_text(notice.file),
        kind=notice.kind,
        sentence=_headline_of_one(notice, attached=notice.claim_id in attached),
        counts=notice.counts,
        reasons=tuple(map(_reason, notice.reasons[:MOST_REASONS])),
        more_reasons=max(0, len(notice.reasons) - MOST_REASONS),
        warnings=tuple(safe_text(warning.message, 300) for warning in notice.warnings),
        attached=attached.get(notice.claim_id or ""),
        report=None if notice.report is None else safe_text(notice.report, 260),
        archive=None if notice.archive is None else safe_text(notice.archive, 260),
    )


def _reason(reason: ReasonCount) -> Reason:
    words = REASONS.get(reason.code, reason.code.replace("_", " "))
    label = f"{reason.column}: {words}" if reason.column else words
    example = f"row {reason.example_row}: {reason.example}" if reason.example else f"row {reason.example_row}"
    return Reason(label=safe_text(label, 80), count=reason.count, example=safe_text(example))


def headline(notices: Sequence[Notice], *, attached: bool) -> str:
    """The first line: what happened and what to do about it."""
    if len(notices) == 1:
        return _headline_of_one(notices[0], attached=attached)
    failed, unread = _split(notices)
    sentences = []
    if _failed_rows(failed):
        which = _which(len(failed), attached=attached)
        sentences += [f"{_counted(failed)} were not imported. Correct {which} again."]
    elif failed:
        sentences += [f"All users in {_named(failed)} were imported; {_to_check(failed)}."]
    if unread:
        sentences += [f"{_files(unread)} not imported at all; the reasons are below."]
    return " ".join(sentences)


def _which(files: int, *, attached: bool) -> str:
    some = "attached" if attached else "listed"
    return f"the {some} file and drop it" if files == 1 else f"the {some} files and drop them"


def _headline_of_one(notice: Notice, *, attached: bool) -> str:
    name = safe_text(notice.file)
    if notice.kind is NoticeKind.IMPORTED and notice.counts.failed == 0:
        return f"All {notice.counts.accepted:,} users in {name} were imported; {_to_check([notice])}."
    corrected = "the attached file" if attached else "the file"
    why = safe_text(notice.refusal.message, 500).rstrip(".") if notice.refusal else "it could not be read"
    return {
        NoticeKind.IMPORTED: f"{_counted([notice])} were not imported. Correct {corrected} and drop it again.",
        NoticeKind.REFUSED: f"{name} was not imported: {why}.",
        NoticeKind.INCOMPLETE: f"{name} was not imported: {why if notice.refusal else _UNFINISHED}.",
        NoticeKind.SUPERSEDED: f"{name} was not imported because a newer file of the same name arrived while it was"
        " being taken. The newer one counts; nothing needs to be done.",
        NoticeKind.QUARANTINED: f"{name} was set aside and not imported, because reading it ended the importing process"
        f" again and again. It is kept in .quarantine/{safe_text(notice.claim_id or '', 60)}.",
    }[notice.kind]


def _what_happened(notices: Sequence[Notice]) -> str:
    """The same in a few words, for a subject."""
    failed, unread = _split(notices)
    parts = []
    if _failed_rows(failed):
        parts += [f"{_counted(failed)} were not imported"]
    elif failed:
        parts += [f"all users in {_named(failed)} were imported, {_to_check(failed)}"]
    if unread:
        parts += [f"{_files(unread)} not imported"]
    return "; ".join(parts)


def _to_check(notices: Sequence[Notice]) -> str:
    """What the reader is asked to do about files that were imported with remarks."""
    if {warning.code for notice in notices for warning in notice.warnings} == {"may_be_cut"}:
        return f"please check the last row{' of each' if len(notices) > 1 else ''}"
    return "please read the remarks"


def _split(notices: Sequence[Notice]) -> tuple[list[Notice], list[Notice]]:
    """Files that were read, and files of which nothing was imported."""
    read = [notice for notice in notices if notice.kind is NoticeKind.IMPORTED]
    return read, [notice for notice in notices if notice.kind is not NoticeKind.IMPORTED]


def _failed_rows(notices: Sequence[Notice]) -> int:
    return sum(notice.counts.failed for notice in notices)


def _counted(notices: Sequence[Notice]) -> str:
    failed = _failed_rows(notices)
    users = sum(notice.counts.accepted for notice in notices) + failed
    return f"{failed:,} of {users:,} {'user' if users == 1 else 'users'} in {_named(notices)}"


def _files(notices: Sequence[Notice]) -> str:
    return f"{_named(notices)} {'was' if len(notices) == 1 else 'were'}"


def _named(notices: Sequence[Notice]) -> str:
    return safe_text(notices[0].file, 80) if len(notices) == 1 else f"{len(notices):,} files"

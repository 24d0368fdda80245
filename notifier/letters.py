"""Facts become letters. The words are in templates/*.j2; what is counted, chosen and shortened is decided here.

Pure: templates and catalogues come from outside (`notifier.templating`), and so does every time. English is written
here and in the templates; importer/locale has the other languages.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from importer.model import Counts, Notice, NoticeKind, ReasonCount
from importer.reasons import refusal_in, warning_in
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import AlertMail, AlertText, Attachment, Letter, Occasion
from notifier.templating import Templates, Words

MOST_ATTACHMENTS = 10
"""Attachments of one mail; more reports are merged, those with equal headers into one."""
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
class Notes:
    """What a letter could not know when it was written: how its reports were packed."""

    words: Words

    def zipped(self) -> str:
        """They are in a ZIP."""
        return self.words.say("The attached reports are packed into one ZIP file, because they are large.")

    def first_rows(self, rows: int, names: Sequence[str]) -> str:
        """The first of them are attached."""
        return self.words.count(
            "Only the first {rows} row is attached, because the reports are too large for a mail. Fetch the whole from"
            " the server: {names}.",
            "Only the first {rows} rows are attached, because the reports are too large for a mail. Fetch the whole"
            " from the server: {names}.",
            rows,
            rows=self.words.number(rows),
            names=self._listed(names),
        )

    def too_large(self, names: Sequence[str]) -> str:
        """None is attached."""
        if not names:
            return ""
        return self.words.say(
            "The reports do not fit into a mail and are not attached. Fetch them from the server: {names}.",
            names=self._listed(names),
        )

    def lost(self, names: Sequence[str]) -> str:
        """Some lie nowhere."""
        return self.words.say(
            "Not attached, because the file is no longer there: {names}.", names=", ".join(names[:MOST_LISTED])
        )

    def _listed(self, names: Sequence[str]) -> str:
        listed = ", ".join(f"bak/{safe_text(name, 260)}" for name in names[:MOST_LISTED])
        return listed if len(names) <= MOST_LISTED else f"{listed}, …"


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes every letter.

    Attributes:
        templates: the words, in every language.
        language: of letters for whose readers no other one is asked for.
        attaches: whether reports travel by mail; otherwise letters say where in bak they lie.
    """

    templates: Templates
    language: str = "en"
    attaches: bool = True

    def notes(self, language: str) -> Notes:
        """The words for how reports were packed."""
        return Notes(self.templates.of(language))

    def to_client(self, notices: Sequence[Notice], next_run: datetime | None, *, language: str | None = None) -> Letter:
        """One letter about all that happened to a client's files; at least one notice, all of one client."""
        words = self.templates.of(language or self.language)
        attachments = _attachments(notices) if self.attaches else ()
        is_merged = len(attachments) > MOST_ATTACHMENTS
        attached = {attachment.claim_id: attachment.filename for attachment in attachments}
        telling = _Telling(words)
        files = [telling.file(notice, attached, is_merged=is_merged) for notice in notices[:MOST_LISTED]]
        return self._letter(
            "client",
            words,
            subject=f"[userdrop] {telling.what_happened(notices)}",
            attachments=attachments,
            headline=telling.headline(notices, attached=bool(attachments)),
            client=safe_text(notices[0].client, 80),
            detailed=files[:MOST_ATTACHMENTS],
            listed=files[MOST_ATTACHMENTS:],
            unlisted=max(0, len(notices) - MOST_LISTED),
            is_merged=is_merged,
            next_run=next_run,
        )

    def to_admin(self, notices: Sequence[Notice], next_run: datetime | None) -> Letter:
        """One letter to the administrator about files of one client; it shows no cell and carries no report."""
        words = self.templates.of(self.language)
        telling = _Telling(words)
        client = safe_text(notices[0].client, 80)
        what = telling.what_happened(notices)
        return self._letter(
            "admin",
            words,
            subject=f"[userdrop] {client}: {what}",
            headline=f"{client}: {what}.",
            client=client,
            files=[telling.file(notice, {}) for notice in notices[:MOST_LISTED]],
            unlisted=max(0, len(notices) - MOST_LISTED),
            next_run=next_run,
        )

    def about_alert(self, mail: AlertMail, now: datetime) -> Letter:
        """The letter that opens, repeats or ends an alert."""
        words = self.templates.of(self.language)
        alert, text = mail.alert, _in_words(ALERT_TEXTS[mail.alert.kind], words)
        client = safe_text(alert.client, 80)
        state = {
            Occasion.OPENED: words.say(text.severity.value),
            Occasion.CHANGED: words.say("new detail"),
            Occasion.REPEATED: words.say("still open"),
            Occasion.RESOLVED: words.say("resolved"),
        }
        about = f"{text.title} ({client})" if client else text.title
        return self._letter(
            "alert",
            words,
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

    def undeliverable(self, *, mail: int, recipient: str, subject: str, client: str | None, said: str) -> Letter:
        """To the administrator: a mail that its recipient's server will not take."""
        words = self.templates.of(self.language)
        what = words.say("a mail could not be delivered")
        return self._letter(
            "undeliverable",
            words,
            subject=f"[userdrop] {what}" + (f" ({safe_text(client, 80)})" if client else ""),
            mail=mail,
            recipient=safe_text(recipient, 320),
            undelivered=safe_text(subject),
            client=safe_text(client or "", 80),
            said=safe_text(said, 300),
        )

    def _letter(
        self,
        name: str,
        words: Words,
        *,
        subject: str,
        attachments: tuple[Attachment, ...] = (),
        **facts: Any,  # noqa: ANN401 - what a template asks for
    ) -> Letter:
        facts["subject"] = subject = safe_text(subject)
        text = words.render(f"{name}.txt.j2", facts)
        html = words.render(f"{name}.html.j2", facts)
        return Letter(subject=subject, text=_tidy(text), html=html, attachments=attachments, language=words.language)


def _in_words(text: AlertText, words: Words) -> AlertText:
    return replace(
        text,
        title=words.say(text.title),
        means=words.say(text.means),
        meanwhile=words.say(text.meanwhile),
        cure=words.say(text.cure),
        resolves=words.say(text.resolves),
    )


def _tidy(text: str) -> str:
    """At most one empty line in a row, so that templates may be laid out to be read."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _attachments(notices: Sequence[Notice]) -> tuple[Attachment, ...]:
    """The reports, each with a name of its own; those of so many that they are merged need none."""
    with_report = [(notice.claim_id, notice.report) for notice in notices if notice.claim_id and notice.report]
    names: dict[str, str] = {}
    for claim_id, report in with_report:
        name = attachment_name(report)
        names[claim_id] = _unused(name, {*names.values()}) if len(with_report) <= MOST_ATTACHMENTS else name
    return tuple(Attachment(claim_id=claim_id, filename=name) for claim_id, name in names.items())


def _unused(name: str, used: set[str]) -> str:
    stem, number = name.removesuffix(".failed.csv"), 1
    while name in used:
        number += 1
        name = f"{stem}-{number}.failed.csv"
    return name


@dataclass(frozen=True, slots=True)
class _Telling:
    """The sentences about files, in one language."""

    words: Words

    def file(self, notice: Notice, attached: Mapping[str, str], *, is_merged: bool = False) -> FileView:
        """A file as a template sees it."""
        language = self.words.language
        return FileView(
            name=safe_text(notice.file),
            kind=notice.kind,
            sentence=self._headline_of_one(notice, attached=notice.claim_id in attached),
            counts=notice.counts,
            reasons=tuple(map(self._reason, notice.reasons[:MOST_REASONS])),
            more_reasons=max(0, len(notice.reasons) - MOST_REASONS),
            warnings=tuple(safe_text(warning_in(warning, language), 300) for warning in notice.warnings),
            attached=None if is_merged else attached.get(notice.claim_id or ""),
            report=None if notice.report is None else safe_text(notice.report, 260),
            archive=None if notice.archive is None else safe_text(notice.archive, 260),
        )

    def _reason(self, reason: ReasonCount) -> Reason:
        label = self.words.say(REASONS.get(reason.code, reason.code.replace("_", " ")))
        row = self.words.say("row {row}", row=reason.example_row)
        return Reason(
            label=safe_text(f"{reason.column}: {label}" if reason.column else label, 80),
            count=reason.count,
            example=safe_text(f"{row}: {reason.example}" if reason.example else row),
        )

    def headline(self, notices: Sequence[Notice], *, attached: bool) -> str:
        """The first line: what happened and what to do about it."""
        if len(notices) == 1:
            return self._headline_of_one(notices[0], attached=attached)
        failed, unread = _split(notices)
        sentences = []
        if _failed_rows(failed):
            sentences += [f"{self._failed(failed)}. {self._to_correct(len(failed), attached=attached)}"]
        elif failed:
            sentences += [f"{self._all_imported(failed)}."]
        if unread:
            more = self.words.say("the reasons are below")
            sentences += [f"{self._unread(unread, at_all=True)}; {more}."]
        return " ".join(sentences)

    def _to_correct(self, files: int, *, attached: bool) -> str:
        if attached:
            return self.words.count(
                "Correct the attached file and drop it again.", "Correct the attached files and drop them again.", files
            )
        return self.words.count(
            "Correct the listed file and drop it again.", "Correct the listed files and drop them again.", files
        )

    def _headline_of_one(self, notice: Notice, *, attached: bool) -> str:
        say, name = self.words.say, safe_text(notice.file)
        if notice.kind is NoticeKind.IMPORTED:
            return (
                f"{self._failed([notice])}. {self._cure(notice, attached=attached)}"
                if notice.counts.failed
                else (f"{self._all_imported([notice])}.")
            )
        why = say("it could not be read")
        if notice.refusal is not None:
            why = safe_text(refusal_in(notice.refusal, self.words.language), 500).rstrip(".")
        elif notice.kind is NoticeKind.INCOMPLETE:
            why = say("its upload did not finish; drop the file again")
        return {
            NoticeKind.REFUSED: say("{name} was not imported: {why}.", name=name, why=why),
            NoticeKind.INCOMPLETE: say("{name} was not imported: {why}.", name=name, why=why),
            NoticeKind.SUPERSEDED: say(
                "{name} was not imported because a newer file of the same name arrived while it was being taken. The"
                " newer one counts; nothing needs to be done.",
                name=name,
            ),
            NoticeKind.QUARANTINED: say(
                "{name} was set aside and not imported, because reading it ended the importing process again and"
                " again. It is kept in .quarantine/{claim}.",
                name=name,
                claim=safe_text(notice.claim_id or "", 60),
            ),
        }[notice.kind]

    def _cure(self, notice: Notice, *, attached: bool) -> str:
        if attached:
            return self._to_correct(1, attached=True)
        if notice.report is None:
            return self.words.say("Correct the file and drop it again.")
        report = safe_text(notice.report, 260)
        return self.words.say("Correct the rows in bak/{report} and drop that file again.", report=report)

    def what_happened(self, notices: Sequence[Notice]) -> str:
        """The same in a few words, for a subject."""
        failed, unread = _split(notices)
        parts = []
        if _failed_rows(failed):
            parts += [self._failed(failed)]
        elif failed:
            said = self.words.say("all users in {where} were imported", where=self._named(failed))
            to_check = self._to_check(failed)
            parts += [f"{said}, {to_check}" if to_check else said]
        if unread:
            parts += [self._unread(unread)]
        return "; ".join(parts)

    def _failed(self, notices: Sequence[Notice]) -> str:
        failed = _failed_rows(notices)
        users = sum(notice.counts.accepted for notice in notices) + failed
        return self.words.count(
            "{failed} of {users} user in {where} was not imported",
            "{failed} of {users} users in {where} were not imported",
            users,
            failed=self.words.number(failed),
            users=self.words.number(users),
            where=self._named(notices),
        )

    def _all_imported(self, notices: Sequence[Notice]) -> str:
        users = sum(notice.counts.accepted for notice in notices)
        said = self.words.count(
            "The {users} user in {where} was imported",
            "All {users} users in {where} were imported",
            users,
            users=self.words.number(users),
            where=self._named(notices),
        )
        to_check = self._to_check(notices)
        return f"{said}; {to_check}" if to_check else said

    def _to_check(self, notices: Sequence[Notice]) -> str:
        """What the reader is asked to do about files that were imported with remarks."""
        codes = {warning.code for notice in notices for warning in notice.warnings}
        if codes == {"may_be_cut"}:
            return self.words.count("please check the last row", "please check the last row of each", len(notices))
        return self.words.say("please read the remarks") if codes else ""

    def _unread(self, notices: Sequence[Notice], *, at_all: bool = False) -> str:
        where = self._named(notices)
        if at_all:
            return self.words.count(
                "{where} was not imported at all", "{where} were not imported at all", len(notices), where=where
            )
        return self.words.count("{where} was not imported", "{where} were not imported", len(notices), where=where)

    def _named(self, notices: Sequence[Notice]) -> str:
        if len(notices) == 1:
            return safe_text(notices[0].file, 80)
        count = len(notices)
        return self.words.count("{count} file", "{count} files", count, count=self.words.number(count))


def _split(notices: Sequence[Notice]) -> tuple[list[Notice], list[Notice]]:
    """Files that were read, and files of which nothing was imported."""
    read = [notice for notice in notices if notice.kind is NoticeKind.IMPORTED]
    return read, [notice for notice in notices if notice.kind is not NoticeKind.IMPORTED]


def _failed_rows(notices: Sequence[Notice]) -> int:
    return sum(notice.counts.failed for notice in notices)

"""The sentences about files, in one language: what happened to them, and what their reader is to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from importer.model import Counts, Notice, NoticeKind, ReasonCount
from importer.words.reasons import refusal_in, warning_in
from notifier.safety import safe_text, unlinked
from notifier.templating import Words

MOST_REASONS = 10

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
class FileSentences:
    """The sentences about files, in one language."""

    words: Words

    def file(self, notice: Notice, attached: Mapping[str, str], *, is_merged: bool = False) -> FileView:
        """A file as a template sees it."""
        language, name = self.words.language, attached.get(notice.claim_id or "")
        return FileView(
            name=unlinked(notice.file),
            kind=notice.kind,
            sentence=self._headline_of_one(notice, attached=notice.claim_id in attached),
            counts=notice.counts,
            reasons=tuple(map(self._reason, notice.reasons[:MOST_REASONS])),
            more_reasons=max(0, len(notice.reasons) - MOST_REASONS),
            warnings=tuple(unlinked(warning_in(warning, language), 300) for warning in notice.warnings),
            attached=None if is_merged or not name else unlinked(name),
            report=None if notice.report is None else unlinked(notice.report, 260),
            archive=None if notice.archive is None else unlinked(notice.archive, 260),
        )

    def _reason(self, reason: ReasonCount) -> Reason:
        label = self.words.say(REASONS.get(reason.code, reason.code.replace("_", " ")))
        row = self.words.say("row {row}", row=reason.example_row)
        return Reason(
            label=safe_text(f"{self.words.label(reason.column)} {label}" if reason.column else label, 80),
            count=reason.count,
            example=unlinked(f"{self.words.label(row)} {reason.example}" if reason.example else row),
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
        say, name = self.words.say, unlinked(notice.file)
        if notice.kind is NoticeKind.IMPORTED:
            return (
                f"{self._failed([notice])}. {self._cure(notice, attached=attached)}"
                if notice.counts.failed
                else (f"{self._all_imported([notice])}.")
            )
        why = say("it could not be read")
        if notice.refusal is not None:
            why = unlinked(refusal_in(notice.refusal, self.words.language), 500).rstrip(".")
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
                "{name} was set aside and not imported, because the importing process, or the whole service, ended"
                " again and again while it was imported. It is kept in .quarantine/{claim}; `{command}` has it tried"
                " again.",
                name=name,
                claim=safe_text(notice.claim_id or "", 60),
                command=_retry(notice),
            ),
        }[notice.kind]

    def _cure(self, notice: Notice, *, attached: bool) -> str:
        if attached:
            return self._to_correct(1, attached=True)
        if notice.report is None:
            return self.words.say("Correct the file and drop it again.")
        report = unlinked(notice.report, 260)
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
        facts = {
            "failed": self.words.number(failed),
            "users": self.words.number(users),
            "where": self._named(notices),
        }
        if failed == 1:
            return self.words.count(
                "{failed} of {users} user in {where} was not imported",
                "{failed} of {users} users in {where} was not imported",
                users,
                **facts,
            )
        return self.words.say("{failed} of {users} users in {where} were not imported", **facts)

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
            return unlinked(notices[0].file, 80)
        count = len(notices)
        return self.words.count("{count} file", "{count} files", count, count=self.words.number(count))


def _split(notices: Sequence[Notice]) -> tuple[list[Notice], list[Notice]]:
    """Files that were read, and files of which nothing was imported."""
    read = [notice for notice in notices if notice.kind is NoticeKind.IMPORTED]
    return read, [notice for notice in notices if notice.kind is not NoticeKind.IMPORTED]


def _retry(notice: Notice) -> str:
    """The command for the administrator, who alone is told of files in quarantine."""
    client, claim = (quote(safe_text(given, 80)) for given in (notice.client, notice.claim_id or ""))
    return f"userdrop retry --client {client} {claim}"


def _failed_rows(notices: Sequence[Notice]) -> int:
    return sum(notice.counts.failed for notice in notices)

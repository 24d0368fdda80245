"""Facts become letters. The words are in templates/*.j2; what is counted, chosen and shortened is decided here.

Pure: templates and catalogues come from outside (`notifier.templating`), and so does every time. English is written
here and in the templates; importer/words/locale has the other languages.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import partial
from shlex import quote
from typing import Any

from importer.model import Detail, Notice
from importer.words.details import detail_in
from notifier.alert_texts import ALERT_TEXTS, text_of
from notifier.model import AlertNotice, AlertText, Attachment, Bodies, Letter, Occasion
from notifier.safety import attachment_name, plain, safe_detail, safe_text, unlinked
from notifier.sentences import FileSentences
from notifier.templating import Templates, Words

MOST_ATTACHMENTS = 10
"""Attachments of one mail; more reports are merged, those with equal headers into one."""
MOST_LISTED = 200
"""Files that one mail lists by name."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What a letter could not know when it was written: how its reports were packed."""

    words: Words

    def zipped(self) -> str:
        """The note that the reports are in a ZIP."""
        return self.words.say("The attached reports are packed into one ZIP file, because they are large.")

    def many_zipped(self) -> str:
        """The note that the reports are in a ZIP, though they are small."""
        return self.words.say(
            "The attached reports are packed into one ZIP file, because they are many and their columns differ."
        )

    def first_rows(self, rows: int, names: Sequence[str]) -> str:
        """The note that only the first rows of the reports are attached."""
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
        """The note that names reports that are too large to be attached."""
        if not names:
            return ""
        return self.words.say(
            "The reports do not fit into a mail and are not attached. Fetch them from the server: {names}.",
            names=self._listed(names),
        )

    def lost(self, names: Sequence[str]) -> str:
        """The note that names reports that are gone."""
        if not names:
            return ""
        return self.words.say(
            "Not attached, because the file is no longer there: {names}.",
            names=", ".join(unlinked(name, 260) for name in names[:MOST_LISTED]),
        )

    def unread(self, names: Sequence[str]) -> str:
        """The note that names reports that could not be read for so long that the mail waits no more."""
        if not names:
            return ""
        return self.words.say(
            "Not attached, because it could not be read for a day; fetch it from the server: {names}.",
            names=self._listed(names),
        )

    def _listed(self, names: Sequence[str]) -> str:
        listed = ", ".join(f"bak/{unlinked(name, 260)}" for name in names[:MOST_LISTED])
        return listed if len(names) <= MOST_LISTED else f"{listed}, …"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLetters:
    """How a client's letters are written; None where that is as for all."""

    language: str | None = None
    attaches: bool | None = None
    timezone: tzinfo | None = None


def _nothing_own(_: str) -> OwnLetters:
    return OwnLetters()


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes every letter.

    Attributes:
        templates: the words, in every language.
        language: of letters for whose readers no other one is asked for.
        attaches: whether reports travel by mail; otherwise letters say where in bak they lie.
        own: what a client has of its own.
        host: the name of the machine, which alerts name; empty where they do not.
    """

    templates: Templates
    language: str = "en"
    attaches: bool = True
    own: Callable[[str], OwnLetters] = _nothing_own
    host: str = ""

    def notes(self, language: str) -> Notes:
        """The words for how reports were packed."""
        return Notes(self.templates.of(language))

    def to_client(
        self,
        notices: Sequence[Notice],
        next_run: datetime | None,
        *,
        language: str | None = None,
        have_waited: bool = False,
    ) -> Letter:
        """One letter about all that happened to a client's files; at least one notice, all of one client.

        Args:
            notices: what happened.
            next_run: when the next import starts, None where that is not known.
            language: the client's, where it is None.
            have_waited: whether some of them were held back to be told together.
        """
        own = self.own(notices[0].client)
        words = self.templates.of(language or own.language or self.language, own.timezone)
        attaches = self.attaches if own.attaches is None else own.attaches
        attachments = _attachments(notices) if attaches else ()
        write = partial(self._to_client, notices, next_run, words, have_waited=have_waited)
        without = write(attachments=())
        if not attachments:
            return without
        unattached = Bodies(text=without.text, html=without.html)
        return replace(write(attachments=attachments), unattached=unattached)

    def _to_client(
        self,
        notices: Sequence[Notice],
        next_run: datetime | None,
        words: Words,
        *,
        attachments: tuple[Attachment, ...],
        have_waited: bool,
    ) -> Letter:
        is_merged = len(attachments) > MOST_ATTACHMENTS
        attached = {attachment.claim_id: attachment.filename for attachment in attachments}
        sentences = FileSentences(words)
        files = [sentences.file(notice, attached, is_merged=is_merged) for notice in notices[:MOST_LISTED]]
        return self._letter(
            "client",
            words,
            subject=f"[userdrop] {sentences.what_happened(notices)}",
            attachments=attachments,
            headline=sentences.headline(notices, attached=bool(attachments)),
            client=safe_text(notices[0].client, 80),
            detailed=files[:MOST_ATTACHMENTS],
            listed=files[MOST_ATTACHMENTS:],
            unlisted=max(0, len(notices) - MOST_LISTED),
            is_merged=is_merged,
            have_waited=have_waited,
            next_run=next_run,
        )

    def to_admin(self, notices: Sequence[Notice], next_run: datetime | None, *, have_waited: bool = False) -> Letter:
        """One letter to the administrator about files of one client; it shows no cell and carries no report."""
        words = self.templates.of(self.language)
        sentences = FileSentences(words)
        client = safe_text(notices[0].client, 80)
        what = sentences.what_happened(notices)
        return self._letter(
            "admin",
            words,
            subject=f"[userdrop] {words.label(client)} {what}",
            headline=f"{words.label(client)} {what}.",
            client=client,
            command=f"userdrop history --failed --client {quote(client)}",
            files=[sentences.file(notice, {}) for notice in notices[:MOST_LISTED]],
            unlisted=max(0, len(notices) - MOST_LISTED),
            have_waited=have_waited,
            next_run=next_run,
        )

    def about_alert(self, notice: AlertNotice, now: datetime) -> Letter:
        """The letter that opens, repeats or ends an alert."""
        words = self.templates.of(self.language)
        alert = notice.alert
        text = _in_words(text_of(alert.kind, alert.detail), words)
        about = _about(notice, words)
        return self._letter(
            "alert",
            words,
            subject=f"[userdrop] [{_state(notice, words)}] {self._placed(about, words)}",
            about=about,
            host=unlinked(self.host, 80),
            text=text,
            alert=alert,
            client=safe_text(alert.client, 80),
            detail=_detail(notice, words),
            occasion=notice.occasion,
            summed=[_in_brief(each, words) for each in notice.summed[:MOST_LISTED]],
            unsummed=max(0, len(notice.summed) - MOST_LISTED),
            suppressed=len(notice.summed),  # templates that a site wrote for earlier versions ask for it
            now=now,
        )

    def _placed(self, about: str, words: Words) -> str:
        """What an alert is about, and on which machine."""
        return words.say("{about} on {host}", about=about, host=safe_text(self.host, 80)) if self.host else about

    def undeliverable(
        self, *, mail: int, recipient: str, subject: str, client: str | None, said: Detail | str
    ) -> Letter:
        """To the administrator: a mail that its recipient's server will not take."""
        words = self.templates.of(self.language)
        what = words.say("a mail could not be delivered")
        return self._letter(
            "undeliverable",
            words,
            subject=f"[userdrop] {what}" + (f" ({safe_text(client, 80)})" if client else ""),
            mail=mail,
            recipient=safe_text(recipient, 320),
            undelivered=unlinked(subject),
            client=safe_text(client or "", 80),
            said=detail_in(safe_detail(said, 300), words.language, _foreign),
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
        facts["subject"] = subject = safe_text(plain(subject))
        text = plain(words.render(f"{name}.txt.j2", facts))
        html = words.render(f"{name}.html.j2", facts)
        return Letter(subject=subject, text=_tidy(text), html=html, attachments=attachments, language=words.language)


def _about(notice: AlertNotice, words: Words) -> str:
    alert = notice.alert
    title, client = words.say(text_of(alert.kind, alert.detail).title), safe_text(alert.client, 80)
    return f"{title} ({client})" if client else title


def _state(notice: AlertNotice, words: Words) -> str:
    return {
        Occasion.OPENED: words.say(ALERT_TEXTS[notice.alert.kind].severity.value),
        Occasion.CHANGED: words.say("new detail"),
        Occasion.REPEATED: words.say("still open"),
        Occasion.RESOLVED: words.say("resolved"),
    }[notice.occasion]


def _detail(notice: AlertNotice, words: Words) -> str:
    """What failed: names of files as they are, sentences in the reader's language."""
    return detail_in(safe_detail(notice.alert.detail, 500), words.language, _foreign)


def _foreign(words: str) -> str:
    return unlinked(words, 500)


def _in_brief(notice: AlertNotice, words: Words) -> str:
    """An alert in one line, with how many mails it would have been."""
    number = max(1, notice.alert.held)
    count = words.count("{count} mail", "{count} mails", number, count=words.number(number))
    said = f"[{_state(notice, words)}] {_about(notice, words)}"
    detail = _detail(notice, words)
    return f"{words.label(said)} {detail} ({count})" if detail else f"{said} ({count})"


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

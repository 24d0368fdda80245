"""Facts become letters. The words are in templates/*.j2; what is counted, chosen and shortened is decided here.

Pure: templates and catalogues come from outside (`notifier.templating`), and so does every time. English is written
here and in the templates; importer/locale has the other languages.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from shlex import quote
from typing import Any

from importer.model import Notice
from notifier.alert_texts import ALERT_TEXTS
from notifier.detail_texts import detail_in
from notifier.model import AlertMail, AlertText, Attachment, Bodies, Letter, Occasion
from notifier.safety import attachment_name, safe_text
from notifier.telling import Telling
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
    """

    templates: Templates
    language: str = "en"
    attaches: bool = True
    own: Callable[[str], OwnLetters] = _nothing_own

    def notes(self, language: str) -> Notes:
        """The words for how reports were packed."""
        return Notes(self.templates.of(language))

    def to_client(self, notices: Sequence[Notice], next_run: datetime | None, *, language: str | None = None) -> Letter:
        """One letter about all that happened to a client's files; at least one notice, all of one client."""
        own = self.own(notices[0].client)
        words = self.templates.of(language or own.language or self.language, own.timezone)
        attaches = self.attaches if own.attaches is None else own.attaches
        attachments = _attachments(notices) if attaches else ()
        without = self._to_client(notices, next_run, words, ())
        if not attachments:
            return without
        unattached = Bodies(text=without.text, html=without.html)
        return replace(self._to_client(notices, next_run, words, attachments), unattached=unattached)

    def _to_client(
        self,
        notices: Sequence[Notice],
        next_run: datetime | None,
        words: Words,
        attachments: tuple[Attachment, ...],
    ) -> Letter:
        is_merged = len(attachments) > MOST_ATTACHMENTS
        attached = {attachment.claim_id: attachment.filename for attachment in attachments}
        telling = Telling(words)
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
        telling = Telling(words)
        client = safe_text(notices[0].client, 80)
        what = telling.what_happened(notices)
        return self._letter(
            "admin",
            words,
            subject=f"[userdrop] {words.label(client)} {what}",
            headline=f"{words.label(client)} {what}.",
            client=client,
            command=f"userdrop history --failed --client {quote(client)}",
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
            detail=safe_text(alert.detail if text.names_files else detail_in(alert.detail, words.language), 500),
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
            said=safe_text(detail_in(said, words.language), 300),
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

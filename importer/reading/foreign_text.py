"""Text that is no table, recognised by how it begins: a web page, JSON, a mail, the message of an error. Pure."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from importer.model import Refusal
from importer.words.reasons import refusal

_LOOKED_AT: Final = 2_000
"""Bytes of a text that tell what it is."""


class Certainty(Enum):
    """How sure it is that a text is what it seems to be."""

    SURE = auto()
    UNLESS_HEADER = auto()
    """Unless a header of users follows within the first lines."""


@dataclass(frozen=True, slots=True)
class ForeignText:
    """What a text is that is no table.

    Attributes:
        code: of the refusal.
        kind: the words for what it is; empty where the refusal's sentence says it.
        certainty: how sure that is.
    """

    code: str
    kind: str
    certainty: Certainty

    def refusal(self) -> Refusal:
        """Why the file was not imported, and what to do."""
        return refusal(self.code, kind=self.kind) if self.kind else refusal(self.code)


_WEB_PAGE: Final = "a web page (HTML)"
_MAIL: Final = (
    r"(?:from [^\s,;|]+@[^\n]*\n)?(?:(?:from|to|cc|subject|date|received|return-path|delivered-to|mime-version"
    r"|message-id|reply-to|content-[a-z-]+|x-[a-z-]+):[ \t][^\n]*\n(?:[ \t][^\n]*\n)*){2}"
)
_LDIF: Final = r"(?:version: *[0-9]\s+)?(?:#[^\n]*\n\s*)*dn::? "
_SQL: Final = r"(?:--[^\n]*\n\s*|/\*[^*]*\*/;?\s*)*(?:insert\s+into|create\s+table|drop\s+table|set\s+\w+ ?=|select\s)"
_ERROR: Final = (
    r"[^\n,;|\t]{0,60}?\b(?:(?:fatal |parse |internal |server )?(?:error|erreur)\b|exception\b|traceback \(most"
    r"|access denied|permission denied|accès refusé|login failed|connection (?:refused|failed|timed)|ora-[0-9]{4,5}"
    r"|sp2-[0-9]{4}|msg [0-9]+, level|unable to |could not |cannot |can't |failed to |impossible d|no such "
    r"|command not found|timeout expired|service unavailable|bad gateway|not found\b)"
)


def _named(kind: str, certainty: Certainty = Certainty.SURE) -> ForeignText:
    return ForeignText("not_text", kind, certainty)


_BEGINS: Final[tuple[tuple[str, ForeignText], ...]] = (
    (r"<(?:!doctype\s+html|html|head|body|table|meta|script|style|div|p|font)\b", _named(_WEB_PAGE)),
    (r"<\?xml[^>]*>\s*<(?:!doctype\s+)?html\b", _named(_WEB_PAGE)),
    (r"<(?:\?xml|!--|!doctype|[a-z][\w.:-]*(?:\s[^<>]*)?/?>)", _named("XML")),
    (r"\{\\(?:rtf|urtf)", _named("rich text (RTF)")),
    (r'\[\s*(?:[\[{"\]]|-?[0-9])|\{\s*(?:"[^"\n]*"\s*:|\})', _named("JSON")),
    (r"%!PS", _named("a PostScript document")),
    (r"begin:v(?:card|calendar)", _named("a list of contacts or dates (vCard, iCalendar)")),
    (r"-----begin pgp", _named("an encrypted file")),
    (_MAIL, ForeignText("is_mail", "", Certainty.SURE)),
    (_LDIF, _named("a directory's export (LDIF)", Certainty.UNLESS_HEADER)),
    (_SQL, _named("an SQL script", Certainty.UNLESS_HEADER)),
    (_ERROR, ForeignText("is_error_message", "", Certainty.UNLESS_HEADER)),
)
_COMPILED: Final = tuple((re.compile(pattern, re.IGNORECASE), text) for pattern, text in _BEGINS)
FOREIGN_WORDS: Final = tuple(dict.fromkeys(text.kind for _, text in _BEGINS if text.kind))
"""Words of ours that refusals name: what a file is instead of a table."""


def foreign_text(text: bytes) -> ForeignText | None:
    """What a text seems to be that is no table; None where it may be one."""
    begin = text[:_LOOKED_AT].decode(errors="replace").lstrip("\ufeff\x00 \t\r\n").replace("\r\n", "\n")
    return next((kind for pattern, kind in _COMPILED if pattern.match(begin)), None)

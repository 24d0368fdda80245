"""Text that came from outside, made fit for a header, a page, a log line or a file name."""

import re
import unicodedata
from dataclasses import replace

from importer.model import Detail
from importer.words.details import LIST, listed

_SHAPING = {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"}
NO_BREAK = "\u00a0\u202f"
"""Blanks that keep a colon with its word, and a number in one piece, as French has them."""


def safe_text(text: str, limit: int = 200) -> str:
    """Text from a file, its name or a server, as one line that cannot shape a header, a page or a log.

    Controls, bidirectional and invisible marks, line separators and lone surrogates become U+FFFD, blanks but those
    of `NO_BREAK` become spaces, `=?` (an encoded word) is broken up, and more than `limit` characters are cut with an
    ellipsis.
    """
    # A character is composed of four at most, and one more than fits is needed to see that there is more.
    normal = unicodedata.normalize("NFC", text[: 4 * (limit + 1)])
    line = "".join(_safe_character(character) for character in normal).replace("=?", "= ?")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def safe_detail(detail: Detail | str, limit: int = 200) -> Detail | str:
    """A detail whose text and facts are as `safe_text` makes them.

    Of a list with more than `limit` characters the parts that fit are kept, the last of them cut; another detail that
    is too long becomes the beginning of its English text.
    """
    if isinstance(detail, str):
        return safe_text(detail, limit)
    text, parts = safe_text(detail.text, limit), [part for _, part in detail.facts]
    if len(safe_text(detail.text, limit + 1)) <= limit:
        facts = tuple((name, safe_detail(fact, limit)) for name, fact in detail.facts)
        return replace(detail, text=text, facts=facts)
    if detail.code != LIST:
        return text
    kept: list[Detail | str] = []
    while parts and (room := limit - sum(len(str(part)) + 2 for part in kept)) > 0:
        kept.append(safe_detail(parts.pop(0), room))
    return replace(listed(kept), text=text)


def _safe_character(character: str) -> str:
    if character.isspace() and character not in NO_BREAK:
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in _SHAPING else character


BREAK = "\u200b"
"""A zero-width space: `safe_text` leaves none, so each one in a letter is ours."""

_SCHEMES = "mailto|tel|sms|callto|skype|xmpp|sips?|data|file|javascript|vbscript|news|cid|mid"
_SUFFIXES = "csv|txt|tsv|gz|xlsx?|ods|pdf|json|xml|failed|first-rows|part|filepart"
_LINK = re.compile(
    rf"""(?<=[\w+.-])(?=://)
    | \b(?:{_SCHEMES})(?=:\S)
    | (?<=\S)(?=@\w)
    | (?<=\w)(?=[.\u3002\uff0e\uff61](?!(?:{_SUFFIXES})\b)[^\W\d_]{{2}})
    | (?<=\\)(?=\\)""",
    re.IGNORECASE | re.VERBOSE,
)
"""Where mail programs see a link: a scheme, an address, a name of a host (`www.x`, `x.org`), a name of a share."""
_SCHEME = re.compile(rf"[\w+.{BREAK}-]*{BREAK}:(?://)?|\\{BREAK}\\")


def unlinked(text: str, limit: int = 200) -> str:
    """The same as `safe_text`, but where a mail program would make a link of it by itself there is a `BREAK`.

    It is for HTML, and for a plain text that goes through `plain`. Who copies it from HTML may drop it as it is, since
    the importer takes out what cannot be seen. Suffixes of files are no names of hosts, so that names stay whole.
    """
    return _LINK.sub(rf"\g<0>{BREAK}", safe_text(text, limit))


def plain(text: str) -> str:
    """Text with what is `unlinked`, as it is in plain text: without schemes, and with nothing that cannot be seen."""
    return _SCHEME.sub("", text).replace(BREAK, "")


def attachment_name(report: str) -> str:
    """An ASCII file name of our own for a report, ending in .failed.csv, from its name in bak."""
    stem = re.sub(r"\.failed\.csv$", "", report)
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    words = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")
    return f"{words[-100:].lstrip('._-') or 'users'}.failed.csv"

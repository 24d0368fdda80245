"""Text that came from outside, made fit for a header, a page, a log line or a file name."""

import re
import unicodedata

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


def _safe_character(character: str) -> str:
    if character.isspace() and character not in NO_BREAK:
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in _SHAPING else character


def attachment_name(report: str) -> str:
    """An ASCII file name of our own for a report, ending in .failed.csv, from its name in bak."""
    stem = re.sub(r"\.failed\.csv$", "", report)
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    words = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")
    return f"{words[-100:].lstrip('._-') or 'users'}.failed.csv"

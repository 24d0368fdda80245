"""How the names of columns are compared: by what people see and mean, not by how they are spelt.

Two names are the same in NFC without case, blanks of any kind, signs that people add or leave out (`_ - / . : *`,
apostrophes, brackets), letters that nobody sees, and a byte order mark, even one that was itself saved as text.
"""

import re
import unicodedata
from typing import Final

_MARK_AS_TEXT: Final = "\u00ef\u00bb\u00bf"
"""The byte order mark of UTF-8, read as Windows-1252 and saved as text."""
_ASCII_SIGNS: Final = "_-/.:*'`()[]{}<>"
_SIGNS: Final = frozenset(_ASCII_SIGNS + "\u2018\u2019")
_IGNORED_ASCII: Final = str.maketrans("", "", "".join(map(chr, range(0x21))) + "\x7f" + _ASCII_SIGNS)
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs", "Pd"})
"""Unicode's categories of what is left out: controls and line breaks, formats, blanks, dashes."""
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | {*map(chr, range(0xFE00, 0xFE10))}
"""Fillers, the grapheme joiner and variation selectors: drawn as nothing, though they count as letters or marks."""
_REMARK: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*>")


def normalised(name: str) -> str:
    """The form in which column names are compared; empty for a name of signs alone."""
    if name.isascii():
        return name.translate(_IGNORED_ASCII).casefold()
    seen = "".join(letter for letter in name.replace(_MARK_AS_TEXT, "") if not _is_ignored(letter))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).casefold())


def _is_ignored(letter: str) -> bool:
    return letter in _SIGNS or letter in _FILLERS or unicodedata.category(letter) in _UNSEEN


def spellings(name: str) -> tuple[str, ...]:
    """The forms by which a name in a header may be known: all of it, and without the remarks in brackets.

    What is in brackets may tell names apart, as in `street (2)`, so the first form that is known counts.
    """
    whole = normalised(name)
    if not any(bracket in name for bracket in "([{<"):
        return (whole,)
    return whole, normalised(_REMARK.sub("", name))

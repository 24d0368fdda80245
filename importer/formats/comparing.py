"""The comparison of a cell with known values: without case, in one form of Unicode, whatever blanks are in it."""

import unicodedata
from collections.abc import Iterable, Mapping


def compared(text: str) -> str:
    """The form in which cells and known values are compared: NFC, in small letters, with single blanks within."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def unambiguous(ids: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Known values by what cells are compared with; what may mean several things means none.

    Args:
        ids: id → what is stored for it; an id comes before a name that is alike.
        names: name → what is stored for it.
    """
    of_ids, of_names = _meanings(ids.items()), _meanings(names.items())
    return {text: stored for text, (stored, *others) in {**of_names, **of_ids}.items() if not others}


def _meanings(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text, stored in pairs:
        meanings = found.setdefault(compared(text), [])
        if stored not in meanings:
            meanings.append(stored)
    return found

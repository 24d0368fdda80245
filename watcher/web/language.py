"""The choice of a page's language from what a browser asks for. Pure."""

import re

from importer.words.translating import LANGUAGES

_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?")


def preferred(accepted: str) -> str:
    """The language of `LANGUAGES` that an Accept-Language header wants most; English where it wants none of them.

    Source: RFC 9110, 12.5.4. What is no such header says nothing.
    """
    wishes: dict[str, float] = {}
    for part in accepted.split(","):
        if (found := _RANGE.fullmatch(part)) is not None:
            language, quality = found[1].lower(), float(found[2] or 1)
            wishes[language] = max(quality, wishes.get(language, 0.0))
    known = [language for language in wishes if language in LANGUAGES and wishes[language] > 0]
    return max(known, key=wishes.__getitem__, default=LANGUAGES[0])

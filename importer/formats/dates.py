"""Forms of dates: the strftime codes that a format file may use, as words for people and as patterns."""

import re

DATE_CODES = {
    "%Y": "year",
    "%y": "year",
    "%m": "month",
    "%-m": "month",
    "%b": "month",
    "%B": "month",
    "%d": "day",
    "%-d": "day",
}
"""The strftime codes that a date format may use: %m and %d have two digits, %-m and %-d one or two."""

_PATTERNS = {
    "%Y": "[0-9]{4}",
    "%y": "[0-9]{2}",
    "%m": "[0-9]{2}",
    "%-m": "[0-9]{1,2}",
    "%d": "[0-9]{2}",
    "%-d": "[0-9]{1,2}",
    "%b": "[A-Za-z]{3}",
    "%B": "[A-Za-z]+",
}


def date_words(form: str) -> str:
    """A date format as people write it: DD/MM/YYYY for `%d/%m/%Y`."""
    words = {"Y": "YYYY", "y": "YY", "m": "MM", "d": "DD", "b": "Mon", "B": "Month"}
    return re.sub(r"%-?(.)", lambda found: words[found[1]], form)


def date_pattern(form: str) -> str:
    """A Rust regular expression that every date of a format matches; texts that are no day may match as well."""
    return "".join(_PATTERNS.get(piece) or re.escape(piece) for piece in re.split(r"(%-?.)", form))

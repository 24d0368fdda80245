"""Forms of dates: the strftime codes that a format file may use, as words for people and as patterns.

Patterns are Rust's regular expressions.
"""

import re
from collections.abc import Sequence

from importer.words.translating import translated

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
"""The strftime codes that a date format may use: %m and %d have two digits, %-m and %-d one or two.

%b and %B are names of months, English or French, whole or shortened, in any case.
"""

_MONTHS = (
    "january jan janvier janv",
    "february feb février fevrier févr fevr fév fev",
    "march mar mars",
    "april apr avril avr",
    "may mai",
    "june jun juin",
    "july jul juillet juil",
    "august aug août aout",
    "september sep septembre sept",
    "october oct octobre",
    "november nov novembre",
    "december dec décembre decembre déc",
)
MONTH_NUMBERS = {name: f"{number:02}" for number, names in enumerate(_MONTHS, 1) for name in names.split()}
"""The names of months in small letters, without a full stop: name → 01 … 12."""

MIDNIGHT = (
    r"(?i)(?:T|[\s--[\r\n]]+)(?:00?:00(?::00(?:[.,]0+)?)?|12:00(?::00)?\s?AM)"
    r"(?:\s?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?\z"
)
"""The time behind a date that says no more than the date: the beginning of its day, with or without a time zone."""

ZERO_DAY = (
    r"\A(?:0000([-/.])00[-/.]00|00[-/.]00[-/.]0000|1900-01-00|0?1[-/.]0?0[-/.](?:19)?00|0?0[-/.]0?1[-/.](?:19)?00|0)"
    r"(?:[T\s].*)?\z"
)
"""What databases and spreadsheets write where they have no date: 0000-00-00, 1/0/1900 and their like."""

DAY_NUMBER = r"\A[1-9][0-9]{4}(?:[.,]0+)?\z"
"""The number of a day as spreadsheets count them, from 1927 on; shorter ones may be years."""

REWRITTEN = (
    r"\A(?:[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{2}(?:[0-9]{2})?"
    r"|[0-9]{1,2}[-/. ]{1,2}\p{L}{3,10}\.?[-/. ]{1,2}[0-9]{2,4}"
    r"|\p{L}{3,10}\.?[-/. ][0-9]{1,2}(?:,|st|nd|rd|th)?[-/. ]{1,2}[0-9]{2,4}"
    r"|[0-9]{4}[-/.](?:[0-9][-/.][0-9]{1,2}|[0-9]{2}[-/.][0-9]))(?:[T ].*)?\z"
)
"""The forms that spreadsheets give to dates by themselves."""

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
_WORDS = {"Y": "YYYY", "y": "YY", "m": "MM", "d": "DD", "b": "Mon", "B": "Month"}
_CELL_CODES = {
    "%Y": "YYYY",
    "%y": "YY",
    "%m": "MM",
    "%-m": "M",
    "%d": "DD",
    "%-d": "D",
    "%b": "MMM",
    "%B": "MMMM",
}
DATE_WORDS = ("YYYY", "YY", "DD", "D", "Mon", "Month")
"""The words of `date_words` and `cell_format` that are translated."""
_MONTH_CODE = re.compile("%[bB]")


def date_words(form: str, language: str = "en") -> str:
    """A date format as people write it: DD/MM/YYYY for `%d/%m/%Y`, in French JJ/MM/AAAA."""
    return re.sub(r"%-?(.)", lambda found: translated(_WORDS[found[1]], language), form)


def cell_format(form: str, language: str = "en") -> str:
    """A date format as a spreadsheet in that language takes it for cells: dd/mm/yyyy for `%d/%m/%Y`."""
    return re.sub(r"%-?.", lambda found: translated(_CELL_CODES[found[0]], language).lower(), form)


def date_pattern(form: str) -> str:
    """A Rust regular expression that every date of a format matches; texts that are no day may match as well."""
    return "".join(_PATTERNS.get(piece) or re.escape(piece) for piece in re.split(r"(%-?.)", form))


def around_month(form: str) -> tuple[str, str] | None:
    """The parts of a format before and behind the name of the month; None where it has a number of the month."""
    parts = _MONTH_CODE.split(form)
    return (parts[0], parts[1]) if len(parts) == 2 else None


def plain_forms(formats: Sequence[str]) -> tuple[str, ...]:
    """The forms that mean one day whatever the formats of a column are: year, month, day.

    There are none where one of the formats has the year first and not the month behind it.
    """
    parts = [[DATE_CODES[code] for code in re.findall(r"%-?.", form)] for form in formats]
    if ["year", "day", "month"] in parts:
        return ()
    return tuple(form for form in ("%Y-%m-%d", "%Y/%m/%d") if form not in formats)

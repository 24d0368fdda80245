"""The ways in which cells are stored, in which they may be wrong, and in which is found what was meant by them.

Each is a value that a kind of column names; mypy demands an expression for it in `importer.judging.expressions`.
Patterns are Rust's regular expressions.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass


def whole(pattern: str) -> str:
    """Extend a pattern so that it matches whole values only."""
    return rf"\A(?:{pattern})\z"


@dataclass(frozen=True, slots=True, kw_only=True)
class AsWritten:
    """The mapping of cells that are stored as they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """The mapping of cells that a pattern matches: they are stored without a plus sign before them."""

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """The mapping of cells that stand for something else, which is stored.

    Attributes:
        codes: text of a cell, just so → what is stored.
        alike: other texts as `comparing.compared` makes them → what is stored; none that may mean two things.
        synonyms: groups of words that mean the same, by which is found what was meant by a cell that is none of these.
    """

    codes: Mapping[str, str]
    alike: Mapping[str, str]
    synonyms: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """The mapping of dates in one of some strftime formats: they are stored as YYYY-MM-DD.

    Attributes:
        past: whether a year of two digits is of the last century that is not in the future; otherwise 69 is 1969.
    """

    formats: tuple[str, ...]
    past: bool


Mapped = AsWritten | Number | Coded | Dates
"""The mapping of a cell to what is stored; of a cell that is none of what it may be nothing is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """The fault of a cell that says something of which nothing is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlike:
    """The fault of a cell that a pattern does not match."""

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """The fault of a cell that both of two patterns match."""

    pattern: str
    and_pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InFuture:
    """The fault of a date after today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The fault of a date before some day."""

    day: dt.date


Broken = Unmapped | Unlike | Like | InFuture | Before
"""The fault that a check looks for; a cell that is empty or `<clear>` never has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearCode:
    """What was meant by a cell is a code of `Coded`: one that means the same, or is written nearly so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressWithin:
    """What was meant by a cell is the e-mail address that it holds among other signs or words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayNumbered:
    """What was meant by a cell is the date that a spreadsheet counts by its number, in a strftime format."""

    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Itself:
    """What was meant by a cell that a pattern matches is said without a value; `unless` another pattern matches it."""

    pattern: str
    unless: str = ""


Meant = NearCode | AddressWithin | DayNumbered | Itself
"""The way in which is found what was meant by a cell that is wrong."""

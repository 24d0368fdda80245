"""The kinds of columns: for each kind one entry, with all that is particular to it.

Whoever adds a kind writes its name into `KindName` and its entry below the others, which mypy then demands in
`_Entries`. `python -m tests.tools.catalogue` makes places for the translations of its sentences, and the tests ask for
samples of it, see CONTRIBUTING.md. That is all where its cells are stored in one of the ways of `Mapped` and are wrong
in one of the ways of `Broken`. Another way is a class here, for which mypy demands an expression in
`importer.judging.expressions`. Something else that a format file is to say for it is a field of `Options` and of
`Column`, and a `Key` where it can be wrong, for which mypy demands a check in `format_file`.

Nothing here needs polars, which the service's own process never imports. Patterns are Rust's regular expressions.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict, get_args

from importer.formats.addresses import EMAIL, EMAIL_HARMLESS_BYTES, EMAIL_LIMITS
from importer.formats.dates import date_words
from importer.words.reasons import SHOWN_CHARACTERS

KindName = Literal["text", "email", "date", "integer", "decimal", "boolean", "choice", "lookup", "pattern"]
Key = Literal["formats", "values", "lookup", "pattern"]
"""A key that a format file must have right for a kind that asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a column for its kind, which reads those that it needs; see `Column` for what they mean.

    Attributes:
        noun: the word for one of the known things; see `Lookup`.
        entries: id → name of the known things; empty where cells are not to be checked.
    """

    formats: tuple[str, ...] = ("%Y-%m-%d",)
    past: bool = False
    expected: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    noun: str = ""
    entries: Mapping[str, str] = field(default_factory=dict)
    pattern: str = ""


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
        codes: text of a cell → what is stored.
        any_case: whether a cell is compared in lower case; the keys of `codes` are in lower case then.
    """

    codes: Mapping[str, str]
    any_case: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """The mapping of dates in one of some strftime formats: they are stored as YYYY-MM-DD."""

    formats: tuple[str, ...]


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
class Check:
    """A check of a cell: a way in which it may be wrong, and what is said of it then.

    Attributes:
        sentence: a key of `Kind.sentences`.
        facts: the values that the sentence names, besides the column and the value.
        suggestion: the key of the sentence that names as `suggestion` what was likely meant; it is told where one of
            codes of `Coded` is near to what the cell says.
        harmless_bytes: the number of bytes up to which no cell is wrong in this way.
    """

    sentence: str
    broken: Broken
    facts: Mapping[str, str] = field(default_factory=dict)
    suggestion: str = ""
    harmless_bytes: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of column, with all that is particular to it.

    Attributes:
        keys: the keys that a format file must have right for the kind.
        compared_in_lower_case: whether values that no two users share are compared so, in a column of their own.
        mapped: makes the mapping of a cell to what is stored.
        checks: makes the checks of a cell, in the order in which faults are told.
        sentences: key → template, as in `reasons.ROW_SENTENCES`, for every check and every suggestion.
        rule: makes the words of `userdrop columns` for what a cell must be; empty where it may be anything.
        meaning: the meaning of the text in the column of `users`.
    """

    keys: tuple[Key, ...]
    compared_in_lower_case: bool
    mapped: Callable[[Options], Mapped]
    checks: Callable[[Options], tuple[Check, ...]]
    sentences: Mapping[str, str]
    rule: Callable[[Options], str]
    meaning: Callable[[Options], str]


def whole(pattern: str) -> str:
    """Extend a pattern so that it matches whole values only."""
    return rf"\A(?:{pattern})\z"


_TEXT = Kind(
    keys=(),
    compared_in_lower_case=False,
    mapped=lambda _: AsWritten(),
    checks=lambda _: (),
    sentences={},
    rule=lambda _: "",
    meaning=lambda _: "as the file says it",
)

_EMAIL = Kind(
    keys=(),
    compared_in_lower_case=True,
    mapped=lambda _: AsWritten(),
    checks=lambda _: (
        Check(
            sentence="invalid.email",
            broken=Like(pattern=EMAIL, and_pattern=EMAIL_LIMITS),
            harmless_bytes=EMAIL_HARMLESS_BYTES,
        ),
        Check(sentence="invalid.email", broken=Unlike(pattern=EMAIL)),
    ),
    sentences={"invalid.email": "{column} '{value}' is not a valid address"},
    rule=lambda _: "an e-mail address",
    meaning=lambda _: "an e-mail address",
)


def _date_checks(options: Options) -> tuple[Check, ...]:
    is_none = Check(sentence="invalid.date", broken=Unmapped(), facts={"expected": date_words(options.formats[0])})
    if not options.past:
        return (is_none,)
    return (
        is_none,
        Check(sentence="invalid.date_in_future", broken=InFuture()),
        Check(sentence="invalid.date_before_1900", broken=Before(day=dt.date(1900, 1, 1))),
    )


def _date_rule(options: Options) -> str:
    forms = " or ".join(map(date_words, options.formats))
    return f"a date, {forms}" + (", from 1900 to today" if options.past else "")


_DATE = Kind(
    keys=("formats",),
    compared_in_lower_case=False,
    mapped=lambda options: Dates(formats=options.formats),
    checks=_date_checks,
    sentences={
        "invalid.date": "{column} '{value}' is not a date; write it as {expected}",
        "invalid.date_in_future": "{column} '{value}' is in the future",
        "invalid.date_before_1900": "{column} '{value}' is before 1900",
    },
    rule=_date_rule,
    meaning=lambda _: "a date, YYYY-MM-DD",
)

_INTEGER = Kind(
    keys=(),
    compared_in_lower_case=False,
    mapped=lambda _: Number(pattern=r"\A[+-]?[0-9]+\z"),
    checks=lambda _: (Check(sentence="invalid.integer", broken=Unmapped()),),
    sentences={"invalid.integer": "{column} '{value}' is not a whole number"},
    rule=lambda _: "a whole number",
    meaning=lambda _: "a whole number",
)

_DECIMAL = Kind(
    keys=(),
    compared_in_lower_case=False,
    mapped=lambda _: Number(pattern=r"\A[+-]?[0-9]+(?:\.[0-9]+)?\z"),
    checks=lambda _: (Check(sentence="invalid.decimal", broken=Unmapped()),),
    sentences={"invalid.decimal": "{column} '{value}' is not a number; write it like 1234.5"},
    rule=lambda _: "a number",
    meaning=lambda _: "a number",
)

_TRUE, _FALSE = ("true", "yes", "y", "1"), ("false", "no", "n", "0")
_BOOLEAN = Kind(
    keys=(),
    compared_in_lower_case=False,
    mapped=lambda _: Coded(codes=dict.fromkeys(_TRUE, "true") | dict.fromkeys(_FALSE, "false"), any_case=True),
    checks=lambda _: (Check(sentence="invalid.boolean", broken=Unmapped()),),
    sentences={"invalid.boolean": "{column} '{value}' is neither true nor false; write true or false"},
    rule=lambda _: "true or false",
    meaning=lambda _: "true or false",
)


def _choices(values: Mapping[str, str]) -> Mapped:
    names = {name.lower(): code for code, name in values.items()}
    return Coded(codes=names | {code.lower(): code for code in values}, any_case=True)


def _listed(values: Mapping[str, str]) -> str:
    listed = ", ".join(values)
    return listed if len(listed) <= 2 * SHOWN_CHARACTERS else f"{listed[: 2 * SHOWN_CHARACTERS].rpartition(', ')[0]}, …"


_CHOICE = Kind(
    keys=("values",),
    compared_in_lower_case=False,
    mapped=lambda options: _choices(options.values),
    checks=lambda options: (
        Check(
            sentence="invalid.choice",
            broken=Unmapped(),
            facts={"expected": options.expected or _listed(options.values)},
        ),
    ),
    sentences={"invalid.choice": "{column} '{value}' is not allowed; use {expected}"},
    rule=lambda options: options.expected or ", ".join(options.values),
    meaning=lambda options: options.expected or f"one of {', '.join(options.values)}",
)


def _known(entries: Mapping[str, str]) -> Mapped:
    if not entries:
        return AsWritten()
    ids = {name: id_ for id_, name in entries.items()}
    return Coded(codes=ids | {id_: id_ for id_ in entries}, any_case=False)


_LOOKUP = Kind(
    keys=("lookup",),
    compared_in_lower_case=False,
    mapped=lambda options: _known(options.entries),
    checks=lambda options: (
        Check(
            sentence="unknown",
            broken=Unmapped(),
            facts={"noun": options.noun},
            suggestion="unknown.suggestion",
        ),
    ),
    sentences={
        "unknown": "{column} '{value}' is not a known {noun}",
        "unknown.suggestion": "{column} '{value}' is not a known {noun}; did you mean '{suggestion}'?",
    },
    rule=lambda options: f"a known {options.noun}",
    meaning=lambda options: f"the id of a {options.noun}",
)

_PATTERN = Kind(
    keys=("pattern",),
    compared_in_lower_case=False,
    mapped=lambda _: AsWritten(),
    checks=lambda options: (
        Check(
            sentence="invalid.pattern",
            broken=Unlike(pattern=whole(options.pattern)),
            facts={"expected": options.expected or f"the pattern {options.pattern}"},
        ),
    ),
    sentences={"invalid.pattern": "{column} '{value}' does not have the required form; use {expected}"},
    rule=lambda options: options.expected or f"has the form {options.pattern}",
    meaning=lambda _: "as the file says it",
)


class _Entries(TypedDict):
    """The kinds' entries: mypy misses one that is not there."""

    text: Kind
    email: Kind
    date: Kind
    integer: Kind
    decimal: Kind
    boolean: Kind
    choice: Kind
    lookup: Kind
    pattern: Kind


_ENTRIES = _Entries(
    text=_TEXT,
    email=_EMAIL,
    date=_DATE,
    integer=_INTEGER,
    decimal=_DECIMAL,
    boolean=_BOOLEAN,
    choice=_CHOICE,
    lookup=_LOOKUP,
    pattern=_PATTERN,
)


def kind_of(name: KindName) -> Kind:
    """The entry of the kind with some name."""
    return _ENTRIES[name]


KIND_NAMES: tuple[KindName, ...] = get_args(KindName)
KIND_SENTENCES = {key: sentence for name in KIND_NAMES for key, sentence in kind_of(name).sentences.items()}
"""The sentences of the kinds about cells, beside `reasons.ROW_SENTENCES`."""

"""The kinds of columns: for each kind one entry, with all that is particular to it.

Whoever adds a kind writes its name into `KindName` and its entry below the others, which mypy then demands in
`_Entries`. `python -m tests.tools.catalogue` makes places for the translations of its sentences, and the tests ask for
samples of it, see CONTRIBUTING.md. That is all where its cells are stored in one of the ways of `Mapped` and are wrong
in one of the ways of `Broken`. Another way is a class in `ways`, for which mypy demands an expression in
`importer.judging.expressions`. Something else that a format file is to say for it is a field of `Options` and of
`Column`, and a `Key` where it can be wrong, for which mypy demands a check in `format_file`.

Nothing here needs polars, which the service's own process never imports. Patterns are Rust's regular expressions.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypedDict, get_args

from importer.formats.addresses import EMAIL, EMAIL_HARMLESS_BYTES, EMAIL_LIMITS
from importer.formats.comparing import compared, unambiguous
from importer.formats.dates import REWRITTEN, ZERO_DAY, cell_format, date_pattern, date_words
from importer.formats.ways import (
    AddressWithin,
    AsWritten,
    Before,
    Broken,
    Coded,
    Dates,
    DayNumbered,
    InFuture,
    Itself,
    Like,
    Mapped,
    Meant,
    NearCode,
    Number,
    Unlike,
    Unmapped,
    whole,
)
from importer.words.reasons import SHOWN_CHARACTERS
from importer.words.translating import translated

KindName = Literal["text", "email", "date", "integer", "decimal", "boolean", "choice", "lookup", "pattern"]
Key = Literal["formats", "values", "lookup", "pattern"]
"""A key that a format file must have right for a kind that asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a column for its kind, which reads those that it needs; see `Column` for what they mean.

    Attributes:
        noun: the word for one of the known things; see `Lookup`.
        entries: id → name of the known things; empty where cells are not to be checked.
        synonyms: groups of words for the same; see `Column`.
    """

    formats: tuple[str, ...] = ("%Y-%m-%d",)
    past: bool = False
    expected: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)
    noun: str = ""
    entries: Mapping[str, str] = field(default_factory=dict)
    synonyms: tuple[tuple[str, ...], ...] = ()
    pattern: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Better:
    """A sentence that is said instead of a check's own where it is known what was meant.

    Attributes:
        sentence: a key of `Kind.sentences`; besides the facts of the check it may name what was meant as `suggestion`.
    """

    sentence: str
    meant: Meant


Fact = str | Callable[[str], str]
"""The value that a sentence names: a text, or what makes it in the language that is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check of a cell: a way in which it may be wrong, and what is said of it then.

    Attributes:
        sentence: a key of `Kind.sentences`.
        facts: the values that the sentences name, besides the column and the value.
        better: sentences that say more; the first of them for which it is known what was meant is said.
        harmless_bytes: the number of bytes up to which no cell is wrong in this way.
    """

    sentence: str
    broken: Broken
    facts: Mapping[str, Fact] = field(default_factory=dict)
    better: tuple[Better, ...] = ()
    harmless_bytes: int = -1

    def facts_in(self, language: str) -> dict[str, str]:
        """The facts in a language."""
        return {name: fact if isinstance(fact, str) else fact(language) for name, fact in self.facts.items()}


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
        Check(
            sentence="invalid.email",
            broken=Unlike(pattern=EMAIL),
            better=(Better(sentence="invalid.email.suggestion", meant=AddressWithin()),),
        ),
    ),
    sentences={
        "invalid.email": "{column} '{value}' is not a valid address",
        "invalid.email.suggestion": "{column} '{value}' is not a valid address; did you mean '{suggestion}'?",
    },
    rule=lambda _: "an e-mail address",
    meaning=lambda _: "an e-mail address",
)


def _date_checks(options: Options) -> tuple[Check, ...]:
    form = options.formats[0]
    forms = "|".join(map(date_pattern, options.formats))
    is_none = Check(
        sentence="invalid.date",
        broken=Unmapped(),
        facts={"expected": partial(date_words, form), "cell_format": partial(cell_format, form)},
        better=(
            Better(sentence="invalid.date.no_day", meant=Itself(pattern=ZERO_DAY)),
            Better(sentence="invalid.date.day_number", meant=DayNumbered(form=form)),
            Better(sentence="invalid.date.rewritten", meant=Itself(pattern=REWRITTEN, unless=whole(forms))),
        ),
    )
    if not options.past:
        return (is_none,)
    return (
        is_none,
        Check(sentence="invalid.date_in_future", broken=InFuture()),
        Check(sentence="invalid.date_before_1900", broken=Before(day=dt.date(1900, 1, 1))),
    )


def _date_rule(options: Options) -> str:
    forms = " or ".join(date_words(form) for form in options.formats)
    return f"a date, {forms}" + (", from 1900 to today" if options.past else "")


_DATE = Kind(
    keys=("formats",),
    compared_in_lower_case=False,
    mapped=lambda options: Dates(formats=options.formats, past=options.past),
    checks=_date_checks,
    sentences={
        "invalid.date": "{column} '{value}' is not a date; write it as {expected}",
        "invalid.date.no_day": "{column} '{value}' is no day; leave the cell empty where the date is not known",
        "invalid.date.day_number": "{column} '{value}' is a spreadsheet's day number, for {suggestion}; give the cells"
        " the custom format {cell_format} (Excel: Format Cells, Number, Custom; LibreOffice: Format, Cells, Numbers,"
        " Format code) and save the file again",
        "invalid.date.rewritten": "{column} '{value}' is not a date; write it as {expected}, which a spreadsheet leaves"
        " so where the cells have the custom format {cell_format} (Excel: Format Cells, Number, Custom; LibreOffice:"
        " Format, Cells, Numbers, Format code)",
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


def _coded(ids: Iterable[str], names: Mapping[str, str], synonyms: tuple[tuple[str, ...], ...] = ()) -> Coded:
    """The mapping of ids and of names (name → id): first what is written just so, and an id before a name."""
    just_so = {id_: id_ for id_ in ids}
    return Coded(codes={**names, **just_so}, alike=unambiguous(just_so, names), synonyms=synonyms)


_TRUE, _FALSE = ("true", "yes", "y", "1", "vrai", "oui", "o"), ("false", "no", "n", "0", "faux", "non")
_BOOLEAN = Kind(
    keys=(),
    compared_in_lower_case=False,
    mapped=lambda _: _coded(("true", "false"), dict.fromkeys(_TRUE, "true") | dict.fromkeys(_FALSE, "false")),
    checks=lambda _: (Check(sentence="invalid.boolean", broken=Unmapped()),),
    sentences={"invalid.boolean": "{column} '{value}' is neither true nor false; write true or false"},
    rule=lambda _: "true or false",
    meaning=lambda _: "true or false",
)


def _names(entries: Mapping[str, str]) -> dict[str, str]:
    """Things by their names: name → id."""
    return {name: id_ for id_, name in entries.items()}


def _words(text: str) -> Fact:
    """Words of ours, or of a format file, in the reader's language where they are known in it."""
    return partial(translated, text)


def _listed(values: Mapping[str, str]) -> str:
    listed = ", ".join(values)
    return listed if len(listed) <= 2 * SHOWN_CHARACTERS else f"{listed[: 2 * SHOWN_CHARACTERS].rpartition(', ')[0]}, …"


def _choices(options: Options) -> Mapped:
    """The mapping of codes and names; a code in any case comes before a name."""
    codes = {*map(compared, options.values)}
    names = {**_names(options.values), **options.other_names}
    others = {name: code for name, code in names.items() if compared(name) not in codes}
    return _coded(options.values, others, options.synonyms)


_CHOICE = Kind(
    keys=("values",),
    compared_in_lower_case=False,
    mapped=_choices,
    checks=lambda options: (
        Check(
            sentence="invalid.choice",
            broken=Unmapped(),
            facts={"expected": _words(options.expected) if options.expected else _listed(options.values)},
            better=(Better(sentence="invalid.choice.suggestion", meant=NearCode()),),
        ),
    ),
    sentences={
        "invalid.choice": "{column} '{value}' is not allowed; use {expected}",
        "invalid.choice.suggestion": "{column} '{value}' is not allowed; did you mean '{suggestion}'? Use {expected}",
    },
    rule=lambda options: options.expected or ", ".join(options.values),
    meaning=lambda options: options.expected or f"one of {', '.join(options.values)}",
)


_LOOKUP = Kind(
    keys=("lookup",),
    compared_in_lower_case=False,
    mapped=lambda options: (
        _coded(options.entries, _names(options.entries), options.synonyms) if options.entries else AsWritten()
    ),
    checks=lambda options: (
        Check(
            sentence="unknown",
            broken=Unmapped(),
            facts={"noun": _words(options.noun)},
            better=(Better(sentence="unknown.suggestion", meant=NearCode()),),
        ),
    ),
    sentences={
        "unknown": "{column} '{value}' is not a known {noun}",
        "unknown.suggestion": "{column} '{value}' is not a known {noun}; did you mean '{suggestion}'?",
    },
    rule=lambda options: f"a known {options.noun}",
    meaning=lambda options: f"the id of a {options.noun}",
)


def _pattern(pattern: str, language: str) -> str:
    sentence: str = translated(A_PATTERN, language)
    return sentence.format(pattern=pattern)


A_PATTERN = "the pattern {pattern}"
_PATTERN = Kind(
    keys=("pattern",),
    compared_in_lower_case=False,
    mapped=lambda _: AsWritten(),
    checks=lambda options: (
        Check(
            sentence="invalid.pattern",
            broken=Unlike(pattern=whole(options.pattern)),
            facts={"expected": _words(options.expected) if options.expected else partial(_pattern, options.pattern)},
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

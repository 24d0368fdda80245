"""Polars expressions for what is stored of cells and which are wrong: one for each mapping and fault of a kind."""

import datetime as dt
from collections.abc import Mapping
from typing import assert_never

import polars as pl

from importer.formats.dates import date_pattern
from importer.formats.kinds import (
    AsWritten,
    Before,
    Broken,
    Coded,
    Dates,
    InFuture,
    Like,
    Mapped,
    Number,
    Unlike,
    Unmapped,
    whole,
)

_ISO = "%Y-%m-%d"


def mapped_value(way: Mapped, text: pl.Expr) -> pl.Expr:
    """The text as it is stored; null where the mapping has nothing for it."""
    match way:
        case AsWritten():
            return text
        case Number():
            return _none_unless(text, way.pattern).str.strip_prefix("+")
        case Coded():
            return replaced(text.str.to_lowercase() if way.any_case else text, way.codes)
        case Dates():
            return pl.coalesce(_parsed(text, form) for form in way.formats)
        case _:
            assert_never(way)


def stored_as_written(way: Mapped) -> list[str]:
    """The cells of `Coded` that are stored as they are written; of other mappings none is known beforehand."""
    if not isinstance(way, Coded):
        return []
    found = dict.fromkeys(way.codes.values())
    return [code for code in found if way.codes.get(code.lower() if way.any_case else code) == code]


def is_broken(way: Broken, text: pl.Expr, mapped: pl.Expr, today: dt.date) -> pl.Expr:
    """Whether a cell is wrong; null or false where it is empty.

    Args:
        way: the way in which the cell may be wrong.
        text: the text of the cell; null where it is empty.
        mapped: `mapped_value` of the text.
        today: the date with which dates are compared.
    """
    match way:
        case Unmapped():
            return text.is_not_null() & mapped.is_null()
        case Unlike():
            return ~text.str.contains(way.pattern)
        case Like():
            return text.str.contains(way.pattern) & text.str.contains(way.and_pattern)
        case InFuture():
            return mapped > today.isoformat()
        case Before():
            return mapped < way.day.isoformat()
        case _:
            assert_never(way)


def replaced(text: pl.Expr, mapping: Mapping[str, str]) -> pl.Expr:
    """The value that a mapping has for the text; null where it has none."""
    if not mapping:
        return pl.lit(None, pl.String)
    return text.replace_strict([*mapping], [*mapping.values()], default=None, return_dtype=pl.String)


def _none_unless(text: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(text.str.contains(pattern)).then(text)


def _parsed(text: pl.Expr, form: str) -> pl.Expr:
    """The date as ISO text; null where the text has another form or there is no such day."""
    # Without its cache polars parses most columns of dates faster, measured.
    matching = _none_unless(text, whole(date_pattern(form)))
    day = matching.str.to_date(form.replace("%-", "%"), strict=False, cache=False)
    return pl.when(day.is_not_null()).then(text) if form == _ISO else day.dt.strftime(_ISO)

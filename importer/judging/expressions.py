"""Polars expressions for what is stored of cells, which are wrong, and what was meant: one for each way of a kind."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import assert_never

import polars as pl

from importer.formats.addresses import ADDRESS_WITHIN, EMAIL, EMAIL_LIMITS
from importer.formats.dates import DAY_NUMBER, MIDNIGHT, MONTH_NUMBERS, around_month, date_pattern, plain_forms
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

_ISO = "%Y-%m-%d"
_MONTH = r"(\p{L}{3,10})\.?"
_LAST_DAY_OF_TWO_DIGITS = dt.date(2068, 12, 31)
"""POSIX: as a year of two digits 68 is 2068, and 69 is 1969."""
_FIRST_DAY_OF_SPREADSHEETS = dt.date(1899, 12, 30)


def attempts(way: Mapped, text: pl.Expr, today: dt.date) -> Iterator[pl.Expr]:
    """Yield what is stored of the text, by one attempt after the other; null where an attempt has nothing for it.

    The first one is made for all cells, each other one for those alone for which those before it have nothing: in most
    files there are none, or few.

    Args:
        way: the mapping.
        text: the text of the cell; null where it is empty.
        today: the date by which the century of a year is told.
    """
    match way:
        case AsWritten():
            yield text
        case Number():
            yield _none_unless(text, way.pattern).str.strip_prefix("+")
        case Coded():
            stored_as_written = [code for code, stored in way.codes.items() if code == stored]
            yield pl.when(text.is_in(stored_as_written)).then(text)
            yield replaced(text, way.codes)
            yield replaced(_compared(text), way.alike)
        case Dates():
            latest = today if way.past else _LAST_DAY_OF_TWO_DIGITS
            yield pl.coalesce(_parsed(text, form, latest) for form in way.formats)
            plain = text.str.replace(MIDNIGHT, "")
            yield pl.coalesce(_parsed_anyhow(plain, form, latest) for form in (*way.formats, *plain_forms(way.formats)))
        case _:
            assert_never(way)


def is_broken(way: Broken, text: pl.Expr, mapped: pl.Expr, today: dt.date) -> pl.Expr:
    """Whether a cell is wrong; null or false where it is empty.

    Args:
        way: the way in which the cell may be wrong.
        text: the text of the cell; null where it is empty.
        mapped: what is stored of the text.
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


def meant(way: Meant, text: pl.Expr, near: Mapping[str, str]) -> pl.Expr:
    """What was meant by the text of a cell that is wrong; null where that is not known.

    Args:
        way: the way in which it is found.
        text: the text of the cell.
        near: text → code, for `NearCode`.
    """
    match way:
        case NearCode():
            return replaced(text, near)
        case AddressWithin():
            found = pl.coalesce(text.str.extract(pattern, 1) for pattern in ADDRESS_WITHIN)
            return pl.when(found.str.contains(EMAIL) & ~found.str.contains(EMAIL_LIMITS)).then(found)
        case DayNumbered():
            number = _none_unless(text, DAY_NUMBER).str.slice(0, 5).cast(pl.Int32)
            return (pl.lit(_FIRST_DAY_OF_SPREADSHEETS) + pl.duration(days=number)).dt.strftime(way.form)
        case Itself():
            found = _none_unless(text, way.pattern)
            return pl.when(~text.str.contains(way.unless)).then(found) if way.unless else found
        case _:
            assert_never(way)


def replaced(text: pl.Expr, mapping: Mapping[str, str]) -> pl.Expr:
    """The value that a mapping has for the text; null where it has none."""
    if not mapping:
        return pl.lit(None, pl.String)
    return text.replace_strict([*mapping], [*mapping.values()], default=None, return_dtype=pl.String)


def _compared(text: pl.Expr) -> pl.Expr:
    """`comparing.compared` as an expression."""
    return text.str.normalize("NFC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def _none_unless(text: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(text.str.contains(pattern)).then(text)


def _parsed(text: pl.Expr, form: str, latest: dt.date) -> pl.Expr:
    """The date as ISO text; null where the text has another form or there is no such day.

    Args:
        text: the text of a date.
        form: the strftime format.
        latest: the last day on which a year of two digits may be.
    """
    # Without its cache polars parses most columns of dates faster, measured.
    matching = _none_unless(text, whole(date_pattern(form)))
    day = matching.str.to_date(form.replace("%-", "%"), strict=False, cache=False)
    is_a_day = day >= dt.date.min  # not in the year 0000
    if form == _ISO:
        return pl.when(is_a_day).then(text)
    if "%y" in form:
        day = pl.when(day > latest).then(day.dt.offset_by("-100y")).otherwise(day)
    return pl.when(is_a_day).then(day.dt.strftime(_ISO))


def _parsed_anyhow(text: pl.Expr, form: str, latest: dt.date) -> pl.Expr:
    """`_parsed`, with the name of the month in any language that is known, whole or shortened."""
    around = around_month(form)
    if around is None:
        return _parsed(text, form, latest)
    before, behind = around
    parts = rf"\A({date_pattern(before)}){_MONTH}({date_pattern(behind)})\z"
    month = replaced(text.str.extract(parts, 2).str.to_lowercase(), MONTH_NUMBERS)
    numbered = pl.concat_str(text.str.extract(parts, 1), month, text.str.extract(parts, 3))
    return _parsed(numbered, f"{before}%m{behind}", latest)

"""Cells that a spreadsheet would calculate or rewrite travel in our reports behind an apostrophe.

`guarded` and `unguarded` undo each other exactly: a cell that begins with an apostrophe is guarded too. The rule:
after blanks a cell begins with `= + - @` TAB CR or their full-width forms, or with an apostrophe; or it is a number
with leading zeros, of 12 digits or more, in thousands, with a fraction or an exponent, or a date or a time.
"""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from importer.format import normalised
from importer.grammar import WHITE_SPACE

GUARD: Final = "'"

_BLANKS: Final = f"[{WHITE_SPACE}]*"
_NUMBER: Final = (
    r"0[0-9]+[.,]?|[0-9]{12,}|[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*[.,][0-9]+|[0-9]+(?:[.,][0-9]*)?[Ee][+-]?[0-9]+"
)
_TIME: Final = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?Z?(?: ?[AaPp]\.?[Mm]\.?)?"
_MONTH: Final = (
    r"(?i:jan|feb|fév|fev|mar|apr|avr|may|mai|jun|juin|jul|juil|aug|aoû|aou|sep|oct|nov|dec|déc)(?i:[a-zéû]*)\.?"
)
_DATE: Final = (
    rf"[0-9]{{1,4}}[-/.][0-9]{{1,2}}(?:[-/.][0-9]{{1,4}})?(?:[T ]+{_TIME})?"
    rf"|[0-9]{{1,4}}[ ./-]*{_MONTH}(?:[ ,./-]*[0-9]{{1,4}})?"
    rf"|{_MONTH}[ ,./-]*[0-9]{{1,4}}(?:[ ,./-]+[0-9]{{1,4}})?"
)
_PATTERN: Final = rf"^{_BLANKS}(?:['=+@\t\r＝＋－＠-]|(?:{_NUMBER}|{_DATE}|{_TIME}){_BLANKS}$)"  # noqa: RUF001 - full-width forms are meant
_COMPILED: Final = re.compile(_PATTERN)


def is_report(header: Sequence[str]) -> bool:
    """Whether a file with these columns is one of our reports, whose cells are guarded."""
    return normalised("import_error") in map(normalised, header)


def guarded(cell: pl.Expr) -> pl.Expr:
    """The cells as a report holds them; nulls stay."""
    return pl.when(~cell.str.contains(_PATTERN)).then(cell).otherwise(pl.concat_str(pl.lit(GUARD), cell))


def unguarded(cell: pl.Expr) -> pl.Expr:
    """The cells of a report as they were before they were guarded."""
    rest = cell.str.slice(1)
    return pl.when(cell.str.starts_with(GUARD) & rest.str.contains(_PATTERN)).then(rest).otherwise(cell)


def guarded_text(cell: str) -> str:
    """The same for one cell."""
    return GUARD + cell if _COMPILED.search(cell) else cell


def unguarded_text(cell: str) -> str:
    """The same for one cell."""
    return cell[1:] if cell.startswith(GUARD) and _COMPILED.search(cell[1:]) else cell

"""Cells that a spreadsheet would calculate or rewrite travel in our reports behind an apostrophe.

`guarded` and `unguarded` undo each other exactly: a cell that begins with an apostrophe is guarded too. The rule:
after blanks a cell begins with `= + - @` TAB CR or their full-width forms, or with an apostrophe; or it is a number
with leading zeros, of 12 digits or more, in thousands, with a fraction or an exponent, or a date or a time.

Readers that split at another separator than the report's, as Excel does by the machine's region, find cells where ours
have none: behind each `,` `;` TAB and line break within a cell. What begins there as a formula would is guarded, too.
"""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from importer.formats.columns import normalised
from importer.reading.grammar import WHITE_SPACE

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

# A reader that comes upon a quotation mark at the beginning of a cell takes it off.
_INNER_BLANKS: Final = "".join(blank for blank in WHITE_SPACE if blank not in "\t\r\n")
_UNSEEN: Final = f'[{_INNER_BLANKS}"]*'
_INNER: Final = rf"([,;\t\r\n])({_UNSEEN}[=+@＝＋－＠-]|')"  # noqa: RUF001 - full-width forms are meant
_INNER_GUARDED: Final = rf"([,;\t\r\n])'({_UNSEEN}[=+@＝＋－＠-]|')"  # noqa: RUF001 - likewise
_INNER_COMPILED: Final = re.compile(_INNER)
_INNER_GUARDED_COMPILED: Final = re.compile(_INNER_GUARDED)


def is_report(header: Sequence[str]) -> bool:
    """Whether a file with these columns is one of our reports, whose cells are guarded."""
    return normalised("import_error") in map(normalised, header)


def guarded(cell: pl.Expr) -> pl.Expr:
    """The cells as a report holds them; nulls stay."""
    inside = cell.str.replace_all(_INNER, f"${{1}}{GUARD}${{2}}")
    return pl.when(~cell.str.contains(_PATTERN)).then(inside).otherwise(pl.concat_str(pl.lit(GUARD), inside))


def unguarded(cell: pl.Expr) -> pl.Expr:
    """The cells of a report as they were before they were guarded."""
    inside = cell.str.replace_all(_INNER_GUARDED, "${1}${2}")
    rest = inside.str.slice(1)
    return pl.when(inside.str.starts_with(GUARD) & rest.str.contains(_PATTERN)).then(rest).otherwise(inside)


def guarded_text(cell: str) -> str:
    """One cell as a report holds it."""
    inside = _INNER_COMPILED.sub(rf"\1{GUARD}\2", cell)
    return GUARD + inside if _COMPILED.search(cell) else inside


def unguarded_text(cell: str) -> str:
    """One cell of a report as it was before it was guarded."""
    inside = _INNER_GUARDED_COMPILED.sub(r"\1\2", cell)
    return inside[1:] if inside.startswith(GUARD) and _COMPILED.search(inside[1:]) else inside

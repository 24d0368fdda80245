"""Cells that a spreadsheet would calculate or rewrite travel in our reports behind an apostrophe.

`guarded` and `unguarded` undo each other exactly: a cell that begins with an apostrophe is guarded too. The rule:
after blanks a cell begins with `= + - @` TAB CR or their full-width forms, or with an apostrophe; or it is a number
with leading zeros, of 12 digits or more, in groups, with a fraction, an exponent, a sign of money or of percent, or in
brackets; a date or a time; or a word for true or false. What counts is what English, French and German spreadsheets
take as these: they save another text than they opened.

Readers that split at another separator than the report's, as Excel does by the machine's region, find cells where ours
have none: behind each `,` `;` TAB and line break within a cell. What begins there as a formula would is guarded, too.
"""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from importer.formats.names import normalised
from importer.reading.grammar import WHITE_SPACE

GUARD: Final = "'"

_BLANKS: Final = f"[{WHITE_SPACE}]*"
_BLANK: Final = r"[ \u00a0\u2007\u2009\u202f]"
_MONEY: Final = "(?:[$¢£¤¥₩₪₫€₱₴₹₺₽₿]|(?i:cad|chf|eur|gbp|usd|fr|kr|dm))"
_PLAIN: Final = r"[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+"
_GROUPED: Final = rf"[0-9]+(?:(?:{_BLANK}|[.,'\u2019])[0-9]{{3}})+(?:[.,][0-9]*)?"
_ANY_NUMBER: Final = rf"(?:{_GROUPED}|{_PLAIN})"
_SIGN: Final = rf"(?:{_MONEY}|[%+-])"
_NUMBER: Final = (
    rf"0[0-9]+|[0-9]{{12,}}|{_GROUPED}|[0-9]+[.,][0-9]*|[.,][0-9]+"
    rf"|(?:{_PLAIN}){_BLANK}*[Ee]{_BLANK}*[+-]?[0-9]+[.,+-]?|[0-9]+{_BLANK}+[0-9]+/[0-9]+"
    rf"|(?:{_SIGN}{_BLANK}*)+{_ANY_NUMBER}(?:{_BLANK}*{_SIGN})*|{_ANY_NUMBER}(?:{_BLANK}*{_SIGN})+"
    rf"|\({_BLANK}*(?:{_SIGN}{_BLANK}*)?{_ANY_NUMBER}{_BLANK}*(?:{_SIGN}{_BLANK}*)?\)"
)
_HALF: Final = r"[AaPp]\.?(?:[Mm]\.?)?"
_TIME: Final = (
    rf"[0-9]+{_BLANK}*[+-]?:[0-9]*(?::[0-9]{{0,2}}(?:[.,][0-9]*)?)?Z?(?:{_BLANK}?{_HALF})?"
    rf"|[0-9.,]{{1,5}}(?:{_BLANK}+-?{_HALF}|[AaPp][Mm])"
)
_BETWEEN: Final = rf"(?:{_BLANK}|[,./-])*"
_WEEKDAY: Final = r"(?i:mon|tue|wed|thu|fri|sat|sun|lun|mar|mer|jeu|ven|sam|dim|die|mit|don|fre|son)(?i:[a-z]*)\.?,? +"
_MONTH: Final = (
    r"(?i:jan|jän|feb|fév|fev|mar|mär|mrz|apr|avr|may|mai|jun|juin|jul|juil|aug|aoû|aou|sep|oct|okt|nov|dec|déc|dez)"
    r"(?i:[a-zéûä]*)\.?"
)
_DATE: Final = (
    rf"[0-9]{{1,4}}[-/.][0-9]{{1,2}}(?:[-/.][0-9]{{0,4}})?(?:[T ]+(?:{_TIME}))?"
    rf"|(?:{_WEEKDAY})?[0-9]{{1,4}}{_BETWEEN}{_MONTH}(?:{_BETWEEN}[0-9]{{1,4}})?"
    rf"|(?:{_WEEKDAY})?{_MONTH}{_BETWEEN}[0-9]{{1,4}}(?:{_BETWEEN}[0-9]{{1,4}})?\.?"
)
_TRUTH: Final = r"(?i:true|false|vrai|faux|wahr|falsch)"
_PATTERN: Final = rf"^{_BLANKS}(?:['=+@\t\r＝＋－＠-]|(?:{_NUMBER}|{_DATE}|{_TIME}|{_TRUTH}){_BLANKS}$)"  # noqa: RUF001 - full-width forms are meant
_COMPILED: Final = re.compile(_PATTERN)

# A reader that comes upon a quotation mark at the beginning of a cell takes it off.
_INNER_BLANKS: Final = "".join(blank for blank in WHITE_SPACE if blank not in "\t\r\n")
_UNSEEN: Final = f'[{_INNER_BLANKS}"]*'
_INNER: Final = rf"([,;\t\r\n])({_UNSEEN}[=+@＝＋－＠-]|')"  # noqa: RUF001 - full-width forms are meant
_INNER_GUARDED: Final = rf"([,;\t\r\n])'({_UNSEEN}[=+@＝＋－＠-]|')"  # noqa: RUF001 - likewise
_INNER_FORMULA: Final = rf"([,;\t\r\n])({_UNSEEN}[=+@＝＋－＠-])"  # noqa: RUF001 - likewise
_INNER_COMPILED: Final = re.compile(_INNER)
_INNER_GUARDED_COMPILED: Final = re.compile(_INNER_GUARDED)


def is_report(header: Sequence[str]) -> bool:
    """Whether a file with these columns is one of our reports, whose cells are guarded."""
    return normalised("import_error") in map(normalised, header)


def guarded(cell: pl.Expr) -> pl.Expr:
    """The cells as a report holds them; nulls stay."""
    inside = cell.str.replace_all(_INNER, f"${{1}}{GUARD}${{2}}")
    return pl.when(~cell.str.contains(_PATTERN)).then(inside).otherwise(pl.concat_str(pl.lit(GUARD), inside))


def guarded_words(cell: pl.Expr) -> pl.Expr:
    """Cells with words of ours, which nobody reads back: only what would be a formula is guarded; nulls stay."""
    inside = cell.str.replace_all(_INNER_FORMULA, f"${{1}}{GUARD}${{2}}")
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

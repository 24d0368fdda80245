"""Debris: what spreadsheets and databases leave in cells, and nobody types.

An entry says how one form of it is known, and what becomes of a cell that has it. In the key each form fails the row,
as a wrong key is a wrong person; but for the apostrophe, which only guards. Patterns are Rust's regular expressions.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from importer.formats.columns import Column, Format
from importer.formats.ways import whole
from importer.reading.oddities import Odd


class Taken(Enum):
    """What becomes of a cell with debris.

    Attributes:
        FAILS: its row fails.
        EMPTY: it is an empty cell, which is remarked.
        CHANGED: it is what its entry keeps of it, which is remarked.
        KEPT: it is what it says, which is remarked.
    """

    FAILS = auto()
    EMPTY = auto()
    CHANGED = auto()
    KEPT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Debris:
    """A form of debris.

    Attributes:
        name: a key of `reasons.DAMAGES`; where it is remarked, of `reasons.WARNING_SENTENCES` as well.
        pattern: what a trimmed cell with it matches.
        odd: what a block that has it is known by.
        taken: what becomes of it in columns other than the key.
        kept: the pattern whose first group is what is kept of the cell; of debris that is CHANGED.
    """

    name: str
    pattern: str
    odd: Odd
    taken: Taken
    kept: str = ""


NULL: Final = "NULL"
"""A database's word for an empty cell, which a person whose name is written in capitals may be called as well."""

_MARKS: Final = "['‘’‚‛“”„‟«»‹›`´＇]"  # noqa: RUF001 - quotation marks of any form are meant
QUOTED: Final = whole(f"(?s){_MARKS}.*{_MARKS}")
"""A cell between quotation marks that are no CSV quotes."""

_HIGH: Final = bytes(byte for byte in range(0x80, 0xA0) if byte not in b"\x81\x8d\x8f\x90\x9d").decode("cp1252")
"""What the bytes 80 to 9F are in Windows-1252."""

_MISREAD: Final = rf"Ã[\x{{80}}-\x{{bf}}{_HIGH}]|Â[\x{{a0}}-\x{{bf}}]|â€[\x{{80}}-\x{{bf}}{_HIGH}]|ï¿½"
_PLACEHOLDERS: Final = r"-{1,3}|\?{1,3}|\.|(?i:n/a|n/d|n\.a\.?|none|nil)|null|NaN|(?i:\[null\]|<null>|<na>)"

_CHANGED: Final = (
    Debris(
        name="formula_text",
        pattern=whole(r'(?s)=".*"'),
        odd=Odd.BEGINNING,
        taken=Taken.CHANGED,
        kept=r'(?s)\A="(.*)"\z',
    ),
    Debris(
        name="apostrophe",
        pattern=whole(r"(?s)'[+-]?[0-9](?:.*[^'])?"),
        odd=Odd.BEGINNING,
        taken=Taken.CHANGED,
        kept=r"(?s)\A'(.*)\z",
    ),
)
_OTHERS: Final = (
    Debris(
        name="error_value",
        pattern=whole(r"#[¡¿]?\p{Lu}[\p{Lu}_/0-9 ]*[!?]|(?i:#n/a(?: n/a)?|#n/d)|#(?:NV|GETTING_DATA)|Err:[0-9]{3}"),
        odd=Odd.BEGINNING,
        taken=Taken.FAILS,
    ),
    Debris(name="hashes", pattern=whole("#{3,}"), odd=Odd.BEGINNING, taken=Taken.FAILS),
    Debris(
        name="exponent",
        pattern=whole(
            r"[+-]?[0-9]+(?:[.,][0-9]+)?(?:[Ee]\+|E-)[0-9]{1,3}|[+-]?[0-9]{1,3}[.,][0-9]{1,17}E[0-9]{1,3}",
        ),
        odd=Odd.NUMBER,
        taken=Taken.FAILS,
    ),
    Debris(
        name="null_word",
        pattern=whole(rf"{NULL}|nan|\\N|(?i:\(null\))"),
        odd=Odd.BEGINNING | Odd.ESCAPED,
        taken=Taken.EMPTY,
    ),
    Debris(name="placeholder", pattern=whole(_PLACEHOLDERS), odd=Odd.BEGINNING, taken=Taken.KEPT),
    Debris(name="point_zero", pattern=whole(r"[0-9]{3,}\.0"), odd=Odd.NUMBER, taken=Taken.KEPT),
    Debris(name="carriage_return", pattern=r"_x[0-9A-Fa-f]{4}_", odd=Odd.ESCAPED, taken=Taken.KEPT),
    Debris(name="clear_entity", pattern=r"(?i)\A&lt;\s*clear\s*&gt;\z", odd=Odd.ESCAPED, taken=Taken.KEPT),
    Debris(
        name="entity",
        pattern=r"&(?:#[0-9]{2,7}|#[xX][0-9A-Fa-f]{2,6}|[A-Za-z][A-Za-z0-9]{1,30});",
        odd=Odd.ESCAPED,
        taken=Taken.KEPT,
    ),
    Debris(name="misread", pattern=_MISREAD, odd=Odd.MISREAD, taken=Taken.KEPT),
    Debris(name="replaced", pattern="\N{REPLACEMENT CHARACTER}", odd=Odd.UNUSUAL, taken=Taken.KEPT),
    Debris(name="escape", pattern=r"""\\['"0tnr]""", odd=Odd.ESCAPED, taken=Taken.KEPT),
)
_POINT_ZERO_IN_KEY: Final = whole(r"[0-9]+\.0")


def debris_of(column: Column, format_: Format) -> tuple[Debris, ...]:
    """The debris that is looked for in a column, in the order in which it is: a cell has the first that it matches."""
    is_key = column.name == format_.key
    sought = [each for each in (*_CHANGED, *_OTHERS) if is_key or _is_sought(each, column)]
    match column.debris:
        case "keep":
            return ()
        case "fail":
            return tuple(replace(each, taken=Taken.FAILS) for each in sought)
        case "remark":
            return tuple(replace(each, taken=Taken.KEPT) for each in sought)
    return tuple(map(_in_key, sought)) if is_key else tuple(sought)


def holds_names(column: Column, format_: Format) -> bool:
    """Whether the values of a column may be names of persons: text that many may share."""
    return column.kind == "text" and not column.unique and column.name != format_.key


def _is_sought(debris: Debris, column: Column) -> bool:
    r"""Whether debris is nothing else in a column: a\tom is a login, 12.0 a number where there are such."""
    if debris.name == "escape":
        return not column.unique
    return debris.name != "point_zero" or column.kind != "decimal"


def _in_key(debris: Debris) -> Debris:
    """Debris as it is in the key."""
    if debris.name == "apostrophe":
        return debris
    pattern = _POINT_ZERO_IN_KEY if debris.name == "point_zero" else debris.pattern
    return replace(debris, pattern=pattern, taken=Taken.FAILS)

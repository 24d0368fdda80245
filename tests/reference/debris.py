"""What programs leave in cells and nobody types, and what nobody sees, cell by cell."""

import re
import unicodedata
from dataclasses import dataclass

from importer.formats.columns import Column, Format
from tests.reference.text import trimmed

JOINERS = {
    *map(chr, (0x200C, 0x200D, 0x34F, 0x180B, 0x180C, 0x180D, 0x180F)),
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xE0100, 0xE01F0)),
}
HIDDEN = {
    *map(chr, (0xAD, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x200B, 0x200E, 0x200F, 0x3164, 0xFEFF, 0xFFA0)),
    *map(chr, (*range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFFF0, 0xFFFC))),
    *map(chr, (*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B))),
    *(chr(code) for code in range(0xE0000, 0xE1000) if chr(code) not in JOINERS),
}
QUOTES = "'`“”„‟«»" + "".join(map(chr, (0x2018, 0x2019, 0x201A, 0x201B, 0x2039, 0x203A, 0xB4, 0xFF07)))
PLACEHOLDERS = {"-", "--", "---", "?", "??", "???", ".", "null", "NaN"}
PLACEHOLDERS_IN_ANY_CASE = {"n/a", "n/d", "n.a", "n.a.", "none", "nil", "[null]", "<null>", "<na>"}
ERRORS = {"#NV", "#GETTING_DATA"}
ERRORS_IN_ANY_CASE = {"#n/a", "#n/a n/a", "#n/d"}
HIGH = bytes(byte for byte in range(0x80, 0xA0) if byte not in b"\x81\x8d\x8f\x90\x9d").decode("cp1252")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A cell as it is taken: its text, what is remarked of it, and whether its row fails."""

    text: str
    remarks: tuple[str, ...] = ()
    fails: bool = False


def is_of_names(column: Column, format_: Format) -> bool:
    """Whether the joiners stay, and NULL may be a name."""
    return column.kind == "text" and not column.unique and column.name != format_.key


def seen(cell: str, column: Column, format_: Format) -> Seen:
    """What is taken of a cell without control characters."""
    composed = unicodedata.normalize("NFC", trimmed(cell))
    text = _visible(composed, joiners_stay=is_of_names(column, format_))
    hidden = ("invisible",) if text != composed else ()
    taken = _taken(text, column, format_)
    return Seen(text=taken.text, remarks=(*hidden, *taken.remarks), fails=taken.fails)


def _taken(text: str, column: Column, format_: Format) -> Seen:
    if re.fullmatch(r"(?i)<\s*clear\s*>", text):
        return Seen(text="<clear>")
    if column.debris == "keep":
        return Seen(text=text)
    is_key = column.name == format_.key
    mended, changes = _mended(text)
    if not column.debris and is_key and "formula_text" in changes:
        return Seen(text=text, fails=True)
    if column.debris and changes:
        return Seen(text=text, remarks=("odd_values",) * (column.debris == "remark"), fails=column.debris == "fail")
    other = _other(mended, column, is_key=is_key)
    return Seen(text=mended, remarks=changes) if other is None else _with(other, mended, changes, column, format_)


def _with(debris: str, text: str, changes: tuple[str, ...], column: Column, format_: Format) -> Seen:
    if column.debris == "remark":
        return Seen(text=text, remarks=("odd_values",))
    if column.name == format_.key or column.debris == "fail" or debris in {"error_value", "hashes", "exponent"}:
        return Seen(text=text, fails=True)
    if debris == "null_word":
        is_name = text == "NULL" and is_of_names(column, format_)
        return Seen(text="", remarks=(*changes, "null_name" if is_name else debris))
    return Seen(text=text, remarks=(*changes, debris))


def is_quoted(cell: str) -> bool:
    """Whether a cell is between quotation marks that are none to a CSV."""
    return len(cell) > 1 and cell[0] in QUOTES and cell[-1] in QUOTES


def _visible(text: str, *, joiners_stay: bool) -> str:
    characters = [each for each in text if each not in HIDDEN and (joiners_stay or each not in JOINERS)]
    while characters and (characters[0] in JOINERS or not trimmed(characters[0])):
        characters.pop(0)
    while characters and (characters[-1] in JOINERS or not trimmed(characters[-1])):
        characters.pop()
    return "".join(characters)


def _mended(text: str) -> tuple[str, tuple[str, ...]]:
    """What is left of a text in the form of a formula, and behind an apostrophe before a number; and what it had."""
    changes = []
    if len(text) > 2 and text.startswith('="') and text.endswith('"'):
        text = trimmed(text[2:-1].replace('""', '"'))
        changes.append("formula_text")
    if re.match("'[+-]?[0-9]", text) and not text.endswith("'"):
        text = trimmed(text[1:])
        changes.append("apostrophe")
    return text, (*changes,)


def _other(text: str, column: Column, *, is_key: bool) -> str | None:
    if _is_error(text):
        return "error_value"
    if len(text) > 2 and not text.strip("#"):
        return "hashes"
    if re.fullmatch(r"[+-]?[0-9]+([.,][0-9]+)?([Ee]\+|E-)[0-9]{1,3}|[+-]?[0-9]{1,3}[.,][0-9]{1,17}E[0-9]{1,3}", text):
        return "exponent"
    if text in {"NULL", "nan", "\\N"} or text.lower() == "(null)":
        return "null_word"
    if text in PLACEHOLDERS or text.lower() in PLACEHOLDERS_IN_ANY_CASE:
        return "placeholder"
    return _inner(text, column, is_key=is_key)


def _is_error(text: str) -> bool:
    if text in ERRORS or text.lower() in ERRORS_IN_ANY_CASE or re.fullmatch("Err:[0-9]{3}", text):
        return True
    inner = text[1:-1].removeprefix("¡").removeprefix("¿") if text.startswith("#") else ""
    return (
        text.endswith(("!", "?"))
        and inner[:1].isupper()
        and all(unicodedata.category(each) == "Lu" or each in "_/0123456789 " for each in inner)
    )


def _inner(text: str, column: Column, *, is_key: bool) -> str | None:
    if re.fullmatch(r"[0-9]+\.0" if is_key else r"[0-9]{3,}\.0", text) and (is_key or column.kind != "decimal"):
        return "point_zero"
    found = (name for name, pattern in INNER.items() if re.search(pattern, text))
    name = next(found, None)
    return None if name == "escape" and column.unique and not is_key else name


INNER = {
    "carriage_return": "_x[0-9A-Fa-f]{4}_",
    "clear_entity": r"(?i)\A&lt;\s*clear\s*&gt;\Z",
    "entity": "&(#[0-9]{2,7}|#[xX][0-9A-Fa-f]{2,6}|[A-Za-z][A-Za-z0-9]{1,30});",
    "misread": f"Ã[\x80-\xbf{HIGH}]|Â[\xa0-\xbf]|â€[\x80-\xbf{HIGH}]|ï¿½",
    "replaced": "\N{REPLACEMENT CHARACTER}",
    "escape": r"""\\['"0tnr]""",
}

"""Characters that nobody sees: which they are, what is left of a text without them, and how a sentence names them."""

from typing import Final

import polars as pl

JOINERS: Final = r"\x{200c}\x{200d}\x{34f}\x{180b}-\x{180d}\x{180f}\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}"
"""Characters that change how their neighbours are written, as a class of a regular expression: names may need them."""

INVISIBLE: Final = (
    r"\x{ad}\x{61c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180e}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}"
    r"\x{3164}\x{feff}\x{ffa0}\x{fff0}-\x{fffb}\x{1bca0}-\x{1bca3}\x{1d173}-\x{1d17a}\x{e0000}-\x{e00ff}"
    r"\x{e01f0}-\x{e0fff}"
)
"""The other characters that Unicode has ignored where they cannot be shown (Default_Ignorable_Code_Point)."""

_ANY: Final = f"[{INVISIBLE}{JOINERS}]"
_ALWAYS: Final = f"[{INVISIBLE}]"
_OUTER: Final = rf"\A[{JOINERS}\s]+|[{JOINERS}\s]+\z"
_BEYOND_ASCII: Final = r"[^\x00-\x7f]"

# What the bytes 80 to 9F mean in Windows-1252: who sees them as control characters has read the file as Latin-1.
_C1: Final = {chr(byte): bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0xA0)}
_C0: Final = (
    *("NULL", "START OF HEADING", "START OF TEXT", "END OF TEXT", "END OF TRANSMISSION", "ENQUIRY", "ACKNOWLEDGE"),
    *("BELL", "BACKSPACE", "TAB", "LINE FEED", "VERTICAL TAB", "FORM FEED", "CARRIAGE RETURN", "SHIFT OUT"),
    *("SHIFT IN", "DATA LINK ESCAPE", "DEVICE CONTROL 1", "DEVICE CONTROL 2", "DEVICE CONTROL 3", "DEVICE CONTROL 4"),
    *("NEGATIVE ACKNOWLEDGE", "SYNCHRONOUS IDLE", "END OF TRANSMISSION BLOCK", "CANCEL", "END OF MEDIUM"),
    *("SUBSTITUTE", "ESCAPE", "FILE SEPARATOR", "GROUP SEPARATOR", "RECORD SEPARATOR", "UNIT SEPARATOR"),
)
CONTROL_NAMES: Final = (
    {chr(code): f"U+{code:04X} {name}" for code, name in enumerate(_C0)}
    | {"\x7f": "U+007F DELETE"}
    | {
        control: f"U+{ord(control):04X}" + ("" if meant == "\N{REPLACEMENT CHARACTER}" else f" ({meant})")
        for control, meant in _C1.items()
    }
    | {"\x85": "U+0085 NEXT LINE (…)"}
)
"""Each control character as a sentence names it: its number, its name or, in brackets, what may have been meant."""


def may_be_invisible(texts: pl.Series) -> pl.Series:
    """Flags of the texts that hold an invisible character; nulls are none."""
    return texts.str.contains(_ANY).fill_null(value=False)


def beyond_ascii(texts: pl.Series) -> pl.Series:
    """Flags of the texts that hold more than ASCII; nulls are none."""
    return texts.str.contains(_BEYOND_ASCII).fill_null(value=False)


def composed(texts: pl.Series) -> pl.Series:
    """The texts in Unicode's form NFC, in which they are stored and compared."""
    return texts.str.normalize("NFC")


def visible(texts: pl.Series, *, joiners_stay: bool) -> pl.Series:
    """The texts without their invisible characters and outer white space.

    Args:
        texts: some texts.
        joiners_stay: whether joiners stay where they have neighbours, as names of persons need them.
    """
    if not joiners_stay:
        return texts.str.replace_all(_ANY, "").str.strip_chars()
    return texts.str.replace_all(_ALWAYS, "").str.replace_all(_OUTER, "")


def named(texts: pl.Series) -> pl.Series:
    """The texts with each invisible character as its number, like [U+200B], so that it can be seen where it is."""
    hidden = texts.str.extract_all(_ANY).explode().unique().drop_nulls().to_list()
    numbers = [f"[U+{ord(character):04X}]" for character in hidden]
    return texts.str.replace_many(hidden, numbers)

"""Whether cells of a block may hold what nobody types, told from its bytes.

To look into every cell costs more than to read it, and most files hold nothing of the kind. What each oddity is, says
`importer.judging.debris`; here a block is searched for what every instance of it has.
"""

import re
from collections.abc import Mapping
from enum import Flag, auto
from typing import Final

import numpy as np

from importer.reading.cell_ends import CellEnds
from importer.reading.controls import places
from importer.reading.splits import Split
from importer.reading.utf8 import Bytes, Flags, Ints

_CR: Final = 0x0D
_WORD: Final = np.array([byte >= 0x80 or chr(byte).isalnum() for byte in range(256)])
"""Flags of the bytes of letters and digits."""


class Odd(Flag):
    r"""What cells of a block may hold; what is not in it is certainly not there.

    Attributes:
        UNUSUAL: invisible characters, damaged ones, or text that is not in Unicode's form NFC.
        MISREAD: UTF-8 that was taken for another encoding, like “Ã©”.
        BEGINNING: a cell that is known by its first characters, like `#N/A`, `'00123` or NULL.
        NUMBER: a number with an exponent, or with .0 behind it.
        ESCAPED: an escape within a cell, like `&eacute;`, `\t` or `_x000D_`.
    """

    UNUSUAL = auto()
    MISREAD = auto()
    BEGINNING = auto()
    NUMBER = auto()
    ESCAPED = auto()


NOTHING_ODD: Final = Odd(0)
ANYTHING: Final = ~Odd(0)


def oddities(split: Split, ends: CellEnds) -> Odd:
    """What the cells of a block's good records may hold, none of which begins or ends with white space."""
    if split.odd:
        return ANYTHING
    block = split.lines.delimiters.block
    found = _beyond_ascii(block[: split.consumed], split.data) | _of_cells(block, ends)
    return found | Odd.ESCAPED if _has_escapes(split.data) else found


# Beyond ASCII: two bytes tell of most characters whether they are harmless, and most files have few kinds of them.

_PAIRS: Final = 64 * 64


def _pair(lead: int, second: int) -> int:
    return (lead & 0x3F) << 6 | (second & 0x3F)


def _unusual_pairs() -> Flags:
    """The first two bytes of characters of which some are odd: all but the harmless ones."""
    harmless = np.zeros(_PAIRS, np.bool_)
    whole_leads = [*range(0xC2, 0xCC), 0xCE, 0xCF, 0xD0, 0xD1, 0xD3, 0xD4, 0xD5, *range(0xD8, 0xDC), 0xE2, 0xE3]
    for lead in (*whole_leads, *range(0xE4, 0xEA), 0xEB, 0xEC, 0xED):
        harmless[_pair(lead, 0x80) : _pair(lead, 0xBF) + 1] = True
    harmless[_pair(0xE1, 0xB8) : _pair(0xE1, 0xBB) + 1] = True  # Latin with marks, as Vietnamese has them
    harmless[_pair(0xEA, 0xB0) : _pair(0xEA, 0xBF) + 1] = True  # Hangul
    odd = [(0xC2, 0xAD), (0xCE, 0x87), (0xED, 0x9E), (0xED, 0x9F)]
    odd += [(0xD8, second) for second in range(0x90, 0x9D)]
    odd += [(0xD9, second) for second in (*range(0x8B, 0xA0), 0xB0)]
    odd += [(0xDB, second) for second in range(0x96, 0xAE)]
    odd += [(0xE2, second) for second in (0x80, 0x81, 0x84, 0x8C, 0xAB, 0xB3, 0xB5, 0xB7, 0x83)]
    odd += [(0xE3, 0x80), (0xE3, 0x82), (0xE3, 0x85)]
    harmless[[_pair(*pair) for pair in odd]] = False
    return ~harmless


_UNUSUAL: Final = _unusual_pairs()
_HARMLESS_THIRDS: Final = np.zeros(256, np.bool_)
"""The third bytes of E2 80 xx that are harmless: dashes, quotation marks, dots, the narrow no-break space."""
_HARMLESS_THIRDS[[*range(0x82, 0x8B), *range(0x90, 0xAA), 0xAF, *range(0xB0, 0xC0)]] = True
_COMBINING_KANA: Final = (0x99, 0x9A)


def _beyond_ascii(block: Bytes, data: bytes) -> Odd:
    if not block.size or int(block.max()) < 0x80:
        return NOTHING_ODD
    at = np.concatenate((places(data, b"\xc2", block.size), np.flatnonzero(block >= 0xC4)))
    leads, seconds = block.take(at), block.take(at + 1, mode="clip")
    pairs = (leads & 0x3F).astype(np.int64) << 6 | (seconds & 0x3F)
    is_misread = _has_misread(block, data) or bool((pairs == _pair(0xC2, 0xBF)).any())
    found = Odd.MISREAD if is_misread else NOTHING_ODD
    unusual = np.flatnonzero(_UNUSUAL[pairs] | (leads >= 0xF0))
    thirds = block.take(at[unusual] + 2, mode="clip")
    punctuation = (pairs[unusual] == _pair(0xE2, 0x80)) & _HARMLESS_THIRDS[thirds]
    kana = (pairs[unusual] == _pair(0xE3, 0x82)) & ~np.isin(thirds, _COMBINING_KANA)
    return found if (punctuation | kana).all() else found | Odd.UNUSUAL


def _has_misread(block: Bytes, data: bytes) -> bool:
    """Whether there is what most of UTF-8 becomes in another encoding: Â, Ã or â€."""
    after = np.concatenate([places(data, second, block.size) for second in (b"\x82", b"\x83")])
    before = block.take(after - 1, mode="clip")
    return bool(((before == 0xC3) | (before == 0xE2)).any())


# Escapes: their first character is rare.

_ESCAPES: Final = re.compile(rb"&#?[A-Za-z0-9]{2,31};|_x[0-9A-Fa-f]{4}_")


def _has_escapes(data: bytes) -> bool:
    if b"\\" in data or (b"&" in data and _ESCAPES.search(data) is not None):
        return True
    underscores = places(data, b"_", len(data))
    block = np.frombuffer(data, np.uint8)
    return bool((block.take(underscores + 1, mode="clip") == ord("x")).any())


# Cells: how they begin and end. What is compared is a byte of each cell; a table would take ten times as long.

_Beginnings = Mapping[int, Ints]


def _beginnings(*texts: str) -> _Beginnings:
    """First byte → the next two bytes of the beginnings that have it, as numbers."""
    found: dict[int, list[int]] = {}
    for text in texts:
        first, second, third = text.encode()[:3]
        found.setdefault(first, []).append(second << 8 | third)
    return {first: np.array(others) for first, others in found.items()}


_NULL_WORDS: Final = (
    "(nu (NU [nu [NU [Nu <nu <NU <Nu <NA <na NUL NaN nan nul Non NON non nil NIL Nil N/A N/D n/a n/d N.A n.a Err"
)
_QUOTES: Final = "“ ” ‘ ’ ‚ ‛ „ ‟ ‹ ›"  # noqa: RUF001 - quotation marks of any form are meant
_WORDS: Final = _beginnings(*_NULL_WORDS.split(), *_QUOTES.split())
_ANYHOW: Final = b"'=\\`"
"""First bytes that are rare, so that the block is looked at whatever follows."""
_ANGLES: Final = (b"\xc2\xab"[1], b"\xc2\xbb"[1], b"\xc2\xb4"[1])
_FULL_WIDTH: Final = 0xEF


def _of_cells(block: Bytes, ends: CellEnds) -> Odd:
    at, firsts, lasts = ends
    if not at.size:
        return NOTHING_ODD
    before = np.array([-1])
    is_beginning = _is_odd_beginning(block, at, firsts) or _is_odd_beginning(block, before, block[:1])
    is_number = _has_point_zero(block, at, lasts) or _has_exponent(block, firsts)
    return (Odd.BEGINNING if is_beginning else NOTHING_ODD) | (Odd.NUMBER if is_number else NOTHING_ODD)


def _is_odd_beginning(block: Bytes, at: Ints, firsts: Bytes) -> bool:
    """Whether cells begin oddly, of whose first bytes is known before which offsets they lie."""
    if any(bool((firsts == byte).any()) for byte in (*_ANYHOW, _FULL_WIDTH)):
        return True
    return (
        any(_is_among(block, _where(at, firsts == first), others) for first, others in _WORDS.items())
        or _is_error(block.take(_where(at, firsts == ord("#")) + 2, mode="clip"))
        or _is_angle(block.take(_where(at, firsts == 0xC2) + 2, mode="clip"))
        or any(_is_alone(block.take(_where(at, firsts == mark) + 2, mode="clip")) for mark in b"-?.")
    )


def _is_among(block: Bytes, at: Ints, others: Ints) -> bool:
    """Whether the second and third bytes of cells that begin behind some places are among others."""
    seconds = block.take(at + 2, mode="clip")
    for second in np.unique(others >> 8).tolist():
        thirds = block.take(_where(at, seconds == second) + 3, mode="clip")
        if any(bool((thirds == other & 0xFF).any()) for other in others.tolist() if other >> 8 == second):
            return True
    return False


def _is_error(seconds: Bytes) -> bool:
    """Whether what follows # begins an error as #N/A or ### does; #12 is the number of a flat."""
    return bool(
        (((seconds >= ord("A")) & (seconds <= ord("Z"))) | (seconds == ord("#")) | (seconds >= 0x80)).any()
    ) or (bool((seconds == ord("n")).any()))


def _is_angle(seconds: Bytes) -> bool:
    return any(bool((seconds == second).any()) for second in _ANGLES)


def _is_alone(seconds: Bytes) -> bool:
    """Whether what follows a mark is no digit and no letter."""
    return bool(((seconds < ord("0")) | ((seconds > ord("9")) & (seconds < ord("A")))).any())


def _has_point_zero(block: Bytes, at: Ints, lasts: Bytes) -> bool:
    """Whether a cell ends like 12.0; before a CRLF a cell ends with the CR."""
    returns = _where(at, lasts == _CR) - 1
    ends = np.concatenate((_where(at, lasts == ord("0")), returns[block.take(returns - 1, mode="clip") == ord("0")]))
    return bool((block.take(ends - 2, mode="clip") == ord(".")).any())


def _has_exponent(block: Bytes, firsts: Bytes) -> bool:
    """Whether an exponent stands behind a digit, like E+11, or like E7 where there is a decimal mark before it."""
    plus = block == ord("+")
    # Most of them begin the number of a telephone.
    is_inside = np.count_nonzero(plus) > np.count_nonzero(firsts == ord("+")) + int(plus[0])
    if is_inside and _follows_digit(block, np.flatnonzero(plus) - 1, b"Ee"):
        return True
    at = np.flatnonzero(block == ord("E"))
    behind = block.take(at + 1, mode="clip")
    if _follows_digit(block, _where(at, behind == ord("-")), b"E"):
        return True
    at = _ended(block, _where(at, _is_digit(behind)))
    return bool(at.size) and _has_mark(block, at)


def _is_digit(some: Bytes) -> Flags:
    return (some >= ord("0")) & (some <= ord("9"))


def _ended(block: Bytes, at: Ints) -> Ints:
    """The offsets behind which one to three digits end a word."""
    is_word = [_WORD[block.take(at + distance, mode="clip")] for distance in (2, 3, 4)]
    is_digit = [_is_digit(block.take(at + distance, mode="clip")) for distance in (2, 3)]
    ends = ~is_word[0] | (is_digit[0] & ~is_word[1]) | (is_digit[0] & is_digit[1] & ~is_word[2])
    found: Ints = at[ends]
    return found


def _follows_digit(block: Bytes, at: Ints, some: bytes) -> bool:
    """Whether one of some bytes lies at an offset, and a digit before it."""
    marks, before = block.take(at, mode="clip"), block.take(at - 1, mode="clip")
    is_mark = np.isin(marks, np.frombuffer(some, np.uint8))
    return bool((is_mark & (before >= ord("0")) & (before <= ord("9"))).any())


def _where(at: Ints, flags: Flags) -> Ints:
    """The flagged offsets; mostly there are none, which is found out much faster than they are picked."""
    return at.take(np.flatnonzero(flags)) if bool(flags.any()) else at[:0]


def _has_mark(block: Bytes, at: Ints) -> bool:
    """Whether digits, and a decimal mark before these, lie before an offset."""
    for distance in range(1, 20):
        before = block.take(at - distance, mode="clip")
        if bool(((before == ord(".")) | (before == ord(","))).any()) and distance > 1:
            return True
        at = _where(at, _is_digit(before))
    return False

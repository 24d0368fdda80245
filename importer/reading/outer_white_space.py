"""Whether cells of a block may begin or end with white space, told from its bytes.

Trimming every cell costs more than reading it, and most files have nothing to trim.
"""

from typing import Final

import numpy as np

from importer.reading.grammar import WHITE_SPACE, Grammar, value
from importer.reading.records import Split
from importer.reading.utf8 import Bytes, Flags, Ints

_LF: Final = 0x0A
_CR: Final = 0x0D
_QUOTE: Final = 0x22


def _table(values: set[int]) -> Flags:
    table = np.zeros(256, np.bool_)
    table[[*values]] = True
    return table


_ENCODED: Final = [character.encode() for character in WHITE_SPACE]
_FIRST: Final = _table({encoded[0] for encoded in _ENCODED} - {_LF, _CR})
_LAST: Final = _table({encoded[-1] for encoded in _ENCODED} - {_LF, _CR})
_LEADS_OF_TWO: Final = _table({encoded[0] for encoded in _ENCODED if len(encoded) == 2})
_LEADS_OF_THREE: Final = _table({encoded[0] for encoded in _ENCODED if len(encoded) == 3})


def may_need_trimming(split: Split, grammar: Grammar) -> bool:
    """False is certain: no cell of a good record begins or ends with white space (Unicode White_Space)."""
    delimiters = split.lines.delimiters
    at = delimiters.at[: int(np.searchsorted(delimiters.at, split.consumed))]
    if not at.size:
        return False
    return (
        bool(_FIRST[delimiters.block[0]])
        or _begins_a_cell(split, _before_white_space(delimiters.block[: split.consumed], at))
        or _ends_a_cell(split, _behind_white_space(split, at))
        or _has_break_at_quote(split, delimiters.block)
        or any(_has_outer_white_space(cell) for odd in split.odd for cell in grammar.cells(odd.text))
    )


def _before_white_space(block: Bytes, at: Ints) -> Ints:
    """The offsets of the delimiters behind which white space begins."""
    inner = at[:-1] if at[-1] + 1 == block.size else at
    found: Ints = inner[_among(_FIRST, block[1:].take(inner))]
    return found


def _behind_white_space(split: Split, at: Ints) -> Ints:
    """The offsets of the delimiters before which white space ends; a CRLF is one delimiter."""
    block, decided = split.lines.delimiters.block, slice(split.stop)
    starts, ends, nexts = split.lines.starts[decided], split.lines.ends[decided], split.lines.nexts[decided]
    inner = at[1:] if at[0] == 0 else at
    delimiters = inner[_among(_LAST, block.take(inner - 1))]
    pairs = np.flatnonzero((nexts - ends == len(b"\r\n")) & (ends > starts))
    pairs = pairs[_among(_LAST, block.take(ends[pairs] - 1))]
    ends = np.concatenate((delimiters, ends[pairs]))
    delimiters = np.concatenate((delimiters, nexts[pairs] - 1))
    last, before, first = (block[np.maximum(ends - distance, 0)] for distance in (1, 2, 3))
    # Other characters end like white space: e with an acute accent is C3 A9, U+2029 is E2 80 A9.
    found: Ints = delimiters[(last < 0x80) | _LEADS_OF_TWO[before] | _LEADS_OF_THREE[first]]
    return found


def _among(some: Flags, found: Bytes) -> Ints:
    """Flags of the bytes that are among some low or non-ASCII ones; most bytes are neither low nor beyond ASCII."""
    possible = np.flatnonzero(found.view(np.int8) <= 0x20)
    return possible[some[found[possible]]]


def _begins_a_cell(split: Split, delimiters: Ints) -> bool:
    # Behind a line break the cell is the next line's, whatever became of the line that the break ends.
    return _limits_a_cell(split, delimiters, delimiters + 1)


def _ends_a_cell(split: Split, delimiters: Ints) -> bool:
    return _limits_a_cell(split, delimiters, delimiters)


def _limits_a_cell(split: Split, delimiters: Ints, places: Ints) -> bool:
    """Whether a mark may limit a cell of the plain record at its place, and is not text within quotes."""
    if not delimiters.size:
        return False
    lines, quotes = split.lines, split.lines.delimiters.at[split.lines.delimiters.quotes]
    line = np.searchsorted(lines.nexts, places, side="right")
    record = np.maximum.accumulate(np.where(split.begins, np.arange(split.begins.size), 0))[line]
    is_text = (np.searchsorted(quotes, delimiters) - np.searchsorted(quotes, lines.starts[record])) & 1 == 1
    is_text &= lines.delimiters.block[delimiters] != _QUOTE
    return bool((split.plain[line] & ~is_text).any())


def _has_break_at_quote(split: Split, block: Bytes) -> bool:
    """Whether a line break within a record lies beside a quote: its cell may begin or end with it."""
    within = np.flatnonzero(~split.begins[: split.stop])
    if not within.size:
        return False
    starts, ends = split.lines.starts[within], split.lines.ends[within - 1]
    return bool((block[starts] == _QUOTE).any() or (block[np.maximum(ends - 1, 0)] == _QUOTE).any())


def _has_outer_white_space(cell: bytes) -> bool:
    text = value(cell).decode()
    return text != text.strip(WHITE_SPACE)

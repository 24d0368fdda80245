"""Whether cells of a block may begin or end with white space, told from its bytes.

Trimming every cell costs more than reading it, and most files have nothing to trim.
"""

from typing import Final

import numpy as np

from importer.grammar import WHITE_SPACE, Grammar, value
from importer.records import Split
from importer.utf8 import Bytes, Flags, Ints

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
    marks = split.lines.marks
    at = marks.at[: int(np.searchsorted(marks.at, split.consumed))]
    if not at.size:
        return False
    return (
        bool(_FIRST[marks.block[0]])
        or _begins_a_cell(split, _before_white_space(marks.block[: split.consumed], at))
        or _ends_a_cell(split, _behind_white_space(split, at))
        or _has_break_at_quote(split, marks.block)
        or any(_has_outer_white_space(cell) for odd in split.odd for cell in grammar.cells(odd.text))
    )


def _before_white_space(block: Bytes, at: Ints) -> Ints:
    """Those of the marks behind which white space begins."""
    inner = at[:-1] if at[-1] + 1 == block.size else at
    found: Ints = inner[_among(_FIRST, block[1:].take(inner))]
    return found


def _behind_white_space(split: Split, at: Ints) -> Ints:
    """Those of the marks before which white space ends; a CRLF is one of them."""
    block, decided = split.lines.marks.block, slice(split.stop)
    starts, ends, nexts = split.lines.starts[decided], split.lines.ends[decided], split.lines.nexts[decided]
    inner = at[1:] if at[0] == 0 else at
    marks = inner[_among(_LAST, block.take(inner - 1))]
    pairs = np.flatnonzero((nexts - ends == len(b"\r\n")) & (ends > starts))
    pairs = pairs[_among(_LAST, block.take(ends[pairs] - 1))]
    ends = np.concatenate((marks, ends[pairs]))
    marks = np.concatenate((marks, nexts[pairs] - 1))
    last, before, first = (block[np.maximum(ends - distance, 0)] for distance in (1, 2, 3))
    # Other characters end like white space: e with an acute accent is C3 A9, U+2029 is E2 80 A9.
    found: Ints = marks[(last < 0x80) | _LEADS_OF_TWO[before] | _LEADS_OF_THREE[first]]
    return found


def _among(some: Flags, found: Bytes) -> Ints:
    """Which of the bytes are among some that are no higher than the space, or beyond ASCII; most bytes are neither."""
    possible = np.flatnonzero(found.view(np.int8) <= 0x20)
    return possible[some[found[possible]]]


def _begins_a_cell(split: Split, marks: Ints) -> bool:
    # Behind a line break the cell is the next line's, whatever became of the line that the break ends.
    return _limits_a_cell(split, marks, marks + 1)


def _ends_a_cell(split: Split, marks: Ints) -> bool:
    return _limits_a_cell(split, marks, marks)


def _limits_a_cell(split: Split, marks: Ints, places: Ints) -> bool:
    """Whether a mark may limit a cell of the plain record at its place, and is not text within quotes."""
    if not marks.size:
        return False
    lines, quotes = split.lines, split.lines.marks.at[split.lines.marks.quotes]
    line = np.searchsorted(lines.nexts, places, side="right")
    record = np.maximum.accumulate(np.where(split.begins, np.arange(split.begins.size), 0))[line]
    is_text = (np.searchsorted(quotes, marks) - np.searchsorted(quotes, lines.starts[record])) & 1 == 1
    is_text &= lines.marks.block[marks] != _QUOTE
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

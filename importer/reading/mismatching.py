"""Whether the rows of a file are separated otherwise than its header: one finding, not a failure of each row."""

from itertools import islice
from typing import Final

import numpy as np

from importer.model import FileRefused
from importer.reading.dialect import SEPARATORS
from importer.reading.grammar import QUOTE, Grammar, value
from importer.reading.splits import Rules, Split
from importer.words.reasons import refusal

_LOOKED_AT: Final = 1_000
"""So many of the first rows tell; none of them is a record as the header has it."""


def refuse_mismatch(sample: Split, rules: Rules) -> None:
    """Refuse a file none of whose first rows is a record, if all of them would be one if they were separated otherwise.

    Raises:
        FileRefused: each of them is one quoted cell that holds the row, or is split by another separator.
    """
    if rules.widths.names < 2 or (sample.widths() >= rules.widths.names).any():
        return
    # Short rows in a run are good, as a spreadsheet may have left them short.
    short = zip(np.flatnonzero(sample.good).tolist(), sample.last_lines().tolist(), strict=True)
    lines = [*islice(short, _LOOKED_AT), *((each.first, each.last) for each in islice(sample.problems, _LOOKED_AT))]
    rows = [sample.text(first, last) for first, last in lines]
    if not rows:
        return
    grammar = rules.grammar
    if all(_is_one_quoted_cell(row, grammar, rules.widths.names) for row in rows):
        raise FileRefused(refusal("wrapped_lines"))
    for separator in SEPARATORS:
        other = Grammar(separator)
        if other.separator != grammar.separator and all(_has_width(row, other, rules.widths.names) for row in rows):
            header = grammar.separator.decode()
            raise FileRefused(refusal("other_separator", header=_shown(header), rows=_shown(separator)))


def _is_one_quoted_cell(row: bytes, grammar: Grammar, width: int) -> bool:
    return row.startswith(QUOTE) and _has_width(row, grammar, 1) and _has_width(value(row), grammar, width)


def _has_width(row: bytes, grammar: Grammar, width: int) -> bool:
    return grammar.record_end(row, 0, len(row)) == len(row) and len(grammar.cells(row)) == width


def _shown(separator: str) -> str:
    return "TAB" if separator == "\t" else separator

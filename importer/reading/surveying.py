"""What width the records of a file have, judged by its first megabytes.

A body that is one empty cell wider than its header is accepted; one that has another width throughout is one finding
about the file, not a million failed rows.
"""

import re
from collections import Counter
from typing import Final

import numpy as np

from importer.formats.columns import normalised
from importer.model import FileRefused
from importer.reading.grammar import is_blank, value
from importer.reading.parsing import NOT_JUDGED, Shape, blank_rows, numbered_frame, with_surplus, without
from importer.reading.records import Problem, Split
from importer.reading.utf8 import Flags
from importer.words.reasons import refusal

_WORD: Final = re.compile(rb"[0-9A-Za-z]")


def has_trailing_separator(sample: Split, shape: Shape, end: int) -> bool:
    """Whether the records (95 % of those that begin before `end`) have just one empty cell more than the header.

    Raises:
        FileRefused: 95 % of 10 records or more have another width than the header for no such reason.
    """
    width = shape.rules.width
    limit = int(sample.lines.starts.searchsorted(end))
    problems = [problem for problem in sample.problems if problem.cells and problem.first < limit]
    widths = Counter(problem.cells for problem in problems)
    others = len(problems) - widths.pop(width, 0)
    if not others:
        return False
    if _many_say_something(sample, shape, limit, 20 * others // 19 - len(problems)):
        return False
    good = int(sample.good[:limit].sum())
    total = len(problems) + int(_says_something(sample, shape)[:good].sum())
    if 20 * widths[width + 1] >= 19 * total and _last_cells_are_empty(sample, shape, problems):
        return True
    if total >= 10 and 20 * others >= 19 * total:
        cells = min(widths, key=lambda cells: (-widths[cells], cells))
        raise FileRefused(refusal("wrong_width", cells=cells, expected=width))
    return False


def _many_say_something(sample: Split, shape: Shape, limit: int, most: int) -> bool:
    """Whether more good records than `most` surely say something, as the first ones of nearly every file do."""
    lines = np.flatnonzero(sample.good[:limit])[: max(most, 0) + 1].tolist()
    if len(lines) <= most or not NOT_JUDGED.isdisjoint(map(normalised, shape.names)):
        return False
    return all(_WORD.search(sample.text(line, line)) for line in lines)


def _last_cells_are_empty(sample: Split, shape: Shape, problems: list[Problem]) -> bool:
    """Whether every record that has one cell more than the header has an empty last one."""
    texts = (sample.text(p.first, p.last) for p in problems if p.cells == shape.rules.width + 1)
    grammar = shape.rules.grammar
    return all(text.endswith(grammar.separator) or is_blank(value(grammar.cells(text)[-1])) for text in texts)


def _says_something(split: Split, shape: Shape) -> Flags:
    """For each good record, whether it is not blank."""
    frame = numbered_frame(split.good_text(), shape, np.arange(int(split.good.sum())), np.flatnonzero(split.good))
    blank = blank_rows(without(frame, with_surplus(frame, shape)), shape)
    flags = np.ones(frame.height, np.bool_)
    flags[blank["row"].to_numpy()] = False
    return flags

"""What width the records of a file have, judged by its first megabytes.

A body that is wider than its header is accepted where the columns prove that nothing is shifted; one that has another
width throughout is one finding about the file, not a million failed rows.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from importer.formats.names import normalised
from importer.model import FileRefused
from importer.reading.grammar import is_blank, value
from importer.reading.mismatching import refuse_mismatch
from importer.reading.parsing import NOT_JUDGED, Shape, blank_rows, numbered_frame, repeated_headers, without
from importer.reading.records import split
from importer.reading.splits import Problem, Split
from importer.reading.utf8 import Flags, Ints
from importer.reading.widths import Widths
from importer.words.reasons import refusal

Proof = Callable[[tuple[str, ...], pl.DataFrame], bool]
"""Whether the columns with some names, the cells of which are c0, c1 …, prove that each cell is in its column."""

_WORD: Final = re.compile(rb"[0-9A-Za-z]")
_FEWEST: Final = 10
_ADD_OR_TAKE_OFF: Final = "add the name of the missing column, or take the last separator off the rows"
_CHECK_HEADER: Final = "check the header and the separator"
WIDTH_ADVICE: Final = (_ADD_OR_TAKE_OFF, _CHECK_HEADER)
"""Words of ours that a refusal names."""


def nothing_is_proven(names: tuple[str, ...], frame: pl.DataFrame) -> bool:  # noqa: ARG001
    """The proof of those who know no columns."""
    return False


class Body(NamedTuple):
    """The begin of the text below the header; `invalid` as `split` takes it."""

    text: bytes
    is_whole: bool
    invalid: Ints | None


class Surveyed(NamedTuple):
    """The shape of a file, and its first records."""

    shape: Shape
    sample: Split


def surveyed(body: Body, shape: Shape, end: int, proves: Proof) -> Surveyed:
    """The shape that the first records of the file call for, and these records.

    Raises:
        FileRefused: nearly all records have another width than the header, or are separated otherwise.
    """
    sample = _sample(body, shape)
    refuse_mismatch(sample, shape.rules)
    if _has_comments(sample, shape):
        nobodies = replace(shape.rules.nobodies, has_comments=True)
        shape = replace(shape, rules=replace(shape.rules, nobodies=nobodies))
        sample = _sample(body, shape)
    widths = _surveyed_widths(sample, shape, end, proves)
    if widths != shape.rules.widths:
        shape = replace(shape, rules=replace(shape.rules, widths=widths))
        sample = _sample(body, shape)
    return Surveyed(shape, sample)


def _sample(body: Body, shape: Shape) -> Split:
    return split(body.text, shape.rules, is_last=body.is_whole, invalid=body.invalid)


def _has_comments(sample: Split, shape: Shape) -> bool:
    """Whether lines that begin with `#` and are too narrow are comments: where no user begins so, nor a key."""
    if not any(sample.text(problem.first, problem.first).startswith(b"#") for problem in sample.problems):
        return False
    frame = _frame(sample, shape)
    columns = {"c0", f"c{shape.rules.nobodies.key or 0}"}
    return not any(frame[column].str.strip_chars().str.starts_with("#").any() for column in columns)


def _surveyed_widths(sample: Split, shape: Shape, end: int, proves: Proof) -> Widths:
    """The widths that records of the file may have, told by those that begin before `end`.

    Args:
        sample: the first records, split by the widths that the header tells.
        shape: their columns.
        end: the offset of a text behind the last record that counts.
        proves: tells whether nothing is shifted.

    Raises:
        FileRefused: nearly all records have another width than the header.
    """
    widths = shape.rules.widths
    limit = int(sample.lines.starts.searchsorted(end))
    problems = [problem for problem in sample.problems if problem.cells and problem.first < limit]
    found = sample.widths()[: int(sample.good[:limit].sum())]
    misfits = len(problems) + int((found > widths.declared).sum())
    if widths.declared == widths.names and _many_say_something(sample, shape, limit, 20 * misfits):
        return widths
    found = found[_says_something(sample, shape)[: found.size]]
    return _decided(_Survey(widths, found, problems), sample, shape, proves)


class _Survey:
    """The widths of the records that say something, good ones and rejected ones."""

    def __init__(self, widths: Widths, good: Ints, problems: list[Problem]) -> None:
        self.good = good
        rejected = np.array([problem.cells for problem in problems], np.int64)
        self.all = np.concatenate((good, rejected))
        self.wide = [problem for problem in problems if problem.cells > widths.declared]
        self.wider = int((self.all > widths.declared).sum())
        self.narrower = int((rejected < widths.names).sum())
        self.fitting = self.all.size - self.wider - self.narrower

    def are_nearly_all(self, some: int) -> bool:
        """Whether so many records are 95 % of them."""
        return some > 0 and 20 * some >= 19 * self.all.size


def _decided(survey: _Survey, sample: Split, shape: Shape, proves: Proof) -> Widths:
    widths = shape.rules.widths
    if survey.wider and survey.wider >= survey.fitting:
        surplus_is_empty = all(_surplus_is_empty(sample, shape, problem) for problem in survey.wide)
        if surplus_is_empty and proves(shape.names, _users(sample, shape)):
            return replace(widths, usual=_most_common(survey.good[survey.good >= widths.names]))
        if surplus_is_empty or (survey.are_nearly_all(survey.wider) and survey.all.size >= _FEWEST):
            raise _wrong_width(survey, widths)
        widths = replace(widths, takes_surplus=False)
    others = survey.narrower + (0 if widths.takes_surplus else survey.wider)
    if survey.are_nearly_all(others) and survey.all.size >= _FEWEST:
        raise _wrong_width(survey, widths)
    declared = survey.good[(survey.good >= widths.names) & (survey.good <= widths.declared)]
    return replace(widths, usual=_most_common(declared) if declared.size else widths.names)


def _wrong_width(survey: _Survey, widths: Widths) -> FileRefused:
    others = survey.all[(survey.all < widths.names) | (survey.all > widths.declared)]
    cells = Counter(others.tolist())
    most = min(cells, key=lambda width: (-cells[width], width))
    advice = _ADD_OR_TAKE_OFF if most > widths.names else _CHECK_HEADER
    return FileRefused(refusal("wrong_width", cells=most, expected=widths.declared, advice=advice))


def _most_common(widths: Ints) -> int:
    """The width that most records have; of several the greatest."""
    found, counts = np.unique(widths, return_counts=True)
    return int(found[counts == counts.max()][-1])


def _many_say_something(sample: Split, shape: Shape, limit: int, most: int) -> bool:
    """Whether more good records than `most` surely say something, as the first ones of nearly every file do."""
    if not most:
        return True
    lines = np.flatnonzero(sample.good[:limit])[: most + 1].tolist()
    if len(lines) <= most or not NOT_JUDGED.isdisjoint(map(normalised, shape.names)):
        return False
    return all(_WORD.search(sample.text(line, line)) for line in lines)


def _surplus_is_empty(sample: Split, shape: Shape, problem: Problem) -> bool:
    cells = shape.rules.grammar.cells(sample.text(problem.first, problem.last))
    return all(is_blank(value(cell)) for cell in cells[shape.rules.widths.names :])


def _frame(split: Split, shape: Shape) -> pl.DataFrame:
    lines = np.flatnonzero(split.good)
    return numbered_frame(split.good_text(), shape, np.arange(lines.size), lines, is_ragged=split.is_ragged)


def _users(split: Split, shape: Shape) -> pl.DataFrame:
    """The good records that say something, and are no header."""
    frame = _frame(split, shape)
    frame = without(frame, blank_rows(frame, shape))
    return without(frame, repeated_headers(frame, shape, may_need_trimming=True))


def _says_something(split: Split, shape: Shape) -> Flags:
    """For each good record, whether it is not blank and no header."""
    flags = np.zeros(int(split.good.sum()), np.bool_)
    flags[_users(split, shape)["row"].to_numpy()] = True
    return flags

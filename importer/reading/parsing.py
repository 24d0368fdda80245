"""Proven records → a frame of text with row and line numbers; the rest → rejects.

The parser (polars) sees nothing but records that were proven to be well-formed and of the right width, in memory, and
must find exactly as many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from importer.formats.columns import CLEAR, normalised
from importer.reading.dialect import Encoding
from importer.reading.grammar import WHITE_SPACE
from importer.reading.guarding import GUARD, is_report, unguarded
from importer.reading.outer_white_space import may_need_trimming
from importer.reading.records import Problem, Rules, Split
from importer.reading.tallying import BalanceError
from importer.reading.transcoding import shown_text
from importer.reading.utf8 import Ints
from importer.words.reasons import shown_size

SHOWN_BYTES: Final = 65_536
"""How much of a rejected record's text is kept."""

_ENCODING_NAMES: Final[Mapping[Encoding, str]] = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "windows-1252": "Windows-1252",
}
_BOM: Final = b"\xef\xbb\xbf"
_CLEAR: Final = CLEAR.encode()
NOT_JUDGED: Final = frozenset(map(normalised, ("import_error", "import_row", "import_file")))
"""What our own report adds does not make a row one that says something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    r"""A record that could not be read.

    Attributes:
        row: its number in the file, the header being 1.
        line: the physical line on which it starts, from 1.
        kind: a key of `reasons.ROW_SENTENCES`.
        facts: what that sentence names.
        text: its text with bytes that are not text as `\xNN`, without the last line end, cut at SHOWN_BYTES.
    """

    row: int
    line: int
    kind: str
    facts: Mapping[str, object]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some successive records of a file, parsed.

    Attributes:
        frame: the good ones in file order: `row` and `line` (Int64), then `c0`, `c1` … (String, never null).
        rejects: those that could not be read, in file order.
        blank: how many were blank.
        with_controls: the rows of records that have a control character, other than tab and line breaks; sorted.
        may_need_trimming: whether a cell of a good record may begin or end with white space; False is certain.
        may_clear: whether a cell may be CLEAR; False is certain.
    """

    frame: pl.DataFrame
    rejects: tuple[Reject, ...]
    blank: int
    with_controls: pl.Series
    may_need_trimming: bool
    may_clear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The columns into which the records of a file are parsed.

    Attributes:
        rules: how they are split.
        header: the trimmed cells of the header, trailing empty ones included.
        encoding: as messages name it.
    """

    rules: Rules
    header: tuple[str, ...]
    encoding: Encoding

    @property
    def names(self) -> tuple[str, ...]:
        """The header without trailing empty cells; cells beyond these must be empty."""
        named = [index for index, name in enumerate(self.header) if name]
        return self.header[: named[-1] + 1 if named else 0]

    @property
    def columns(self) -> list[str]:
        """The internal names of all cells; a header's own names never meet the parser."""
        return [f"c{index}" for index in range(self.rules.width)]


def parse(split: Split, shape: Shape, *, row: int, line: int) -> Block:
    """The block of a split; its first record and line have the numbers `row` and `line`.

    Raises:
        BalanceError: the parser found another number of records than were proven.
    """
    rows = row - 1 + np.cumsum(split.begins, dtype=np.int64)
    firsts = np.flatnonzero(split.good)
    frame = numbered_frame(split.good_text(), shape, rows[firsts], firsts + line)
    surplus = with_surplus(frame, shape)
    frame = without(frame, surplus)
    blank = blank_rows(frame, shape)
    frame = without(frame, blank)
    needs_trimming = _may_hold_guards(split.data, shape) or may_need_trimming(split, shape.rules.grammar)
    repeated = _repeating_header(frame, shape, may_need_trimming=needs_trimming)
    rejects = [_reject(split, shape, problem, rows, line) for problem in split.problems]
    rejects += _late_rejects(split, shape, surplus, repeated, line)
    if surplus.height or repeated.height:
        rejects.sort(key=lambda reject: reject.row)
    return Block(
        frame=without(frame, repeated).select("row", "line", *shape.columns[: len(shape.names)]),
        rejects=tuple(rejects),
        blank=split.blank + blank.height,
        with_controls=_with_controls(split, rows),
        may_need_trimming=needs_trimming,
        may_clear=_CLEAR[:1] in split.data and _CLEAR in split.data,  # the search for one byte is much faster
    )


def plain_frame(splits: Sequence[Split], shape: Shape) -> tuple[pl.DataFrame, pl.Series]:
    """The records of files of one shape, each of which is whole and in order.

    Returns:
        A frame as `Block.frame`, whose `row` counts the records of all the files from 0; and those of its rows that
        `parse` would not leave in the frame.

    Raises:
        BalanceError: the parser found another number of records than were proven.
    """
    records = [int(split.good.sum()) for split in splits]
    rows = np.arange(sum(records))
    frame = numbered_frame(b"".join(split.good_text() for split in splits), shape, rows, np.zeros_like(rows))
    repeated = _repeating_header(frame, shape, may_need_trimming=True)
    odd = [with_surplus(frame, shape), blank_rows(frame, shape), repeated]
    return frame.select("row", "line", *shape.columns[: len(shape.names)]), pl.concat([some["row"] for some in odd])


def _with_controls(split: Split, rows: Ints) -> pl.Series:
    found = split.controls()
    lines = np.searchsorted(split.lines.nexts, found, side="right")
    return pl.Series("row", np.unique(rows[lines]), pl.Int64)


def numbered_frame(text: bytes, shape: Shape, rows: Ints, lines: Ints) -> pl.DataFrame:
    """All cells of proven records, numbered; those of a report of ours without their guards."""
    frame = _cells(text, shape)
    if _may_hold_guards(text, shape):
        frame = frame.with_columns(unguarded(pl.col(column)) for column in shape.columns)
    if frame.height != rows.size:
        message = f"the parser found {frame.height} records where {rows.size} were proven"
        raise BalanceError(message)
    return frame.insert_column(0, pl.Series("row", rows)).insert_column(1, pl.Series("line", lines, dtype=pl.Int64))


def _may_hold_guards(text: bytes, shape: Shape) -> bool:
    """False is certain: no cell of the text is guarded."""
    return is_report(shape.names) and GUARD.encode() in text


def _cells(text: bytes, shape: Shape) -> pl.DataFrame:
    schema = dict.fromkeys(shape.columns, pl.String())
    if not text:
        return pl.DataFrame(schema=schema)
    # The parser would take a byte order mark off the first cell; an empty record before it takes that risk.
    guard = shape.rules.grammar.separator * (shape.rules.width - 1) + b'""\n' if text.startswith(_BOM) else b""
    frame = pl.read_csv(
        guard + text,
        has_header=False,
        schema=schema,
        separator=shape.rules.grammar.separator.decode(),
        quote_char='"',
        empty_string_is_null=False,
        extra_columns="raise",
        missing_columns="raise",
    )
    return frame[1:] if guard else frame


def without(frame: pl.DataFrame, some: pl.DataFrame) -> pl.DataFrame:
    """The rows of the frame that are not among some of its rows."""
    return frame.filter(~pl.col("row").is_in(some["row"].implode())) if some.height else frame


def _is_empty(columns: Sequence[str]) -> list[pl.Expr]:
    return [pl.col(column).str.strip_chars() == "" for column in columns]


def _may_begin_with_white_space(column: str) -> pl.Expr:
    """True for every cell that is empty or begins with white space: a comparison, which costs next to nothing."""
    return (pl.col(column) < "!") | (pl.col(column) > "~")


def with_surplus(frame: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The rows that say something where the header has no name."""
    beyond = shape.columns[len(shape.names) :]
    return frame.filter(~pl.all_horizontal(_is_empty(beyond))) if beyond else frame.clear()


def blank_rows(frame: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The rows that say nothing; column by column, because the first one leaves next to none of them."""
    for column, name in zip(shape.columns, shape.names, strict=False):
        if frame.height and normalised(name) not in NOT_JUDGED:
            frame = frame.filter(_may_begin_with_white_space(column)).filter(*_is_empty([column]))
    return frame


def _repeating_header(frame: pl.DataFrame, shape: Shape, *, may_need_trimming: bool) -> pl.DataFrame:
    """The rows that are the header again; its longest name leaves next to none."""
    names = dict(zip(shape.columns, shape.names, strict=False))
    if not names:
        return frame.clear()
    longest = max(names, key=lambda column: len(names[column]))
    cell = pl.col(longest)
    candidates = frame.filter((cell.str.strip_chars() if may_need_trimming else cell) == names[longest])
    if candidates.is_empty():
        return candidates
    is_header = [
        all(cell.strip(WHITE_SPACE) == name for cell, name in zip(cells, names.values(), strict=False))
        for cells in candidates.select([*names]).iter_rows()
    ]
    return candidates.filter(pl.Series(is_header, dtype=pl.Boolean))


def _late_rejects(split: Split, shape: Shape, surplus: pl.DataFrame, repeated: pl.DataFrame, line: int) -> list[Reject]:
    """Rejects for records that only their cells give away."""
    if not surplus.height and not repeated.height:
        return []
    firsts, lasts = np.flatnonzero(split.good), split.last_lines()

    def reject(kind: str, row: int, at: int, facts: Mapping[str, object]) -> Reject:
        first = at - line
        text = _shown(split, shape, first, int(lasts[np.searchsorted(firsts, first)]))
        return Reject(row=row, line=at, kind=kind, facts=facts, text=text)

    rejects = [reject("repeated_header", row, at, {}) for row, at in repeated.select("row", "line").iter_rows()]
    for row, at, *cells in surplus.iter_rows():
        used = max(number for number, cell in enumerate(cells, start=1) if cell.strip(WHITE_SPACE))
        rejects.append(reject("too_many_cells", row, at, {"cells": used, "expected": len(shape.names)}))
    return rejects


def _reject(split: Split, shape: Shape, problem: Problem, rows: Ints, line: int) -> Reject:
    return Reject(
        row=int(rows[problem.first]),
        line=line + problem.first,
        kind=problem.kind,
        facts=_facts(problem, shape),
        text=_shown(split, shape, problem.first, problem.last),
    )


def _facts(problem: Problem, shape: Shape) -> Mapping[str, object]:
    match problem.kind:
        case "too_few_cells" | "too_many_cells":
            return {"cells": problem.cells, "expected": shape.rules.width}
        case "bad_encoding":
            return {"encoding": _ENCODING_NAMES[shape.encoding]}
        case "too_large":
            return {"limit": shown_size(shape.rules.longest_cell if problem.cells else shape.rules.longest_record)}
    return {}


def _shown(split: Split, shape: Shape, first: int, last: int) -> str:
    """The text of the lines, cut between two characters."""
    text = split.text(first, last)
    if len(text) > SHOWN_BYTES:
        end = SHOWN_BYTES
        while end > SHOWN_BYTES - 3 and 0x80 <= text[end] < 0xC0:
            end -= 1
        text = text[:end]
    return shown_text(text, shape.encoding)

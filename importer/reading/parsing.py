"""Proven records → a frame of text with row and line numbers; the rest → rejects.

The parser (polars) sees nothing but records that were proven to be well-formed and of the right width, in memory, and
must find exactly as many.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from importer.formats.code_pages import CodePage
from importer.formats.columns import holds_passwords
from importer.formats.names import normalised
from importer.model import Remark
from importer.reading.cell_ends import cell_ends
from importer.reading.dialect import Encoding
from importer.reading.evidence import shown_words
from importer.reading.grammar import WHITE_SPACE, value
from importer.reading.guarding import GUARD, is_report, unguarded
from importer.reading.lines import BOM
from importer.reading.oddities import ANYTHING, Odd, oddities
from importer.reading.outer_white_space import may_need_trimming
from importer.reading.splits import Problem, Rules, Split
from importer.reading.tallying import BalanceError
from importer.reading.transcoding import raw_text, shown_text
from importer.reading.utf8 import Ints
from importer.words.reasons import shown, shown_size, warning

SHOWN_BYTES: Final = 65_536
"""How much of a rejected record's text is kept."""

_ENCODING_NAMES: Final[Mapping[Encoding, str]] = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_MOST_LISTED: Final = 5
_EMPTY: Final = "“”"
_MAY_CLEAR: Final = re.compile(rb"(?i)<[^<>]{0,20}clear[^<>]{0,20}>")
NOT_JUDGED: Final = frozenset(map(normalised, ("import_error", "import_row", "import_file", "import_id")))
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
        cells: its cells, of whatever number; None where these cannot be told.
    """

    row: int
    line: int
    kind: str
    facts: Mapping[str, object]
    text: str
    cells: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something in a block that was taken otherwise than it is written.

    Attributes:
        kind: a key of `reasons.WARNING_SENTENCES`.
        count: of the rows.
        row: the first of them.
        example: its text, where the sentence shows it.
    """

    kind: str
    count: int
    row: int
    example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some successive records of a file, parsed.

    Attributes:
        frame: the good ones in file order: `row` and `line` (Int64), then `c0`, `c1` … (String, never null).
        rejects: those that could not be read, in file order.
        blank: how many were blank, or nobody.
        noted: what the sender is to know of some of them.
        with_controls: the rows of records that have a control character, other than tab and line breaks; sorted.
        may_need_trimming: whether a cell of a good record may begin or end with white space; False is certain.
        may_clear: whether a cell may be CLEAR; False is certain.
        odd: what nobody types and cells of good records may hold all the same.
    """

    frame: pl.DataFrame
    rejects: tuple[Reject, ...]
    blank: int
    noted: tuple[Noted, ...]
    with_controls: pl.Series
    may_need_trimming: bool
    may_clear: bool
    odd: Odd


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The columns into which the records of a file are parsed.

    Attributes:
        rules: how they are split.
        header: the trimmed cells of the header, trailing empty ones included.
        encoding: what the file is written in.
        program: what has probably written it, where its encoding is unknown.
    """

    rules: Rules
    header: tuple[str, ...]
    encoding: Encoding
    program: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The header without trailing empty cells; cells beyond these must be empty."""
        return named(self.header)

    @property
    def columns(self) -> list[str]:
        """The internal names of the cells; a header's own names never meet the parser."""
        return [f"c{index}" for index in range(self.rules.widths.names)]


def named(header: tuple[str, ...]) -> tuple[str, ...]:
    """The trimmed cells of a header up to the last one that has a name."""
    names = [index for index, name in enumerate(header) if name]
    return header[: names[-1] + 1 if names else 0]


def parse(split: Split, shape: Shape, *, row: int, line: int) -> Block:
    """The block of a split; its first record and line have the numbers `row` and `line`.

    Raises:
        BalanceError: the parser found another number of records than were proven.
    """
    rows = row - 1 + np.cumsum(split.begins, dtype=np.int64)
    firsts = np.flatnonzero(split.good)
    frame = numbered_frame(split.good_text(), shape, rows[firsts], firsts + line, is_ragged=split.is_ragged)
    blank = blank_rows(frame, shape)
    frame = without(frame, blank)
    ends = cell_ends(split.lines.delimiters, split.consumed)
    needs_trimming = _may_hold_guards(split.data, shape) or may_need_trimming(split, shape.rules.grammar, ends)
    repeated = repeated_headers(frame, shape, may_need_trimming=needs_trimming)
    return Block(
        frame=without(frame, repeated).select("row", "line", *shape.columns[: len(shape.names)]),
        rejects=tuple(_reject(split, shape, problem, rows, line) for problem in split.problems),
        blank=split.blank + blank.height + repeated.height,
        noted=tuple(_noted(split, shape, rows, blank["row"], repeated["row"])),
        with_controls=_with_controls(split, rows),
        may_need_trimming=needs_trimming,
        may_clear=b"<" in split.data and _MAY_CLEAR.search(split.data) is not None,  # one byte is found much faster
        odd=ANYTHING if needs_trimming else oddities(split, ends),
    )


def _noted(split: Split, shape: Shape, rows: Ints, blank: pl.Series, repeated: pl.Series) -> Iterator[Noted]:
    """What there is to say of a block's rows."""
    widths = shape.rules.widths
    found = {"inner_marks": rows[split.marks].tolist()}
    if not widths.is_wider and (split.is_ragged or split.odd):
        wide = rows[split.good][split.widths() > widths.declared]
        found["surplus_cells"] = np.setdiff1d(wide, [*blank, *repeated]).tolist()
    headers = [int(rows[passed.line]) for passed in split.passed if passed.kind == "header"]
    found["repeated_header"] = sorted([*headers, *repeated.to_list()])
    for kind, numbers in found.items():
        if numbers:
            yield Noted(kind=kind, count=len(numbers), row=numbers[0])
    nobodies = [passed.line for passed in split.passed if passed.kind != "header"]
    if nobodies:
        text = _shown(split, shape, nobodies[0], nobodies[0]).rstrip(shape.rules.grammar.separator.decode())
        text = "…" if holds_passwords(shape.names) else text
        yield Noted(kind="nobody", count=len(nobodies), row=int(rows[nobodies[0]]), example=shown(text))


def remark_of(noted: Sequence[Noted]) -> Remark:
    """The remark on what was noted, of one kind, in the blocks of a file."""
    first = noted[0]
    facts = {} if first.example is None else {"examples": f"“{first.example}”"}
    return warning(first.kind, count=sum(some.count for some in noted), row=first.row, **facts)


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
    text = b"".join(split.good_text() for split in splits)
    is_ragged = any(split.is_ragged for split in splits)
    frame = numbered_frame(text, shape, rows, np.zeros_like(rows), is_ragged=is_ragged)
    repeated = repeated_headers(frame, shape, may_need_trimming=True)
    odd = [blank_rows(frame, shape)["row"], repeated["row"]]
    return frame.select("row", "line", *shape.columns[: len(shape.names)]), pl.concat(odd)


def _with_controls(split: Split, rows: Ints) -> pl.Series:
    found = split.controls()
    lines = np.searchsorted(split.lines.nexts, found, side="right")
    return pl.Series("row", np.unique(rows[lines]), pl.Int64)


def numbered_frame(text: bytes, shape: Shape, rows: Ints, lines: Ints, *, is_ragged: bool) -> pl.DataFrame:
    """The cells of proven records, numbered; those of a report of ours without their guards.

    Args:
        text: the records.
        shape: their columns.
        rows: their numbers.
        lines: the lines on which they begin.
        is_ragged: whether records may end earlier, where cells are empty, or later, where there are only separators.
    """
    frame = _cells(text, shape, is_ragged=is_ragged)
    if _may_hold_guards(text, shape):
        frame = frame.with_columns(unguarded(pl.col(column)) for column in shape.columns)
    if frame.height != rows.size:
        message = f"the parser found {frame.height} records where {rows.size} were proven"
        raise BalanceError(message)
    return frame.insert_column(0, pl.Series("row", rows)).insert_column(1, pl.Series("line", lines, dtype=pl.Int64))


def _may_hold_guards(text: bytes, shape: Shape) -> bool:
    """False is certain: no cell of the text is guarded."""
    return is_report(shape.names) and GUARD.encode() in text


def _cells(text: bytes, shape: Shape, *, is_ragged: bool) -> pl.DataFrame:
    schema = dict.fromkeys(shape.columns, pl.String())
    if not text:
        return pl.DataFrame(schema=schema)
    # The parser would take a byte order mark off the first cell; an empty record before it takes that risk.
    guard = shape.rules.grammar.separator * (shape.rules.widths.names - 1) + b'""\n' if text.startswith(BOM) else b""
    frame = pl.read_csv(
        guard + text,
        has_header=False,
        schema=schema,
        separator=shape.rules.grammar.separator.decode(),
        quote_char='"',
        empty_string_is_null=False,
        extra_columns="ignore" if is_ragged else "raise",
        missing_columns="insert" if is_ragged else "raise",
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


def blank_rows(frame: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The rows that say nothing; column by column, because the first one leaves next to none of them."""
    for column, name in zip(shape.columns, shape.names or ("",), strict=False):
        if frame.height and normalised(name) not in NOT_JUDGED:
            frame = frame.filter(_may_begin_with_white_space(column)).filter(*_is_empty([column]))
    return frame


def repeated_headers(frame: pl.DataFrame, shape: Shape, *, may_need_trimming: bool) -> pl.DataFrame:
    """The rows that are the header again, as it is or in other words: few have its longest name, or any in the key."""
    names, nobodies = shape.names, shape.rules.nobodies
    if not names:
        return frame.clear()
    longest = max(range(len(names)), key=lambda index: len(names[index]))
    is_candidate = _trimmed(longest, may_need_trimming) == names[longest]
    if nobodies.key is not None:
        is_candidate |= _trimmed(nobodies.key, may_need_trimming).is_in([*nobodies.expected.spellings])
    candidates = frame.filter(is_candidate)
    if candidates.is_empty():
        return candidates
    is_header = [
        nobodies.repeats_header([cell.strip(WHITE_SPACE) for cell in cells])
        for cells in candidates.select(shape.columns).iter_rows()
    ]
    return candidates.filter(pl.Series(is_header, dtype=pl.Boolean))


def _trimmed(index: int, may_need_trimming: bool) -> pl.Expr:  # noqa: FBT001
    cell = pl.col(f"c{index}")
    return cell.str.strip_chars() if may_need_trimming else cell


def _reject(split: Split, shape: Shape, problem: Problem, rows: Ints, line: int) -> Reject:
    cells = _cells_of(split, shape, problem)
    return Reject(
        row=int(rows[problem.first]),
        line=line + problem.first,
        kind=_kind(problem, shape),
        facts=_facts(split, problem, shape, cells or ()),
        text=_shown(split, shape, problem.first, problem.last),
        cells=cells,
    )


def _cells_of(split: Split, shape: Shape, problem: Problem) -> tuple[str, ...] | None:
    """The cells of a rejected record, where these can be told and there is room for them."""
    text = split.text(problem.first, problem.last)
    if not problem.cells or len(text) > SHOWN_BYTES:
        return None
    return tuple(shown_text(value(cell), shape.encoding) for cell in shape.rules.grammar.cells(text.removeprefix(BOM)))


def _kind(problem: Problem, shape: Shape) -> str:
    if problem.kind == "bad_encoding" and shape.program:
        return "bad_encoding.unknown"
    if problem.kind == "too_few_cells" and problem.cells >= shape.rules.widths.names:
        return "too_few_cells.others"
    return problem.kind


def _facts(split: Split, problem: Problem, shape: Shape, cells: Sequence[str]) -> Mapping[str, object]:
    match problem.kind:
        case "too_few_cells" | "too_many_cells":
            return _facts_of_width(problem, shape, cells)
        case "bad_encoding":
            return _facts_of_encoding(split.text(problem.first, problem.last), shape)
        case "too_large" if problem.cells:
            return _largest(split.text(problem.first, problem.last), shape)
        case "too_large":
            return {"limit": shown_size(shape.rules.longest_record)}
    return {}


def _facts_of_width(problem: Problem, shape: Shape, cells: Sequence[str]) -> Mapping[str, object]:
    names, widths = shape.names, shape.rules.widths
    if problem.kind == "too_many_cells":
        filled = [number for number, cell in enumerate(cells, start=1) if cell.strip(WHITE_SPACE)]
        beyond = listed([cell for cell in cells[len(names) :] if cell.strip(WHITE_SPACE)])
        used = filled[-1] if beyond and filled else problem.cells
        return {"cells": used, "expected": len(names), "beyond": beyond or _EMPTY}
    if problem.cells >= widths.names:
        return {"cells": problem.cells, "expected": widths.usual}
    return {"cells": problem.cells, "expected": widths.names, "missing": listed(names[problem.cells :])}


def _largest(record: bytes, shape: Shape) -> Mapping[str, object]:
    """The facts of a record with too large a cell: which one it is, by its position, and how many characters it has."""
    cells = [*map(value, shape.rules.grammar.cells(record))]
    position = max(range(len(cells)), key=lambda at: len(cells[at]))
    length = len(shown_text(cells[position], shape.encoding).strip(WHITE_SPACE))
    return {"limit": shown_size(shape.rules.longest_cell), "position": position, "length": length}


def _facts_of_encoding(text: bytes, shape: Shape) -> Mapping[str, object]:
    if shape.program:
        return {"words": shown_words(raw_text(text)), "program": shape.program}
    name = shape.encoding.shown if isinstance(shape.encoding, CodePage) else _ENCODING_NAMES[shape.encoding]
    return {"encoding": name}


def listed(texts: Sequence[str]) -> str:
    """The texts as a sentence lists them: the first few, each between quotation marks."""
    first = ", ".join(f"“{shown(text)}”" for text in texts[:_MOST_LISTED])
    return first if len(texts) <= _MOST_LISTED else f"{first}, …"


def _shown(split: Split, shape: Shape, first: int, last: int) -> str:
    """The text of the lines, cut between two characters."""
    text = split.text(first, last)
    if len(text) > SHOWN_BYTES:
        end = SHOWN_BYTES
        while end > SHOWN_BYTES - 3 and 0x80 <= text[end] < 0xC0:
            end -= 1
        text = text[:end]
    return shown_text(text, shape.encoding)

"""A file that is judged: how many of its rows are accepted, which ones fail, and why."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from importer.formats.header import Header
from importer.judging.judge import Judge, Source, between, rows_of, within
from importer.judging.spooling import Spool
from importer.judging.uniqueness import Late
from importer.judging.validating import in_order
from importer.model import Counts, ReasonCount, Remark
from importer.reading.dialect import Dialect

_LISTED_REASONS = 100
_PART_ROWS = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The notes on a file that were taken while it was judged.

    Attributes:
        dialect: how the file is written.
        size: bytes of the file.
        expanded_size: bytes of its content, which is more where it is compressed.
        warnings: about the file as a whole.
        records: how many it has.
        early: how many of them failed at once.
        blank: how many of them are blank.
        failed: the cells of those that failed at once, part by part.
        reasons: why they failed, likewise.
        ends: for each part the rows that its blocks end before.
        accepted: the rows that did not fail at once; None where they are to be read again.
        columns: what the accepted rows have.
        expected: about how many records there are, as it was guessed before.
        spool: makes a new place for frames, which lasts as long as the judging.
    """

    dialect: Dialect
    size: int
    expanded_size: int
    warnings: tuple[Remark, ...]
    records: int
    early: int
    blank: int
    failed: Spool
    reasons: Spool
    ends: list[list[int]]
    accepted: Spool | None
    columns: list[str]
    expected: int
    spool: Callable[[str], Spool]


class Judged:
    """A judged file: what becomes of each of its records.

    It lasts as long as the judging that it came from. Rows may fail later on, see `fail`.
    """

    def __init__(self, judge: Judge, told: Told) -> None:
        self.source: Source = judge.source
        self.header: Header = judge.header
        self.dialect = told.dialect
        self.size = told.size
        self.expanded_size = told.expanded_size
        self.warnings = told.warnings
        self.columns = told.columns
        self.expected = told.expected
        self.spool = told.spool
        self._judge = judge
        self._told = told
        self._late: list[Late] = []
        self._late_rows = pl.DataFrame(schema={"row": pl.Int64})

    @property
    def counts(self) -> Counts:
        """The numbers of records, accepted, failed and blank; raises ArithmeticError where they do not add up."""
        told = self._told
        failed = told.early + self._late_rows.height
        accepted = told.records - failed - told.blank
        return Counts(records=told.records, accepted=accepted, failed=failed, blank=told.blank)

    @property
    def height(self) -> int:
        """The number of accepted rows."""
        return self.counts.accepted

    @property
    def last_row(self) -> int:
        """The last record's number; the header's is 1."""
        return self._told.records + 1

    @property
    def fallen(self) -> pl.Series:
        """The numbers, sorted, of rows that were accepted and fail after all, because of the file or stored users."""
        return self._late_rows["row"]

    def fail(self, late: Iterable[Late]) -> None:
        """Let rows fail that were accepted so far."""
        for each in late:
            self._late.append(each)
            self._late_rows = pl.DataFrame({"row": np.union1d(self._late_rows["row"], each.rows["row"])})

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The accepted rows as `Verdict.accepted` has them, a block at a time."""
        late, kept = self._late_rows, self._told.accepted
        for frame in self._judged_again() if kept is None else kept.frames():
            yield frame.join(within(late, frame), on="row", how="anti") if late.height else frame

    def _judged_again(self) -> Iterator[pl.DataFrame]:
        with self.source.open() as file:
            for block in file.blocks():
                yield self._judge.verdict(block).accepted

    def failed(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Yield in parts the failed rows (row, line, cells, import_line) and their reasons, both sorted by row."""
        pairs = zip(self._told.failed.frames(), self._told.reasons.frames(), strict=True)
        if not self._late:
            yield from pairs
            return
        with self.source.open() as file:
            blocks, first = file.blocks(), 0
            for (cells, reasons), ends in zip(pairs, self._told.ends, strict=True):
                # The ends come first: the other way round zip would take a block more and drop it.
                for end, block in zip(ends, blocks, strict=False):
                    for part in pairwise([first, *_cuts(block.frame), end]):
                        yield self._with_late(*(between(each, *part) for each in (block.frame, cells, reasons)))
                    first = end
            if next(blocks, None) is not None:
                message = "the file has more blocks than it had"
                raise ArithmeticError(message)

    def reason_counts(self) -> tuple[ReasonCount, ...]:
        """Count how often each reason occurred, the most frequent first."""
        counted = [_counted(reasons) for reasons in self._told.reasons.frames()]
        total = (
            pl.concat([*counted, *(self._counted_late(late) for late in self._late)])
            .sort("row", maintain_order=True)
            .group_by("code", "column", maintain_order=True)
            .agg(pl.col("count").sum(), pl.col("row", "message").first())
            .sort("count", descending=True, maintain_order=True)
            .head(_LISTED_REASONS)
        )
        return tuple(
            ReasonCount(code=code, column=column, count=count, example_row=row, example=message)
            for code, column, count, row, message in total.iter_rows()
        )

    def _with_late(
        self, frame: pl.DataFrame, cells: pl.DataFrame, reasons: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Failed rows and reasons of a part of a block; the values that failed late are worked out again."""
        late_rows = within(self._late_rows, frame)
        if late_rows.is_empty():
            return cells, reasons
        failing = rows_of(frame, late_rows["row"])
        values = self._judge.validator.values(failing, {late.column for late in self._late})
        told = [
            self._judge.late_reasons(late, values.select("row", pl.col(late.column).alias("value")))
            for late in self._late
        ]
        return pl.concat([cells, self._judge.cells(failing, late_rows["row"])]).sort("row"), in_order([reasons, *told])

    def _counted_late(self, late: Late) -> pl.DataFrame:
        example = self._judge.late_reasons(late, late.rows.select("row", pl.lit(late.example).alias("value")).head(1))
        return _counted(example).with_columns(pl.lit(late.rows.height, pl.get_index_type()).alias("count"))


def _cuts(block: pl.DataFrame) -> list[int]:
    """The rows by which a block is cut in parts: whole blocks of late failures would take memory many times over."""
    return block["row"].gather_every(_PART_ROWS).to_list()[1:]


def _counted(reasons: pl.DataFrame) -> pl.DataFrame:
    return reasons.group_by("code", "column", maintain_order=True).agg(
        pl.len().alias("count"), pl.col("row", "message").first()
    )

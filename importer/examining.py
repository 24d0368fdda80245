"""One file examined: read and judged block by block, then as a whole.

Rows fail early by the format's rules, or late: because an earlier row of the file has the same value, or (told by
storing) because another user has it. Only numbers stay in memory, the hashes of unique values and the rows that fail
late; everything else waits on disk or is read again.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from importer.ahead import ahead
from importer.format import NEVER_IMPORTED, Format, normalised
from importer.header import Header, match_header
from importer.model import Counts, FileRefused, Finding, Progress, ReasonCount, Refusal
from importer.reading import BLOCK_BYTES, Block, Limits, Reject, UserFile, open_user_file
from importer.reasons import row_reason
from importer.spooling import Spool
from importer.translating import translated
from importer.uniqueness import Late, UniqueValues
from importer.validating import FAILURES, Validator, Verdict, failures_frame, in_order, shown

HIDDEN_LINE = "(not shown, because the file has a password column)"

_LISTED_REASONS = 100
_PART_ROWS = 8_000
_TOLD_ROWS, _TOLD_BLOCKS = 2_000, 4
"""How many failing rows wait for their reasons, which for few rows take as long as for many; and those of how many
blocks, as they keep the text of their blocks in memory.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to examine: bytes that nobody else can change, and the name its sender gave them.

    Reasons are told in `language`. `block_bytes` are read at once; it changes nothing but speed.
    """

    path: Path
    name: str
    format: Format
    limits: Limits
    language: str = "en"
    block_bytes: int = BLOCK_BYTES

    def open(self) -> UserFile:
        """Read it from the start.

        Raises:
            FileRefused: it is not a user file at all.
        """
        return open_user_file(
            self.path,
            name=self.name,
            known_names=self.format.known_names,
            limits=self.limits,
            block_bytes=self.block_bytes,
        )


class Judged(NamedTuple):
    """One block's rows: those that are accepted so far, as `Verdict.accepted` has them, and the last one's number."""

    accepted: pl.DataFrame
    last_row: int


class Examination:
    """What becomes of each record of a file, known when all of it is judged.

    A context manager that owns the open file, and files in `spool_directory`.
    """

    def __init__(
        self,
        source: Source,
        file: UserFile,
        header: Header,
        validator: Validator,
        *,
        spool_directory: Path | None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.source = source
        self.header = header
        self.dialect = file.dialect
        self.warnings: tuple[Finding, ...] = ()
        self._file = file
        self._progress = progress
        self._is_judged = False
        self._records = self._early = self._blank = 0
        self._late: list[Late] = []
        self._late_rows = pl.DataFrame(schema={"row": pl.Int64})
        self._validator = validator
        self._spool_directory = spool_directory
        self._unsplit = _unsplit_line(header)
        self._resources = ExitStack()
        self._resources.push(file)
        self._failed, self._reasons = self.spool("failed"), self.spool("reasons")
        self._accepted: Spool | None = None
        self._untold = _Untold()
        self._told: list[list[int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def counts(self) -> Counts:
        """Records, accepted, failed and blank; raises ArithmeticError where they do not add up."""
        failed = self._early + self._late_rows.height
        return Counts(
            records=self._records,
            accepted=self._records - failed - self._blank,
            failed=failed,
            blank=self._blank,
        )

    @property
    def last_row(self) -> int:
        """The last record's number; the header's is 1."""
        return self._records + 1

    def spool(self, name: str) -> Spool:
        """A new place for frames, which lasts as long as the examination."""
        return self._resources.enter_context(_spool(self._spool_directory, name))

    def judge(self, *, keep_accepted: bool = False) -> Iterator[Judged]:
        """Judge the file, block by block; after the last one those rows fail too that repeat a unique value.

        A file that is judged is not judged again: then there are no blocks.

        Args:
            keep_accepted: whether accepted rows wait on disk; otherwise each use of them reads the file again.

        Raises:
            FileRefused: the file as a whole cannot be imported.
            OSError: the disk is full or broken.
        """
        if self._is_judged:
            return
        self._is_judged = True
        if keep_accepted:
            self._accepted = self.spool("accepted")
        unique = UniqueValues(self.source.format, self.header)
        with self._file as file:
            with ahead(file.blocks()) as blocks:
                for block in blocks:
                    accepted = self.add(block)
                    unique.add(accepted)
                    if self._progress is not None:
                        self._progress(Progress(rows=self._records, read=file.bytes_read, total=file.total_bytes))
                    yield Judged(accepted, self.last_row)
            self.tell()
            self.warnings = (*file.warnings, *self.header.warnings, *self._validator.warnings)
        with _spool(self._spool_directory, "unique") as suspects:
            self.fail(unique.duplicates(self.accepted, suspects))

    def finish(self, *, keep_accepted: bool = False) -> None:
        """Judge all of it, as `judge` does, unless that was done."""
        for _ in self.judge(keep_accepted=keep_accepted):
            pass

    def add(self, block: Block) -> pl.DataFrame:
        """Judge one block; returns its accepted rows. After the last one `tell` is due."""
        verdict = self._judge(block)
        if self._accepted is not None:
            self._accepted.append(verdict.accepted)
        self._records += block.frame.height + len(block.rejects) + block.blank
        self._early += verdict.failing.height + len(block.rejects)
        self._blank += block.blank
        if verdict.accepted.height + verdict.failing.height != block.frame.height:
            message = f"{block.frame.height} rows were judged as {verdict.accepted.height} + {verdict.failing.height}"
            raise ArithmeticError(message)
        self._untold.ends.append(self.last_row + 1)
        self._untold.failing.append(verdict.failing)
        self._untold.cells.append(self._cells(block.frame, verdict.failing["row"]))
        self._untold.rejects += block.rejects
        if self._untold.rows >= _TOLD_ROWS or len(self._untold.ends) >= _TOLD_BLOCKS:
            self.tell()
        return verdict.accepted

    def tell(self) -> None:
        """Work out why the rows fail that failed since the last time."""
        untold, self._untold = self._untold, _Untold()
        if not untold.ends:
            return
        told = self._validator.failures(untold.failing)
        reasons = in_order([told, _reject_reasons(untold.rejects, self.source.language)])
        cells = pl.concat([*untold.cells, self._rejected(untold.rejects)]).sort("row")
        if reasons["row"].n_unique() != cells.height:
            message = f"{cells.height} rows failed and {reasons['row'].n_unique()} have reasons"
            raise ArithmeticError(message)
        self._failed.append(cells)
        self._reasons.append(reasons)
        self._told.append(untold.ends)

    def fail(self, late: Iterable[Late]) -> None:
        """Let rows fail that were accepted so far."""
        for each in late:
            self._late.append(each)
            self._late_rows = pl.DataFrame({"row": np.union1d(self._late_rows["row"], each.rows["row"])})

    @property
    def columns(self) -> list[str]:
        """What `accepted` has."""
        return self._validator.stored

    @property
    def expected(self) -> int:
        """About how many records there are, accepted or not."""
        return self._file.expected_records

    @property
    def height(self) -> int:
        """How many rows are accepted."""
        return self.counts.accepted

    @property
    def fallen(self) -> pl.Series:
        """Rows that were accepted and fail after all, because of the file or of stored users; sorted."""
        return self._late_rows["row"]

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The accepted rows as `Verdict.accepted` has them, a block at a time.

        Where the file is not judged yet it is now, see `judge`, and the rows that fail late are among them this time.
        """
        if not self._is_judged:
            yield from (block.accepted for block in self.judge())
            return
        late = self._late_rows
        for frame in self._judged_again() if self._accepted is None else self._accepted.frames():
            yield frame.join(_within(late, frame), on="row", how="anti") if late.height else frame

    def _judged_again(self) -> Iterator[pl.DataFrame]:
        with self.source.open() as file:
            for block in file.blocks():
                yield self._judge(block).accepted

    def failed(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Part by part the failed rows (row, line, cells, import_line) and their reasons, both sorted by row."""
        pairs = zip(self._failed.frames(), self._reasons.frames(), strict=True)
        if not self._late:
            yield from pairs
            return
        with self.source.open() as file:
            blocks, first = file.blocks(), 0
            for (cells, reasons), ends in zip(pairs, self._told, strict=True):
                # The ends come first: the other way round zip would take a block more and drop it.
                for end, block in zip(ends, blocks, strict=False):
                    for part in pairwise([first, *_cuts(block.frame), end]):
                        yield self._with_late(*(_between(each, *part) for each in (block.frame, cells, reasons)))
                    first = end
            if next(blocks, None) is not None:
                message = "the file has more blocks than it had"
                raise ArithmeticError(message)

    def reason_counts(self) -> tuple[ReasonCount, ...]:
        """How often each reason occurred, the most frequent first."""
        counted = [_counted(reasons) for reasons in self._reasons.frames()]
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
        late_rows = _within(self._late_rows, frame)
        if late_rows.is_empty():
            return cells, reasons
        failing = _rows(frame, late_rows["row"])
        values = self._validator.values(failing, {late.column for late in self._late})
        told = [self._reasons_of(late, values.select("row", pl.col(late.column).alias("value"))) for late in self._late]
        return pl.concat([cells, self._cells(failing, late_rows["row"])]).sort("row"), in_order([reasons, *told])

    def _counted_late(self, late: Late) -> pl.DataFrame:
        example = self._reasons_of(late, late.rows.select("row", pl.lit(late.example).alias("value")).head(1))
        return _counted(example).with_columns(pl.lit(late.rows.height, pl.get_index_type()).alias("count"))

    def _reasons_of(self, late: Late, values: pl.DataFrame) -> pl.DataFrame:
        """A failures frame of those late failures whose row and value are given."""
        failing = _within(late.rows, values).join(values, on="row")
        facts = {"value": shown(pl.col("value")), "row": pl.col("first").cast(pl.String)}
        message = self._validator.sentence(late.kind, late.column, facts)
        position = [column.name for column in self.source.format.columns].index(late.column)
        return failures_frame(failing, late.kind, late.column, position, message)

    def _judge(self, block: Block) -> Verdict:
        return self._validator.validate(
            block.frame,
            with_controls=block.with_controls,
            may_need_trimming=block.may_need_trimming,
            may_clear=block.may_clear,
        )

    def _cells(self, frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
        """Those rows of a block as the sender wrote them, without what is never reported."""
        return _rows(frame, rows).select(
            "row",
            "line",
            *(f"c{index}" for index in self.header.reported),
            self._unsplit.alias("import_line"),
        )

    def _rejected(self, rejects: Sequence[Reject]) -> pl.DataFrame:
        names = {normalised(name) for name in self.header.names}
        hidden = any(normalised(name) in names for name in NEVER_IMPORTED)
        cells = [f"c{index}" for index in self.header.reported]
        return pl.DataFrame(
            {
                "row": [reject.row for reject in rejects],
                "line": [reject.line for reject in rejects],
                **{cell: [None] * len(rejects) for cell in cells},
                "import_line": [
                    translated(HIDDEN_LINE, self.source.language) if hidden else _without_nul(reject.text)
                    for reject in rejects
                ],
            },
            schema={"row": pl.Int64, "line": pl.Int64, **dict.fromkeys([*cells, "import_line"], pl.String)},
        )


@dataclass(slots=True)
class _Untold:
    """What failed in some blocks, before the reasons are worked out; `ends` are the rows that the blocks end before."""

    ends: list[int] = field(default_factory=list)
    failing: list[pl.DataFrame] = field(default_factory=list)
    cells: list[pl.DataFrame] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.rejects) + sum(frame.height for frame in self.failing)


def _rows(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Those rows of a frame that has them all; both are sorted by row."""
    return frame[frame["row"].search_sorted(rows)]


def _cuts(block: pl.DataFrame) -> list[int]:
    """Rows by which a block is cut in parts: whole blocks of late failures would take memory many times over."""
    return block["row"].gather_every(_PART_ROWS).to_list()[1:]


def _between(frame: pl.DataFrame, first: int, end: int) -> pl.DataFrame:
    """The lines of a frame, sorted by row, from one row up to another that is left out."""
    start = frame["row"].search_sorted(first, side="left")
    return frame.slice(start, frame["row"].search_sorted(end, side="left") - start)


def _within(rows: pl.DataFrame, block: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows that lie between the first and the last row of a block; both are sorted by row."""
    return rows.clear() if block.is_empty() else _between(rows, block["row"][0], block["row"][-1] + 1)


def begin_examination(
    source: Source,
    *,
    today: dt.date,
    spool_directory: Path | None,
    progress: Callable[[Progress], None] | None = None,
) -> Examination:
    """Open a file that is to be judged.

    Args:
        source: what to examine.
        today: dates of birth are not after it.
        spool_directory: an empty directory of the caller's, on a disk with room for the file twice; None for a small
            file, which memory has room for.
        progress: told after each block.

    Raises:
        FileRefused: the file as a whole cannot be imported.
    """
    with ExitStack() as on_error:
        file = on_error.enter_context(source.open())
        header = match_header(file.header, source.format)
        if isinstance(header, Refusal):
            raise FileRefused(header)
        validator = Validator(source.format, header, today=today, language=source.language)
        examination = Examination(source, file, header, validator, spool_directory=spool_directory, progress=progress)
        on_error.pop_all()
    return examination


def examine(
    source: Source,
    *,
    today: dt.date,
    spool_directory: Path | None,
    keep_accepted: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Examination:
    """Open a file and judge it; arguments and errors are those of `begin_examination` and `Examination.judge`."""
    with ExitStack() as on_error:
        examination = on_error.enter_context(
            begin_examination(source, today=today, spool_directory=spool_directory, progress=progress)
        )
        examination.finish(keep_accepted=keep_accepted)
        on_error.pop_all()
    return examination


def _spool(directory: Path | None, name: str) -> Spool:
    return Spool(None if directory is None else directory / name)


def _without_nul(text: str) -> str:
    r"""The text with NUL as `\x00`, like all that is no text: left as it is, it would fail the corrected row again."""
    return text.replace("\0", r"\x00")


def _unsplit_line(header: Header) -> pl.Expr:
    """What an earlier report said of a row that could not be split; it stays until the row is corrected."""
    names = [normalised(name) for name in header.names]
    if normalised("import_line") not in names:
        return pl.lit(None, pl.String)
    cell = pl.col(f"c{names.index(normalised('import_line'))}")
    return pl.when(cell != "").then(cell)


def _reject_reasons(rejects: Sequence[Reject], language: str) -> pl.DataFrame:
    found = [(reject.row, row_reason(reject.kind, reject.facts, language)) for reject in rejects]
    rows = [(row, -1, reason.code, None, reason.message) for row, reason in found]
    return pl.DataFrame(rows, schema=FAILURES, orient="row")


def _counted(reasons: pl.DataFrame) -> pl.DataFrame:
    return reasons.group_by("code", "column", maintain_order=True).agg(
        pl.len().alias("count"), pl.col("row", "message").first()
    )

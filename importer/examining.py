"""One file examined: read and judged block by block, then as a whole.

Rows fail early by the format's rules, or late: because an earlier row of the file has the same value, or (told by
storing) because another user has it. Only hashes of unique values stay in memory; everything else waits on disk.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from importer.dialect import Dialect
from importer.format import CLEAR, NEVER_IMPORTED, Format, comparison_column, normalised
from importer.header import Header, match_header
from importer.model import Counts, FileRefused, Finding, ReasonCount, Refusal
from importer.reading import BLOCK_BYTES, Block, Limits, Reject, UserFile, open_user_file
from importer.reasons import row_reason
from importer.spooling import Spool
from importer.validating import FAILURES, Validator, Verdict, failures_frame, in_order, sentence, shown

HIDDEN_LINE = "(not shown, because the file has a password column)"

_LISTED_REASONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to examine: bytes that nobody else can change, and the name its sender gave them.

    `block_bytes` are read at once; it changes nothing but speed.
    """

    path: Path
    name: str
    format: Format
    limits: Limits
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


class Examination:
    """What became of each record of a file. A context manager that owns files in `spool_directory`."""

    def __init__(
        self,
        source: Source,
        header: Header,
        dialect: Dialect,
        validator: Validator,
        *,
        spool_directory: Path,
        keep_accepted: bool,
    ) -> None:
        self.source = source
        self.header = header
        self.dialect = dialect
        self.warnings: tuple[Finding, ...] = ()
        self._records = self._early = self._blank = 0
        self._late = pl.DataFrame(schema=FAILURES)
        self._validator = validator
        self._unsplit = _unsplit_line(header)
        self._resources = ExitStack()
        self._failed, self._reasons = (
            self._resources.enter_context(Spool(spool_directory / name)) for name in ("failed", "reasons")
        )
        self._accepted: Spool | None = None
        if keep_accepted:
            self._accepted = self._resources.enter_context(Spool(spool_directory / "accepted"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def counts(self) -> Counts:
        """Records, accepted, failed and blank; raises ArithmeticError where they do not add up."""
        failed = self._early + self._late["row"].n_unique()
        return Counts(
            records=self._records,
            accepted=self._records - failed - self._blank,
            failed=failed,
            blank=self._blank,
        )

    def add(self, block: Block) -> pl.DataFrame:
        """Judge one block; returns its accepted rows."""
        verdict = self._judge(block)
        reasons = in_order([verdict.failures, _reject_reasons(block.rejects)])
        failed_rows = reasons.select("row").unique()
        cells = pl.concat([self._cells(block.frame, failed_rows), self._rejected(block.rejects)]).sort("row")
        if self._accepted is not None:
            self._accepted.append(verdict.accepted)
        self._failed.append(cells)
        self._reasons.append(reasons)
        self._records += block.frame.height + len(block.rejects) + block.blank
        self._early += failed_rows.height
        self._blank += block.blank
        if verdict.accepted.height + failed_rows.height != block.frame.height + len(block.rejects):
            message = f"{block.frame.height} rows were judged as {verdict.accepted.height} + {failed_rows.height}"
            raise ArithmeticError(message)
        return verdict.accepted

    def fail(self, failures: pl.DataFrame) -> None:
        """Let rows fail that were accepted so far; `failures` has the schema FAILURES."""
        self._late = in_order([self._late, failures])

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The accepted rows as `Verdict.accepted` has them, a block at a time."""
        late = self._late.select("row").unique()
        for frame in self._judged_again() if self._accepted is None else self._accepted.frames():
            yield frame.join(late, on="row", how="anti") if late.height else frame

    def _judged_again(self) -> Iterator[pl.DataFrame]:
        with self.source.open() as file:
            for block in file.blocks():
                yield self._judge(block).accepted

    def failed(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """For each block its failed rows (row, line, cells, import_line) and their reasons, both sorted by row."""
        pairs = zip(self._failed.frames(), self._reasons.frames(), strict=True)
        if self._late.is_empty():
            yield from pairs
            return
        late_rows = self._late.select("row").unique()
        with self.source.open() as file:
            for block, (cells, reasons) in zip(file.blocks(), pairs, strict=True):
                late_cells = self._cells(block.frame, late_rows)
                late_reasons = self._late.join(late_cells.select("row"), on="row", how="semi")
                yield pl.concat([cells, late_cells]).sort("row"), in_order([reasons, late_reasons])

    def reason_counts(self) -> tuple[ReasonCount, ...]:
        """How often each reason occurred, the most frequent first."""
        counted = [_counted(reasons) for reasons in (*self._reasons.frames(), self._late)]
        total = (
            pl.concat(counted)
            .sort("row")
            .group_by("code", "column", maintain_order=True)
            .agg(pl.col("count").sum(), pl.col("row", "message").first())
            .sort("count", descending=True, maintain_order=True)
            .head(_LISTED_REASONS)
        )
        return tuple(
            ReasonCount(code=code, column=column, count=count, example_row=row, example=message)
            for code, column, count, row, message in total.iter_rows()
        )

    def _judge(self, block: Block) -> Verdict:
        return self._validator.validate(block.frame, may_hold_controls=block.may_hold_controls)

    def _cells(self, frame: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Those rows of a block as the sender wrote them, without what is never reported."""
        return frame.join(rows, on="row", how="semi").select(
            "row",
            "line",
            *(f"c{index}" for index in self.header.reported),
            self._unsplit.alias("import_line"),
        )

    def _rejected(self, rejects: tuple[Reject, ...]) -> pl.DataFrame:
        names = {normalised(name) for name in self.header.names}
        hidden = any(normalised(name) in names for name in NEVER_IMPORTED)
        cells = [f"c{index}" for index in self.header.reported]
        return pl.DataFrame(
            {
                "row": [reject.row for reject in rejects],
                "line": [reject.line for reject in rejects],
                **{cell: [None] * len(rejects) for cell in cells},
                "import_line": [HIDDEN_LINE if hidden else _without_nul(reject.text) for reject in rejects],
            },
            schema={"row": pl.Int64, "line": pl.Int64, **dict.fromkeys([*cells, "import_line"], pl.String)},
        )


class _UniqueValues:
    """Finds values that occur twice in a file: by their hashes, 8 bytes a value, and then exactly, from the disk."""

    def __init__(self, format_: Format, header: Header, spool: Spool) -> None:
        self._format = format_
        self._header = header
        self._compared = {
            column.name: comparison_column(column.name) if column.kind == "email" else column.name
            for column in format_.columns
            if (column.unique or column.name == format_.key) and column.name in header.positions
        }
        self._spool = spool
        self._hashes: dict[str, list[NDArray[np.uint64]]] = {name: [] for name in self._compared}

    def add(self, accepted: pl.DataFrame) -> None:
        """Note the values of one block's accepted rows."""
        self._spool.append(accepted.select("row", *{*self._compared, *self._compared.values()}))
        for name, compared in self._compared.items():
            self._hashes[name].append(accepted.filter(_holds_value(compared))[compared].hash().to_numpy())

    def duplicates(self) -> pl.DataFrame:
        """A failures frame: every row whose value an earlier row has."""
        repeated = {name: found for name in self._compared if (found := self._repeated_hashes(name)).len()}
        if not repeated:
            return pl.DataFrame(schema=FAILURES)
        suspects: dict[str, list[pl.DataFrame]] = {name: [] for name in repeated}
        for frame in self._spool.frames():
            for name, hashes in repeated.items():
                suspects[name].append(self._suspects(frame, name, hashes))
        return in_order([self._later(name, pl.concat(frames)) for name, frames in suspects.items()])

    def _repeated_hashes(self, name: str) -> pl.Series:
        hashes = np.concatenate(self._hashes.pop(name))
        hashes.sort()
        return pl.Series(hashes[1:][hashes[1:] == hashes[:-1]]).unique()

    def _suspects(self, values: pl.DataFrame, name: str, hashes: pl.Series) -> pl.DataFrame:
        """Rows that have the hash of another row: nearly always the value as well."""
        compared = self._compared[name]
        return values.filter(_holds_value(compared) & pl.col(compared).hash().is_in(hashes.implode())).select(
            "row", pl.col(compared).alias("compared"), pl.col(name).alias("value")
        )

    def _later(self, name: str, rows: pl.DataFrame) -> pl.DataFrame:
        first = pl.col("row").min().over("compared")
        later = rows.with_columns(first.alias("first")).filter(pl.col("row") != pl.col("first"))
        facts = {"value": shown(pl.col("value")), "row": pl.col("first").cast(pl.String)}
        message = sentence("duplicate_in_file", self._header.label(name), facts)
        position = [column.name for column in self._format.columns].index(name)
        return failures_frame(later, "duplicate_in_file", name, position, message)


def _holds_value(column: str) -> pl.Expr:
    value = pl.col(column)
    return value.is_not_null() & (value != CLEAR)


def examine(
    source: Source,
    *,
    today: dt.date,
    spool_directory: Path,
    keep_accepted: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """Read and judge a file.

    Args:
        source: what to examine.
        today: dates of birth are not after it.
        spool_directory: an empty directory of the caller's, on a disk with room for the file twice.
        keep_accepted: whether accepted rows wait on disk; otherwise each use of them reads the file again.
        progress: told the bytes read so far and the bytes in all, after each block.

    Raises:
        FileRefused: the file as a whole cannot be imported.
        OSError: the disk is full or broken.
    """
    with (
        source.open() as file,
        Spool(spool_directory / "unique", is_compressed=False) as values,
        ExitStack() as on_error,
    ):
        header = match_header(file.header, source.format)
        if isinstance(header, Refusal):
            raise FileRefused(header)
        validator = Validator(source.format, header, today=today)
        examination = Examination(
            source, header, file.dialect, validator, spool_directory=spool_directory, keep_accepted=keep_accepted
        )
        on_error.enter_context(examination)
        unique = _UniqueValues(source.format, header, values)
        for _ in _one_ahead(file.blocks(), lambda block: unique.add(examination.add(block))):
            if progress is not None:
                progress(file.bytes_read, file.total_bytes)
        examination.warnings = (*file.warnings, *header.warnings, *validator.warnings)
        examination.fail(unique.duplicates())
        on_error.pop_all()
    return examination


def _one_ahead(blocks: Iterator[Block], judge: Callable[[Block], None]) -> Iterator[None]:
    """Judge each block on another thread while the next one is read."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge") as thread:
        before: Future[None] | None = None
        for block in blocks:
            if before is not None:
                yield before.result()
            before = thread.submit(judge, block)
        if before is not None:
            yield before.result()


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


def _reject_reasons(rejects: tuple[Reject, ...]) -> pl.DataFrame:
    found = [(reject.row, row_reason(reject.kind, reject.facts)) for reject in rejects]
    rows = [(row, -1, reason.code, None, reason.message) for row, reason in found]
    return pl.DataFrame(rows, schema=FAILURES, orient="row")


def _counted(reasons: pl.DataFrame) -> pl.DataFrame:
    return reasons.group_by("code", "column", maintain_order=True).agg(
        pl.len().alias("count"), pl.col("row", "message").first()
    )

"""The examination of one file: it is read and judged block by block, then as a whole.

Rows fail early by the format's rules, or late: because an earlier row of the file has the same value, or (told by
storing) because another user has it. Only numbers stay in memory, the hashes of unique values and the rows that fail
late; everything else waits on disk or is read again. What is known only when all of a file is judged is asked of what
`Judging.finish` returns.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import polars as pl

from importer.formats.header import Header, match_header
from importer.judging.brevity import is_unreadable, surplus
from importer.judging.judge import Judge, Source
from importer.judging.judged import Judged, Told
from importer.judging.spooling import Spool
from importer.judging.uniqueness import UniqueValues
from importer.judging.validating import Validator, in_order
from importer.model import FileRefused, Progress, Refusal
from importer.prefetch import ahead
from importer.reading.user_file import Block, Reject, UserFile
from importer.words.reasons import refusal

_TOLD_ROWS, _TOLD_BLOCKS = 2_000, 4
"""The numbers of failing rows, and of their blocks, that wait for reasons: these take as long for few rows as for many,
but waiting rows keep the text of their blocks in memory.
"""


class JudgedBlock(NamedTuple):
    """A judged block: its rows that are accepted so far, as `Verdict.accepted` has them, and the last row's number."""

    accepted: pl.DataFrame
    last_row: int


class Judging:
    """A file that is being judged; a context manager that owns the open file, and files in `spool_directory`.

    Attributes:
        source: the file.
        header: its columns.
    """

    def __init__(
        self,
        judge: Judge,
        file: UserFile,
        *,
        spool_directory: Path | None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.source: Source = judge.source
        self.header: Header = judge.header
        self._judge = judge
        self._file = file
        self._progress = progress
        self._has_begun = False
        self._judged: Judged | None = None
        self._records = self._early = self._blank = self._unreadable = self._surplus = 0
        self._spool_directory = spool_directory
        self._resources = ExitStack()
        self._resources.push(file)
        self._failed, self._reasons = (
            self._resources.enter_context(_spool(spool_directory, name, "zstd")) for name in ("failed", "reasons")
        )
        self._accepted: Spool | None = None
        self._untold = _Untold()
        self._ends: list[list[int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def columns(self) -> list[str]:
        """The columns of the frames of `accepted`."""
        return self._judge.validator.stored

    @property
    def expected(self) -> int:
        """The rough number of records, accepted or not."""
        return self._file.expected_records

    def spool(self, name: str) -> Spool:
        """A new place for frames, which lasts as long as the judging."""
        return self._resources.enter_context(_spool(self._spool_directory, name))

    def blocks(self, *, keep_accepted: bool = False) -> Iterator[JudgedBlock]:
        """Judge the file, block by block; after the last one those rows fail too that repeat a unique value.

        Args:
            keep_accepted: whether accepted rows wait on disk; otherwise each use of them reads the file again.

        Raises:
            FileRefused: the file as a whole cannot be imported.
            OSError: the disk is full or broken.
        """
        self._has_begun = True
        if keep_accepted:
            self._accepted = self.spool("accepted")
        unique = UniqueValues(self.source.format, self.header)
        with self._file as file:
            with ahead(file.blocks()) as blocks:
                for block in blocks:
                    accepted = self._add(block)
                    unique.add(accepted)
                    if self._progress is not None:
                        self._progress(Progress(rows=self._records, read=file.bytes_read, total=file.total_bytes))
                    yield JudgedBlock(accepted, self._records + 1)
            self._tell()
            judged = Judged(self._judge, self._told())
        with _spool(self._spool_directory, "unique") as suspects:
            judged.fail(unique.duplicates(judged.accepted, suspects))
        self._judged = judged

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The rows of `blocks`: those that fail late are among them."""
        return (block.accepted for block in self.blocks())

    def finish(self, *, keep_accepted: bool = False) -> Judged:
        """The file judged: now, as `blocks` does, unless all of them were taken before.

        Raises:
            FileRefused: the file as a whole cannot be imported.
            OSError: the disk is full or broken.
        """
        if not self._has_begun:
            for _ in self.blocks(keep_accepted=keep_accepted):
                pass
        if self._judged is None:
            message = "not all of the file's blocks were taken"
            raise ArithmeticError(message)
        return self._judged

    def _told(self) -> Told:
        return Told(
            dialect=self._file.dialect,
            size=self._file.total_bytes,
            expanded_size=self._file.expanded_bytes,
            warnings=(*self._file.warnings, *self.header.warnings, *self._judge.validator.warnings),
            records=self._records,
            early=self._early,
            blank=self._blank,
            failed=self._failed,
            reasons=self._reasons,
            ends=self._ends,
            accepted=self._accepted,
            columns=self.columns,
            expected=self.expected,
            spool=self.spool,
        )

    def _add(self, block: Block) -> pl.DataFrame:
        """Judge one block; returns its accepted rows. After the last one `_tell` is due."""
        verdict = self._judge.verdict(block)
        if self._accepted is not None:
            self._accepted.append(verdict.accepted)
        self._records += block.frame.height + len(block.rejects) + block.blank
        self._early += verdict.failing.height + len(block.rejects)
        self._count_unreadable(block.rejects)
        self._blank += block.blank
        if verdict.accepted.height + verdict.failing.height != block.frame.height:
            message = f"{block.frame.height} rows were judged as {verdict.accepted.height} + {verdict.failing.height}"
            raise ArithmeticError(message)
        self._untold.ends.append(self._records + 2)
        self._untold.failing.append(verdict.failing)
        self._untold.cells.append(self._judge.cells(block.frame, verdict.failing["row"]))
        self._untold.rejects += block.rejects
        if self._untold.rows >= _TOLD_ROWS or len(self._untold.ends) >= _TOLD_BLOCKS:
            self._tell()
        return verdict.accepted

    def _count_unreadable(self, rejects: Sequence[Reject]) -> None:
        self._unreadable += len(rejects)
        self._surplus += sum(surplus(len(self.header.reported), len(reject.text)) for reject in rejects)
        if is_unreadable(self._unreadable, self._records, self._surplus, self._file.expanded_bytes):
            raise FileRefused(refusal("too_many_unreadable", rows=f"{self._unreadable:,}"))

    def _tell(self) -> None:
        """Work out why the rows fail that failed since the last time."""
        untold, self._untold = self._untold, _Untold()
        if not untold.ends:
            return
        told = self._judge.validator.failures(untold.failing)
        reasons = in_order([told, self._judge.reject_reasons(untold.rejects)])
        cells = pl.concat([*untold.cells, self._judge.rejected(untold.rejects)]).sort("row")
        if reasons["row"].n_unique() != cells.height:
            message = f"{cells.height} rows failed and {reasons['row'].n_unique()} have reasons"
            raise ArithmeticError(message)
        self._failed.append(cells)
        self._reasons.append(reasons)
        self._ends.append(untold.ends)


@dataclass(slots=True)
class _Untold:
    """The failures of some blocks, before the reasons are worked out; `ends` are the rows before which blocks end."""

    ends: list[int] = field(default_factory=list)
    failing: list[pl.DataFrame] = field(default_factory=list)
    cells: list[pl.DataFrame] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.rejects) + sum(frame.height for frame in self.failing)


def begin_judging(
    source: Source,
    *,
    today: dt.date,
    spool_directory: Path | None,
    progress: Callable[[Progress], None] | None = None,
) -> Judging:
    """Open a file that is to be judged.

    Args:
        source: the file to examine.
        today: the date after which no date of birth may lie.
        spool_directory: an empty directory of the caller's, on a disk with room for the file twice; None for a small
            file, which memory has room for.
        progress: is told of the progress after each block.

    Raises:
        FileRefused: the file as a whole cannot be imported.
    """
    with ExitStack() as on_error:
        file = on_error.enter_context(source.open())
        header = match_header(file.header, source.format)
        if isinstance(header, Refusal):
            raise FileRefused(header)
        validator = Validator(source.format, header, today=today, language=source.language)
        judge = Judge(source, header, validator)
        judging = Judging(judge, file, spool_directory=spool_directory, progress=progress)
        on_error.pop_all()
    return judging


@contextmanager
def examine(
    source: Source,
    *,
    today: dt.date,
    spool_directory: Path | None,
    keep_accepted: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Judged]:
    """Open a file and judge it; arguments and errors are those of `begin_judging` and `Judging.finish`."""
    with begin_judging(source, today=today, spool_directory=spool_directory, progress=progress) as judging:
        yield judging.finish(keep_accepted=keep_accepted)


def _spool(directory: Path | None, name: str, compression: Literal["lz4", "zstd"] = "lz4") -> Spool:
    return Spool(None if directory is None else directory / name, compression)

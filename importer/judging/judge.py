"""The judge of a file's blocks, who decides the same whenever a block is read, and tells why rows fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl

from importer.formats.columns import Format, normalised
from importer.formats.header import Header
from importer.judging.uniqueness import Late
from importer.judging.validating import FAILURES, Validator, Verdict, failures_frame, shown
from importer.reading.user_file import BLOCK_BYTES, Block, Limits, Reject, UserFile, open_user_file
from importer.words.reasons import row_reason
from importer.words.translating import translated

HIDDEN_LINE = "(not shown, because the file has a password column)"


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
        """Read the file from the start.

        Raises:
            FileRefused: the file is not a user file at all.
        """
        return open_user_file(
            self.path,
            name=self.name,
            known_names=self.format.known_names,
            limits=self.limits,
            block_bytes=self.block_bytes,
        )


class Judge:
    """Judges the blocks of a file."""

    def __init__(self, source: Source, header: Header, validator: Validator) -> None:
        self.source = source
        self.header = header
        self.validator = validator
        self._unsplit = _unsplit_line(header)

    def verdict(self, block: Block) -> Verdict:
        """Decide what becomes of the rows of a block that could be read."""
        return self.validator.validate(
            block.frame,
            with_controls=block.with_controls,
            may_need_trimming=block.may_need_trimming,
            may_clear=block.may_clear,
        )

    def cells(self, frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
        """The given rows of a block as the sender wrote them, without what is never reported."""
        return rows_of(frame, rows).select(
            "row",
            "line",
            *(f"c{index}" for index in self.header.reported),
            self._unsplit.alias("import_line"),
        )

    def rejected(self, rejects: Sequence[Reject]) -> pl.DataFrame:
        """Records that could not be read, in the columns of `cells`; their cells are empty."""
        hidden = self.header.has_passwords
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

    def reject_reasons(self, rejects: Sequence[Reject]) -> pl.DataFrame:
        """A failures frame of records that could not be read."""
        # Most of those that are many are alike.
        language = self.source.language
        told = cache(lambda kind, facts: row_reason(kind, dict(facts), language))
        found = [(reject.row, told(reject.kind, (*reject.facts.items(),))) for reject in rejects]
        rows = [(row, -1, reason.code, None, reason.message) for row, reason in found]
        return pl.DataFrame(rows, schema=FAILURES, orient="row")

    def late_reasons(self, late: Late, values: pl.DataFrame) -> pl.DataFrame:
        """Make a failures frame of the late failures whose row and value are given."""
        failing = within(late.rows, values).join(values, on="row")
        facts = {"value": shown(pl.col("value")), "row": pl.col("first").cast(pl.String)}
        message = self.validator.sentence(late.kind, late.column, facts)
        position = [column.name for column in self.source.format.columns].index(late.column)
        return failures_frame(failing, late.kind, late.column, position, message)


def rows_of(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """The given rows of a frame that has them all; both are sorted by row."""
    return frame[frame["row"].search_sorted(rows)]


def between(frame: pl.DataFrame, first: int, end: int) -> pl.DataFrame:
    """The lines of a frame, sorted by row, from one row up to another that is left out."""
    start = frame["row"].search_sorted(first, side="left")
    return frame.slice(start, frame["row"].search_sorted(end, side="left") - start)


def within(rows: pl.DataFrame, block: pl.DataFrame) -> pl.DataFrame:
    """The rows that lie between the first and the last row of a block; both are sorted by row."""
    return rows.clear() if block.is_empty() else between(rows, block["row"][0], block["row"][-1] + 1)


def _without_nul(text: str) -> str:
    r"""The text with NUL as `\x00`, like all that is no text: left as it is, it would fail the corrected row again."""
    return text.replace("\0", r"\x00")


def _unsplit_line(header: Header) -> pl.Expr:
    """The line that an earlier report gave for a row that could not be split; it stays until the row is corrected."""
    names = [normalised(name) for name in header.names]
    if normalised("import_line") not in names:
        return pl.lit(None, pl.String)
    cell = pl.col(f"c{names.index(normalised('import_line'))}")
    return pl.when(cell != "").then(cell)

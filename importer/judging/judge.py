"""The judge of a file's blocks, who decides the same whenever a block is read, and tells why rows fail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import polars as pl

from importer.formats.code_pages import CodePage
from importer.formats.columns import Format
from importer.formats.header import Header
from importer.formats.names import normalised
from importer.judging.returning import CLAIMS, HIDDEN_LINE, Returning, is_returned
from importer.judging.shifting import nothing_is_shifted
from importer.judging.uniqueness import Late
from importer.judging.validating import FAILURES, Validator, Verdict, failures_frame, in_order, shown
from importer.reading.nobodies import expected_of
from importer.reading.user_file import BLOCK_BYTES, Block, Limits, Reject, UserFile, open_user_file
from importer.words.reasons import ROW_SENTENCES, row_reason, said
from importer.words.reasons import shown as shown_text
from importer.words.translating import number_in, translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to examine: bytes that nobody else can change, and the name its sender gave them.

    Reasons are told in `language`. Where it is not UTF-8, it is in `code_page`. `block_bytes` are read at once; it
    changes nothing but speed.
    """

    path: Path
    name: str
    format: Format
    limits: Limits
    language: str = "en"
    code_page: CodePage = CodePage.AUTO
    block_bytes: int = BLOCK_BYTES

    def open(self) -> UserFile:
        """Read the file from the start.

        Raises:
            FileRefused: the file is not a user file at all.
        """
        return open_user_file(
            self.path,
            name=self.name,
            header_names=self.format.header_names,
            limits=self.limits,
            code_page=self.code_page,
            block_bytes=self.block_bytes,
            expected=expected_of(self.format),
            proves=nothing_is_shifted(self.format),
        )


class Judge:
    """Judges the blocks of a file."""

    def __init__(self, source: Source, header: Header, validator: Validator) -> None:
        self.source = source
        self.header = header
        self.validator = validator
        self._unsplit = _unsplit_line(header)
        returned = is_returned(header.names)
        self._returning = Returning(source.format, header, source.language) if returned else None

    def blocks(self, file: UserFile) -> Iterator[Block]:
        """Read a file block by block; lines of a report that were corrected are split into their cells."""
        return file.blocks() if self._returning is None else map(self._returning.reread, file.blocks())

    def claims(self, block: Block) -> pl.DataFrame:
        """The rows that come back from a report with the claim of that one, as CLAIMS describes them."""
        return pl.DataFrame(schema=CLAIMS) if self._returning is None else self._returning.claims(block.frame)

    def verdict(self, block: Block) -> Verdict:
        """Decide what becomes of the rows of a block that could be read."""
        if self._returning is None:
            return self._validated(block, block.frame)
        unread = self._returning.unread(block.frame)
        frame = _without(block.frame, unread)
        verdict = self._validated(block, frame)
        losers = self._returning.losers(frame, verdict.accepted)
        return replace(verdict, accepted=_without(verdict.accepted, losers), again=in_order([unread, losers]))

    def _validated(self, block: Block, frame: pl.DataFrame) -> Verdict:
        return self.validator.validate(
            frame,
            with_controls=block.with_controls,
            may_need_trimming=block.may_need_trimming,
            may_clear=block.may_clear,
            odd=block.odd,
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
        told = cache(lambda kind, facts: self._said(kind, dict(facts)))
        found = [(reject.row, reject.kind, told(reject.kind, (*reject.facts.items(),))) for reject in rejects]
        rows = [(row, -1, kind.partition(".")[0], None, message) for row, kind, message in found]
        return pl.DataFrame(rows, schema=FAILURES, orient="row")

    def _said(self, kind: str, facts: dict[str, object]) -> str:
        """The sentence about a record that could not be read; of too large a cell it names the column."""
        language, (position, length) = self.source.language, (facts.get("position"), facts.get("length"))
        if not isinstance(position, int) or not isinstance(length, int):
            return row_reason(kind, facts, language).message
        column = next((name for name, at in self.header.positions.items() if at == position), None)
        most = None if column is None else self.source.format.column(column).max_length
        label = shown_text(self.header.names[position]) if column is None else self.header.label(column)
        if most is None:
            sentence, limit = ROW_SENTENCES["too_large.cell"], facts["limit"]
        else:
            sentence, limit = ROW_SENTENCES["too_long"], number_in(most, language)
        return said(sentence, {"column": label, "length": number_in(length, language), "limit": limit}, language)

    def late_reasons(self, late: Late, values: pl.DataFrame) -> pl.DataFrame:
        """Make a failures frame of the late failures whose row, and value where it is at fault, are given."""
        failing = within(late.rows, values).join(values, on="row")
        facts = {name: pl.col(name) for name in failing.columns if name != "row"}
        if "value" in facts:
            facts["value"] = shown(facts["value"])
        message = self.validator.sentence(late.kind, late.column, facts)
        names = [column.name for column in self.source.format.columns]
        position = -1 if late.column is None else names.index(late.column)
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


def _without(frame: pl.DataFrame, failures: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(~pl.col("row").is_in(failures["row"].implode())) if failures.height else frame


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

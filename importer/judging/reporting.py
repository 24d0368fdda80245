"""The failed-users CSV: what the sender corrects and drops again as it is.

UTF-8 with a byte order mark, so that Excel shows accents; the sender's columns in the sender's order with the
sender's values, then REPORT_COLUMNS. What a spreadsheet would calculate or rewrite is guarded, see
`importer.reading.guarding`. It has a row for each failed one; the reasons are given as far as `brevity` has room for
them.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import polars as pl

from importer.formats.columns import REPORT_COLUMNS
from importer.judging.brevity import bytes_for_reasons, most_of_compressed, shares
from importer.judging.judged import Judged
from importer.model import Remark, shown_name
from importer.reading.guarding import guarded, guarded_text
from importer.words.reasons import BRIEF_SENTENCES, CUT_SENTENCE, said, warning

_WRITTEN_ROWS: Final = 1_000
"""The number of rows written at once where a report may have to be cut, so that it is cut before it is too large."""
_LISTED_REASONS: Final = 20
_UNSAID: Final = "…"
_MARKS: Final = 16
"""The bytes that a row's reasons and numbers may take beside their text: quotation marks, the guard, separators."""


class _Part(NamedTuple):
    """A part of a report: rows as text, under the numbers of their records, and why each of them failed.

    Attributes:
        brief: how many rows, the last ones, do not have their reasons in full.
    """

    rows: pl.DataFrame
    reasons: pl.DataFrame
    brief: int


def write_report(judged: Judged, path: Path, check: Callable[[], None] = lambda: None) -> tuple[Remark, ...]:
    """Write and fsync the report, replacing what an earlier attempt left; `check` is called on the way.

    Returns:
        What the sender is to know of the report: that it is brief, that it was cut short, or nothing.

    Raises:
        OSError: the disk is full or broken.
    """
    separator = ";" if judged.dialect.separator == ";" else ","
    most = most_of_compressed(judged.size) if judged.dialect.is_compressed else None
    with path.open("wb") as file:
        file.write(_header(judged, separator))
        report = _Report(file, separator, most)
        for part in _parts(judged):
            report.add(part)
            check()
        if report.left_out:
            file.write(_line(_last_row(judged, report), separator).encode())
        file.flush()
        os.fsync(file.fileno())
    return tuple(_remarks(report))


@dataclass(slots=True)
class _Report:
    """A report that is being written.

    Attributes:
        most: the bytes that the report may have; None where it is whole whatever that takes.
        rows: the number of rows in the report.
        left_out: the number of rows for which it has no room.
        reasons: why the rows left out failed, by code and column.
        first_brief: the number of the first row in the report whose reasons are not given in full.
    """

    file: BinaryIO
    separator: str
    most: int | None
    rows: int = 0
    left_out: int = 0
    reasons: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    first_brief: int | None = None

    def add(self, part: _Part) -> None:
        """Write rows, as far as there is room; the rest of them, and all after them, are counted."""
        slices = [part.rows] if self.most is None else part.rows.iter_slices(_WRITTEN_ROWS)
        for rows in slices:
            text = self._text(rows)
            if self.left_out or (self.most is not None and self.file.tell() + len(text) > self.most):
                self._leave_out(rows, part.reasons)
            else:
                self.file.write(text)
                self.rows += rows.height
        self._note_brief(part)

    def _note_brief(self, part: _Part) -> None:
        if self.first_brief is None and part.brief and not self.left_out:
            self.first_brief = part.rows["number"][-part.brief]

    def _text(self, rows: pl.DataFrame) -> memoryview:
        if self.left_out:
            return memoryview(b"")
        text = io.BytesIO()
        rows.drop("number").write_csv(text, include_header=False, separator=self.separator, line_terminator="\r\n")
        return text.getbuffer()

    def _leave_out(self, rows: pl.DataFrame, reasons: pl.DataFrame) -> None:
        first, last = rows["number"][0], rows["number"][-1]
        counted = reasons.filter(pl.col("row").is_between(first, last)).group_by("code", "column").len()
        self.left_out += rows.height
        self.reasons.update({(code, column): count for code, column, count in counted.iter_rows()})


def _remarks(report: _Report) -> Iterator[Remark]:
    if report.first_brief is not None:
        yield warning("report_brief", row=str(report.first_brief))
    if report.left_out:
        yield warning("report_cut", rows=f"{report.rows:,}", more=f"{report.left_out:,}")


def _parts(judged: Judged) -> Iterator[_Part]:
    """Yield the parts of the report, some rows at a time."""
    name = guarded_text(shown_name(judged.source.name))
    left = bytes_for_reasons(judged.expanded_size)
    notes = {kind: said(sentence, {}, judged.source.language) for kind, sentence in BRIEF_SENTENCES.items()}
    for cells, reasons in judged.failed():
        found = cells.join(_told(reasons), on="row", how="left", maintain_order="left")
        number = pl.col("row").cast(pl.String).str.len_bytes() + _MARKS
        full, brief = (_bytes("error") + number + len(name.encode()), _bytes("codes") + number)
        sizes = found.select(full.alias("full"), brief.alias("brief"))
        shared = shares(sizes["full"].to_numpy(), sizes["brief"].to_numpy(), left)
        left = shared.left
        by_code = found[shared.full : shared.full + shared.brief]
        rest = found[shared.full + shared.brief :]
        levels = [
            found[: shared.full].with_columns(pl.lit(name).alias("file")),
            _noted(_brief(by_code, pl.col("codes")), notes, "codes"),
            _noted(_brief(rest, pl.lit(_UNSAID)), notes, "nothing"),
        ]
        yield _Part(_as_text(pl.concat(levels), judged), reasons, found.height - shared.full)


def _told(reasons: pl.DataFrame) -> pl.DataFrame:
    """The reasons of each row: in sentences, and by code and column."""
    code = pl.concat_str("code", "column", separator=" ", ignore_nulls=True)
    return reasons.group_by("row", maintain_order=True).agg(
        pl.col("message").str.join("; ").alias("error"), code.str.join("; ").alias("codes")
    )


def _bytes(column: str) -> pl.Expr:
    """The bytes that a text takes in a CSV."""
    return pl.col(column).str.len_bytes().cast(pl.Int64) + pl.col(column).str.count_matches('"', literal=True)


def _brief(rows: pl.DataFrame, error: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(error.alias("error"), pl.lit(None, pl.String).alias("file"))


def _noted(rows: pl.DataFrame, notes: dict[str, str], kind: str) -> pl.DataFrame:
    """The rows, the first of which says what those of its kind leave out; once, so the note is used up."""
    if rows.is_empty() or kind not in notes:
        return rows
    note = pl.concat_str("error", pl.lit(f" ({notes.pop(kind)})"))
    return pl.concat([rows[:1].with_columns(note.alias("error")), rows[1:]])


def _as_text(rows: pl.DataFrame, judged: Judged) -> pl.DataFrame:
    """The rows as text: the columns of the report, and the rows' `number`."""
    return rows.with_columns(_none_if_empty(index) for index in judged.header.reported).select(
        *(guarded(pl.col(f"c{index}")) for index in judged.header.reported),
        guarded(pl.col("error")),
        pl.col("row").cast(pl.String),
        "file",
        guarded(pl.col("import_line")),
        pl.col("row").alias("number"),
    )


def _last_row(judged: Judged, report: _Report) -> list[str]:
    """The last row of a report that is cut, which tells of the rows left out; dropped again, it counts as blank."""
    listed = [
        f"{' '.join(filter(None, reason))}: {count:,}" for reason, count in report.reasons.most_common(_LISTED_REASONS)
    ]
    if len(report.reasons) > len(listed):
        listed.append(_UNSAID)
    facts = {"more": f"{report.left_out:,}", "reasons": "; ".join(listed)}
    error = said(CUT_SENTENCE, facts, judged.source.language)
    cells = [""] * len(judged.header.reported)
    return [*cells, guarded_text(error), "", guarded_text(shown_name(judged.source.name)), ""]


def _header(judged: Judged, separator: str) -> bytes:
    names = [guarded_text(judged.header.names[index]) for index in judged.header.reported]
    return _line([*names, *REPORT_COLUMNS], separator).encode("utf-8-sig")


def _line(cells: list[str], separator: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _none_if_empty(index: int) -> pl.Expr:
    cell = pl.col(f"c{index}")
    return pl.when(cell != "").then(cell).alias(f"c{index}")

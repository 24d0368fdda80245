"""The failed-users CSV: what the sender corrects and drops again as it is.

UTF-8 with a byte order mark, so that Excel shows accents; the sender's columns in the sender's order with the
sender's values, then REPORT_COLUMNS. What a spreadsheet would calculate or rewrite is guarded (`importer.guarding`).
"""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from importer.examining import Examination
from importer.format import REPORT_COLUMNS
from importer.guarding import guarded, guarded_text
from importer.model import shown_name


def write_report(examination: Examination, path: Path) -> None:
    """Write and fsync the report, replacing what an earlier attempt left.

    Raises:
        OSError: the disk is full or broken.
    """
    separator = ";" if examination.dialect.separator == ";" else ","
    with path.open("wb") as file:
        file.write(_header(examination, separator))
        for frame in report_frames(examination):
            frame.write_csv(file, include_header=False, separator=separator, line_terminator="\r\n")
        file.flush()
        os.fsync(file.fileno())


def report_frames(examination: Examination) -> Iterator[pl.DataFrame]:
    """The report's rows, a block at a time, as text."""
    name = shown_name(examination.source.name)
    for cells, reasons in examination.failed():
        messages = reasons.group_by("row", maintain_order=True).agg(pl.col("message").str.join("; ").alias("error"))
        yield (
            cells.join(messages, on="row", how="left", maintain_order="left")
            .with_columns(_none_if_empty(index) for index in examination.header.reported)
            .select(
                *(guarded(pl.col(f"c{index}")) for index in examination.header.reported),
                guarded(pl.col("error")),
                pl.col("row").cast(pl.String),
                pl.lit(guarded_text(name)).alias("file"),
                guarded(pl.col("import_line")),
            )
        )


def _header(examination: Examination, separator: str) -> bytes:
    text = io.StringIO(newline="")
    names = [guarded_text(examination.header.names[index]) for index in examination.header.reported]
    csv.writer(text, delimiter=separator, lineterminator="\r\n").writerow([*names, *REPORT_COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def _none_if_empty(index: int) -> pl.Expr:
    cell = pl.col(f"c{index}")
    return pl.when(cell != "").then(cell).alias(f"c{index}")

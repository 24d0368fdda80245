"""Rows that are the same as an earlier one in every cell: they say nothing new, and count as blank."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import polars as pl

from importer.model import Remark
from importer.reading.user_file import Block
from importer.words.reasons import warning

REPEATS = {"row": pl.Int64, "first": pl.Int64}
"""The schema of a frame of rows, each with the first of those that it is the same as; sorted by row."""


def repeats(pairs: pl.DataFrame, blocks: Callable[[], Iterable[Block]], cells: Sequence[str]) -> pl.DataFrame:
    """The rows that are the same as an earlier one, as REPEATS describes them.

    Args:
        pairs: the rows that share a user's key with an earlier one, and the first of those, as `row` and `first`.
        blocks: reads the file from the start; it is read only where there are pairs.
        cells: the columns of the blocks that are compared, without outer white space.
    """
    if pairs.is_empty():
        return pl.DataFrame(schema=REPEATS)
    asked = pl.concat([pairs["row"], pairs["first"]]).unique().implode()
    hashes = [_hashes(block.frame.filter(pl.col("row").is_in(asked)), cells) for block in blocks()]
    found = pl.concat(hashes).with_columns(pl.col("row").min().over("hash", "other").alias("first"))
    return found.filter(pl.col("row") != pl.col("first")).select(REPEATS.keys()).sort("row")


def _hashes(rows: pl.DataFrame, cells: Sequence[str]) -> pl.DataFrame:
    """Two hashes of each row: of different rows both are the same once in 2^128."""
    trimmed = rows.select(pl.col(cells).str.strip_chars())
    return rows.select("row").with_columns(trimmed.hash_rows(0).alias("hash"), trimmed.hash_rows(1).alias("other"))


def remarks(repeated: pl.DataFrame) -> Iterator[Remark]:
    """What the sender is to know of rows that are the same as earlier ones."""
    if repeated.height:
        row, first = repeated.row(0)
        kind = "repeated_row" if repeated.height == 1 else "repeated_row.several"
        yield warning(kind, count=repeated.height, row=row, first=first)

"""The proof that the cells of a file are in their columns, though its rows are wider than its header.

Names and cells go in, a decision comes out.
"""

import datetime as dt
from collections.abc import Callable
from typing import Final

import polars as pl

from importer.formats.columns import CLEAR, Column, Format, by_name
from importer.formats.kinds import kind_of
from importer.formats.names import normalised
from importer.formats.ways import AsWritten
from importer.judging.expressions import attempts, is_broken
from importer.reading.grammar import WHITE_SPACE

_FIT: Final = 0.95
_ANY_DAY: Final = dt.date.max


def nothing_is_shifted(format_: Format) -> Callable[[tuple[str, ...], pl.DataFrame], bool]:
    """Make the proof for files of a format.

    Returns:
        A function of the names of a file's columns and of rows, the cells of which are c0, c1 …: whether every name is
        known, and every column that may not hold any text fits in 95 % of its values, one of them in the last third.
    """
    known = by_name(format_.columns)

    def is_proven(names: tuple[str, ...], rows: pl.DataFrame) -> bool:
        if format_.header_names.known(names) < len(names):
            return False
        found = {index: known[normalised(name)] for index, name in enumerate(names) if normalised(name) in known}
        shares = {index: _share(column, format_, rows[f"c{index}"]) for index, column in found.items()}
        telling = {index: share for index, share in shares.items() if share is not None}
        return all(share >= _FIT for share in telling.values()) and any(
            3 * index >= 2 * len(names) for index in telling
        )

    return is_proven


def _share(column: Column, format_: Format, cells: pl.Series) -> float | None:
    """The share of a column's values that are valid; None where there are none, or all would be."""
    options = format_.options(column)
    way, checks = kind_of(column.kind).mapped(options), kind_of(column.kind).checks(options)
    if isinstance(way, AsWritten) and not checks:
        return None
    text = cells.alias("text").str.strip_chars(WHITE_SPACE).to_frame().filter(~pl.col("text").is_in(["", CLEAR]))
    if text.is_empty():
        return None
    mapped = text.with_columns(pl.coalesce(*attempts(way, pl.col("text"), _ANY_DAY)).alias("mapped"))
    wrong = (
        is_broken(check.broken, pl.col("text"), pl.col("mapped"), _ANY_DAY).fill_null(value=False) for check in checks
    )
    return 1 - float(mapped.select(pl.any_horizontal(*wrong).mean()).item())

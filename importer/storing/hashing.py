"""Hashes of what the feed gave for a user: a row that repeats it has nothing new to say."""

import json

import polars as pl
import polars_hash as plh

from importer.formats.columns import Format

_BYTES = 12
_SCHEME = 2
_BETWEEN, _EMPTY = "\x1f", "\x1e"


def with_hashes(rows: pl.DataFrame, format_: Format) -> pl.DataFrame:
    """The rows with their hashes in a column `feed_hash`."""
    return rows.with_columns(feed_hashes(rows, format_))


def feed_hashes(rows: pl.DataFrame, format_: Format) -> pl.Series:
    """The hash of each row's given values: 96 bits, as 16 characters of base64.

    It is compared with the same user's last one only, so a change goes unseen once in 2^96. What polars calls a hash
    may differ with its version; this is XXH3 (xxHash 0.8, whose values do not change any more) over text: which columns
    the file has and what clearing them brings back, then the values in the order of the columns' names.

    Args:
        rows: as `Verdict.accepted` has them. The control characters that stand between values here would fail a row.
        format_: the format of the rows.
    """
    names = sorted(column.name for column in format_.columns if column.name in rows.columns)
    given = json.dumps([_SCHEME, *([name, format_.defaults.get(name)] for name in names)])
    start = _xxh3(plh.concat_str(pl.lit(given))).bin.encode("hex")
    text = plh.concat_str(start, pl.col(names).fill_null(_EMPTY), separator=_BETWEEN)
    return rows.select(_xxh3(text).bin.head(_BYTES).bin.encode("base64").alias("feed_hash")).to_series()


def _xxh3(text: plh.HExpr) -> pl.Expr:
    return text.nchash.xxh3_128(return_binary=True, byte_order="big")

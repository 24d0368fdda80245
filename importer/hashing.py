"""What the feed gave for a user, as a hash: a row that repeats it has nothing new to say."""

import json
from hashlib import blake2b

import polars as pl

from importer.format import Format

_BYTES = 12
_SCHEME = 1
_BETWEEN, _EMPTY = "\x1f", "\x1e"


def with_hashes(rows: pl.DataFrame, format_: Format) -> pl.DataFrame:
    """The same rows with `feed_hash`."""
    return rows.with_columns(feed_hashes(rows, format_))


def feed_hashes(rows: pl.DataFrame, format_: Format) -> pl.Series:
    """The hash of each row's given values: 96 bits, as 16 characters of base64.

    It is compared with the same user's last one only, so a change goes unseen once in 2^96. What polars calls a hash
    may differ with its version; this is BLAKE2b (RFC 7693) over text: which columns the file has and what clearing
    them brings back, then the values in the order of the columns' names.

    Args:
        rows: as `Verdict.accepted` has them. The control characters that stand between values here would fail a row.
        format_: its columns.
    """
    names = sorted(column.name for column in format_.columns if column.name in rows.columns)
    given = json.dumps([_SCHEME, *([name, format_.defaults.get(name)] for name in names)])
    start = pl.lit(blake2b(given.encode(), digest_size=_BYTES).hexdigest())
    text = pl.concat_str(start, pl.col(names).fill_null(_EMPTY), separator=_BETWEEN)
    given_bytes = rows.select(text.cast(pl.Binary)).to_series().to_list()
    digests = [blake2b(row, digest_size=_BYTES).digest() for row in given_bytes]
    return pl.Series("feed_hash", digests, pl.Binary).bin.encode("base64")

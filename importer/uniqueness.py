"""Values that occur twice in a file, found with 8 bytes of memory a value."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from importer.format import CLEAR, Format, unique_columns
from importer.header import Header
from importer.spooling import Spool

_COMPARED_HASHES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Rows that were accepted and fail after all, because of one unique column; at least one.

    Attributes:
        kind: the key of reasons.ROW_SENTENCES.
        column: the format's name of the column.
        rows: row and, for `duplicate_in_file`, the row of the first use as `first`; sorted by row.
        example: the value of the first of them, as it would have been stored.
    """

    kind: Literal["duplicate_in_file", "duplicate_user"]
    column: str
    rows: pl.DataFrame
    example: str


class UniqueValues:
    """Finds values that occur twice in a file: by their hashes, 8 bytes a value, and then exactly, from the disk."""

    def __init__(self, format_: Format, header: Header, spool: Spool) -> None:
        self._format = format_
        self._header = header
        columns = unique_columns(format_).items()
        self._compared = {name: compared for name, compared in columns if name in header.positions}
        self._spool = spool
        self._hashes: dict[str, list[NDArray[np.uint64]]] = {name: [] for name in self._compared}

    def add(self, accepted: pl.DataFrame) -> None:
        """Note the values of one block's accepted rows."""
        self._spool.append(accepted.select("row", *{*self._compared, *self._compared.values()}))
        for name, compared in self._compared.items():
            self._hashes[name].append(accepted.filter(_holds_value(compared))[compared].hash().to_numpy())

    def duplicates(self) -> Iterator[Late]:
        """For each column the rows whose value an earlier row has."""
        for name in self._compared:
            hashes = self._repeated_hashes(name)
            # A value's rows share its hash, so the hashes can be taken in parts, as many as memory has room for.
            starts = range(0, len(hashes), _COMPARED_HASHES)
            parts = [self._later(name, hashes[start : start + _COMPARED_HASHES]) for start in starts]
            rows = pl.concat([pl.DataFrame(schema={"row": pl.Int64, "first": pl.Int64}), *parts]).sort("row")
            if rows.height:
                yield Late(kind="duplicate_in_file", column=name, rows=rows, example=self._value(name, rows["row"][0]))

    def _repeated_hashes(self, name: str) -> NDArray[np.uint64]:
        hashes = np.concatenate(self._hashes.pop(name))
        hashes.sort()
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])

    def _later(self, name: str, hashes: NDArray[np.uint64]) -> pl.DataFrame:
        """Row and first row of the values with these hashes, where an earlier row has the value itself as well."""
        suspects = pl.concat(self._suspects(frame, self._compared[name], hashes) for frame in self._spool.frames())
        firsts = suspects.select("row", pl.col("row").min().over("compared").alias("first"))
        return firsts.filter(pl.col("row") != pl.col("first"))

    def _suspects(self, values: pl.DataFrame, compared: str, hashes: NDArray[np.uint64]) -> pl.DataFrame:
        """Row and value where the hash is one of these, which are sorted."""
        found = values[compared].hash().to_numpy()
        nearest = hashes[np.minimum(np.searchsorted(hashes, found), len(hashes) - 1)]
        has_hash = pl.Series(nearest == found)
        return values.filter(_holds_value(compared) & has_hash).select("row", pl.col(compared).alias("compared"))

    def _value(self, name: str, row: int) -> str:
        found = (frame.filter(pl.col("row") == row)[name] for frame in self._spool.frames())
        return next(str(values[0]) for values in found if values.len())


def _holds_value(column: str) -> pl.Expr:
    value = pl.col(column)
    return value.is_not_null() & (value != CLEAR)

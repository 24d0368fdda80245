"""Values that occur twice in a file, found with 8 bytes of memory a value."""

from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from importer.formats.columns import CLEAR, Format, unique_columns
from importer.formats.header import Header
from importer.judging.spooling import Spool

_COMPARED_HASHES = 200_000

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """The rows, at least one, that were accepted and fail after all because of one unique column.

    Attributes:
        kind: a key of reasons.ROW_SENTENCES.
        column: the format's name of the column.
        rows: row and, for `duplicate_in_file`, the row of the first use as `first`; sorted by row.
        example: the value of the first row, as it would have been stored.
    """

    kind: Literal["duplicate_in_file", "duplicate_user"]
    column: str
    rows: pl.DataFrame
    example: str


class UniqueValues:
    """The search for values that occur twice in a file: by their hashes, 8 bytes a value, and then exactly.

    Only where hashes are repeated the accepted rows are gone through once more, and just those with such a hash wait
    on disk.
    """

    def __init__(self, format_: Format, header: Header) -> None:
        columns = unique_columns(format_).items()
        self._compared = {name: compared for name, compared in columns if name in header.positions}
        self._hashes = {name: array("Q") for name in self._compared}

    def add(self, accepted: pl.DataFrame) -> None:
        """Note the values of one block's accepted rows."""
        for name, compared in self._compared.items():
            values = accepted[compared]
            if values.null_count() or (values == CLEAR).any():
                values = accepted.select(pl.col(compared).filter(_holds_value(compared))).to_series()
            self._hashes[name].frombytes(values.hash().to_numpy().view(np.uint8).data)

    def duplicates(self, accepted: Callable[[], Iterator[pl.DataFrame]], spool: Spool) -> Iterator[Late]:
        """Find, for each column, the rows whose value an earlier row has.

        Args:
            accepted: the accepted rows again, in the order in which they were added.
            spool: an empty spool.
        """
        with ThreadPoolExecutor(thread_name_prefix="unique") as threads:
            found = dict(zip(self._compared, threads.map(self._repeated_hashes, self._compared), strict=True))
        repeated = {name: hashes for name, hashes in found.items() if hashes.size}
        if not repeated:
            return
        for frame in accepted():
            spool.append(self._suspects(frame, repeated))
        for name, hashes in repeated.items():
            # A value's rows share its hash, so the hashes can be taken in parts, as many as memory has room for.
            starts = range(0, hashes.size, _COMPARED_HASHES)
            parts = [self._later(spool, name, hashes[start : start + _COMPARED_HASHES]) for start in starts]
            rows = pl.concat([pl.DataFrame(schema={"row": pl.Int64, "first": pl.Int64}), *parts]).sort("row")
            if rows.height:
                example = _value(spool, name, rows["row"][0])
                yield Late(kind="duplicate_in_file", column=name, rows=rows, example=example)

    def _repeated_hashes(self, name: str) -> Hashes:
        hashes = np.frombuffer(self._hashes.pop(name), np.uint64)
        hashes.sort()  # in their place, as there may be millions
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])

    def _suspects(self, accepted: pl.DataFrame, repeated: Mapping[str, Hashes]) -> pl.DataFrame:
        """The number and unique values of the rows one of whose values has a repeated hash."""
        values = accepted.select("row", *dict.fromkeys([*self._compared, *self._compared.values()]))
        flags = [_has_hash(values[self._compared[name]], hashes) for name, hashes in repeated.items()]
        return values.filter(pl.any_horizontal(flags))

    def _later(self, spool: Spool, name: str, hashes: Hashes) -> pl.DataFrame:
        """Row and first row of the values with these hashes, where an earlier row has the value itself as well."""
        compared = self._compared[name]
        suspects = pl.concat(
            frame.filter(_has_hash(frame[compared], hashes) & _holds_value(compared)).select(
                "row", pl.col(compared).alias("compared")
            )
            for frame in spool.frames()
        )
        firsts = suspects.select("row", pl.col("row").min().over("compared").alias("first"))
        return firsts.filter(pl.col("row") != pl.col("first"))


def _has_hash(values: pl.Series, hashes: Hashes) -> pl.Series:
    """Flags of the values that have one of the hashes, which are sorted and at least one."""
    found = values.hash().to_numpy()
    nearest = hashes[np.minimum(np.searchsorted(hashes, found), hashes.size - 1)]
    return pl.Series(nearest == found)


def _value(spool: Spool, name: str, row: int) -> str:
    found = (frame.filter(pl.col("row") == row)[name] for frame in spool.frames())
    return next(str(values[0]) for values in found if values.len())


def _holds_value(column: str) -> pl.Expr:
    value = pl.col(column)
    return value.is_not_null() & (value != CLEAR)

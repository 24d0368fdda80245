"""Small files that are read and judged together, because their headers are the same.

Reading a file costs some milliseconds however small it is. Files that are plain, which hold good rows only, share
that; any other file is examined by itself, and so is one that repeats a unique value.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import polars as pl

from importer.formats.columns import CLEAR, Format, unique_columns
from importer.formats.header import Header, match_header
from importer.judging.judge import Source
from importer.judging.spooling import Spool
from importer.judging.validating import Validator
from importer.model import FileRefused, Remark
from importer.reading.parsing import Shape, plain_frame
from importer.reading.user_file import Plain

PLAIN_BYTES = 64 << 10
"""The size in bytes above which a file is examined by itself, which costs it little."""

BROUGHT_BY = "brought by"
"""The column with the claim of each row, where rows of several files are joined; no format has such a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFile:
    """A file all of whose records are accepted.

    Attributes:
        header: the names of its columns, which are those of every file with which it was read.
        accepted: as `Verdict.accepted`; `row` is unique among the files that were read together.
        values: the values that its rows claim for their users alone, as (column of `users`, value).
    """

    header: tuple[str, ...]
    warnings: tuple[Remark, ...]
    accepted: pl.DataFrame
    values: frozenset[tuple[str, str]]


class Joined:
    """The accepted rows of several plain files with the same header, each row with its claim."""

    def __init__(self, files: Mapping[str, PlainFile]) -> None:
        claims = np.repeat([*files], [file.accepted.height for file in files.values()])
        frame = pl.concat(file.accepted for file in files.values())
        self._frame = frame.with_columns(pl.Series(BROUGHT_BY, claims.tolist(), pl.String))

    @property
    def columns(self) -> list[str]:
        """The columns of the frames of `accepted`."""
        return self._frame.columns

    @property
    def expected(self) -> int:
        """The number of rows, which is known."""
        return self._frame.height

    @property
    def height(self) -> int:
        """The number of accepted rows."""
        return self._frame.height

    @property
    def fallen(self) -> pl.Series:
        """The rows that fail after all: there are none, as files that repeat a value are not read together."""
        return pl.Series("row", [], pl.Int64)

    @property
    def last_row(self) -> int:
        """The greatest number of a row."""
        return self._frame.select(pl.col("row").max()).item() or 0

    def accepted(self) -> Iterator[pl.DataFrame]:
        """The accepted rows of all files."""
        yield self._frame

    def spool(self, name: str) -> Spool:  # noqa: ARG002 - memory needs no names
        """Make a place for frames in memory, which files that are read together do not outgrow."""
        return Spool(None)


def read_together(sources: Sequence[Source], format_: Format, *, today: dt.date) -> list[PlainFile | None]:
    """Read and judge files; None for each that is to be examined by itself.

    Raises:
        OSError: the disk is broken.
    """
    found: list[PlainFile | None] = [None] * len(sources)
    alike: defaultdict[tuple[tuple[str, ...], bytes], list[tuple[int, Plain]]] = defaultdict(list)
    for number, source in enumerate(sources):
        plain = _plain(source)
        if plain is not None:
            alike[plain.shape.header, plain.shape.rules.grammar.separator].append((number, plain))
    for members in alike.values():
        shape = members[0][1].shape
        header = match_header(shape.names, format_)
        if isinstance(header, Header):
            judged = _judged([plain for _, plain in members], shape, header, format_, today)
            for (number, _), file in zip(members, judged, strict=True):
                found[number] = file
    return found


def _plain(source: Source) -> Plain | None:
    if source.path.stat().st_size > PLAIN_BYTES:
        return None
    try:
        with source.open() as file:
            return file.plain()
    except FileRefused:
        return None


def _judged(
    files: Sequence[Plain], shape: Shape, header: Header, format_: Format, today: dt.date
) -> Iterator[PlainFile | None]:
    frame, odd = plain_frame([file.split for file in files], shape)
    validator = Validator(format_, header, today=today)
    verdict = validator.validate(frame, with_controls=pl.Series("row", [], pl.Int64))
    ends = [*accumulate(int(file.split.good.sum()) for file in files)]
    bad = np.concatenate([odd.to_numpy(), verdict.failing["row"].to_numpy()])
    not_plain = {*np.searchsorted(ends, bad, side="right").tolist()}
    compared = [name for name in unique_columns(format_).values() if name in verdict.accepted.columns]
    warnings = (*header.warnings, *validator.warnings)
    rows = verdict.accepted["row"].to_numpy()
    for number, (first, end) in enumerate(zip([0, *ends], ends, strict=False)):
        start, stop = np.searchsorted(rows, [first, end])
        accepted = verdict.accepted.slice(start, stop - start)
        given = [(name, value) for name in compared for value in accepted[name].to_list() if value not in {None, CLEAR}]
        values = frozenset(given)
        if number in not_plain or len(values) < len(given):
            yield None
        else:
            yield PlainFile(header=shape.names, warnings=warnings, accepted=accepted, values=values)

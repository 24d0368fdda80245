"""What is noticed of values that were taken otherwise than they are written, gathered over the blocks of a file."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from importer.model import Remark
from importer.words.reasons import examples, warning

_EXAMPLES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that was noticed of the values of a column, in some rows of one block.

    Attributes:
        kind: a key of `reasons.WARNING_SENTENCES`, whose sentence names `count` and `examples`.
        column: the format's name of the column.
        rows: the rows, sorted.
        before: what their cells said.
        now: what was taken from them, or what may have been meant.
    """

    kind: str
    column: str
    rows: pl.Series
    before: pl.Series
    now: pl.Series

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What cells said and what was taken from them, of the first rows."""
        return [*zip(self.before.head(_EXAMPLES).to_list(), self.now.head(_EXAMPLES).to_list(), strict=True)]

    def without(self, rows: pl.Series) -> "Notice":
        """The notice without some rows."""
        stay = ~self.rows.is_in(rows.implode())
        return replace(self, rows=self.rows.filter(stay), before=self.before.filter(stay), now=self.now.filter(stay))


@dataclass(slots=True)
class _Gathered:
    count: int = 0
    pairs: list[tuple[str, str]] = field(default_factory=list)
    rows: list[pl.Series] = field(default_factory=list)


class Notices:
    """The notices of a file, which are the same whatever blocks it is read in.

    Args:
        labels: makes of a column's name in the format what the file calls it.
        with_rows: the kind of which the rows are remembered.
    """

    def __init__(self, labels: Callable[[str], str], *, with_rows: str = "") -> None:
        self._labels = labels
        self._with_rows = with_rows
        self._gathered: dict[tuple[str, str], _Gathered] = {}

    def add(self, noticed: Iterable[Notice]) -> None:
        """Note what was noticed in the next block."""
        for each in noticed:
            if not each.rows.len():
                continue
            gathered = self._gathered.setdefault((each.kind, each.column), _Gathered())
            gathered.count += len(each.rows)
            gathered.pairs += each.pairs[: _EXAMPLES - len(gathered.pairs)]
            if each.kind == self._with_rows:
                gathered.rows.append(each.rows)

    def take_rows(self, kind: str) -> dict[str, pl.Series]:
        """The rows of a kind whose rows are remembered, by column."""
        return {column: pl.concat(each.rows) for (its, column), each in self._gathered.items() if its == kind}

    def forget(self, kind: str, column: str) -> None:
        """Forget what turned out to be something else."""
        del self._gathered[kind, column]

    def remarks(self) -> Iterator[Remark]:
        """The remarks, by column and kind in the order of their names."""
        for (kind, column), each in sorted(self._gathered.items(), key=lambda item: item[0][::-1]):
            yield warning(kind, column=self._labels(column), count=each.count, examples=examples(each.pairs))

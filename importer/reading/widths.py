"""How many cells the records of a file may have.

Empty cells decide no width, but they hide no shift either: a record may have surplus cells that are empty, unless what
is wider may as well be the rows of another header.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """The widths that records of one file may have.

    Attributes:
        names: up to the last cell of the header that has a name; a record has so many cells, or empty ones behind them.
        declared: cells of the header as it is written.
        usual: what nearly all records have where they are wider than the names; else `names`. A narrower record whose
            last named cell is empty may have lost a separator: it is short.
        takes_surplus: whether a record may be wider than the header is written.
    """

    names: int
    declared: int
    usual: int
    takes_surplus: bool

    @property
    def is_wider(self) -> bool:
        """Whether nearly all records have surplus cells."""
        return self.usual > self.names

    def may_be(self, width: int) -> bool:
        """Whether a record may have so many cells if those behind the names are empty."""
        return self.names <= width and (width <= self.declared or self.takes_surplus)

    def is_whole(self, width: int) -> bool:
        """Whether text with so many cells looks like a record."""
        return width in {self.names, self.usual}


def widths_of(header: tuple[str, ...]) -> Widths:
    """The widths that a header tells by itself, its cells being trimmed."""
    named = [number for number, name in enumerate(header, start=1) if name]
    names = named[-1] if named else 1
    return Widths(names=names, declared=len(header), usual=names, takes_surplus=True)

"""The books of a reading: every record and every physical line counted twice, in different ways."""

from dataclasses import dataclass

from importer.reading.records import Split


class BalanceError(AssertionError):
    """Records or lines were lost or made up while a file was read; nothing of it may be imported."""


@dataclass(slots=True)
class Tally:
    """Counts of what was read so far.

    Attributes:
        row: the number of the next record.
        line: the number of the next physical line.
        empty: empty lines before that, which are records only if another record follows.
        spanned: physical lines of records, blank ones included.
        line_ends: as counted in the text, before it was split.
        accepted, rejected, blank: records.
    """

    row: int
    line: int
    empty: int = 0
    spanned: int = 0
    line_ends: int = 0
    accepted: int = 0
    rejected: int = 0
    blank: int = 0

    @property
    def records(self) -> int:
        """How many were read, without the header."""
        return self.accepted + self.rejected + self.blank

    def add_lines(self, block: Split) -> None:
        """Go on behind the lines of a block."""
        if block.stop > block.empty_tail:
            self.row += self.empty
            self.blank += self.empty
            self.spanned += self.empty
            self.empty = 0
        self.empty += block.empty_tail
        self.row += int(block.begins[: block.stop].sum())
        self.line += block.stop
        self.spanned += block.spanned
        self.line_ends += int((block.lines.delimiters.lone_cr < block.consumed).sum())

    def add_records(self, *, accepted: int, rejected: int, blank: int) -> None:
        """Count the records of a block."""
        self.accepted += accepted
        self.rejected += rejected
        self.blank += blank

    def check(self, first_line: int) -> None:
        """Every line belongs to a record or is an empty one at the end, and every numbered record is counted once.

        Raises:
            BalanceError: the numbers do not add up.
        """
        lines = self.line - first_line
        if lines != self.line_ends or lines != self.spanned + self.empty or self.row - 2 != self.records:
            message = f"records and lines do not add up: {self}"
            raise BalanceError(message)

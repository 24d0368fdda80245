"""Whether the sender is mailed of an import, and what its past adds to the remarks about a file: pure decisions."""

from collections.abc import Collection, Iterator, Sequence
from typing import assert_never

from importer.database.past import FormerFile
from importer.model import Counts, Remark, Remarks
from importer.words.reasons import warning

_UNTOLD = frozenset({"unchecked_lookup", "end_not_seen"})
"""Remarks that make no mail of their own: all was taken as it is written, and no sender can change what the site has
not set up, or what its FTP server has not told."""


def gone(columns: Collection[str], before: FormerFile | None) -> Iterator[Remark]:
    """The remarks about columns that the file before had, and that the new one lacks: what is stored there grows old.

    Args:
        columns: the format's columns that the new file has.
        before: the file that it is compared with; None where it is the first.
    """
    had = frozenset[str]() if before is None or before.columns is None else before.columns
    for column in sorted(had.difference(columns)):
        yield warning("column_gone", column=column)


def is_told(counts: Counts, remarks: Sequence[Remark], before: FormerFile | None, which: Remarks) -> bool:
    """Whether the sender gets a mail: a row failed, or something may have been taken otherwise than it was meant.

    Args:
        counts: what became of the file's rows.
        remarks: about the file.
        before: the file that it is compared with; None where it is the first.
        which: the remarks that are told by themselves; a new one is one that the file before did not have, in the same
            column.
    """
    doubts = {(remark.code, remark.column) for remark in remarks if remark.code not in _UNTOLD}
    if counts.failed:
        return True
    match which:
        case Remarks.ALWAYS:
            return bool(doubts)
        case Remarks.NEVER:
            return False
        case Remarks.NEW:
            return not doubts <= (frozenset() if before is None else before.remarks)
        case _:
            assert_never(which)

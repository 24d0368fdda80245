"""Suggestions of known values that a sender may have meant by unknown ones, found within a bound of work."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extractOne

MOST_VALUES: Final = 1_000
"""The number of different values of a file that get a suggestion; more are from another list, or another column."""
MOST_COMPARISONS: Final = 20_000_000
"""The number of comparisons, some seconds of processor time; the more values are known, the fewer get a suggestion."""
LONGEST_VALUE: Final = 100
"""The most characters of a value that may be a known one with a slip in it."""
_LIKENESS: Final = 60


class Suggestions:
    """The suggestions for the first unknown values of a file: the nearest of the known ones.

    Args:
        known: the values that could have been meant.
    """

    def __init__(self, known: Collection[str]) -> None:
        self._known = [*known]
        self._left = min(MOST_VALUES, MOST_COMPARISONS // max(len(self._known), 1))
        self._found: dict[str, str | None] = {}

    def nearest(self, values: Iterable[str]) -> Mapping[str, str]:
        """Find what was meant: value → known value, without those for which none is near, or no work is left."""
        for value in values:
            if value not in self._found and len(value) <= LONGEST_VALUE and self._left:
                self._left -= 1
                found = extractOne(value, self._known, scorer=ratio, score_cutoff=_LIKENESS)
                self._found[value] = None if found is None else found[0]
        return {value: near for value in values if (near := self._found.get(value)) is not None}

"""Suggestions of known values that a sender may have meant by unknown ones, found within a bound of work.

What means the same comes first, then what is written nearly so; case, accents and punctuation never matter.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extract

from importer.formats.comparing import compared

MOST_VALUES: Final = 100
"""The number of different values of a file and column that get a suggestion; more are from another list."""
MOST_COMPARISONS: Final = 20_000_000
"""The number of comparisons, some seconds of processor time; the more values are known, the fewer get a suggestion."""
LONGEST_VALUE: Final = 100
"""The most characters of a value that may be a known one with a slip in it."""
_SHORTEST_WORD: Final = 3
"""The fewest letters and digits of a known value of which may be said that another one is nearly so."""
_LIKENESS: Final = 60


class Suggestions:
    """The suggestions for the first unknown values of a file: which of the known ones they mean, or are near to.

    Args:
        known: the values that could have been meant.
        synonyms: groups of words for the same; what means a known value is suggested before what is only near to it.
    """

    def __init__(self, known: Sequence[str], synonyms: Iterable[Sequence[str]] = ()) -> None:
        known = [*reversed(known)]  # the first of several that are alike is the last to be written
        self._just_so = {compared(value): value for value in known}
        meant = {word: value for words in synonyms if (value := self._known_of(words)) for word in words}
        self._just_so = {compared(word): value for word, value in meant.items()} | self._just_so
        by_letters = {_letters(word): value for word, value in (*meant.items(), *zip(known, known, strict=True))}
        self._by_letters = {letters: value for letters, value in by_letters.items() if letters}
        self._words = [word for word in self._by_letters if len(word) >= _SHORTEST_WORD]
        self._left = min(MOST_VALUES, MOST_COMPARISONS // max(len(self._words), 1))
        self._found: dict[str, str | None] = {}

    def nearest(self, values: Iterable[str]) -> Mapping[str, str]:
        """Find what was meant: value → known value, without those for which none is near, or no work is left."""
        for value in values:
            if value not in self._found and len(value) <= LONGEST_VALUE and self._left:
                self._left -= 1
                self._found[value] = self._meant(value)
        return {value: near for value in values if (near := self._found.get(value)) is not None}

    def _known_of(self, words: Sequence[str]) -> str | None:
        """The first of the words that is a known value, as it is known."""
        return next((known for word in words if (known := self._just_so.get(compared(word)))), None)

    def _meant(self, value: str) -> str | None:
        letters = _letters(value)
        if (found := self._just_so.get(compared(value)) or self._by_letters.get(letters)) is not None:
            return found
        near = extract(letters, self._words, scorer=ratio, score_cutoff=_LIKENESS, limit=2)
        best = {self._by_letters[word] for word, score, _ in near if score == near[0][1]}
        return best.pop() if len(best) == 1 else None


def _letters(text: str) -> str:
    """The letters and digits of a text, without case and accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text).casefold()))

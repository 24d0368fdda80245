"""The decision which files of a group can be merged as if they were one. Pure.

Merging files one after the other and merging them at once leave the same users where no two of them have the same
user, or the same value of what no two users share.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mergeable:
    """A file of a group, as far as it decides with which others it can be merged.

    Attributes:
        kind: files of one kind have the same columns; None for a file that is merged by itself.
        values: the values that its rows claim for their users alone, as (column, value).
    """

    kind: Hashable | None
    values: frozenset[tuple[str, str]] = frozenset()


def runs(files: Iterable[Mergeable]) -> Iterator[int]:
    """The lengths of the runs that can be merged as one, in the order of the files, each as long as possible."""
    length = 0
    kind: Hashable | None = None
    values: set[tuple[str, str]] = set()
    for file in files:
        if length and (file.kind is None or file.kind != kind or not values.isdisjoint(file.values)):
            yield length
            length, values = 0, set()
        length += 1
        kind = file.kind
        values |= file.values
    if length:
        yield length

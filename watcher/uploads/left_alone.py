"""What lies in a client's directory and is never imported as it is, and since when it does. Pure.

Times are monotonic seconds: a sender may set any modification time, so that it is watched for change alone.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain, zip_longest

from watcher.uploads.model import Draft, Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftDraft:
    """A file under a temporary name, and since when it has not changed."""

    draft: Draft
    since: float


class LeftAlone:
    """What the scans of one client's directory have found that is left alone.

    Attributes:
        drafts: the files under temporary names, by name.
        odd: the names of everything else that is not imported, each with the time at which it was seen first.
    """

    def __init__(self) -> None:
        self.drafts: dict[str, LeftDraft] = {}
        self.odd: dict[str, float] = {}

    def update(self, found: Scan, now: float) -> None:
        """Note what a scan has found."""
        known = self.drafts
        self.drafts = {
            each.name: known[each.name]
            if each.name in known and known[each.name].draft == each
            else LeftDraft(draft=each, since=now)
            for each in found.drafts
        }
        self.odd = {name: self.odd.get(name, now) for name in found.odd}

    def lasting_drafts(self, since: float) -> list[str]:
        """The files under temporary names that have not changed since a time."""
        return sorted(name for name, each in self.drafts.items() if each.since <= since)


def varied(names: Iterable[str], most: int) -> list[str]:
    """Some of many names, so that of each kind of file, by its suffix, there is one before any has more."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        kinds[_suffix(name)].append(name)
    in_turn = chain.from_iterable(zip_longest(*(nsmallest(most, kinds[kind]) for kind in sorted(kinds))))
    return sorted([name for name in in_turn if name is not None][:most])


def _suffix(name: str) -> str:
    return name.lower().rpartition(".")[2] if "." in name else ""

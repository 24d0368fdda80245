"""The files of one client's directory: an entry for each name, with what is known of the file. Pure.

A file that was seen is waiting, settled or in doubt, as its last look has decided; a tick hands on what is settled.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from importer.model import NotTakenWhy
from watcher.uploads.model import Evidence, Upload
from watcher.uploads.settling import Decision, Settled, Waiting, Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file that lies in the directory, and what the last look at it has decided."""

    watched: Watched
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOn:
    """A file that a tick has handed on to the import, as it was then."""

    watched: Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Untaken:
    """Something under a file's name that cannot be looked at."""

    why: NotTakenWhy


Tracked = Seen | HandedOn | Untaken


class TrackedFiles:
    """The entries of a directory's files: name → what is known of the file; times are monotonic seconds."""

    def __init__(self) -> None:
        self._files: dict[str, Tracked] = {}
        self._numbers: Counter[type[Tracked | Decision]] = Counter()
        self._no_look_before = math.inf

    def __len__(self) -> int:
        return len(self._files)

    def get(self, name: str) -> Tracked | None:
        """The entry of a file; None where there is none of that name."""
        return self._files.get(name)

    def put(self, name: str, file: Tracked) -> None:
        """Set the entry of a file."""
        self.forget(name)
        self._files[name] = file
        self._numbers[_kind(file)] += 1
        if isinstance(file, Seen) and isinstance(file.decision, Waiting):
            self._no_look_before = min(self._no_look_before, file.decision.until)

    def forget(self, name: str) -> None:
        """Remove the entry of a file."""
        known = self._files.pop(name, None)
        if known is not None:
            self._numbers[_kind(known)] -= 1

    def all(self) -> Iterator[Tracked]:
        """All files with their entries."""
        return iter(self._files.values())

    def seen(self) -> dict[str, Seen]:
        """The files that lie in the directory, as far as is known."""
        return {name: each for name, each in self._files.items() if isinstance(each, Seen)}

    def handed_on(self) -> dict[str, HandedOn]:
        """The files that were handed on and not given back; to find none takes no time."""
        if not self._numbers[HandedOn]:
            return {}
        return {name: each for name, each in self._files.items() if isinstance(each, HandedOn)}

    def untaken(self) -> dict[str, NotTakenWhy]:
        """The files that cannot be looked at, each with its reason; to find none takes no time."""
        if not self._numbers[Untaken]:
            return {}
        return {name: each.why for name, each in self._files.items() if isinstance(each, Untaken)}

    def settled(self) -> list[Seen]:
        """The files that are complete, in no order."""
        return [each for each in self._files.values() if isinstance(each, Seen) and isinstance(each.decision, Settled)]

    def number(self, kind: type[Tracked | Decision]) -> int:
        """The number of files with a kind of entry; of those that were seen, by what was decided."""
        return self._numbers[kind]

    @property
    def no_look_before(self) -> float:
        """The time before which no quiet time ends; it may end later, as `due` then finds."""
        return self._no_look_before

    def due(self, now: float) -> set[str]:
        """The files whose quiet time has ended."""
        if now < self._no_look_before:
            return set()
        ends = {
            name: each.decision.until
            for name, each in self._files.items()
            if isinstance(each, Seen) and isinstance(each.decision, Waiting)
        }
        self._no_look_before = min(ends.values(), default=math.inf)
        return {name for name, until in ends.items() if until <= now}


def _kind(file: Tracked) -> type[Tracked | Decision]:
    return type(file.decision) if isinstance(file, Seen) else type(file)


def settled_uploads(client: str, files: Iterable[Seen], *, awaits_end: bool = False) -> list[Upload]:
    """The files of a client as uploads; files that are not complete are left out.

    Args:
        client: the client to whom the files belong.
        files: what is known of each.
        awaits_end: whether the FTP server's log tells of the end of each upload, as far as it can be followed.
    """
    return [
        Upload(
            client=client,
            sighting=each.watched.sighting,
            evidence=each.decision.evidence,
            is_end_unseen=awaits_end and each.decision.evidence is Evidence.LONG_QUIET and not _is_empty(each),
        )
        for each in files
        if isinstance(each.decision, Settled)
    ]


def _is_empty(file: Seen) -> bool:
    return file.watched.sighting.content.size == 0

"""Whose turn it is: clients take turns, and within one the oldest file comes first. Pure.

A turn is one group of files, which share the wait after claiming. While other clients have files too, a group is so
small that it takes about as long as a single file does, because that wait of 1 s is the most of it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from watcher.model import Sighting, Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A group's limits; a file that is larger than `bytes` is a group of its own."""

    files: int
    bytes: int


ALONE = Bound(files=256, bytes=8 << 20)
"""While nobody else waits."""
IN_COMPANY = Bound(files=32, bytes=1 << 20)
"""While others wait for their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a tick has found for one client, counted."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is to be done for a client before the next one has its turn.

    Attributes:
        cut_off: uploads whose sender is to be told.
        uploads: a group of one batch, oldest first; empty where only what is half done is to be finished.
        begins: the batch, with its first group only.
        ends: whether it is the batch's last group.
    """

    client: str
    cut_off: tuple[Sighting, ...] = ()
    uploads: tuple[Upload, ...] = ()
    begins: Batch | None = None
    ends: bool = False


@dataclass(slots=True)
class _Waiting:
    """A client's own queue; `given_back` is a turn that is to be had again."""

    batches: deque[deque[Upload]] = field(default_factory=deque)
    is_begun: bool = False
    cut_off: deque[Sighting] = field(default_factory=deque)
    is_asked: bool = False
    given_back: Turn | None = None

    def __bool__(self) -> bool:
        return bool(self.batches or self.cut_off or self.is_asked or self.given_back)


class Turns:
    """Every client's queue, and the order in which they are served.

    A client that comes while another is served waits for that turn, and for one turn of each client that waits
    already; whoever was served goes behind those.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._order: deque[str] = deque()
        self._served: str | None = None

    def __bool__(self) -> bool:
        return any(self._waiting.values())

    def add(self, client: str, uploads: Iterable[Upload]) -> None:
        """A tick has found these complete, oldest first; they follow what the client has waiting.

        What several ticks have found is one batch until that is begun, so that it has as few groups as can be.
        """
        batch = deque(uploads)
        if not batch:
            return
        waiting = self._of(client)
        if len(waiting.batches) > waiting.is_begun:
            waiting.batches[-1].extend(batch)
        else:
            waiting.batches.append(batch)

    def tell(self, client: str, cut_off: Sighting) -> None:
        """An upload was cut off, which its sender is to be told."""
        self._of(client).cut_off.append(cut_off)

    def ask(self, client: str) -> None:
        """The client is to have a turn, whether it has files or not."""
        self._of(client).is_asked = True

    def give_back(self, turn: Turn) -> None:
        """Nothing was done of this turn, the last one taken; the client has it again after the others."""
        self._of(turn.client).given_back = turn

    def abandon(self, client: str) -> tuple[Upload, ...]:
        """Forget the rest of the batch of which a group was taken, and return it; a later tick finds it again."""
        waiting = self._of(client)
        rest = tuple(waiting.batches.popleft()) if waiting.is_begun else ()
        waiting.is_begun = False
        return rest

    def take(self) -> Turn | None:
        """The next turn, None where nobody waits."""
        served, self._served = self._served, None
        if served is not None and self._waiting[served]:
            self._order.append(served)
        if not self._order:
            return None
        client = self._served = self._order.popleft()
        return self._turn(client, IN_COMPANY if self._order else ALONE)

    def _of(self, client: str) -> _Waiting:
        """The client's queue, to which something is added now."""
        if client != self._served and client not in self._order:
            self._order.append(client)
        return self._waiting.setdefault(client, _Waiting())

    def _turn(self, client: str, bound: Bound) -> Turn:
        waiting = self._waiting[client]
        waiting.is_asked = False
        again, waiting.given_back = waiting.given_back, None
        if again is not None:
            return again
        told = [waiting.cut_off.popleft() for _ in range(min(len(waiting.cut_off), bound.files))]
        if not waiting.batches:
            return Turn(client=client, cut_off=tuple(told))
        batch = waiting.batches[0]
        begins = None if waiting.is_begun else Batch(files=len(batch), bytes=sum(each.size for each in batch))
        uploads = _cut(batch, bound)
        waiting.is_begun = bool(batch)
        if not batch:
            waiting.batches.popleft()
        return Turn(client=client, cut_off=tuple(told), uploads=uploads, begins=begins, ends=not batch)


def _cut(batch: deque[Upload], bound: Bound) -> tuple[Upload, ...]:
    taken = [batch.popleft()]
    size = taken[0].size
    while batch and len(taken) < bound.files and size + batch[0].size <= bound.bytes:
        size += batch[0].size
        taken.append(batch.popleft())
    return tuple(taken)

"""The order of imports: clients take turns, and within a turn the oldest file comes first. Pure.

A turn is one group of files, which share the wait after claiming. While other clients have files too, a group is so
small that it takes about as long as a single file does, because that wait of 1 s is the most of it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from watcher.uploads.model import Replaced, Sighting, Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The limits of a group; a file that is larger than `bytes` is a group of its own."""

    files: int
    bytes: int


ALONE = Bound(files=256, bytes=8 << 20)
"""The limits of a group while no other client waits."""
IN_COMPANY = Bound(files=32, bytes=1 << 20)
"""The limits of a group while other clients wait for their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The number of files that a tick has found for one client, and their size."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The work to do for a client before the next one has its turn.

    Attributes:
        to_tell: uploads whose sender is to be told that they were cut off, and those that newer ones have replaced.
        uploads: a group of one batch, oldest first; empty where only what is half done is to be finished.
        begins: the batch, with its first group only.
        ends: whether it is the batch's last group.
        purges: whether the client's bak is to be purged, which has a turn of its own.
    """

    client: str
    to_tell: tuple[Sighting | Replaced, ...] = ()
    uploads: tuple[Upload, ...] = ()
    begins: Batch | None = None
    ends: bool = False
    purges: bool = False


@dataclass(slots=True)
class _Waiting:
    """The queue of one client; `given_back` is a turn that is to be had again.

    A purge waits for one group of files at most, or a client that always has some would never have it.
    """

    batches: deque[deque[Upload]] = field(default_factory=deque)
    is_begun: bool = False
    to_tell: deque[Sighting | Replaced] = field(default_factory=deque)
    is_asked: bool = False
    given_back: Turn | None = None
    is_to_purge: bool = False
    has_waited_to_purge: bool = False

    def __bool__(self) -> bool:
        return bool(self.batches or self.to_tell or self.is_asked or self.given_back or self.is_to_purge)


class Turns:
    """The queues of all clients, and the order in which they are served.

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
        """Add files that a tick has found complete, oldest first, behind what the client has waiting.

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

    def has_files(self, client: str) -> bool:
        """Whether files of a client wait."""
        return client in self._waiting and bool(self._waiting[client].batches)

    def tell(self, client: str, upload: Sighting | Replaced) -> None:
        """Add an upload that was cut off, which its sender is to be told, or one that a newer one has replaced."""
        self._of(client).to_tell.append(upload)

    def ask(self, client: str) -> None:
        """Ask for a turn of a client, whether it has files or not."""
        self._of(client).is_asked = True

    def purge(self, client: str) -> None:
        """Ask for a purge of a client's bak, whatever else is to be done for it."""
        self._of(client).is_to_purge = True

    def give_back(self, turn: Turn) -> None:
        """Give back the last turn taken, of which nothing was done; the client has it again after the others."""
        self._of(turn.client).given_back = turn

    def abandon(self, client: str) -> tuple[Upload, ...]:
        """Forget the rest of the batch of which a group was taken, and return it; a later tick finds it again."""
        waiting = self._of(client)
        rest = tuple(waiting.batches.popleft()) if waiting.is_begun else ()
        waiting.is_begun = False
        return rest

    def take(self) -> Turn | None:
        """Take the next turn; None where nobody waits."""
        served, self._served = self._served, None
        if served is not None and self._waiting[served]:
            self._order.append(served)
        if not self._order:
            return None
        client = self._served = self._order.popleft()
        return self._turn(client, IN_COMPANY if self._order else ALONE)

    def _of(self, client: str) -> _Waiting:
        """The queue of a client, to which something is added now."""
        if client != self._served and client not in self._order:
            self._order.append(client)
        return self._waiting.setdefault(client, _Waiting())

    def _turn(self, client: str, bound: Bound) -> Turn:
        waiting = self._waiting[client]
        waiting.is_asked = False
        again, waiting.given_back = waiting.given_back, None
        if again is not None:
            return again
        if waiting.is_to_purge and (waiting.has_waited_to_purge or not (waiting.batches or waiting.to_tell)):
            waiting.is_to_purge = waiting.has_waited_to_purge = False
            return Turn(client=client, purges=True)
        waiting.has_waited_to_purge = waiting.is_to_purge
        told = [waiting.to_tell.popleft() for _ in range(min(len(waiting.to_tell), bound.files))]
        if not waiting.batches:
            return Turn(client=client, to_tell=tuple(told))
        batch = waiting.batches[0]
        begins = None if waiting.is_begun else Batch(files=len(batch), bytes=sum(each.size for each in batch))
        uploads = _cut(batch, bound)
        waiting.is_begun = bool(batch)
        if not batch:
            waiting.batches.popleft()
        return Turn(client=client, to_tell=tuple(told), uploads=uploads, begins=begins, ends=not batch)


def _cut(batch: deque[Upload], bound: Bound) -> tuple[Upload, ...]:
    taken = [batch.popleft()]
    size = taken[0].size
    while batch and len(taken) < bound.files and size + batch[0].size <= bound.bytes:
        size += batch[0].size
        taken.append(batch.popleft())
    return tuple(taken)

"""What happens in a soak and when: a pure function of the seed, the length and what the machine can do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.soak import drops

BY_RENAME = ("acme", "birch lane")
"""Clients whose files appear at one stroke."""
BY_FTPS = "cedar"
"""The one whose files come through the FTP server."""
CLIENTS = (*BY_RENAME, BY_FTPS)

LONGEST_FAULT = 6.0
_QUIET_SECONDS = 90.0
"""How long there is no quiet point."""
_LAST_FAULT = 8.0
"""Seconds before the end after which no fault begins."""


class Fault(StrEnum):
    """What is done to the service or to what it stands on."""

    KILL_PARENT = "kill -9 of the parent"
    KILL_CHILD = "kill -9 of the child"
    KILL_BOTH = "kill -9 of both"
    STOP_PARENT = "SIGSTOP of the parent"
    STOP_CHILD = "SIGSTOP of the child"
    STOP_BOTH = "SIGSTOP of both"
    RESTART = "a clean restart"
    DATABASE = "the database restarts at once, or is locked"
    CLIENT_DISK_FULL = "the clients' disk is full"
    STATE_DISK_FULL = "the service's disk is full"
    CLIENT_AWAY = "a client's folder is away"
    ALL_AWAY = "the upload directory is away"
    CLOCK = "the clock jumps"
    ROTATION = "the FTP server's log is rotated"
    SMTP_REFUSES = "the mail server refuses"
    SMTP_BUSY = "the mail server is busy"
    SMTP_HANGS = "the mail server hangs after the final dot"
    SMTP_LOSES_MAIL = "the mail server cuts after the final dot"
    SMTP_LOSES_REPLY = "the mail server takes the mail and cuts"


MAIL_FAULTS = tuple(fault for fault in Fault if fault.name.startswith("SMTP"))
INSTANT = {
    Fault.KILL_PARENT,
    Fault.KILL_CHILD,
    Fault.KILL_BOTH,
    Fault.RESTART,
    Fault.ROTATION,
}
NEEDS_MOUNTS = {Fault.CLIENT_DISK_FULL, Fault.STATE_DISK_FULL}
NEEDS_FAKETIME = {Fault.CLOCK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A file is dropped; `sent` is how many of its bytes come, where the upload is cut."""

    client: str
    name: str
    content: bytes
    sent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correct:
    """The client corrects a report of bak, chosen by `choice` (0 to 1), and drops it again."""

    client: str
    number: int
    choice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """A fault begins; `size` (0 to 1) is how far a clock jumps, or whose folder it is."""

    fault: Fault
    size: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A fault ends."""

    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Everything that is broken is mended, everything that waits is waited for, and the users are compared."""


Act = Drop | Correct | Begin | End | Quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happens, so many seconds after the start, the waiting at quiet points left out."""

    at: float
    act: Act


def plan(seed: int, seconds: float, without: frozenset[Fault] = frozenset()) -> list[Step]:
    """Every step of a soak, in order.

    Args:
        seed: the same seed makes the same steps.
        seconds: how long files are dropped and faults are made.
        without: faults that this machine cannot make.
    """
    faults = [fault for fault in Fault if fault not in without]
    quiet = int(seconds / _QUIET_SECONDS)
    steps = [
        *_drops(_random(f"drops {seed}"), seconds),
        *_faults(_random(f"faults {seed}"), seconds, [each for each in faults if each not in MAIL_FAULTS]),
        *_faults(_random(f"mail faults {seed}"), seconds, [each for each in faults if each in MAIL_FAULTS]),
        *(Step(at=seconds * (number + 1) / (quiet + 1), act=Quiet()) for number in range(quiet)),
    ]
    return sorted(steps, key=lambda step: step.at)


def _random(seed: str) -> Random:
    return Random(seed)  # noqa: S311 - it has to be repeatable


def _faults(random: Random, seconds: float, faults: Sequence[Fault]) -> Iterator[Step]:
    """One after the other, each as often as the others, with time to recover between them."""
    at, deck = random.uniform(1, 4), list[Fault]()
    while at < seconds - _LAST_FAULT:
        if not deck:
            deck = random.sample(faults, len(faults))
        fault = deck.pop()
        yield Step(at=at, act=Begin(fault=fault, size=random.random()))
        if fault not in INSTANT:
            at += random.uniform(0.5, LONGEST_FAULT)
            yield Step(at=at, act=End(fault=fault))
        at += random.uniform(0.5, 4)


def _drops(random: Random, seconds: float) -> Iterator[Step]:
    """Bursts and pauses; a file may be one that was dropped before."""
    at, number = 0.5, 0
    earlier: list[bytes] = []
    while at < seconds - 2:
        number += 1
        client = random.choice(CLIENTS)
        if random.random() < 0.15:
            yield Step(at=at, act=Correct(client=client, number=number, choice=random.random()))
        else:
            suffix, content = _file(random, number, earlier)
            earlier.append(content)
            yield Step(at=at, act=_drop(random, client, number, suffix, content))
        at += random.choice([0.02, 0.3, 0.8, 2.0]) * random.uniform(0.5, 1.5)


_KINDS: Sequence[tuple[int, Callable[[Random, int], bytes]]] = (
    (60, drops.roster),
    (10, drops.swap),
    (5, drops.partly_undecodable),
    (7, drops.unusable),
    (5, drops.many),
    (6, drops.compressed),
)
"""How often each kind of file comes."""
_COMPRESSED = b"\x1f\x8b"


def _file(random: Random, number: int, earlier: Sequence[bytes]) -> tuple[str, bytes]:
    """The end of a name and a content."""
    if earlier and random.random() < 0.06:
        content = random.choice(earlier)
    else:
        (make,) = random.choices([make for _, make in _KINDS], [often for often, _ in _KINDS])
        content = make(random, number)
    return ".csv.gz" if content.startswith(_COMPRESSED) else random.choice([".csv", ".csv", ".txt", ".CSV"]), content


def _drop(random: Random, client: str, number: int, suffix: str, content: bytes) -> Drop:
    """Names come again where files appear at one stroke; elsewhere a second upload would tear what waits."""
    name = f"{number:05}{suffix}"
    if client == BY_FTPS:
        is_cut = random.random() < 0.1 and len(content) > 1 and not suffix.endswith("gz")
        return Drop(
            client=client, name=name, content=content, sent=random.randrange(1, len(content)) if is_cut else None
        )
    if random.random() < 0.3:
        name = random.choice(["students", "liste du personnel"]) + suffix.lower()
    return Drop(client=client, name=name, content=content)

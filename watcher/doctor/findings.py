"""The doctor's nouns: what was found out about one thing, and how bad it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`warning`: it works, but less well or less safely than it could. `broken`: something does not work at all."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one thing.

    Attributes:
        name: the thing; several findings may be about it.
        state: how it is.
        what: what was seen, a sentence without its full stop and without anybody's data.
        cure: what to do, in the same form; empty where it is ok.
    """

    name: str
    state: State
    what: str
    cure: str = ""


def ok(name: str, what: str) -> Finding:
    """A thing that is as it should be."""
    return Finding(name, State.OK, what)


def warning(name: str, what: str, cure: str) -> Finding:
    """A thing that works, but could do so better."""
    return Finding(name, State.WARNING, what, cure)


def broken(name: str, what: str, cure: str) -> Finding:
    """A thing that does not work."""
    return Finding(name, State.BROKEN, what, cure)


def worst(findings: Iterable[Finding]) -> State:
    """The state of all things together."""
    order = list(State)
    return max((finding.state for finding in findings), key=order.index, default=State.OK)

"""The doctor's nouns: the findings about one thing, and how bad each is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The state of a thing: a `warning` works, but less well or safely than it could; a `broken` one does not work."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about one thing.

    Attributes:
        name: the thing's name; several findings may be about it.
        state: the thing's state.
        what: what was seen, a sentence without its full stop and without anybody's data.
        cure: what to do, in the same form; empty where the state is ok.
        folder: the client's folder that it is about; empty where it is about something else.
    """

    name: str
    state: State
    what: str
    cure: str = ""
    folder: str = ""


def ok(name: str, what: str) -> Finding:
    """The finding of a thing that is as it should be."""
    return Finding(name, State.OK, what)


def warning(name: str, what: str, cure: str) -> Finding:
    """The finding of a thing that works, but could do so better."""
    return Finding(name, State.WARNING, what, cure)


def broken(name: str, what: str, cure: str) -> Finding:
    """The finding of a thing that does not work."""
    return Finding(name, State.BROKEN, what, cure)


def worst(findings: Iterable[Finding]) -> State:
    """The worst state among findings."""
    order = list(State)
    return max((finding.state for finding in findings), key=order.index, default=State.OK)

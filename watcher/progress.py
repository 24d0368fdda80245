"""Whether the service gets on with its work, for who would start it anew. Pure; times are monotonic seconds."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One of the things that are done all the time.

    Attributes:
        since: when it last got on; None where it has nothing to do, or may take as long as it needs.
        patience: how long one step may take, whatever the files, mails and machines are.
    """

    name: str
    since: float | None
    patience: float


def stalled(tasks: Iterable[Task], now: float) -> tuple[str, ...]:
    """The tasks that did not get on for longer than any step of theirs takes."""
    return tuple(task.name for task in tasks if task.since is not None and now - task.since > task.patience)

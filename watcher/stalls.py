"""The judgement whether the service gets on, or must be started anew. Pure; times are monotonic seconds."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task of the service, which must get on all the time.

    Attributes:
        since: when it last got on; None where it has nothing to do, or may take as long as it needs.
        patience: seconds that one step may take, whatever the files, mails and machines are.
    """

    name: str
    since: float | None
    patience: float


def stalled(tasks: Iterable[Task], now: float) -> tuple[str, ...]:
    """The tasks that did not get on for longer than any step of theirs takes."""
    return tuple(task.name for task in tasks if task.since is not None and now - task.since > task.patience)

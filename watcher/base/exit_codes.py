"""The codes with which commands end, and what the help of a command says of them."""

import inspect
from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

_Command = TypeVar("_Command", bound=Callable[..., object])


class ExitCode(IntEnum):
    """The code with which a command ends; its help says what is amiss. The last three are those of sysexits.h."""

    DONE = 0
    AMISS = 1
    WORSE = 2
    USAGE = 3
    UNAVAILABLE = 69
    BUG = 70
    ALREADY_RUNNING = 75


def exit_codes(
    *,
    done: str = "done",
    amiss: str | None = None,
    worse: str | None = None,
    usage: str = "wrong usage or settings",
    unavailable: str | None = None,
    bug: str | None = None,
    already_running: str | None = None,
) -> Callable[[_Command], _Command]:
    """Add the exit codes to the docstring of a command, which is its help; None for one with which it does not end."""
    meanings = dict(zip(ExitCode, (done, amiss, worse, usage, unavailable, bug, already_running), strict=True))
    said = ", ".join(f"{code} {meaning}" for code, meaning in meanings.items() if meaning is not None)

    def told(command: _Command) -> _Command:
        command.__doc__ = f"{inspect.getdoc(command)}\n\nExit codes: {said}."
        return command

    return told

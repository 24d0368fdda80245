"""Questions to the running service, and how a command ends where they cannot be asked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from watcher.base.control import asked_for
from watcher.base.encoding import OtherShapeError
from watcher.base.exit_codes import ExitCode
from watcher.commands.terminal import fail
from watcher.settings.variables import Settings

Answer = TypeVar("Answer")


def whole_answer_of(settings: Settings, *request: str) -> Mapping[str, object] | None:
    """Ask the running service as `answer_of` does, for all that it says, also what only a newer version knows of."""
    return _answered(settings, lambda where: asked_for(dict[str, object], where, *request))


def answer_of(settings: Settings, kind: type[Answer], *request: str) -> Answer | None:
    """Ask the running service; None where none runs. The command ends where the service cannot be asked.

    Args:
        settings: name the state directory, in which the service's socket lies.
        kind: the type of the service's answer.
        request: the words of the question.
    """
    return _answered(settings, lambda where: asked_for(kind, where, *request))


def _answered(settings: Settings, ask: Callable[[Path], Answer | None]) -> Answer | None:
    where = settings.state_dir
    try:
        return ask(where)
    except FileNotFoundError:
        return None
    except OSError as error:
        fail(f"userdrop's socket in {where} cannot be asked: {error.strerror or 'no answer in time'}", ExitCode.USAGE)
    except OtherShapeError:
        fail(f"the userdrop that runs with the state directory {where} is of another version", ExitCode.USAGE)

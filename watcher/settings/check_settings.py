"""The settings that `userdrop check` needs, loaded by a process of their own.

pydantic, which settings and format are made of, and polars, which judges the file, take a third of a second each to
load: side by side rather than one after the other.
"""

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from importer.formats.columns import Format

if TYPE_CHECKING:
    from watcher.settings.variables import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """The settings of a check: format, largest size of a file in bytes, and language of the reasons."""

    format_: Format
    max_bytes: int
    language: str

    @classmethod
    def of(cls, settings: "Settings", format_: Format) -> Self:
        """Take from all settings those that a check needs."""
        return cls(format_=format_, max_bytes=settings.max_file_mb << 20, language=settings.language)


@contextmanager
def loading() -> Iterator[Callable[[], CheckSettings | None]]:
    """Load the settings while the block runs; calling what it yields waits for them.

    The call returns None where they cannot be loaded so: to load them in this process tells what is wrong.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - this same program
            [sys.executable, "-P", "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:  # there are as many processes as there may be
        yield lambda: None
        return
    with process:
        yield lambda: _sent(process)


def _sent(process: subprocess.Popen[bytes]) -> CheckSettings | None:
    answer, _ = process.communicate()
    if process.returncode != 0:
        return None
    sent: CheckSettings = pickle.loads(answer)  # noqa: S301 - from a process of our own
    return sent


def main() -> None:
    """Write the settings of a check to standard output, pickled; any mistake ends the process with a code not 0."""
    gc.disable()  # this process ends before anything is worth collecting
    from watcher.settings.configuration import load  # noqa: PLC0415 - which brings pydantic along

    pickle.dump(CheckSettings.of(*load()), sys.stdout.buffer)
    sys.stdout.flush()
    os._exit(0)  # to take pydantic down takes a sixth of the time

"""The entry of `python -m watcher`, which is `userdrop`."""

import os
import sys
from contextlib import suppress

from watcher.commands.cli import main


def run() -> None:
    """Run a command, and end without taking down polars, which would take a twentieth of a second."""
    try:
        main()
    except SystemExit as end:
        if "polars" not in sys.modules or not isinstance(end.code, int):
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # it is broken, closed or None
                stream.flush()
        os._exit(end.code)


if __name__ == "__main__":
    run()

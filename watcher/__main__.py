"""`python -m watcher` is `userdrop`."""

import os
import sys
from contextlib import suppress

from watcher.cli import main


def run() -> None:
    """Run a command; where it has loaded polars, without taking that down, which takes a twentieth of a second."""
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

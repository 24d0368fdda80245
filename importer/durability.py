"""The syncs by which a file is on the disk for good. Source: fsync(2): a file's name needs a sync of its own."""

import os
from pathlib import Path


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: the disk did not take it; what is durable is unknown.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

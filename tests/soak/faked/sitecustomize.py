"""Loaded by a Python that runs under libfaketime.

libfaketime 0.9.10 takes the absolute end of a sleep for wall-clock time though it is monotonic, so that `time.sleep`
fails with EINVAL. Waits for an event are told right.
"""

import threading
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    threading.Event().wait(float(seconds))


time.sleep = _sleep  # noqa: TID251 - nobody sleeps: others' sleeps are mended

"""The real clock, for whoever puts the parts together; everything else is told the time."""

import datetime as dt
import time


def utc_now() -> dt.datetime:
    """The wall clock, which may jump."""
    return dt.datetime.now(dt.UTC)  # noqa: TID251 - here it is made


def elapsed() -> float:
    """Seconds that only ever grow."""
    return time.monotonic()  # noqa: TID251 - here it is made

"""The real clock, for whoever puts the parts together; everything else is told the time."""

import datetime as dt
import time


def utc_now() -> dt.datetime:
    """The time of the wall clock, UTC, which may jump."""
    return dt.datetime.now(dt.UTC)  # noqa: TID251 - here it is made


def elapsed() -> float:
    """The monotonic clock, in seconds that only ever grow."""
    return time.monotonic()  # noqa: TID251 - here it is made

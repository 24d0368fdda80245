"""Time and chance, which the importer gets by parameter."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The importer's source of time and chance; the real one is made by the process that runs the importer.

    Attributes:
        now: gives the time of day, aware, UTC.
        elapsed: gives seconds that only ever grow.
        pause: waits long enough for a writer of a file just claimed to show itself (the protocol says 1 s).
        token: gives a text that nobody else has.
    """

    now: Callable[[], dt.datetime]
    elapsed: Callable[[], float]
    pause: Callable[[], None]
    token: Callable[[], str]

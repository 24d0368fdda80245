"""The time of the next import in letters, which is known only when they are sent: until then a mark holds its place."""

import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from enum import Enum

_SIGN = "\ue000"
"""Around the mark; `safety.safe_text` leaves none, so each one in a letter is ours."""
_MARK = re.compile(rf"{_SIGN}([^{_SIGN}]*){_SIGN}")


class NextRun(Enum):
    """A next import whose time is not known yet."""

    WHEN_SENT = "when sent"


def mark(timezone: tzinfo) -> str:
    """What stands for the time, and says in which zone it is to be told."""
    return f"{_SIGN}{timezone}{_SIGN}"


def timed(text: str, next_run: datetime | None, moment: Callable[[datetime, str], str]) -> str:
    """A letter's text with the time of the next import in place of each mark.

    Args:
        text: as it was written.
        next_run: when the next import starts; without one the lines that would tell it are left out.
        moment: puts a time into words, in the zone of that name.
    """
    if next_run is None:
        kept = (line for line in text.split("\n") if not _MARK.search(line))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(kept))
    return _MARK.sub(lambda found: moment(next_run, found[1]), text)


def untimed(text: str) -> str:
    """A letter's text as it is shown to who looks into the queue."""
    return _MARK.sub("(the time is worked out when the mail is sent)", text)

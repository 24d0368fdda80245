"""What the log said of each file lately, kept for whoever asks why; what an older log said is in the log."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

MOST_FILES = 2_000
"""Those of which nothing was said for longest are forgotten first."""
MOST_EVENTS = 30
"""Of each file, the last ones."""

Event = Mapping[str, Any]
"""A line of the log."""


class Journal:
    """Keeps the events that name a client and its file."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str], deque[Event]] = OrderedDict()

    def note(self, event: Event) -> None:
        """An event is logged."""
        if "client" not in event or "file" not in event:
            return
        key = event["client"], event["file"]
        self._files.setdefault(key, deque(maxlen=MOST_EVENTS)).append(dict(event))
        self._files.move_to_end(key)
        if len(self._files) > MOST_FILES:
            self._files.popitem(last=False)

    def of(self, client: str, file: str) -> tuple[Event, ...]:
        """What was said of a file, by its shown form, in order."""
        return tuple(self._files.get((client, file), ()))

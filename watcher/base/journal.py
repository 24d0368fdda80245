"""The recent log events of each file, kept for `userdrop why`; older ones are only in the log."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

MOST_FILES = 2_000
"""The number of files whose events are kept; those of which nothing was said for longest are forgotten first."""
MOST_EVENTS = 30
"""The number of events that are kept of each file: the last ones."""

Event = Mapping[str, Any]
"""An event of the log, by the names of its fields."""


class Journal:
    """A memory of the events that name a client and its file."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str], deque[Event]] = OrderedDict()

    def note(self, event: Event) -> None:
        """Keep an event that is logged, if it names a client and a file."""
        if "client" not in event or "file" not in event:
            return
        key = event["client"], event["file"]
        self._files.setdefault(key, deque(maxlen=MOST_EVENTS)).append(dict(event))
        self._files.move_to_end(key)
        if len(self._files) > MOST_FILES:
            self._files.popitem(last=False)

    def of(self, client: str, file: str) -> tuple[Event, ...]:
        """The events of a file, named by its shown form, in order."""
        return tuple(self._files.get((client, file), ()))

"""The complete uploads that a newer one of their name has replaced before they were taken. Pure.

Whether the newer one has replaced the older or gone on with it is known when it has ended.
"""

from watcher.uploads.model import Sighting


class Replacements:
    """The complete uploads of one client's directory whose names have other content by now, by name."""

    def __init__(self) -> None:
        self._older: dict[str, list[Sighting]] = {}

    def note(self, complete: Sighting, now: Sighting) -> None:
        """Note what has become of an upload that was complete; a new time or mode is no new content."""
        before, after = complete.content, now.content
        is_other = (before.device, before.inode, before.size) != (after.device, after.inode, after.size)
        if is_other and before.size > 0:
            self._older.setdefault(complete.name, []).append(complete)

    def ended(self, newer: Sighting, last_bytes: int | None) -> list[Sighting]:
        """The uploads that a complete one has replaced, each told once.

        Args:
            newer: the upload that is complete now.
            last_bytes: the bytes of the last transfer of its name; None where they are not known.
        """
        older = self._older.pop(newer.name, [])
        return [each for each in older if not _is_continued(each, newer, last_bytes)]

    def gone(self, name: str) -> list[Sighting]:
        """The uploads that another one of a name has replaced which is gone itself, each told once."""
        return self._older.pop(name, [])


def _is_continued(older: Sighting, newer: Sighting, last_bytes: int | None) -> bool:
    before, after = older.content, newer.content
    is_same_file = (before.device, before.inode) == (after.device, after.inode)
    return is_same_file and last_bytes not in {None, after.size} and before.size + (last_bytes or 0) == after.size

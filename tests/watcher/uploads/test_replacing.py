"""Which complete uploads a newer one of their name has replaced, and which it has gone on with."""

from dataclasses import replace

from importer.model import Fingerprint
from watcher.uploads.model import Sighting
from watcher.uploads.replacing import Replacements


def seen(size: int, *, inode: int = 2, modified_ns: int = 1) -> Sighting:
    content = Fingerprint(device=1, inode=inode, size=size, modified_ns=modified_ns)
    return Sighting(name="a.csv", content=content, changed_ns=4, is_locked=False)


def replaced(older: Sighting, newer: Sighting, last_bytes: int | None = None) -> list[Sighting]:
    found = Replacements()
    found.note(older, newer)
    return found.ended(newer, last_bytes)


def test_an_upload_is_replaced_by_one_of_another_size_or_by_another_file() -> None:
    for newer in (seen(9), seen(3), seen(5, inode=3), seen(9, inode=3)):
        assert replaced(seen(5), newer) == [seen(5)]
        assert replaced(seen(5), newer, newer.content.size) == [seen(5)]


def test_an_upload_that_was_gone_on_with_is_not_replaced() -> None:
    assert replaced(seen(5), seen(9), 4) == []
    assert replaced(seen(5), seen(9, inode=3), 4) == [seen(5)]


def test_a_new_time_or_nothing_at_all_replaces_nothing() -> None:
    assert replaced(seen(5), replace(seen(5, modified_ns=7), changed_ns=9)) == []
    assert replaced(seen(0), seen(5)) == [], "nothing is lost with an empty one"


def test_each_is_told_once_when_the_newest_has_ended_or_is_gone() -> None:
    found = Replacements()
    found.note(seen(5), seen(9))
    found.note(seen(9), seen(11))
    assert found.ended(seen(11), 11) == [seen(5), seen(9)]
    assert found.ended(seen(11), 11) == []
    found.note(seen(11), seen(2))
    assert found.gone("a.csv") == [seen(11)]
    assert found.gone("a.csv") == []

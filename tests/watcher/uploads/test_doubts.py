"""Whose upload is in doubt is told once, when there was time to try again, and not where that was made use of."""

import math

from importer.model import Fingerprint
from watcher.uploads.doubts import Doubts
from watcher.uploads.model import Sighting


def seen(name: str = "a.csv", size: int = 5) -> Sighting:
    content = Fingerprint(device=1, inode=2, size=size, modified_ns=3)
    return Sighting(name=name, content=content, changed_ns=4, is_locked=False)


def test_an_upload_in_doubt_is_told_once_after_its_time() -> None:
    doubts = Doubts(180)
    doubts.add(seen(), 10)
    assert (doubts.due(189), doubts.next_due) == ([], 190)
    assert doubts.due(190) == [seen()]
    assert (doubts.due(1_000), doubts.next_due) == ([], math.inf)


def test_an_upload_that_was_gone_on_with_is_not_told() -> None:
    doubts = Doubts(180)
    doubts.add(seen(), 10)
    doubts.end("a.csv")
    doubts.end("never.csv")
    assert doubts.due(1_000) == []


def test_an_upload_that_was_cut_off_again_has_its_time_anew() -> None:
    doubts = Doubts(180)
    doubts.add(seen(size=5), 10)
    doubts.add(seen(size=9), 100)
    assert doubts.due(190) == []
    assert doubts.due(280) == [seen(size=9)]

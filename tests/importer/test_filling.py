"""What a file may take of the disk: the bound for each upload, that for each client, and who filled a full disk."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from importer.database.failures import is_disk_full, is_outage
from importer.files import claiming
from importer.files.attempts import MAX_ATTEMPTS
from importer.importing import Importer
from importer.judging.brevity import is_own_doing, may_be_taken, room_on_disk
from importer.model import Archived, Claim, Imported, NotTaken, NotTakenWhy, Outcome, Quarantined, Refused
from tests.importing import LIMITS, PEOPLE, Site, clock, make_site, mounted

KEYS = "uid\n" + "".join(f"{number:x}\n" for number in range(250_000))
"""A file of 1.4 MB whose users take some 80 MB."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Site]:
    """A site with all that it has on a disk of 40 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    with mounted(place, "-t", "tmpfs", "-o", "size=40m", "tmpfs"):
        site = make_site(place)
        try:
            yield site
        finally:
            site.engine.dispose()


def test_a_file_that_fills_the_disk_each_time_is_refused(small: Site) -> None:
    small.drop("people.csv", KEYS)
    with _full_disk():
        small.take("people.csv")
    for _ in range(1, MAX_ATTEMPTS):
        with _full_disk():
            small.recover()
    refused, archived = small.recover()
    assert isinstance(refused, Refused)
    assert refused.refusal.message == "the import of the file filled the disk 3 times; split it and drop the parts"
    assert isinstance(archived, Archived)
    assert small.archived() == {archived.archive: KEYS.encode()}
    assert small.notices() == [("refused", "client"), ("refused", "admin")]
    assert small.users() == {}
    small.drop("part.csv", KEYS[:20_000])
    assert isinstance(small.take("part.csv", tokens="u")[0], Imported), "a part fits, as the sentence says"


def test_a_disk_that_others_have_filled_is_no_fault_of_a_file(small: Site) -> None:
    ballast = small.directory.parent / "ballast"
    ballast.write_bytes(bytes(20 << 20))
    small.drop("people.csv", KEYS[:900_000])
    with _full_disk():
        small.take("people.csv")
    for _ in range(MAX_ATTEMPTS):
        with _full_disk():
            small.recover()
    (claim,) = small.claims()
    assert claiming.filled(claim) == 0
    assert shutil.disk_usage(small.directory).free > 15 << 20, "nothing is left that keeps it full"
    claiming.release(claim)


@contextmanager
def _full_disk() -> Iterator[None]:
    with pytest.raises((OSError, SQLAlchemyError)) as caught:
        yield
    assert is_disk_full(caught.value)
    assert is_outage(caught.value)


def test_whose_doing_a_full_disk_is_shows_by_the_room_around_the_attempt() -> None:
    needed = room_on_disk(1)
    assert is_own_doing(1, needed, needed)
    assert not is_own_doing(1, needed - 1, needed), "it was too full for any file of that size"
    assert not is_own_doing(1, needed, needed - 1), "somebody else has filled it meanwhile"


def test_a_mixture_of_ends_is_set_aside(site: Site) -> None:
    site.drop("people.csv", "uid\nU1\n")
    claim = _claimed(site)
    claiming.note_filled(claim)
    for _ in range(MAX_ATTEMPTS):
        claiming.count_attempt(claim)
    (outcome,) = site.recover()
    assert isinstance(outcome, Quarantined)


def test_more_waits_while_a_client_has_much_in_work(site: Site) -> None:
    left = _claimed(site, "left.csv")
    with claiming.workroom(site.directory) as room:
        (room / ".lock").write_text("what is no claim is not counted", encoding="ascii")
    site.drop("more.csv", "uid\nU2\n")
    assert _take(site, "more.csv", most=room_on_disk(1)) == [
        NotTaken(client="acme", name="more.csv", why=NotTakenWhy.NO_ROOM)
    ]
    assert (site.directory / "more.csv").exists()
    assert isinstance(_take(site, "more.csv", most=2 * room_on_disk(1))[0], Imported)
    claiming.release(left)
    site.drop("more.csv", "uid\nU3\n")
    assert isinstance(_take(site, "more.csv", most=1 << 16)[0], Imported), "nothing is in work"


def test_a_file_that_takes_more_than_a_client_may_have_is_refused(site: Site) -> None:
    site.drop("people.csv", KEYS)
    refused, archived = _take(site, "people.csv", most=2 << 20)
    assert isinstance(refused, Refused)
    assert refused.refusal.message == (
        "the import of the file takes more than the 2 MB that a client may have in work; split it and drop the parts"
    )
    assert isinstance(archived, Archived)
    assert site.users() == {}
    assert site.left() == [".importing"]
    site.drop("people.csv", KEYS)
    assert isinstance(_take(site, "people.csv")[0], Imported)


def test_the_report_counts_as_well(site: Site) -> None:
    site.drop("people.csv", "uid\n" + "a\n" * 300_000)
    refused, _ = _take(site, "people.csv", most=3 << 20)
    assert isinstance(refused, Refused)
    assert (refused.refusal.code, site.ledger()[0]["report"]) == ("needs_too_much_room", None)
    assert len(site.archived()) == 1


def test_what_may_be_taken() -> None:
    assert may_be_taken(10, 1, None)
    assert may_be_taken(0, 1 << 40, 1)
    assert may_be_taken(10, 1, room_on_disk(1) + 10)
    assert not may_be_taken(11, 1, room_on_disk(1) + 10)


HEADER = "uid,email,user_name,city,level"
WAYS_TO_FAIL = {
    "required": ",,,a,",
    "too_long": "aaaaaaaaa,,,,",
    "invalid.email": "{n:x},x,,,",
    "invalid.choice": "{n:x},,,,x",
    "duplicate_in_file": "a,,,,",
    "control_character": "{n:x}\x01,," + 90 * "a" + ",,",
    "too_few_cells": "{n:x},,",
    "bad_quotes": '"a"b,,,,',
    "bad_encoding": "\udcff,é,é,é,é",
    "too_many_cells": "{n:x},,,,,,a",
    "all columns": ",x,,xxxxxxxxxxx,x",
    "formulas": "=,=,=,=,=",
}


@pytest.mark.parametrize("row", WAYS_TO_FAIL.values(), ids=WAYS_TO_FAIL)
def test_no_file_takes_more_room_than_was_promised_however_its_rows_fail(row: str, site: Site, tmp_path: Path) -> None:
    rows, size, number = [HEADER], 0, 0
    while size < 2 << 20:
        number += 1
        rows.append(row.format(n=number) if number % 4 else f"{number:x},,,,")
        size += len(rows[-1]) + 1
    text = "\n".join([*rows, ""]).encode("utf-8", "surrogateescape")
    place = tmp_path / "disk"
    place.mkdir()
    site = replace(site, directory=place)
    with mounted(place, "-t", "tmpfs", "-o", f"size={room_on_disk(len(text))}", "tmpfs"):
        site.drop("people.csv", text)
        done, archived = site.take("people.csv")
        assert isinstance(archived, Archived)
        if isinstance(done, Imported):
            assert archived.report is not None
            with (site.bak / archived.report).open(encoding="utf-8-sig", newline="") as file:
                assert sum(1 for _ in csv.reader(file, strict=True)) == done.counts.failed + 1
        else:
            assert isinstance(done, Refused)
            assert done.refusal.code in {"too_many_unreadable", "wrong_width"}


def _claimed(site: Site, name: str = "people.csv") -> Claim:
    """A file that an earlier run has taken, and not begun."""
    site.drop(name, "uid\nU1\n")
    with claiming.workroom(site.directory) as room:
        new = Claim(id="20261122T101000Z-t0", client="acme", directory=site.directory, name=name, workroom=room)
        assert isinstance(claiming.claim(new), Claim)
    (claim,) = site.claims()
    return claim


def _take(site: Site, name: str, *, most: int | None = None) -> list[Outcome]:
    limits = replace(LIMITS, max_work_bytes=most)
    importer = Importer(site.engine, PEOPLE, limits, clock(tokens=f"{most}"))
    return list(importer.import_files("acme", site.folder, [site.seen(name)]))

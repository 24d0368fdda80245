"""A person is removed from wherever we keep something of them; everybody else stays, byte for byte."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from importer.claiming import QUARANTINE_DIRECTORY
from importer.database import mails, notices
from importer.forgetting import Forgotten, forget
from tests.importing import NOW, PEOPLE, Site, make_site, rows_of

GOOD = "uid,email,user_name\nU1,ana@example.edu,ana\nU2,bo@example.edu,bo\n"
BAD = 'uid,email,city\nU1,ana@example.edu,much too long for it\nU2,bo@example.edu,"two\nlines, and too long"\n'


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    site = make_site(tmp_path, url=database_url)
    for name, content in (("good.csv", GOOD), ("bad.csv", BAD)):
        site.drop(name, content)
        site.take(name, tokens=name)
    yield site
    site.engine.dispose()


def forgotten(site: Site, key: str, *, with_files: bool = False) -> Forgotten:
    return forget(site.engine, PEOPLE, "acme", site.directory, key, with_files=with_files)


def texts(site: Site) -> str:
    """Everything that is kept of the client outside bak, as text."""
    return str((site.users(), site.ledger(), [row["facts"] for row in rows_of(site.engine, notices)]))


def test_user_examples_and_rows_of_reports_are_removed_and_files_are_listed(site: Site) -> None:
    before = site.archived()
    done = forgotten(site, "U1")
    (report,) = (name for name in before if name.endswith(".failed.csv"))
    assert done.was_user
    assert done.reports == (report,)
    assert done.files == tuple(sorted(f"bak/{name}" for name in before if name != report))
    assert [*site.users()] == ["U2"]
    assert "ana" not in texts(site)
    after = site.archived()
    assert after.keys() == before.keys()
    assert b"ana@" not in after[report]
    kept = before[report].partition(b"U2,")[2]
    assert kept
    assert after[report].endswith(kept)
    assert {name: after[name] for name in after if name != report} == {
        name: before[name] for name in before if name != report
    }
    assert sorted(entry["failed"] for entry in site.ledger()) == [0, 2], "the counts stay"


def test_files_that_name_the_person_are_removed_where_that_is_asked_for(site: Site) -> None:
    place = site.directory / QUARANTINE_DIRECTORY / "c1"
    place.mkdir(parents=True)
    (place / "poison.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    (place / "utf16.csv").write_bytes(GOOD.encode("utf-16"))
    (place / "other.csv").write_bytes(b"uid,email\nU11,anna@example.edu\n")
    (site.bak / "kept.csv").write_bytes(b"uid,email\nU3,x@example.edu\n")
    done = forgotten(site, "U1", with_files=True)
    assert len(done.files) == 4
    assert sorted(path.name for path in place.iterdir()) == ["other.csv"]
    assert [name for name in site.archived() if not name.endswith(".failed.csv")] == ["kept.csv"]


def test_waiting_mails_that_name_the_person_are_listed_and_removed_where_that_is_asked_for(site: Site) -> None:
    mail = {
        "client": "acme",
        "recipient": "x@example.org",
        "subject": "s",
        "html": "",
        "attachments": [],
        "state": "queued",
        "tries": 0,
        "created_at": NOW,
        "next_try_at": NOW,
    }
    with site.engine.begin() as connection:
        for number, text in enumerate(("row 2: email 'Ana@example.edu' is used", "row 3: anaconda"), 1):
            connection.execute(insert(mails).values({**mail, "message_id": str(number), "text": text}))
    assert forgotten(site, "U1").mails == (1,)
    assert len(rows_of(site.engine, mails)) == 2
    site.drop("again.csv", GOOD)
    site.take("again.csv", tokens="again")
    assert forgotten(site, "U1", with_files=True).mails == (1,)
    assert [row["message_id"] for row in rows_of(site.engine, mails)] == ["2"]


def test_who_was_never_stored_is_found_in_reports_by_the_key(site: Site) -> None:
    site.drop("late.csv", "uid,city\nU9,much too long for it\n")
    site.take("late.csv", tokens="late")
    done = forgotten(site, "U9")
    assert (done.was_user, len(done.reports), len(done.files)) == (False, 1, 1)
    assert forgotten(site, "nobody").is_nothing
    assert sorted(site.users()) == ["U1", "U2"]

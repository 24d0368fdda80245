"""Old files leave bak when the site wants that, and nothing else does."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from importer.database.tables import imports
from importer.model import Purged, Retention
from importer.removing.purging import purge
from tests.importing import NOW, Site, by_name, make_site

DAY = dt.timedelta(days=1)
MIXED = "uid,user_name\nU1,ana\nmuch too long,bo\n"


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    site = make_site(tmp_path, url=database_url)
    site.drop("people.csv", MIXED)
    site.take("people.csv")
    yield site
    site.engine.dispose()


def purged(site: Site, retention: Retention, *, days: float) -> tuple[int, int]:
    done = purge(site.engine, "acme", site.folder, retention, NOW + days * DAY)
    assert done == Purged(client="acme", archives=done.archives, reports=done.reports)
    return done.archives, done.reports


def lying(site: Site) -> list[str]:
    return sorted(path.name for path in site.bak.iterdir())


def test_by_default_everything_stays(site: Site) -> None:
    assert purged(site, Retention(), days=36_500) == (0, 0)
    assert len(lying(site)) == 2


def test_files_and_reports_leave_each_after_its_time(site: Site) -> None:
    retention = Retention(archives=30 * DAY, reports=7 * DAY)
    assert purged(site, retention, days=7) == (0, 0)
    assert purged(site, retention, days=8) == (0, 1)
    assert lying(site) == ["people.20261122T101013Z.csv"]
    assert purged(site, retention, days=31) == (1, 0)
    assert lying(site) == []
    assert purged(site, retention, days=31) == (0, 0)


def test_only_what_the_ledger_has_archived_leaves(site: Site) -> None:
    (site.bak / "somebody's.csv").write_bytes(b"x")
    (old,) = (path for path in site.bak.iterdir() if path.name.endswith("13Z.csv"))
    old.rename(site.bak / "renamed.csv")
    with site.engine.begin() as connection:
        connection.execute(update(imports).values(archived_at=None))
    assert purged(site, Retention(archives=DAY, reports=DAY), days=9) == (0, 0)
    with site.engine.begin() as connection:
        connection.execute(update(imports).values(archived_at=NOW))
    assert purged(site, Retention(archives=DAY, reports=DAY), days=9) == (0, 1)
    assert sorted(path.name for path in site.bak.iterdir()) == ["renamed.csv", "somebody's.csv"]


def test_another_clients_and_another_directorys_files_stay(site: Site, tmp_path: Path) -> None:
    retention = Retention(archives=DAY, reports=DAY)
    assert purge(site.engine, "other", site.folder, retention, NOW + 9 * DAY).archives == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "bak").mkdir()
    for path in site.bak.iterdir():
        (other / "bak" / path.name).write_bytes(b"x")
    assert purge(site.engine, "acme", by_name(other), retention, NOW + 9 * DAY).archives == 0
    assert len([*(other / "bak").iterdir()]) == 2


def test_a_link_in_the_place_of_bak_is_not_followed(site: Site, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    site.bak.rename(kept)
    site.bak.symlink_to(kept)
    assert purged(site, Retention(archives=DAY, reports=DAY), days=9) == (0, 0)
    assert len([*kept.iterdir()]) == 2


def test_a_purge_ends_after_so_many_files_and_says_that_there_are_more(site: Site) -> None:
    for number in range(3):
        site.drop(f"{number}.csv", "uid\nU1\n")
        site.take(f"{number}.csv", tokens=f"n{number}")
    left = [len(lying(site))]
    more = True
    while more:
        done = purge(site.engine, "acme", site.folder, Retention(archives=DAY, reports=DAY), NOW + 9 * DAY, at_most=2)
        assert done.archives + done.reports <= 2
        left.append(len(lying(site)))
        more = done.is_more
    assert left == [5, 3, 1, 0]

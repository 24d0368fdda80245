"""Old files leave bak when the site wants that, and nothing else does."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from importer.database.tables import imports, mails, notices
from importer.model import Purged, Retention
from importer.removing.purging import purge
from importer.words.reasons import WARNING_SENTENCES, examples, refusal, warning
from notifier import queueing
from tests.importing import NOW, Site, by_name, make_site, rows_of

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
    assert done == Purged(client="acme", archives=done.archives, reports=done.reports, texts=done.texts)
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


@pytest.fixture
def told(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose ledger and notices repeat cells in every way, and with mails that were sent, given up, and wait."""
    monkeypatch.setitem(WARNING_SENTENCES, "debris", "{count} values of {column} held debris: {examples}")
    debris = asdict(warning("debris", column="city", count=2, examples=examples([("Laval_x000D_", "Laval")])))
    headless = asdict(refusal("no_known_column", found="U1, Laval", expected="uid"))
    mail = {"client": "acme", "recipient": "x@example.org", "attachments": [], "tries": 1, "next_try_at": NOW}
    mail |= {"subject": "2 of 3 users", "text": "Laval", "html": "Laval", "unattached": {"text": "Laval", "html": ""}}
    with site.engine.begin() as connection:
        connection.execute(update(imports).values(warnings=[debris]))
        (facts,) = connection.execute(select(notices.c.facts)).scalars()
        facts |= {"warnings": [debris], "refusal": headless}
        connection.execute(update(notices).values(facts=facts, formed_at=NOW))
        for number, (state, ended) in enumerate([("sent", NOW), ("dead", NOW), ("queued", None)]):
            values = mail | {"message_id": f"<m{number}@x>", "state": state, "created_at": NOW, "ended_at": ended}
            connection.execute(insert(mails).values(values))
    return site


def repeated(site: Site) -> list[int]:
    """How many rows of ledger, notices and mails repeat a cell."""
    tables = (imports, notices, mails)
    return [
        sum("Laval" in str(row) or "much too" in str(row) for row in rows_of(site.engine, table)) for table in tables
    ]


def test_what_is_told_of_cells_leaves_ledger_notices_and_mails_with_the_reports(told: Site, tmp_path: Path) -> None:
    lies = tmp_path / "mails"
    lies.mkdir()
    for name in ("20261122T101013Z-m0.eml", "20261122T101013Z-m2.eml", "20261122T101013Z-of-another.eml"):
        (lies / name).write_bytes(b"Laval")
    retention = Retention(reports=7 * DAY, mails=lies)
    assert repeated(told) == [1, 1, 3]
    assert purge(told.engine, "other", told.folder, retention, NOW + 8 * DAY).texts == 0
    assert purge(told.engine, "acme", told.folder, retention, NOW + 7 * DAY).texts == 0
    assert purge(told.engine, "acme", told.folder, retention, NOW + 8 * DAY).texts == 4
    assert repeated(told) == [0, 0, 1]
    assert purge(told.engine, "acme", told.folder, retention, NOW + 9 * DAY).texts == 0
    assert sorted(path.name for path in lies.iterdir()) == [
        "20261122T101013Z-m2.eml",
        "20261122T101013Z-of-another.eml",
    ]


def test_what_stays_is_the_sentence_without_its_examples(told: Site) -> None:
    purge(told.engine, "acme", told.folder, Retention(reports=DAY), NOW + 2 * DAY)
    (entry,), (notice,) = told.ledger(), rows_of(told.engine, notices)
    for (remark,) in (entry["warnings"], notice["facts"]["warnings"]):
        assert remark["message"] == "2 values of city held debris"
        assert remark["facts"] == {"count": 2}
    assert [(each["code"], each["count"], each["example"]) for each in entry["reasons"]] == [("too_long", 1, "")]
    assert notice["facts"]["refusal"]["message"] == notice["facts"]["refusal"]["summary"] != ""
    assert [row["subject"] for row in rows_of(told.engine, mails)] == ["2 of 3 users"] * 3


def test_without_a_limit_for_reports_nothing_that_is_told_leaves(told: Site) -> None:
    purge(told.engine, "acme", told.folder, Retention(archives=DAY), NOW + 99 * DAY)
    assert repeated(told) == [1, 1, 3]


def test_a_purge_ends_after_so_much_and_says_that_there_is_more(told: Site) -> None:
    retention = Retention(reports=DAY)
    done: list[Purged] = []
    while not done or done[-1].is_more:
        done.append(purge(told.engine, "acme", told.folder, retention, NOW + 2 * DAY, at_most=1))
    assert [each.texts for each in done] == [1, 1, 1, 1, 0]
    assert repeated(told) == [0, 0, 1]


def test_a_mail_that_says_nothing_any_more_is_not_sent_again(told: Site) -> None:
    purge(told.engine, "acme", told.folder, Retention(reports=DAY), NOW + 2 * DAY)
    sent, dead, _ = (row["id"] for row in rows_of(told.engine, mails))
    with told.engine.begin() as connection:
        assert queueing.retry(connection, [sent, dead], now=NOW) == []
        assert queueing.retry_all(connection, now=NOW) == []
        assert [mail.id for mail in queueing.drop(connection, [dead], now=NOW)] == [dead]

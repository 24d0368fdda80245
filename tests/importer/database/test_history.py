"""What the ledger answers, on a real SQLite and a real PostgreSQL, and that an index carries each answer."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, event, insert, text
from sqlalchemy.exc import DBAPIError

from importer.database.engines import make_engine, reading_engine
from importer.database.failures import UnusableDatabaseError
from importer.database.history import (
    DayCounts,
    FailureCount,
    PastImport,
    PastUser,
    day_counts,
    failure_counts,
    last_imports,
    open_history,
    past_imports,
    past_user,
)
from importer.database.tables import imports, migrate, user_table
from importer.files.claiming import Copied
from importer.formats.format_file import parse_format
from importer.model import Claim, Status
from importer.storing.ledger import earlier_claims, entry_values, promised_names, write_entries
from tests.importing import NOW, PEOPLE, Site, make_site

BY_MAIL = parse_format('key = "mail"\n[columns.mail]\nkind = "email"\nunique = true\n')


def at(minutes: int) -> dt.datetime:
    return NOW + dt.timedelta(minutes=minutes)


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    place = tmp_path / "site"
    place.mkdir()
    made = make_site(place, url=database_url)
    yield made
    made.engine.dispose()


def drop(site: Site, name: str, content: str, minutes: int) -> None:
    site.drop(name, content)
    site.take(name, now=at(minutes), tokens=f"{minutes:03}")


def told(site: Site, **how: Any) -> list[PastImport]:  # noqa: ANN401 - as past_imports
    with open_history(url_of(site.engine)) as connection:
        return [*past_imports(connection, "acme", **{"limit": 10, **how})]


def told_of_user(site: Site, key: str) -> PastUser | None:
    with open_history(url_of(site.engine), PEOPLE) as connection:
        return past_user(connection, PEOPLE, "acme", key)


# What is told


def test_all_imports_of_a_file_are_told_the_newest_first(site: Site) -> None:
    for minutes in range(3):
        drop(site, "people.csv", f"uid\nU{minutes}\n", minutes)
    drop(site, "others.csv", "uid\nU1\n", 3)
    found = told(site, file="people.csv")
    assert [(each.file, each.committed_at) for each in found] == [("people.csv", at(2 - n)) for n in range(3)]
    assert all(each.counts.inserted == 1 and each.archived_at and not each.reasons for each in found)
    assert told(site, file="people.csv", limit=2) == found[:2]
    assert [each.file for each in told(site, since=at(2))] == ["others.csv", "people.csv"]
    assert told(site, file="nobody.csv") == []
    with open_history(url_of(site.engine)) as connection:
        assert past_imports(connection, "another client", file="people.csv", limit=9) == ()


def test_a_file_is_found_by_the_name_that_the_sender_chose_and_by_the_shown_one(site: Site) -> None:
    drop(site, "a\tb.csv", "uid\nU1\n", 0)
    assert len(told(site, file="a\tb.csv")) == len(told(site, file=r"a\tb.csv")) == 1


def test_failures_are_told_with_their_reasons_and_without_anybodys_cells(site: Site) -> None:
    drop(site, "good.csv", "uid\nU1\n", 0)
    drop(site, "bad.csv", "uid,email\nU2,@@hunter2\nU3,@@hunter2\n,a@b.ca\n", 1)
    drop(site, "useless.csv", "hunter2,x\n1,2\n", 2)
    refused, failed = told(site, only_failures=True)
    assert (refused.file, refused.status, refused.refusal_code) == ("useless.csv", "refused", "no_known_column")
    assert refused.refusal_message
    assert failed.reasons == (
        FailureCount(code="invalid", column="email", count=2),
        FailureCount(code="required", column="uid", count=1),
    )
    assert "hunter2" not in str(asdict(failed)) + str(asdict(refused))
    assert told(site, only_failures=True, since=at(2)) == [refused]
    assert told(site, only_failures=True, file="bad.csv") == [failed]


def test_of_a_user_the_first_import_and_the_last_that_changed_something_are_told(site: Site) -> None:
    for minutes, city in enumerate(["Hull", "Ottawa", "Perth", "Perth"]):
        drop(site, f"{city}{minutes}.csv", f"uid,city\nU1,{city}\n", minutes)
    found = told_of_user(site, "U1")
    assert found is not None
    assert found.brought is not None
    assert found.changed is not None
    assert (found.brought.file, found.created_by, found.created_at) == ("Hull0.csv", found.brought.claim_id, at(0))
    assert (found.changed.file, found.updated_by, found.updated_at) == ("Perth2.csv", found.changed.claim_id, at(2))
    assert told_of_user(site, "u1") is None


def test_a_user_outlives_the_ledgers_entries(site: Site) -> None:
    drop(site, "people.csv", "uid\nU1\n", 0)
    with site.engine.begin() as connection:
        connection.execute(delete(imports))
    found = told_of_user(site, "U1")
    assert found is not None
    assert found.created_by
    assert (found.brought, found.changed) == (None, None)


def test_a_key_that_is_an_address_is_compared_without_case(engine: Engine) -> None:
    migrate(engine, BY_MAIL)
    times = {"created_at": NOW, "updated_at": NOW, "created_by": "c", "updated_by": "c"}
    with engine.begin() as connection:
        user = {"client": "acme", "mail": "Zoë@b.ca", "mail_key": "zoë@b.ca", **times}
        connection.execute(insert(user_table(BY_MAIL)).values(user))
        assert past_user(connection, BY_MAIL, "acme", "ZOË@b.ca") is not None


def test_the_last_imports_are_those_of_all_clients(site: Site) -> None:
    for minutes, name in enumerate(("a.csv", "b.csv", "c.csv")):
        drop(site, name, f"uid\nU{minutes}\n", minutes)
    with open_history(url_of(site.engine)) as connection:
        assert [each.file for each in last_imports(connection, limit=2)] == ["c.csv", "b.csv"]


def test_each_days_rows_and_failures_are_summed_up_by_client(site: Site) -> None:
    drop(site, "good.csv", "uid,email\nU1,\nU2,@@\n", 0)
    drop(site, "useless.csv", "hunter2,x\n1,2\n", 1)
    drop(site, "late.csv", "uid\nU3\n", 24 * 60)
    first, second = NOW.date(), (NOW + dt.timedelta(days=1)).date()
    with open_history(url_of(site.engine)) as connection:
        found = day_counts(connection, ["acme", "nobody"], since=NOW)
        assert day_counts(connection, ["acme"], since=at(2)) == found[1:]
        assert day_counts(connection, ["nobody"], since=NOW) == ()
    assert found == (
        DayCounts(client="acme", day=first, files=2, refused=1, rows=2, failed=1),
        DayCounts(client="acme", day=second, files=1, refused=0, rows=1, failed=0),
    )


def test_failures_are_summed_up_by_their_reasons(site: Site) -> None:
    drop(site, "early.csv", "uid,email\nU1,@@hunter2\n", 0)
    drop(site, "bad.csv", "uid,email\nU2,@@hunter2\nU3,@@hunter2\n,a@b.ca\n", 1)
    drop(site, "worse.csv", "uid,email\nU4,@@hunter2\n", 2)
    with open_history(url_of(site.engine)) as connection:
        found = failure_counts(connection, ["acme"], since=at(1), limit=9)
        assert failure_counts(connection, ["acme"], since=at(1), limit=1) == found[:1]
        assert failure_counts(connection, ["nobody"], since=NOW, limit=9) == ()
    assert found == (
        FailureCount(code="invalid", column="email", count=3),
        FailureCount(code="required", column="uid", count=1),
    )


# How it is asked


def test_nothing_can_be_written_and_no_writer_is_waited_for(site: Site) -> None:
    drop(site, "people.csv", "uid\nU1\n", 0)
    with site.engine.begin() as writer, open_history(url_of(site.engine)) as connection:
        writer.execute(text("UPDATE imports SET status = 'refused'"))
        assert [each.status for each in past_imports(connection, "acme", limit=1)] == ["imported"]
        with pytest.raises(DBAPIError, match=r"read.?only"):
            connection.execute(delete(imports))


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?.db"
    for url in (f"sqlite:///{path}", f"sqlite:///file:{tmp_path}/x.db?uri=true"):
        with pytest.raises(UnusableDatabaseError, match="no database yet"), open_history(url):
            pass
    assert [*tmp_path.iterdir()] == []


def test_an_sqlite_file_of_any_name_is_opened(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/a #%20b.db")
    migrate(engine, PEOPLE)
    engine.dispose()
    with open_history(f"sqlite:///{tmp_path}/a #%20b.db", PEOPLE) as connection:
        assert past_imports(connection, "acme", limit=1) == ()


def test_tables_of_another_version_are_told_with_what_to_do(engine: Engine) -> None:
    engine.connect().close()  # makes the SQLite file
    with pytest.raises(UnusableDatabaseError, match="no tables yet"), open_history(url_of(engine)):
        pass
    migrate(engine, PEOPLE)
    for revision, words in (("0001", "older"), ("9999", "newer")):
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": revision})
        with pytest.raises(UnusableDatabaseError, match=words), open_history(url_of(engine)):
            pass


def test_users_without_a_column_of_the_format_are_told(engine: Engine) -> None:
    migrate(engine, PEOPLE)
    with pytest.raises(UnusableDatabaseError, match="no mail, mail_key yet"), open_history(url_of(engine), BY_MAIL):
        pass


# How it is found


@pytest.fixture
def full(engine: Engine) -> Engine:
    """A ledger of 5,000 imports of 50 files, of which one in a hundred had a failed row, and a user of each."""
    migrate(engine, PEOPLE)
    entries = []
    for number in range(5_000):
        claim = Claim(id=f"claim-{number:05}", client="acme", directory=Path(), name=f"{number % 50}.csv")
        reason = {"code": "invalid", "column": "email", "count": 1, "example_row": 2, "example": ""}
        counts = {"records": 1, "accepted": 0, "failed": 1, "reasons": [reason]} if number % 100 == 0 else {}
        entries.append({**entry_values(claim, Status.IMPORTED, Copied(size=1, sha256=""), "", at(number)), **counts})
    users = [
        {"client": "acme", "uid": entry["claim_id"], "created_at": NOW, "updated_at": NOW}
        | {"created_by": entry["claim_id"], "updated_by": entry["claim_id"]}
        for entry in entries
    ]
    with engine.begin() as connection:
        write_entries(connection, entries)
        connection.execute(insert(user_table(PEOPLE)), users)
        if engine.dialect.name == "postgresql":
            # As autovacuum does by itself; nobody does it for SQLite, which has to find its way without.
            connection.execute(text("ANALYZE"))
    return engine


QUESTIONS: list[tuple[Callable[[Connection], object], tuple[str, ...]]] = [
    (lambda asked: past_imports(asked, "acme", file="7.csv", limit=50), ("ix_imports_client_file_committed_at",)),
    (lambda asked: past_imports(asked, "acme", since=at(4_900), limit=50), ("ix_imports_client_committed_at",)),
    (lambda asked: past_imports(asked, "acme", limit=50), ("ix_imports_client_committed_at",)),
    (
        lambda asked: past_imports(asked, "acme", since=at(1_000), only_failures=True, limit=50),
        ("ix_imports_failures",),
    ),
    (lambda asked: past_imports(asked, "acme", only_failures=True, limit=50), ("ix_imports_failures",)),
    (lambda asked: day_counts(asked, ["acme", "b"], since=at(4_900)), ("ix_imports_client_committed_at",)),
    (lambda asked: failure_counts(asked, ["acme", "b"], since=at(4_000), limit=9), ("ix_imports_failures",)),
    (lambda asked: past_user(asked, PEOPLE, "acme", "claim-00007"), ("uq_users_client_uid", "pk_imports")),
]


@pytest.mark.parametrize(("question", "indexes"), QUESTIONS)
def test_each_answer_is_one_statement_that_an_index_carries(
    full: Engine, question: Callable[[Connection], object], indexes: tuple[str, ...]
) -> None:
    plan = _planned(full, question)
    assert all(name in plan for name in indexes), plan
    # SQLite says SCAN for a table or an index read from end to end (and for a list of reasons), PostgreSQL Seq Scan.
    assert not re.search(r"SCAN (?!\S+ VIRTUAL TABLE)", plan), plan
    assert "Seq Scan" not in plan, plan


def test_the_last_imports_are_read_from_the_end_of_an_index(full: Engine) -> None:
    plan = _planned(full, lambda asked: last_imports(asked, limit=20))
    assert "pk_imports" in plan
    assert not re.search(r"TEMP B-TREE|Sort|Seq Scan", plan), plan


def test_names_in_bak_and_the_first_import_of_the_same_bytes_are_found_by_indexes_of_their_own(full: Engine) -> None:
    """However many files of a name a client has sent: the same report at each minute is half a million in a year."""
    pairs = [("7.20261122T101013Z.csv", "7.20261122T101013Z.failed.csv")]
    names = _planned(full, lambda asked: [promised_names(asked, Path(), pairs)])
    assert {"ix_imports_archive", "ix_imports_report"} <= {*re.findall(r"ix_\w+", names)}, names
    first = _planned(full, lambda asked: [earlier_claims(asked, "acme", ["0" * 64, ""])])
    assert "ix_imports_first" in first, first


def _planned(engine: Engine, question: Callable[[Connection], object]) -> str:
    sent: list[tuple[str, Any]] = []
    with reading_engine(engine).begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: sent.append((given[2], given[3])))
        assert question(connection)
        ((statement, parameters),) = sent
        return _plan(connection, statement, parameters)


def _plan(connection: Connection, statement: str, parameters: Any) -> str:  # noqa: ANN401 - the driver's
    """What the planner would do; SQLite calls the index of a primary key by a name of its own."""
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return "\n".join(row[0] for row in rows)
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return "\n".join(row[3] for row in rows).replace("sqlite_autoindex_imports_1", "pk_imports")

"""The night after the upgrade: users of the version before are found again by files that are read by new rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from importer.database.tables import fit_users, look_alikes, migrate, user_table
from importer.database.upgrading import upgrade
from importer.formats.format_file import load_format
from importer.model import Imported
from tests.importing import Site, make_site

BUILT_IN = load_format(None)
USERS = user_table(BUILT_IN)
DECOMPOSED = "Zoe\u0301"
HEADER = "unique_id,login_source,first_name,user_name,email,student_no\n"
ROWS = (
    f"{DECOMPOSED}1,OPSCOM,{DECOMPOSED},{DECOMPOSED},{DECOMPOSED}@example.org,007\n"
    "U\u200b2,OPSCOM,B\u00ado,bo\u200b,bo\u200b@example.org,'0012\n"
    '\'0003,OPSCOM,Cy,cy,CY@example.org,="0004"\n'
    "U4,OPSCOM,Di,di,di@example.org,12\n"
)
AS_BEFORE: list[dict[str, Any]] = [
    {
        "unique_id": f"{DECOMPOSED}1",
        "first_name": DECOMPOSED,
        "user_name": DECOMPOSED,
        "email": f"{DECOMPOSED}@example.org",
        "email_key": f"{DECOMPOSED}@example.org".lower(),
    },
    {
        "unique_id": "U\u200b2",
        "first_name": "B\u00ado",
        "user_name": "bo\u200b",
        "email": "bo\u200b@example.org",
        "email_key": "bo\u200b@example.org",
        "student_no": "'0012",
    },
    {"unique_id": "'0003", "student_no": '="0004"'},
]
NOW = [f"{DECOMPOSED}1".replace("e\u0301", "é"), "U2", "0003"]


def _as_before(engine: Engine, users: dict[str, dict[str, Any]]) -> None:
    """Bring a database back to what the version before has made of it: key → what it stored."""
    with engine.begin() as connection:
        for key, values in users.items():
            was = {**values, "feed_hash": "as before"}
            connection.execute(update(USERS).where(USERS.c.unique_id == key).values(was))
        connection.execute(text("DROP TABLE look_alikes"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0012_clients_past'"))


def _dropped(site: Site, content: str, night: int) -> Imported:
    site.drop("users.csv", content)
    (outcome,) = [each for each in site.take("users.csv", tokens=f"t{night}.") if isinstance(each, Imported)]
    return outcome


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    made = make_site(tmp_path, BUILT_IN, database_url)
    yield made
    made.engine.dispose()


@pytest.fixture
def upgraded(site: Site) -> Site:
    """A site with users of the version before, whose database was upgraded."""
    _dropped(site, HEADER + ROWS, 1)
    _as_before(site.engine, dict(zip(NOW, AS_BEFORE, strict=True)))
    migrate(site.engine, BUILT_IN)
    return site


def test_the_file_of_the_night_before_changes_nobody(upgraded: Site) -> None:
    before = upgraded.users()
    counts = _dropped(upgraded, HEADER + ROWS, 2).counts
    assert (counts.inserted, counts.updated, counts.unchanged, counts.failed) == (0, 0, 4, 0)
    ours = {"feed_hash"}
    assert [{**user, **dict.fromkeys(ours)} for user in upgraded.users().values()] == [
        {**user, **dict.fromkeys(ours)} for user in before.values()
    ]


def test_users_are_stored_in_the_form_in_which_files_are_read(upgraded: Site) -> None:
    users = upgraded.users()
    assert sorted(users) == sorted([*NOW, "U4"])
    first, second, third = (users[key] for key in NOW)
    assert (first["first_name"], first["email_key"]) == ("Zoé", "zoé@example.org")
    assert (second["first_name"], second["user_name"], second["student_no"]) == ("Bo", "bo", "0012")
    assert third["student_no"] == "0004"


def test_users_who_would_become_one_are_left_as_they_are_and_noted(site: Site) -> None:
    rows = "U1,OPSCOM,Ana,ana,ana@example.org,1\nU2,OPSCOM,Bo,bo,bo@example.org,2\nU3,OPSCOM,Cy,cy,cy@example.org,3\n"
    _dropped(site, HEADER + rows, 1)
    _as_before(
        site.engine,
        {
            "U2": {"unique_id": "U1\u200b", "first_name": DECOMPOSED},
            "U3": {"email_key": "BO@example.org\u200b".lower(), "email": "BO@example.org\u200b"},
        },
    )
    migrate(site.engine, BUILT_IN)
    users = site.users()
    assert sorted(users) == ["U1", "U1\u200b", "U3"]
    assert users["U1\u200b"]["first_name"] == "Zoé"
    assert users["U3"]["email"] == "BO@example.org\u200b"
    ids = {key: user["id"] for key, user in users.items()}
    with site.engine.connect() as connection:
        noted = connection.execute(select(look_alikes)).all()
    assert sorted(map(tuple, noted)) == [
        (ids["U1\u200b"], "unique_id", ids["U1"]),
        (ids["U3"], "email", ids["U1\u200b"]),
    ]


def test_a_database_without_users_is_upgraded_as_well(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade(connection, "0012_clients_past", schema=None)
        fit_users(connection, BUILT_IN)
    migrate(engine, BUILT_IN)
    with engine.connect() as connection:
        assert connection.execute(select(look_alikes)).all() == []

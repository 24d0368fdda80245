"""A site's triggers and constraints refuse rows: those fail, and all others are users, on both databases."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from importer.storing import refusing
from tests.importer.storing.test_storing import Database

_RAISE = "SELECT RAISE(ABORT, 'Hull is closed')"
_FUNCTION = "$$BEGIN IF NEW.city = 'Hull' THEN RAISE EXCEPTION 'Hull is closed'; END IF; RETURN NEW; END$$"
NO_HULL = {
    "sqlite": [
        f"CREATE TRIGGER no_hull_{act} BEFORE {act} ON users WHEN NEW.city = 'Hull' BEGIN {_RAISE}; END"
        for act in ("INSERT", "UPDATE")
    ],
    "postgresql": [
        f"CREATE FUNCTION no_hull() RETURNS trigger LANGUAGE plpgsql AS {_FUNCTION}",
        "CREATE TRIGGER no_hull BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION no_hull()",
    ],
}
REFUSED = "the database refuses the row by a rule of its own: {}; ask whoever runs this service"


@pytest.fixture
def db(tmp_path: Path, engine: Engine) -> Database:
    """A database whose site takes nobody who lives in Hull."""
    made = Database(tmp_path, engine)
    execute(made, *NO_HULL[engine.dialect.name])
    return made


def execute(db: Database, *statements: str) -> None:
    with db.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_row_that_a_trigger_refuses_fails_and_the_others_are_users(db: Database) -> None:
    done = db.load("uid,city\nU1,Paris\nU2,Hull\nU3,Delhi\n")
    assert (done.counts.inserted, done.counts.failed) == (2, 1)
    assert db.failures == {3: [REFUSED.format("Hull is closed")]}
    assert [(each.code, each.column, each.count) for each in done.reasons] == [("refused_by_database", None, 1)]
    assert list(db.users()) == ["U1", "U3"]
    done = db.load("uid,city\nU1,Hull\nU3,Paris\nU4,Hull\nU5,Delhi\n")
    assert (done.counts.inserted, done.counts.updated, done.counts.failed) == (1, 1, 2)
    assert sorted(db.failures) == [2, 4]
    assert db.users("city") == {"U1": ("Paris",), "U3": ("Paris",), "U5": ("Delhi",)}


def test_a_row_that_wants_what_a_refused_row_keeps_is_held_up_by_it(db: Database) -> None:
    db.load("uid,user_name,city\nU1,a,Paris\nU2,b,Paris\nU3,c,Paris\n")
    done = db.load("uid,user_name,city\nU1,b,Paris\nU2,a,Hull\nU3,d,Paris\n")
    assert (done.counts.updated, done.counts.failed) == (1, 2)
    assert db.failures == {
        2: ["user_name 'b' is still used by uid 'U2', whose row 3 was not imported either; correct row 3 first"],
        3: [REFUSED.format("Hull is closed")],
    }
    assert [*db.users("user_name").values()] == [("a",), ("b",), ("d",)]


def test_users_who_exchange_values_are_changed_beside_a_row_that_is_refused(db: Database) -> None:
    db.load("uid,user_name,city\nU1,a,Paris\nU2,b,Paris\nU3,c,Paris\n")
    done = db.load("uid,user_name,city\nU1,b,Paris\nU2,a,Paris\nU3,c,Hull\n")
    assert (done.counts.updated, done.counts.failed) == (2, 1)
    assert [*db.users("user_name").values()] == [("b",), ("a",), ("c",)]


def test_a_constraint_is_named(db: Database) -> None:
    execute(db, "CREATE UNIQUE INDEX one_a_city ON users (city)")
    done = db.load("uid,city\nU1,Paris\nU2,Paris\nU3,Delhi\n")
    assert (done.counts.inserted, done.counts.failed) == (2, 1)
    ((told,),) = db.failures.values()
    assert "UNIQUE constraint failed: users.city" in told or '"one_a_city"' in told


def test_refused_rows_that_are_too_many_to_be_tried_one_by_one_fail(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusing, "MOST_TRIALS", 4)
    rows = "".join(f"U{number},{'Hull' if number % 2 else 'Paris'}\n" for number in range(8))
    done = db.load("uid,city\n" + rows)
    assert done.counts.failed + len(db.users()) == 8
    assert done.counts.failed > 4
    assert {each.code for each in done.reasons} == {"refused_by_database"}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cities=st.lists(st.sampled_from(["Hull", "Paris"]), min_size=1, max_size=12), begin=st.integers(1, 4))
def test_exactly_the_rows_that_are_refused_fail(db: Database, cities: list[str], begin: int) -> None:
    execute(db, "DELETE FROM users")
    db.load(f"uid,city\nU{begin},Delhi\nU{begin + 2},Delhi\n")
    done = db.load("uid,city\n" + "".join(f"U{number},{city}\n" for number, city in enumerate(cities)))
    expected = [row for row, city in enumerate(cities, start=2) if city == "Hull"]
    assert done.counts.failed == len(expected)
    assert (sorted(db.failures) if expected else []) == expected
    stored = {key for key, (city,) in db.users("city").items() if city == "Paris"}
    assert stored == {f"U{number}" for number, city in enumerate(cities) if city == "Paris"}

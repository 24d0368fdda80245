"""Users, the ledger and the notices in a real SQLite and a real PostgreSQL: what one import writes."""

import datetime as dt
import itertools
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from importer.database.engines import make_engine, reading_engine, take_turns
from importer.database.failures import is_outage
from importer.database.lookups import known_format
from importer.database.tables import (
    alerts,
    imports,
    login_sources,
    mails,
    metadata,
    migrate,
    notices,
    user_table,
)
from importer.database.tables import user_types as user_types_table
from importer.files.archiving import BAK
from importer.files.claiming import Copied
from importer.foreknowing import foreknown
from importer.formats.columns import Column, Format, Lookup
from importer.formats.format_file import load_format, parse_format
from importer.importing import Conductor
from importer.judging.judged import Judged
from importer.model import Audience, Claim, Counts, Imported, Notice, NoticeKind, Remark, Status
from importer.reading.user_file import BLOCK_BYTES
from importer.storing.ledger import (
    Entry,
    earlier_claims,
    entry_values,
    find_entry,
    mark_archived,
    unarchived,
    write_entry,
)
from importer.storing.recording import (
    record_notice,
    record_quarantine,
    record_refusal,
    record_superseded,
)
from importer.storing.repeats import MANY_ROWS, ROW_BYTES
from importer.storing.staging import Foreknown, known_users
from importer.storing.store import Store
from importer.storing.turns import client_turn
from importer.words.reasons import refusal
from notifier import outbox
from tests.importing import LIMITS, NOW, PEOPLE, clock, messages, opened, rows_of
from tests.servers.postgresql import PostgresqlServer
from tests.servers.tools import wait_until

LATER = NOW + dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting(Conductor):
    """Leads a file through the steps of an import, with a report of the test's own."""

    report: Callable[[Judged], tuple[Remark, ...]]

    def _write_report(self, claim: Claim, examination: Judged) -> tuple[Remark, ...]:
        del claim
        return self.report(examination)


class Database:
    """A database and the files that were imported into it, one after another."""

    def __init__(self, directory: Path, engine: Engine, format_: Format = PEOPLE, **how: Any) -> None:  # noqa: ANN401 - as Store
        migrate(engine, format_)
        self.directory = directory
        self.engine = engine
        self.format = format_
        self.store = Store(format=format_, users=user_table(format_), **how)
        self.failures: dict[int, list[str]] = {}
        self._number = 0

    def claim(self, client: str = "acme", name: str = "people.csv") -> Claim:
        self._number += 1
        return Claim(id=f"claim-{self._number}", client=client, directory=self.directory, name=name)

    def load(
        self,
        text: str,
        *,
        client: str = "acme",
        at: dt.datetime = NOW,
        write_report: Callable[[Judged], tuple[Remark, ...]] = lambda _: (),
        claim: Claim | None = None,
        known: Foreknown | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> Imported:
        """Import a file of that text; `failures` are its failed rows then."""
        conductor = Reporting(
            engine=self.engine,
            store=self.store,
            format=self.format,
            limits=LIMITS,
            clock=replace(clock(now=at), elapsed=lambda: 1.5),
            report=write_report,
        )
        copied = Copied(size=len(text), sha256=f"{hash(text):x}")
        with opened(text, self.format, block_bytes=block_bytes) as judging:
            done = conductor.store_file(claim or self.claim(client), copied, judging, 0.0, known)
            self.failures = messages(judging.finish())
        return done

    def known(self, size: int) -> Foreknown | None:
        """What is asked of the users of acme while a file of so many bytes is copied."""
        return foreknown("acme", size, self.engine, self.store)

    def entry(self, claim: Claim) -> Entry | None:
        """What the ledger says of a claim."""
        with client_turn(reading_engine(self.engine), claim.client) as connection:
            return find_entry(connection, claim)

    def users(self, *names: str, client: str = "acme") -> dict[str, tuple[Any, ...]]:
        """Key → these columns, of one client."""
        rows = rows_of(self.engine, user_table(self.format))
        return {row["uid"]: tuple(row[name] for name in names) for row in rows if row["client"] == client}


@pytest.fixture
def db(tmp_path: Path, engine: Engine) -> Database:
    return Database(tmp_path, engine)


def merged(counts: Counts) -> tuple[int, int, int]:
    return counts.inserted, counts.updated, counts.unchanged


def test_a_row_that_fails_for_one_value_still_takes_its_other_values_from_later_rows(db: Database) -> None:
    done = db.load("uid,email\nU1,a@example.com\nU2,a@example.com\nU2,b@example.com\nU3,\n")
    assert (merged(done.counts), done.counts.failed) == ((2, 0, 0), 2)
    assert db.users("email") == {"U1": ("a@example.com",), "U3": (None,)}


def test_what_an_earlier_format_wanted_unique_keeps_no_accepted_row_out(tmp_path: Path, engine: Engine) -> None:
    columns = (replace(each, unique=True) if each.name == "city" else each for each in PEOPLE.columns)
    migrate(engine, replace(PEOPLE, columns=tuple(columns)))
    db = Database(tmp_path, engine)
    with pytest.raises(IntegrityError):
        db.load("uid,city,email\nU1,Hull,\nU2,Hull,a@example.com\nU3,,a@example.com\n")
    assert db.users("city") == {}


def test_of_a_first_file_most_of_whose_rows_fail_the_others_make_users(db: Database) -> None:
    done = db.load("uid,email\nU1,a\nU2,b\nU3,c@example.com\nU3,d@example.com\nU4,\n")
    assert (merged(done.counts), done.counts.failed) == ((2, 0, 0), 3)
    assert db.users("email") == {"U3": ("c@example.com",), "U4": (None,)}


def test_users_are_inserted_updated_or_left_as_they_are(db: Database) -> None:
    first = db.load("uid,city\nU1,Hull\nU2,Hull\n")
    assert merged(first.counts) == (2, 0, 0)
    second = db.load("uid,city\nU1,Hull\nU2,Ottawa\nU3,\n", at=LATER)
    assert merged(second.counts) == (1, 1, 1)
    assert second.counts.accepted == 3
    assert db.users("city", "created_at", "updated_at", "created_by", "updated_by") == {
        "U1": ("Hull", NOW, NOW, "claim-1", "claim-1"),
        "U2": ("Ottawa", NOW, LATER, "claim-1", "claim-2"),
        "U3": (None, LATER, LATER, "claim-2", "claim-2"),
    }


def test_an_empty_cell_keeps_clear_empties_and_an_absent_column_is_not_touched(db: Database) -> None:
    db.load("uid,city,user_name,email\nU1,Hull,ana,a@b.ca\nU2,Hull,bo,b@b.ca\n")
    db.load("uid,user_name,email\nU1,,<clear>\nU2,<clear>,\n")
    assert db.users("city", "user_name", "email", "email_key") == {
        "U1": ("Hull", "ana", None, None),
        "U2": ("Hull", None, "b@b.ca", "b@b.ca"),
    }


def test_clear_in_a_new_user_is_an_empty_value(db: Database) -> None:
    db.load("uid,city,email\nU1,<clear>,<clear>\n")
    assert db.users("city", "email", "email_key") == {"U1": (None, None, None)}


def test_clearing_what_is_empty_changes_nothing(db: Database) -> None:
    db.load("uid,city\nU1,\n")
    assert merged(db.load("uid,city\nU1,<clear>\n").counts) == (0, 0, 1)


@pytest.mark.parametrize("given", ["uid,user_name\nU1,<clear>\n", "uid,user_name\nU2,ana\nU1,<clear>\n"])
def test_clearing_a_unique_value_changes_its_user(db: Database, given: str) -> None:
    db.load("uid,user_name\nU1,ana\nU2,bo\n")
    done = db.load(given, at=LATER)
    assert (done.counts.updated, done.counts.unchanged) == (given.count("U"), 0)
    assert db.users("user_name", "updated_at", "updated_by")["U1"] == (None, LATER, "claim-2")
    assert merged(db.load(given).counts) == (0, 0, given.count("U"))


def test_a_default_is_for_new_users_only(db: Database) -> None:
    db.load("uid\nU1\n")
    db.load("uid,level\nU2,\nU3,high\n")
    assert db.users("level") == {"U1": ("1",), "U2": ("1",), "U3": ("2",)}
    assert merged(db.load("uid,level\nU3,\n").counts) == (0, 0, 1)
    db.load("uid\nU3\n")
    assert db.users("level")["U3"] == ("2",)


def test_clearing_a_column_that_has_a_default_brings_the_default_back(db: Database) -> None:
    db.load("uid,level\nU1,2\nU2,<clear>\n")
    assert merged(db.load("uid,level\nU1,<clear>\n").counts) == (0, 1, 0)
    assert db.users("level") == {"U1": ("1",), "U2": ("1",)}
    assert merged(db.load("uid,level\nU1,<clear>\n").counts) == (0, 0, 1)


def test_clients_do_not_share_users(db: Database) -> None:
    db.load("uid,email\nU1,a@b.ca\n")
    done = db.load("uid,email\nU1,a@b.ca\nU2,c@b.ca\n", client="other")
    assert merged(done.counts) == (2, 0, 0)
    assert db.users("email") == {"U1": ("a@b.ca",)}
    assert db.users("email", client="other") == {"U1": ("a@b.ca",), "U2": ("c@b.ca",)}


@pytest.mark.parametrize("client", ["o'hara", 'a"b', "%s", ":x", "é;--", "\\"])
def test_a_client_may_have_any_name(db: Database, client: str) -> None:
    for counts in ((1, 0, 0), (0, 0, 1)):
        assert merged(db.load("uid,city\nU1,Hull\n", client=client).counts) == counts
    assert db.users("city", client=client) == {"U1": ("Hull",)}


@pytest.mark.parametrize(
    ("column", "mine", "same"), [("email", "ÉLODIE@b.ca", "élodie@B.ca"), ("user_name", "ana", "ana")]
)
def test_what_another_user_has_fails_the_row(db: Database, column: str, mine: str, same: str) -> None:
    db.load(f"uid,{column}\nU1,{mine}\n")
    done = db.load(f"uid,{column}\nU2,{same}\nU3,\n")
    assert (done.counts.accepted, done.counts.failed) == (1, 1)
    assert db.failures == {2: [f"{column} '{same}' is already used by another user"]}
    assert [(each.code, each.column, each.count) for each in done.reasons] == [("duplicate_user", column, 1)]
    assert list(db.users()) == ["U1", "U3"]


def test_user_names_are_compared_exactly(db: Database) -> None:
    db.load("uid,user_name\nU1,ana\n")
    db.load("uid,user_name\nU2,Ana\n")
    assert db.failures == {}


def test_the_case_of_ones_own_address_can_be_changed(db: Database) -> None:
    db.load("uid,email\nU1,ana@b.ca\n")
    assert merged(db.load("uid,email\nU1,Ana@b.ca\n").counts) == (0, 1, 0)
    assert db.users("email", "email_key") == {"U1": ("Ana@b.ca", "ana@b.ca")}


@pytest.mark.parametrize("given", ["<clear>", "new@b.ca"])
def test_a_value_can_be_taken_over_when_its_owner_gives_it_up_in_the_same_file(db: Database, given: str) -> None:
    db.load("uid,email\nU1,a@b.ca\n")
    done = db.load(f"uid,email\nU2,a@b.ca\nU1,{given}\n")
    assert merged(done.counts) == (1, 1, 0)
    assert db.users("email")["U2"] == ("a@b.ca",)


def test_an_owner_that_the_file_names_without_another_value_keeps_it(db: Database) -> None:
    db.load("uid,email\nU1,a@b.ca\n")
    db.load("uid,email\nU2,a@b.ca\nU1,\n")
    assert list(db.failures) == [2]


def test_two_users_can_swap_and_three_can_go_round(db: Database) -> None:
    db.load("uid,email,user_name\nU1,a@b.ca,a\nU2,b@b.ca,b\nU3,c@b.ca,c\n")
    assert merged(db.load("uid,email\nU1,b@b.ca\nU2,a@b.ca\n").counts) == (0, 2, 0)
    assert merged(db.load("uid,user_name\nU1,b\nU2,c\nU3,a\n").counts) == (0, 3, 0)
    assert db.users("email", "email_key", "user_name") == {
        "U1": ("b@b.ca", "b@b.ca", "b"),
        "U2": ("a@b.ca", "a@b.ca", "c"),
        "U3": ("c@b.ca", "c@b.ca", "a"),
    }


def test_a_row_that_falls_out_of_a_chain_takes_with_it_those_that_waited_for_it(db: Database) -> None:
    db.load("uid,user_name\nU1,a\nU2,b\nU3,c\nU4,d\n")
    done = db.load("uid,user_name\nU1,b\nU2,c\nU3,d\nU5,e\n")
    assert sorted(db.failures) == [2, 3, 4]
    assert merged(done.counts) == (1, 0, 0)
    assert db.users("user_name") == {"U1": ("a",), "U2": ("b",), "U3": ("c",), "U4": ("d",), "U5": ("e",)}


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_long_chain_falls_as_a_whole(db: Database, is_reversed: bool) -> None:  # noqa: FBT001 - pytest gives it
    numbers = range(50_000)
    db.load("uid,user_name\n" + "".join(f"U{number},n{number}\n" for number in numbers))
    rows = [f"U{number},n{number + 1}\n" for number in numbers[:-1]]
    done = db.load("uid,user_name\n" + "".join(reversed(rows) if is_reversed else rows))
    assert (done.counts.accepted, done.counts.failed) == (0, 49_999)
    assert db.users("user_name") == {f"U{number}": (f"n{number}",) for number in numbers}


def test_a_long_chain_whose_last_value_is_given_up_moves_as_a_whole(db: Database) -> None:
    db.load("uid,user_name\n" + "".join(f"U{number},n{number}\n" for number in range(20_000)))
    moved = "".join(f"U{number},n{number + 1}\n" for number in range(20_000))
    assert merged(db.load("uid,user_name\n" + moved).counts) == (0, 20_000, 0)
    assert db.users("user_name")["U19999"] == ("n20000",)


def test_every_column_that_conflicts_in_the_end_is_told_and_no_other(db: Database) -> None:
    db.load("uid,email,user_name\nU1,a@b.ca,a\nU2,b@b.ca,b\nU3,c@b.ca,c\nU4,d@b.ca,d\n")
    rows = ["U1,b@b.ca,c\n", "U2,x@b.ca,d\n", "U3,,y\n"]
    taken = "{} is already used by another user"
    for order in itertools.permutations(rows):
        db.load("uid,email,user_name\n" + "".join(order))
        assert db.failures == {
            2 + order.index(rows[0]): [taken.format("email 'b@b.ca'")],
            2 + order.index(rows[1]): [taken.format("user_name 'd'")],
        }
        db.load("uid,email,user_name\nU3,,c\n")


def test_a_column_whose_owner_fell_by_another_column_is_told_too(db: Database) -> None:
    db.load("uid,email,user_name\nU1,a@b.ca,a\nU2,b@b.ca,b\nU3,c@b.ca,c\nU4,,d\n")
    rows = ["U1,b@b.ca,c\n", "U2,x@b.ca,d\n"]
    for order in itertools.permutations(rows):
        db.load("uid,email,user_name\n" + "".join(order))
        assert db.failures[2 + order.index(rows[0])] == [
            "email 'b@b.ca' is already used by another user",
            "user_name 'c' is already used by another user",
        ]


def test_a_row_that_conflicts_late_is_the_example_of_its_reason(db: Database) -> None:
    db.load("uid,email\nU1,a@b.ca\nU2,b@b.ca\n")
    done = db.load("uid,email\nU3,\nU4, B@b.ca \nU5,a@b.ca\n")
    (only,) = done.reasons
    assert (only.count, only.example_row) == (2, 3)
    assert only.example == "email 'B@b.ca' is already used by another user"


KEYS, VALUES = "ABCDE", ("", "", "<clear>", "a@b.ca", "b@b.ca", "c@b.ca", "d@b.ca")
ROWS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=5, unique_by=lambda row: row[0])


def expected_users(stored: dict[str, str | None], rows: list[tuple[str, str]]) -> dict[str, str | None]:
    """The users after an import, by a definition instead of statements; no value is twice in `rows`."""
    wanted = dict(rows)
    while True:
        given_up = {stored[key] for key, value in wanted.items() if key in stored and value not in ("", stored[key])}
        held = {value: key for key, value in stored.items() if value is not None and value not in given_up}
        bad = {key for key, value in wanted.items() if held.get(value, key) != key}
        if not bad:
            break
        wanted = {key: value for key, value in wanted.items() if key not in bad}
    after = dict(stored)
    for key, value in wanted.items():
        after[key] = stored.get(key) if value == "" else None if value == "<clear>" else value
    return after


def without_repeated_values(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    first = {value: key for key, value in reversed(rows)}
    return [(key, value) for key, value in rows if "@" not in value or first[value] == key]


# Each example has a client of its own, and clients share nothing.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(ROWS, min_size=1, max_size=4), data=st.data())
def test_any_files_make_the_users_of_the_model_whatever_the_order_of_rows(
    db: Database, files: list[list[tuple[str, str]]], data: st.DataObject
) -> None:
    stored: dict[str, str | None] = {}
    client = db.claim().id
    for file in files:
        rows = without_repeated_values(file)
        if not rows:
            continue
        stored = expected_users(stored, rows)
        shuffled = data.draw(st.permutations(rows))
        db.store = replace(db.store, skips_unchanged=data.draw(st.booleans()))
        block_bytes = data.draw(st.sampled_from([1, 10, BLOCK_BYTES]))
        text = "uid,email\n" + "".join(f"{key},{value}\n" for key, value in shuffled)
        done = db.load(text, client=client, block_bytes=block_bytes)
        assert {key: email for key, (email,) in db.users("email", client=client).items()} == stored
        assert done.counts.failed == len(db.failures)


def edit(db: Database, **values: str | None) -> None:
    """Somebody else's change of all users."""
    with db.engine.begin() as connection:
        connection.execute(update(user_table(db.format)).values(values))


def test_a_row_that_repeats_what_the_feed_last_gave_leaves_edits_made_elsewhere(db: Database) -> None:
    db.load("uid,city,email\nU1,Hull,a@b.ca\nU2,Hull,\n")
    edit(db, city="Ottawa")
    done = db.load("email,uid,city\na@b.ca,U1,Hull\n,U2,Hull \n", at=LATER)
    assert merged(done.counts) == (0, 0, 2)
    assert db.users("city", "updated_by") == dict.fromkeys(("U1", "U2"), ("Ottawa", "claim-1"))


def test_a_row_that_says_something_new_is_written_as_a_whole(db: Database) -> None:
    db.load("uid,city,user_name\nU1,Hull,a\n")
    edit(db, city="Ottawa")
    assert merged(db.load("uid,city,user_name\nU1,Hull,b\n").counts) == (0, 1, 0)
    assert db.users("city", "user_name") == {"U1": ("Hull", "b")}


def test_repeated_rows_bring_the_files_values_back_where_that_is_asked_for(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine, skips_unchanged=False)
    db.load("uid,city\nU1,Hull\nU2,Ottawa\n")
    edit(db, city="Ottawa")
    assert merged(db.load("uid,city\nU1,Hull\nU2,Ottawa\n").counts) == (0, 1, 1)
    assert db.users("city", "updated_by") == {"U1": ("Hull", "claim-2"), "U2": ("Ottawa", "claim-1")}


def test_a_row_whose_news_is_stored_already_is_unchanged_and_repeated_from_then_on(db: Database) -> None:
    db.load("uid,city\nU1,Hull\n")
    edit(db, city="Ottawa")
    assert merged(db.load("uid,city\nU1,Ottawa\n", at=LATER).counts) == (0, 0, 1)
    assert db.users("updated_at", "updated_by") == {"U1": (NOW, "claim-1")}
    edit(db, city="Hull")
    assert merged(db.load("uid,city\nU1,Ottawa\n").counts) == (0, 0, 1)
    assert db.users("city") == {"U1": ("Hull",)}


def test_a_file_with_other_columns_repeats_nothing(db: Database) -> None:
    db.load("uid,city\nU1,Hull\n")
    edit(db, city="Ottawa")
    assert merged(db.load("uid,city,email\nU1,Hull,\n").counts) == (0, 1, 0)
    assert db.users("city") == {"U1": ("Hull",)}


def test_a_skipped_row_still_owns_its_values(db: Database) -> None:
    db.load("uid,email,city\nU1,a@b.ca,Hull\nU2,b@b.ca,Hull\n")
    edit(db, city="Ottawa")
    done = db.load("uid,email,city\nU1,a@b.ca,Hull\nU2,b@b.ca,Hull\nU3,c@b.ca,\n")
    assert merged(done.counts) == (1, 0, 2)
    assert merged(db.load("uid,email\nU2,a@b.ca\nU3,c@b.ca\n").counts) == (0, 0, 1)
    assert db.failures == {2: ["email 'a@b.ca' is already used by another user"]}


def test_what_somebody_else_gave_to_a_skipped_user_is_that_users(db: Database) -> None:
    db.load("uid,user_name,city\nU1,a,\nU2,b,\n")
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE users SET user_name = 'z' WHERE uid = 'U1'"))
    done = db.load("uid,user_name,city\nU1,a,\nU2,z,\nU3,q,\n")
    assert merged(done.counts) == (1, 0, 1)
    assert db.failures == {3: ["user_name 'z' is already used by another user"]}
    assert merged(db.load("uid,user_name,city\nU1,a,\nU2,,\nU3,a,\n").counts) == (0, 0, 2)
    assert db.users("user_name") == {"U1": ("z",), "U2": ("b",), "U3": ("q",)}


def test_a_row_that_failed_by_what_is_stored_is_looked_at_again_each_time(db: Database) -> None:
    db.load("uid,email\nU1,a@b.ca\nU2,b@b.ca\n")
    for _ in range(2):
        assert merged(db.load("uid,email\nU1,a@b.ca\nU2,a@B.ca\nU3,b@b.ca\n").counts) == (0, 0, 1)
        assert sorted(db.failures) == [3, 4]
    edit(db, email=None, email_key=None)
    assert merged(db.load("uid,email\nU2,a@B.ca\nU3,b@b.ca\n").counts) == (1, 1, 0)


def test_a_user_that_was_deleted_elsewhere_comes_back_with_the_same_row(db: Database) -> None:
    db.load("uid\nU1\nU2\n")
    with db.engine.begin() as connection:
        connection.execute(text("DELETE FROM users WHERE uid = 'U2'"))
    assert merged(db.load("uid\nU1\nU2\n").counts) == (1, 0, 1)


def overtake(db: Database, content: str) -> None:
    """Let another importer store a file when the next one has been staged, before that one has the client's lock."""
    is_free = True

    @event.listens_for(db.engine, "before_cursor_execute")
    def be_faster(*given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own types
        nonlocal is_free
        if is_free and "LIMIT" in given[2]:
            is_free = False
            event.listen(db.engine, "commit", come, once=True)

    def come(_: object) -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(db.load, content).result(30)


def test_what_another_importer_stores_while_a_file_is_staged_is_no_longer_repeated_by_it(
    tmp_path: Path, engine: Engine
) -> None:
    db = Database(tmp_path, engine)
    db.load("uid,city\nU1,Hull\nU2,Hull\n")
    second = db.claim()
    overtake(db, "uid,city\nU1,Ottawa\nU3,Hull\n")
    done = db.load("uid,city\nU1,Hull\nU2,Hull\nU3,Hull\n", claim=second)
    assert merged(done.counts) == (0, 1, 2)
    assert db.users("city") == dict.fromkeys(("U1", "U2", "U3"), ("Hull",))


def roster(rows: int, *, of: dict[int, str] | None = None) -> str:
    """A file of so many users, who live in Hull unless it says something else of them."""
    cities = of or {}
    return "uid,city\n" + "".join(f"U{number},{cities.get(number, 'Hull')}\n" for number in range(rows))


def test_a_roster_of_many_rows_is_compared_as_a_small_file_is(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    many = MANY_ROWS + 5
    assert merged(db.load(roster(many)).counts) == (many, 0, 0)
    assert merged(db.load(roster(many + 2, of={3: "Ottawa", many - 1: "Ottawa"})).counts) == (2, 2, many - 2)
    assert merged(db.load("uid,city\nU3,Hull\nU4,Hull\n").counts) == (0, 1, 1)
    users = db.users("city")
    assert (users["U3"], users[f"U{many - 1}"], users["U4"]) == (("Hull",), ("Ottawa",), ("Hull",))


@pytest.mark.parametrize("block_bytes", [50_000, BLOCK_BYTES])
def test_rows_of_a_roster_that_repeat_a_key_fail_whether_they_have_news_or_not(db: Database, block_bytes: int) -> None:
    db.load(roster(MANY_ROWS), block_bytes=block_bytes)
    repeated = roster(MANY_ROWS, of={7: "Ottawa"}) + "U5,Hull\nU5,Ottawa\nU7,Ottawa\n"
    done = db.load(repeated, block_bytes=block_bytes)
    assert (merged(done.counts), sorted(db.failures)) == ((0, 1, MANY_ROWS - 1), [MANY_ROWS + row for row in (2, 3, 4)])
    cities = db.users("city")
    assert (cities["U5"], cities["U7"], len(cities)) == (("Hull",), ("Ottawa",), MANY_ROWS)


def test_many_rows_of_a_client_with_far_more_users_are_compared_as_well(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    for letter in "UVW":
        db.load(roster(2 * MANY_ROWS).replace("U", letter))
    assert merged(db.load(roster(MANY_ROWS, of={3: "Ottawa"})).counts) == (0, 1, MANY_ROWS - 1)
    assert db.users("city")["U3"] == ("Ottawa",)


@pytest.mark.parametrize(
    ("others", "rows"),
    [
        pytest.param("VW", 3 * MANY_ROWS + MANY_ROWS // 2, id="the table is gone through, page by page"),
        pytest.param("VWXYZ", MANY_ROWS, id="the client's users are a small part of it"),
    ],
)
def test_many_rows_are_compared_in_several_pages_and_beside_the_users_of_other_clients(
    tmp_path: Path, engine: Engine, others: str, rows: int
) -> None:
    db = Database(tmp_path, engine)
    for letter in others:
        db.load(roster(MANY_ROWS).replace("U", letter), client="other")
    assert merged(db.load(roster(rows)).counts) == (rows, 0, 0)
    assert merged(db.load(roster(rows, of={0: "Ottawa", rows - 1: "Ottawa"})).counts) == (0, 2, rows - 2)
    assert {name: city for name, (city,) in db.users("city").items() if city != "Hull"} == {
        "U0": "Ottawa",
        f"U{rows - 1}": "Ottawa",
    }


@pytest.mark.parametrize("known", [1, MANY_ROWS - 5])
def test_many_rows_meet_the_users_of_their_own_client_only(tmp_path: Path, engine: Engine, known: int) -> None:
    db = Database(tmp_path, engine)
    db.load(roster(MANY_ROWS), client="other")
    db.load(roster(known))
    assert merged(db.load(roster(MANY_ROWS)).counts) == (MANY_ROWS - known, 0, known)


ASKS_FOR_USERS = re.compile("group_concat|string_agg")


@contextmanager
def asked_for_users(engine: Engine) -> Iterator[list[str]]:
    """The statements by which many users are handed out meanwhile."""
    found: list[str] = []

    def note(*given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own types
        found.extend([given[2]] if ASKS_FOR_USERS.search(given[2]) else [])

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_what_was_known_before_a_roster_was_read_is_not_asked_again(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    db.load(roster(MANY_ROWS))
    known = db.known(MANY_ROWS * ROW_BYTES)
    with asked_for_users(engine) as asked:
        done = db.load(roster(MANY_ROWS + 1, of={3: "Ottawa"}), known=known)
    assert (merged(done.counts), asked) == ((1, 1, MANY_ROWS - 1), [])
    assert db.users("city")["U3"] == ("Ottawa",)


def test_what_another_importer_stores_after_that_is_asked_for(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    db.load(roster(MANY_ROWS))
    known = db.known(MANY_ROWS * ROW_BYTES)
    db.load("uid,city\nU3,Ottawa\n")
    with asked_for_users(engine) as asked:
        done = db.load(roster(MANY_ROWS), known=known)
    assert (merged(done.counts), len(asked)) == ((0, 1, MANY_ROWS - 1), 1)
    assert db.users("city")["U3"] == ("Hull",)


def test_what_another_importer_stores_right_after_the_answer_is_asked_for(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    db.load(roster(MANY_ROWS))
    is_free = True

    def be_faster(*given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own types
        nonlocal is_free
        if is_free and ASKS_FOR_USERS.search(given[2]):
            is_free = False
            with ThreadPoolExecutor(1) as thread:
                thread.submit(db.load, "uid,city\nU3,Ottawa\n").result(30)

    event.listen(engine, "after_cursor_execute", be_faster)
    known = db.known(MANY_ROWS * ROW_BYTES)
    assert merged(db.load(roster(MANY_ROWS), known=known).counts) == (0, 1, MANY_ROWS - 1)
    assert db.users("city")["U3"] == ("Hull",)


def test_pages_without_a_user_of_the_client_are_not_the_last(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    for number, client in enumerate(["acme", "other", "acme"]):
        rows = roster(50).replace("U", f"U{number}")
        db.load(rows, client=client)
    with engine.connect() as connection:
        users = known_users(connection, db.store, "acme")._replace(page_users=10)
        known = users.identities(MANY_ROWS)
    stored = rows_of(engine, user_table(PEOPLE))
    assert known is not None
    found = known.has(pl.Series([row["feed_hash"] + row["uid"] for row in stored])).to_list()
    assert (found, len(found)) == ([row["client"] == "acme" for row in stored], 150)


def test_a_file_that_has_more_rows_than_its_size_told_is_compared_as_well(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    db.load(roster(6 * MANY_ROWS))
    known = db.known(MANY_ROWS * ROW_BYTES)
    with asked_for_users(engine) as asked:
        done = db.load(roster(6 * MANY_ROWS, of={3: "Ottawa"}), known=known)
    assert (merged(done.counts), bool(asked)) == ((0, 1, 6 * MANY_ROWS - 1), True)


def test_that_there_are_too_many_users_is_not_found_out_twice(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    for letter in "UVWXY":
        db.load(roster(MANY_ROWS).replace("U", letter))
    known = db.known(MANY_ROWS * ROW_BYTES)
    with asked_for_users(engine) as asked:
        done = db.load(roster(MANY_ROWS, of={3: "Ottawa"}), known=known)
    assert (merged(done.counts), asked) == ((0, 1, MANY_ROWS - 1), [])


def test_nothing_is_asked_before_a_small_file_is_read_nor_where_all_rows_are_written(
    tmp_path: Path, engine: Engine
) -> None:
    small = MANY_ROWS * ROW_BYTES - 1
    db, writing = Database(tmp_path, engine), Database(tmp_path, engine, skips_unchanged=False)
    db.load("uid\nU1\n")
    with asked_for_users(engine) as asked:
        assert (db.known(small), writing.known(small + 1)) == (None, None)
        assert asked == []
        assert db.known(small + 1)
    assert len(asked) == 1


def test_every_row_of_a_large_file_may_be_a_change(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    many = 2 * MANY_ROWS
    db.load(roster(many))
    assert merged(db.load(roster(many, of=dict.fromkeys(range(many), "Ottawa"))).counts) == (0, many, 0)
    assert {*db.users("city").values()} == {("Ottawa",)}


def test_users_that_come_while_a_first_file_is_read_are_seen(tmp_path: Path, engine: Engine) -> None:
    db = Database(tmp_path, engine)
    first = db.claim()
    overtake(db, "uid,email\nU1,a@b.ca\nU2,\n")
    done = db.load("uid,email\nU1,\nU3,A@b.ca\nU4,\n", claim=first)
    assert (merged(done.counts), sorted(db.failures)) == ((1, 0, 1), [3])


def test_users_of_an_earlier_version_are_compared_once_and_skipped_from_then_on(tmp_path: Path, engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "importer.database:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("ALTER TABLE users ADD COLUMN uid TEXT"))
        connection.execute(
            text(
                "INSERT INTO users (client, created_at, updated_at, created_by, updated_by, uid)"
                " VALUES ('acme', '2026-01-01 00:00:00.0', '2026-01-01 00:00:00.0', 'old', 'old', 'U1')"
            )
        )
    db = Database(tmp_path, engine)
    assert merged(db.load("uid,city\nU1,\n").counts) == (0, 0, 1)
    edit(db, city="Hull")
    assert merged(db.load("uid,city\nU1,\n").counts) == (0, 0, 1)
    assert db.users("city", "updated_by") == {"U1": ("Hull", "old")}


def test_a_ledger_of_the_version_before_gives_no_name_away_again_and_still_knows_the_first_import(
    tmp_path: Path, engine: Engine
) -> None:
    config = Config()
    config.set_main_option("script_location", "importer.database:migrations")
    stamped = f"{NOW:%Y%m%dT%H%M%SZ}"
    there = Claim(id="there", client="acme", directory=tmp_path, name="a.csv")
    copied = Copied(size=1, sha256="5" * 64)
    archived = {"archived_at": NOW, "report": f"a.{stamped}.1.failed.csv"}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
        write_entry(connection, entry_values(there, Status.IMPORTED, copied, f"a.{stamped}.csv", NOW))
        again = entry_values(replace(there, id="there-2"), Status.IMPORTED, copied, "x.csv", NOW)
        write_entry(connection, again | archived | {"same_as": "there"})
    migrate(engine, PEOPLE)
    new = Claim(id="new", client="acme", directory=tmp_path, name="a.csv")
    with engine.begin() as connection:
        done = record_refusal(connection, new, copied, refusal("empty_file"), at=NOW, seconds=0.0)
    assert done.archive == f"a.{stamped}.2.csv"
    with reading_engine(engine).begin() as connection:
        assert earlier_claims(connection, "acme", {"5" * 64, ""}) == {"5" * 64: "there"}


def test_a_key_that_is_an_address_is_compared_without_case(tmp_path: Path, engine: Engine) -> None:
    format_ = parse_format('key = "uid"\n[columns.uid]\nkind = "email"\n[columns.city]')
    db = Database(tmp_path, engine, format_)
    db.load("uid,city\nAna@b.ca,Hull\n")
    assert merged(db.load("uid,city\nana@b.ca,Ottawa\n").counts) == (0, 1, 0)
    assert db.users("city") == {"Ana@b.ca": ("Ottawa",)}
    assert merged(db.load("uid,city\nANA@b.ca,Ottawa\n").counts) == (0, 0, 1)


def test_a_file_without_a_good_row_imports_nothing(db: Database) -> None:
    done = db.load("uid\n" + "x" * 9 + "\n")
    assert done.counts == Counts(records=1, failed=1)
    assert db.users() == {}


def test_many_rows_go_through_the_staging(db: Database) -> None:
    text = "uid,city\n" + "".join(f"U{number},c{number}\n" for number in range(45_000))
    assert merged(db.load(text).counts) == (45_000, 0, 0)
    assert merged(db.load(text).counts) == (0, 0, 45_000)


def test_the_ledger_says_what_was_imported(db: Database) -> None:
    done = db.load("uid,shoe\nU1,\n,7\n")
    (entry,) = rows_of(db.engine, imports)
    assert entry == {
        "claim_id": "claim-1",
        "client": "acme",
        "directory": str(db.directory),
        "file": "people.csv",
        "status": "imported",
        "size": 16,
        "sha256": done.sha256,
        "same_as": None,
        "records": 2,
        "accepted": 1,
        "failed": 1,
        "blank": 0,
        "inserted": 1,
        "updated": 0,
        "unchanged": 0,
        "reasons": [{"code": "required", "column": "uid", "count": 1, "example_row": 3, "example": "uid is required"}],
        "warnings": [
            {"code": "unknown_column", "column": "shoe", "message": "the column 'shoe' is not known and was ignored"}
        ],
        "refusal_code": None,
        "refusal_message": None,
        "seconds": 1.5,
        "committed_at": NOW,
        "archive": "people.20261122T101013Z.csv",
        "report": "people.20261122T101013Z.failed.csv",
        "archived_at": None,
    }


def test_the_first_import_of_the_same_bytes_is_named(db: Database) -> None:
    assert db.load("uid\nU1\n").same_as is None
    assert db.load("uid\nU2\n").same_as is None
    assert db.load("uid\nU1\n").same_as == "claim-1"
    assert db.load("uid\nU1\n").same_as == "claim-1"
    assert db.load("uid\nU1\n", client="other").same_as is None


def test_each_of_several_contents_has_its_own_first_import_and_what_was_not_copied_has_none(db: Database) -> None:
    one, two, _ = (db.load(f"uid\nU{number}\n").sha256 for number in range(3))
    with db.engine.begin() as connection:
        record_superseded(connection, db.claim(), at=NOW)
    with db.engine.connect() as connection:
        assert earlier_claims(connection, "acme", [one, two, "", "unknown"]) == {one: "claim-1", two: "claim-2"}


def test_failed_rows_are_one_notice_to_the_client(db: Database) -> None:
    db.load("uid\nU1\n")
    assert rows_of(db.engine, notices) == []
    done = db.load("uid,city\n,a\n,b\nU1,\n")
    (notice,) = rows_of(db.engine, notices)
    assert (notice["client"], notice["audience"], notice["once"], notice["formed_at"]) == ("acme", "client", None, None)
    facts = notice["facts"]
    assert (facts["kind"], facts["file"], facts["claim_id"]) == ("imported", "people.csv", "claim-2")
    assert facts["counts"]["failed"] == 2
    assert (facts["archive"], facts["report"]) == (done.archive, done.report)
    assert facts["reasons"][0]["example_row"] == 2


def test_a_file_that_may_have_been_cut_off_is_a_notice_though_no_row_failed(db: Database) -> None:
    assert db.load("uid\nU1").counts.failed == 0
    (notice,) = rows_of(db.engine, notices)
    assert [warning["code"] for warning in notice["facts"]["warnings"]] == ["may_be_cut"]
    assert notice["facts"]["report"] is None


def test_a_claim_is_never_imported_twice(db: Database) -> None:
    claim = db.claim()
    db.load("uid\nU1\n", claim=claim)
    with pytest.raises(IntegrityError) as caught:
        db.load("uid\nU2\n", claim=claim)
    assert not is_outage(caught.value)
    assert list(db.users()) == ["U1"]


def _full(_: Judged) -> tuple[Remark, ...]:
    raise OSError(28, "No space left on device")


def _nothing_was_written(db: Database) -> None:
    assert db.users() == {}
    assert rows_of(db.engine, imports) == rows_of(db.engine, notices) == []


def test_a_report_that_cannot_be_written_commits_nothing(db: Database) -> None:
    with pytest.raises(OSError, match="No space"):
        db.load("uid,city\nU1,\n,a\n", write_report=_full)
    _nothing_was_written(db)


BREAKING = {
    "sqlite": ["CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no room'); END"],
    "postgresql": [
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE integrity_constraint_violation USING MESSAGE = 'no room'; END$$
        """,
        "CREATE TRIGGER broken BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}


@pytest.mark.parametrize("table", ["users", "imports", "notices"])
def test_a_failure_inside_the_transaction_leaves_nothing(db: Database, table: str) -> None:
    with db.engine.begin() as connection:
        for statement in BREAKING[db.engine.dialect.name]:
            connection.exec_driver_sql(statement.format(table=table))
    with pytest.raises(IntegrityError, match="no room"):
        db.load("uid,city\nU1,\n,a\n")
    _nothing_was_written(db)
    with db.engine.begin() as connection:
        on_table = "" if db.engine.dialect.name == "sqlite" else f" ON {table}"
        connection.execute(text(f"DROP TRIGGER broken{on_table}"))
    assert db.load("uid,city\nU1,\n,a\n").counts.inserted == 1


def test_no_report_is_written_without_failed_rows(db: Database) -> None:
    assert db.load("uid\nU1\n", write_report=_full).report is None


def test_names_in_bak_are_fixed_in_the_ledger_and_never_promised_twice(db: Database) -> None:
    names = [db.load(f"uid\nU{number}\n").archive for number in range(3)]
    assert names == [f"people.20261122T101013Z{number}.csv" for number in ("", ".1", ".2")]


def test_names_that_are_in_bak_are_not_promised(db: Database) -> None:
    bak = db.directory / BAK
    bak.mkdir()
    (bak / "people.20261122T101013Z.csv").touch()
    (bak / "people.20261122T101013Z.1.failed.csv").symlink_to("nowhere")
    assert db.load("uid\nU1\n").archive == "people.20261122T101013Z.2.csv"


def test_a_name_is_not_promised_again_when_its_file_has_left_bak(db: Database) -> None:
    first = db.claim()
    done = db.load("uid\nU1\n", claim=first)
    with db.engine.begin() as connection:
        mark_archived(connection, [first], at=NOW)
    assert db.load("uid\nU1\n").archive != done.archive


def test_a_refused_file_is_told_to_the_sender_and_to_the_admin(db: Database) -> None:
    copied = Copied(size=3, sha256="abc")
    with db.engine.begin() as connection:
        done = record_refusal(connection, db.claim(), copied, refusal("empty_file"), at=NOW, seconds=0.5)
    (entry,) = rows_of(db.engine, imports)
    assert (entry["status"], entry["refusal_code"], entry["size"]) == ("refused", "empty_file", 3)
    assert (entry["archive"], entry["report"], entry["archived_at"]) == (done.archive, None, None)
    told = [(row["audience"], row["facts"]["kind"]) for row in rows_of(db.engine, notices)]
    assert told == [("client", "refused"), ("admin", "refused")]


def test_a_file_that_is_superseded_or_set_aside_is_recorded_and_told_by_its_name_and_its_claim(db: Database) -> None:
    with db.engine.begin() as connection:
        done = record_superseded(connection, db.claim(), at=NOW)
        record_quarantine(connection, db.claim(name="staff.csv"), at=NOW)
    entries = [(row["status"], row["archive"], row["size"], row["seconds"]) for row in rows_of(db.engine, imports)]
    assert entries == [("superseded", done.archive, 0, 0), ("quarantined", "", 0, 0)]
    told = [(row["audience"], outbox.notice_from(row["facts"])) for row in rows_of(db.engine, notices)]
    assert told == [
        (
            "client",
            Notice(
                client="acme",
                audience=Audience.CLIENT,
                kind=NoticeKind.SUPERSEDED,
                file="people.csv",
                claim_id="claim-1",
                archive=done.archive,
            ),
        ),
        (
            "admin",
            Notice(
                client="acme",
                audience=Audience.ADMIN,
                kind=NoticeKind.QUARANTINED,
                file="staff.csv",
                claim_id="claim-2",
                archive=None,
            ),
        ),
    ]


def test_a_notice_is_stored_once(db: Database) -> None:
    notice = Notice(client="acme", audience=Audience.ADMIN, kind=NoticeKind.INCOMPLETE, file="x.csv")
    for once in ("a", "a", "b"):
        with db.engine.begin() as connection:
            record_notice(connection, notice, once=once, at=NOW)
    assert [row["once"] for row in rows_of(db.engine, notices)] == ["a", "b"]


def test_entries_that_are_not_archived_are_found_oldest_first(db: Database) -> None:
    claims = [db.claim(), db.claim(), db.claim("other"), db.claim(), db.claim()]
    done = [db.load(f"uid\nU{number}\n", claim=claim) for number, claim in enumerate(claims[:4])]
    with db.engine.begin() as connection:
        record_quarantine(connection, claims[4], at=NOW)
        mark_archived(connection, [claims[1]], at=LATER)
    directory = claims[0].directory
    elsewhere = directory / "another"
    with db.engine.begin() as connection:
        here = unarchived(connection, "acme", directory, [])
        assert [entry.claim.id for entry in here] == ["claim-1", "claim-4"]
        assert unarchived(connection, "acme", elsewhere, []) == []
        (named,) = unarchived(connection, "acme", elsewhere, ["claim-4"])
        assert named.claim.id == "claim-4"
    assert db.entry(claims[1]) == Entry(
        claim=claims[1],
        sha256=done[1].sha256,
        archive=done[1].archive,
        report=None,
        is_archived=True,
        is_quarantined=False,
    )
    assert db.entry(db.claim()) is None


def test_known_things_come_from_the_format_and_from_the_sites_tables(engine: Engine) -> None:
    format_ = load_format(None)
    migrate(engine, format_)
    with engine.begin() as connection:
        connection.execute(insert(user_types_table).values(id="10", name="Student"))
        connection.execute(insert(login_sources), [{"id": "LDAP", "name": "campus"}, {"id": "OPSCOM", "name": "x"}])
    with engine.begin() as connection:
        known = known_format(connection, format_)
    assert known.lookups["user_types"].entries == {"10": "Student"}
    assert known.lookups["login_sources"].entries == {"LDAP": "campus", "OPSCOM": "local login"}


def test_tables_of_the_site_mean_nothing_to_a_format_without_such_lookups(engine: Engine) -> None:
    migrate(engine, PEOPLE)
    with engine.begin() as connection:
        connection.execute(insert(user_types_table).values(id="10", name="Student"))
    with engine.begin() as connection:
        assert known_format(connection, PEOPLE) == PEOPLE


def _differences(engine: Engine, format_: Format) -> list[Any]:
    own = {*user_table(format_).c.keys(), *(index.name for index in user_table(format_).indexes)}
    own -= {*metadata.tables["users"].c.keys()}

    def is_ours(_: object, name: str | None, kind: str, reflected: bool, __: object) -> bool:  # noqa: FBT001 - alembic calls it
        return not (reflected and kind in {"column", "index"} and name in own)

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": is_ours, "compare_type": True, "compare_server_default": True}
        )
        found = compare_metadata(context, metadata)
    # Comments are for who reads the code; what is changed of a column comes in a list, the rest in tuples.
    flat = [each for difference in found for each in (difference if isinstance(difference, list) else [difference])]
    return [each for each in flat if "comment" not in each[0]]


def test_the_migrations_make_exactly_the_tables(engine: Engine) -> None:
    migrate(engine, PEOPLE)
    assert _differences(engine, PEOPLE) == []


def test_alerts_and_notices_of_the_version_before_are_neither_held_back_nor_lost(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "importer.database:migrations")
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())
    before = next(each.down_revision for each in revisions if each.revision == "0009_bounded_noise")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, str(before))
        connection.execute(
            text(
                "INSERT INTO notices (client, audience, facts, created_at)"
                " VALUES ('acme', 'client', '{}', '2026-01-01 00:00:00.0')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO alerts (kind, client, detail, opened_at)"
                " VALUES ('archive', 'acme', 'full', '2026-01-01 00:00:00.0')"
            )
        )
    migrate(engine, PEOPLE)
    with engine.connect() as connection:
        notice = connection.execute(select(notices.c.formed_at, notices.c.held_until)).one()
        alert = connection.execute(select(alerts.c.detail, alerts.c.detail_facts, alerts.c.held)).one()
    assert (tuple(notice), tuple(alert)) == ((None, None), ("full", None, 0))


def test_mails_of_the_version_before_are_refused_by_nobody(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "importer.database:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0010_details_of_alerts")
        connection.execute(
            text(
                "INSERT INTO mails"
                " (message_id, recipient, subject, text, html, attachments, state, tries, created_at, next_try_at)"
                " VALUES ('<1@x>', 'ana@client.example', 's', 't', 'h', '[]', 'queued', 1, '2026-01-01 00:00:00.0',"
                " '2026-01-01 00:00:00.0')"
            )
        )
    migrate(engine, PEOPLE)
    with engine.connect() as connection:
        assert tuple(connection.execute(select(mails.c.tries, mails.c.refused_since)).one()) == (1, None)


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    migrate(engine, PEOPLE)
    assert any("CREATE TABLE" in statement for statement in statements)
    statements.clear()
    migrate(engine, PEOPLE)
    assert not [each for each in statements if each.startswith(("CREATE", "ALTER", "DROP", "INSERT", "UPDATE"))]


def test_a_new_column_of_the_format_is_added_and_none_is_ever_dropped(db: Database) -> None:
    db.load("uid,city\nU1,Hull\n")
    more = Format(columns=(Column(name="uid", unique=True), Column(name="work", kind="email", unique=True)), key="uid")
    migrate(db.engine, more)
    there = {column["name"] for column in inspect(db.engine).get_columns("users")}
    assert {"city", "work", "work_key"} <= there
    assert "uq_users_client_work_key" in {index["name"] for index in inspect(db.engine).get_indexes("users")}
    assert db.users("city") == {"U1": ("Hull",)}


def test_two_users_of_a_client_cannot_share_a_unique_value_in_the_database_either(db: Database) -> None:
    db.load("uid,email\nU1,a@b.ca\nU2,\n")
    with pytest.raises(IntegrityError), db.engine.begin() as connection:
        connection.execute(text("UPDATE users SET email_key = 'a@b.ca'"))


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    yield engine
    engine.dispose()


def test_every_text_comes_back_as_it_was(db: Database) -> None:
    texts = ["", "\\N", "\\.", '"', '""', "a,b", "a;b", " a ", "é", "😀", "'", "%s", ":x", "NULL", "a\\b", "\u2028"]
    rows = "".join(f'U{number},"{text.replace(chr(34), chr(34) * 2)}"\n' for number, text in enumerate(texts))
    db.load("uid,city\n" + rows)
    assert db.failures == {}
    assert db.users("city") == {f"U{number}": (text.strip() or None,) for number, text in enumerate(texts)}


def test_the_planner_knows_of_the_users_that_a_large_file_brings(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    engine = make_engine(postgresql.url())
    Database(tmp_path, engine).load(roster(MANY_ROWS))
    with engine.connect() as connection:
        known = connection.execute(text("SELECT attname FROM pg_stats WHERE tablename = 'users'")).scalars()
        assert {*known} >= {"id", "client", "uid", "email_key", "user_name"}
    engine.dispose()


def test_an_import_that_loses_its_connection_is_an_outage_and_can_be_done_again(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    engine = make_engine(postgresql.url())
    db = Database(tmp_path, engine)

    def end_the_other_session(_: Judged) -> tuple[Remark, ...]:
        with engine.connect() as other:
            others = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            other.execute(text(f"{others} AND datname = current_database() AND backend_type = 'client backend'"))
        return ()

    with pytest.raises(OperationalError) as caught:
        db.load("uid,city\nU1,\n,a\n", write_report=end_the_other_session)
    assert is_outage(caught.value)
    _nothing_was_written(db)
    assert db.load("uid,city\nU1,\n,a\n").counts.inserted == 1
    engine.dispose()


def test_who_asks_for_a_claim_waits_for_the_commit_of_a_process_that_died(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    engine = make_engine(postgresql.url())
    db = Database(tmp_path, engine)
    claim = db.claim()

    def is_waited_for() -> bool:
        with engine.connect() as other:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return bool(other.execute(text(waiting)).scalar_one())

    with ThreadPoolExecutor(1) as thread:
        with engine.begin() as dying:
            take_turns(dying, "client acme")
            asked = thread.submit(db.entry, claim)
            wait_until(is_waited_for, "the question to wait")
            write_entry(dying, entry_values(claim, Status.IMPORTED, Copied(size=1, sha256=""), "people.csv", NOW))
        entry = asked.result(30)
    assert entry is not None
    engine.dispose()


def test_a_value_that_is_too_long_for_an_index_is_its_files_fault(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    engine = make_engine(postgresql.url())
    db = Database(tmp_path, engine)
    endless = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(9_000))
    with pytest.raises(OperationalError) as caught:
        db.load(f"uid,user_name\nU1,{endless}\n")
    assert not is_outage(caught.value)
    _nothing_was_written(db)
    engine.dispose()


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 60_000)])
def test_every_connection_has_the_pragmas_of_the_protocol(plain: Engine, pragma: str, value: object) -> None:
    with plain.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_a_database_that_cannot_have_a_write_ahead_log_is_refused(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///file:{tmp_path / 'plain.db'}?vfs=unix-none&uri=true")
    with pytest.raises(RuntimeError, match="journal_mode=delete"), engine.connect():
        pass


def test_a_transaction_takes_the_write_lock_at_once_and_a_reading_one_does_not(plain: Engine) -> None:
    @event.listens_for(plain, "connect")
    def be_impatient(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's own type
        connection.execute("PRAGMA busy_timeout=0")

    with plain.begin():
        with pytest.raises(OperationalError, match="locked") as caught, plain.begin():
            pass
        assert is_outage(caught.value)
        with reading_engine(plain).begin() as reader:
            assert reader.execute(text("SELECT 1")).scalar_one() == 1


def test_lookups_of_the_format_win_over_those_of_the_site(engine: Engine) -> None:
    format_ = Format(
        columns=(Column(name="uid", unique=True),),
        key="uid",
        lookups={"user_types": Lookup(noun="type", entries={"10": "Mine"})},
    )
    migrate(engine, format_)
    with engine.begin() as connection:
        connection.execute(insert(user_types_table).values(id="10", name="Theirs"))
    with engine.begin() as connection:
        assert known_format(connection, format_).lookups["user_types"].entries == {"10": "Mine"}

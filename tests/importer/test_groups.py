"""Files of a client that are imported together: what they share, and what each keeps for itself."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from importer.files import claiming
from importer.files.attempts import MAX_ATTEMPTS
from importer.files.claiming import fingerprint
from importer.judging.judge import Source
from importer.judging.together import read_together
from importer.model import (
    Archived,
    Imported,
    NotTaken,
    Outcome,
    Quarantined,
    Refused,
    Returned,
    Superseded,
)
from tests.importing import LIMITS, NOW, PEOPLE, Site, accepted, by_name, examined, make_site


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    made = make_site(tmp_path, url=database_url)
    yield made
    made.engine.dispose()


def drop(site: Site, *contents: str) -> list[str]:
    """Files of these contents; returns their names."""
    names = [f"{letter}.csv" for letter in "abcdefgh"[: len(contents)]]
    for name, content in zip(names, contents, strict=True):
        site.drop(name, content)
    return names


def test_each_file_keeps_its_own_entry_report_counts_and_archive(site: Site) -> None:
    contents = "uid\nU1\nU2\n", "uid,email\nU3,x\nU4,d@b.ca\n", "uid\nU5\n"
    outcomes = site.take(*drop(site, *contents))
    assert [type(outcome) for outcome in outcomes] == [Imported] * 3 + [Archived] * 3
    entries = site.ledger()
    assert [(entry["file"], entry["inserted"], entry["failed"]) for entry in entries] == [
        ("a.csv", 2, 0),
        ("b.csv", 1, 1),
        ("c.csv", 1, 0),
    ]
    files = site.archived()
    assert [files[entry["archive"]].decode() for entry in entries] == [*contents]
    assert [entry["report"] is not None for entry in entries] == [False, True, False]
    assert files[entries[1]["report"]].decode("utf-8-sig").splitlines()[1].startswith("U3,x,")
    assert len({entry["claim_id"] for entry in entries}) == 3
    assert all(entry["archived_at"] == NOW for entry in entries)
    brought = {key: user["created_by"] for key, user in site.users().items()}
    assert brought == {key: entries[at]["claim_id"] for key, at in (("U1", 0), ("U2", 0), ("U4", 1), ("U5", 2))}
    assert site.notices() == [("imported", "client")]
    assert site.left() == [".importing"]


def test_files_are_stored_in_one_transaction_and_archived_in_another(site: Site) -> None:
    names = drop(site, "uid\nU1\n", "uid,city\nU2,Hull\n", "", "uid,email\nU3,x\n")
    commits: list[int] = []
    event.listen(site.engine, "commit", lambda _: commits.append(len(site.archived())))
    site.take(*names)
    known_format, stored, archived = commits
    assert (known_format, stored, archived) == (0, 0, 5)


def test_files_of_a_group_skip_rows_that_repeat_what_the_feed_last_gave(site: Site) -> None:
    first = "uid,city\nU1,Hull\nU2,Hull\n", "uid,city\nU3,Hull\nU4,Hull\n", "uid,city\nU5,Hull\n"
    site.take(*drop(site, *first), tokens="f")
    with site.engine.begin() as connection:
        connection.execute(text("UPDATE users SET city = 'Ottawa'"))
    second = "uid,city\nU1,Hull\nU2,Ottawa\n", "uid,city\nU3,Paris\nU4,Hull\n", "uid,city\nU5,Hull\nU6,\n"
    outcomes = site.take(*drop(site, *second))
    counts = [outcome.counts for outcome in outcomes if isinstance(outcome, Imported)]
    assert [(each.inserted, each.updated, each.unchanged) for each in counts] == [(0, 0, 2), (0, 1, 1), (1, 0, 1)]
    changed = [outcome.claim.id for outcome in outcomes if isinstance(outcome, Imported)][1]
    users = site.users()
    cities = {key: user["city"] for key, user in users.items()}
    assert cities == {**dict.fromkeys(("U1", "U2", "U4", "U5"), "Ottawa"), "U3": "Paris", "U6": None}
    assert [key for key, user in users.items() if user["updated_by"] == changed] == ["U3"]


def test_a_file_sees_what_those_before_it_have_stored(site: Site) -> None:
    outcomes = site.take(*drop(site, "uid,email\nU1,a@b.ca\n", "uid,email\nU2,a@b.ca\n", "uid,city\nU1,Hull\n"))
    counts = [outcome.counts for outcome in outcomes if isinstance(outcome, Imported)]
    assert [(each.inserted, each.updated, each.failed) for each in counts] == [(1, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert {key: (user["email"], user["city"]) for key, user in site.users().items()} == {"U1": ("a@b.ca", "Hull")}


@pytest.mark.parametrize(("order", "email"), [("ab", "a@b.ca"), ("ba", None)])
def test_a_value_is_free_for_the_files_behind_the_one_that_gives_it_up(
    site: Site, order: str, email: str | None
) -> None:
    site.drop("first.csv", "uid,email\nU1,a@b.ca\nU2,\n")
    site.take("first.csv", tokens="f")
    drop(site, "uid,email\nU1,new@b.ca\n", "uid,email\nU2,a@b.ca\n")
    site.take(*(f"{letter}.csv" for letter in order))
    assert site.users()["U2"]["email"] == email


def test_a_refused_file_takes_no_other_along(site: Site) -> None:
    outcomes = site.take(*drop(site, "uid\nU1\n", "", "nothing\nx\n", "uid\nU2\n"))
    assert [type(outcome) for outcome in outcomes[:4]] == [Imported, Refused, Refused, Imported]
    assert list(site.users()) == ["U1", "U2"]
    assert sorted(site.notices()) == [("refused", "admin")] * 2 + [("refused", "client")] * 2
    assert len(site.archived()) == 4


@pytest.mark.parametrize("plain", [True, False])
def test_a_file_that_the_database_refuses_takes_no_other_along_and_is_set_aside_alone(
    site: Site,
    plain: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    with site.engine.begin() as connection:
        connection.execute(text("CREATE UNIQUE INDEX one_a_city ON users (city)"))
    bad = "uid,city\nU3,Hull\n" if plain else "uid,city\nU3,Hull\nU4,much too long\n"
    names = drop(site, "uid,city\nU1,Hull\n", "uid,city\nU2,Delhi\n", bad, "uid,city\nU5,Paris\n")
    outcomes: list[Outcome] = []
    uploads = [site.seen(name) for name in names]
    with pytest.raises(IntegrityError):
        outcomes.extend(site.importer().import_files("acme", site.folder, uploads))
    assert list(site.users()) == ["U1", "U2", "U5"]
    assert [entry["file"] for entry in site.ledger()] == ["a.csv", "b.csv", "d.csv"]
    assert len(site.archived()) == 3
    (left,) = site.claims()
    assert left.name == "c.csv"
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(IntegrityError):
            site.recover()
    assert [type(outcome) for outcome in site.recover()] == [Quarantined]
    assert list(site.users()) == ["U1", "U2", "U5"]


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"U9\n")


def replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"uid\nU8\n")


@pytest.mark.parametrize("change", [append, replace])
def test_a_file_that_changes_while_it_is_taken_is_given_back_and_the_others_are_imported(
    site: Site, change: Callable[[Path], None]
) -> None:
    names = drop(site, "uid\nU1\n", "uid\nU2\n", "uid\nU3\n")

    def write() -> None:
        (claim,) = (claim for claim in site.claims() if claim.name == "b.csv")
        change(claim.original)

    outcomes = site.take(*names, pause=write)
    assert [type(outcome) for outcome in outcomes] == [Imported, Imported, Archived, Archived, Returned]
    assert list(site.users()) == ["U1", "U3"]
    assert site.left() == [".importing", "b.csv"]


def test_a_file_that_vanishes_or_whose_name_is_taken_meanwhile_does_not_disturb_the_others(site: Site) -> None:
    names = drop(site, "uid\nU1\n", "uid\nU2\n", "uid\nU3\n")
    uploads = [site.seen(name) for name in names]
    (site.directory / "a.csv").unlink()

    def write() -> None:
        (claim,) = (claim for claim in site.claims() if claim.name == "b.csv")
        append(claim.original)
        site.drop("b.csv", "uid\nU7\n")

    outcomes = list(site.importer(pause=write).import_files("acme", site.folder, uploads))
    assert [type(outcome) for outcome in outcomes] == [NotTaken, Superseded, Imported, Archived, Archived]
    assert list(site.users()) == ["U3"]
    assert site.left() == [".importing", "b.csv"]


def test_what_ends_the_process_in_a_group_costs_none_of_its_files_an_attempt(site: Site) -> None:
    names = drop(site, "uid\nU1\n", "uid\nU2\n", "uid\nU3\n")
    with suppress(KeyboardInterrupt):
        site.take(*names, pause=end)
    left = [*site.claims()]
    assert [claim.name for claim in left] == names
    assert [claiming.count_attempt(claim) for claim in left] == [1, 1, 1]
    assert [type(outcome) for outcome in site.recover()] == [Imported, Archived] * 3
    assert list(site.users()) == ["U1", "U2", "U3"]


def end() -> None:
    raise KeyboardInterrupt


CELLS = {
    "uid": st.sampled_from(["U1", "U2", "U3", "U4", "U5", "U6", "U7", "U8"]),
    "email": st.sampled_from(["", "<clear>", "a@b.ca", "A@b.ca", "c@b.ca", "d@b.ca", "e@b.ca", "x"]),
    "user_name": st.sampled_from(["", "", "ana", "bo", "<clear>"]),
    "city": st.sampled_from(["", "Hull", '"two\nlines"', " Hull ", "much too long"]),
}
ROWS = st.lists(st.tuples(*CELLS.values()).map(",".join), min_size=1, max_size=3)
CONTENTS = ROWS.map(lambda rows: "\n".join([",".join(CELLS), *rows, ""]))
NUMBERS = count(1)


def state(site: Site, client: str, claims: dict[str, str]) -> tuple[list[Any], list[Any]]:
    """A client's users and ledger, with names of files in place of claims."""
    with site.engine.begin() as connection:
        users = connection.execute(text("SELECT * FROM users WHERE client = :client ORDER BY uid"), {"client": client})
        ledger = connection.execute(
            text("SELECT * FROM imports WHERE client = :client ORDER BY claim_id"), {"client": client}
        )
        without = {"id", "client", "directory", "claim_id", "archived_at"}
        return tuple(
            [{key: claims.get(str(value), value) for key, value in row.items() if key not in without} for row in rows]
            for rows in ([dict(row) for row in result.mappings()] for result in (users, ledger))
        )  # type: ignore[return-value]


def imported(site: Site, *rounds: list[str], together: bool) -> tuple[list[Any], list[Any]]:
    """What files leave that are dropped in several rounds, between which somebody else changes users."""
    client = f"client-{next(NUMBERS)}"
    directory = site.directory / client
    directory.mkdir()
    importer = site.importer(tokens=client)
    done: list[Outcome] = []
    for turn, contents in enumerate(rounds):
        names = [f"{turn}-{number}.csv" for number in range(len(contents))]
        for name, content in zip(names, contents, strict=True):
            (directory / name).write_text(content)
        uploads = [(name, fingerprint(os.lstat(directory / name))) for name in names]
        for group in [uploads] if together else [[upload] for upload in uploads]:
            done += importer.import_files(client, by_name(directory), group)
        with site.engine.begin() as connection:
            connection.execute(text("UPDATE users SET city = 'Ely' WHERE client = :client"), {"client": client})
    claims = {each.claim.id: each.claim.name for each in done if isinstance(each, Imported)}
    return state(site, client, claims)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(CONTENTS, min_size=2, max_size=5))
def test_files_of_a_group_leave_what_they_leave_one_by_one(site: Site, contents: list[str]) -> None:
    assert imported(site, contents, together=True) == imported(site, contents, together=False)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.lists(CONTENTS, min_size=1, max_size=3), data=st.data())
def test_files_of_a_group_skip_what_they_skip_one_by_one(site: Site, first: list[str], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.sampled_from(first) | CONTENTS, min_size=2, max_size=5))
    assert imported(site, first, second, together=True) == imported(site, first, second, together=False)


@settings(max_examples=60, deadline=None)
@given(contents=st.lists(CONTENTS | st.sampled_from(["", "uid\n", "uid\n\nU1\n", "uid\nU1"]), max_size=5))
def test_files_that_are_read_together_have_the_rows_that_each_has_alone(
    tmp_path_factory: pytest.TempPathFactory, contents: list[str]
) -> None:
    place = tmp_path_factory.mktemp("together")
    paths = [place / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    sources = [Source(path=path, name="x.csv", format=PEOPLE, limits=LIMITS) for path in paths]
    for content, file in zip(contents, read_together(sources, PEOPLE, today=NOW.date()), strict=True):
        if file is not None:
            with examined(content, name="x.csv") as alone:
                assert (alone.counts.failed, alone.counts.blank) == (0, 0)
                rows = [{k: v for k, v in row.items() if k not in {"row", "line"}} for row in accepted(alone).values()]
                assert file.accepted.drop("row", "line").to_dicts() == rows
                assert file.warnings == alone.warnings

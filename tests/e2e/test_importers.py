"""Two services on one PostgreSQL: whichever is killed, and whenever, every file is imported once and told once."""

import email
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.e2e.test_crashes import held_at_rename, kill_traced
from tests.servers.postgresql import PostgresqlServer
from tests.servers.service import RUN, Service
from tests.servers.tools import wait_until

NAMES = ("a.csv", "b.csv", "c.csv")
CLAIMERS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
WAITS_FOR_LEDGER = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'imports'::regclass"

Pair = tuple[House, House]


@pytest.fixture
def url(postgresql: PostgresqlServer) -> str:
    return postgresql.url()


def node(root: Path, url: str, upload: Path | None = None) -> House:
    """An installation with a state directory of its own; its mails are files of its own as well."""
    root.mkdir()
    house = House(root, upload)
    house.keeps_users_in(url)
    return house


@pytest.fixture
def nodes(tmp_path: Path, url: str) -> Pair:
    """Two installations on one upload directory."""
    one = node(tmp_path / "one", url)
    return one, node(tmp_path / "two", url, one.upload)


@contextmanager
def holder_and_other(nodes: Pair, command: list[str] | None = None) -> Iterator[tuple[Service, Service]]:
    """Both services; the first one holds the client."""
    one, two = nodes
    with ExitStack() as stack:
        first = stack.enter_context(one.service(command=command or RUN))
        wait_until(lambda: one.records(CLAIMERS) == [{"count": 1}], "the first service to hold the client", timeout=30)
        second = stack.enter_context(two.service())
        second.wait_for_event("client_held_elsewhere")
        yield first, second


def drop_all(house: House) -> None:
    for number, name in enumerate(NAMES):
        house.drop(name, files.csv_of(files.good(2 * number + 1), files.bad(2 * number + 2)))


def assert_done_once(*houses: House) -> None:
    """Each dropped file is in the ledger once, its user once, in bak once, and told in one mail."""
    entries = houses[0].imports()
    assert sorted(entry["file"] for entry in entries) == sorted([*NAMES])
    assert [(entry["status"], entry["inserted"], entry["failed"]) for entry in entries] == [("imported", 1, 1)] * 3
    assert all(entry["archived_at"] is not None for entry in entries)
    assert houses[0].ids() == [f"{files.CANARY}-00{number}" for number in (1, 3, 5)]
    archived = {name for house in houses for name in house.archived()}
    assert archived == {name for entry in entries for name in (entry["archive"], entry["report"])}
    for house in houses:
        assert house.waiting() == []
        assert house.claimed() == []
    told = [notice["file"] for notice in houses[0].notices()]
    assert sorted(told) == sorted([*NAMES])
    assert_mailed_once(*houses)


def assert_mailed_once(*houses: House) -> None:
    """Each mail was written once, and they carry one report of each file."""
    mails = [email.message_from_bytes(mail) for house in houses for mail in house.mail_files()]
    assert len({mail["Message-ID"] for mail in mails}) == len(mails)
    names = [part.get_filename() or "" for mail in mails for part in mail.walk() if part.get_filename()]
    assert sorted(re.sub(r"\..*", ".csv", name) for name in names) == sorted([*NAMES])


def claimed(count: int) -> Callable[[House, Service], None]:
    def wait(house: House, _: Service) -> None:
        names = {*NAMES}
        wait_until(lambda: len([at for at in house.claimed() if at.name in names]) == count, "claims", timeout=30)

    return wait


def committed(_: House, running: Service) -> None:
    running.wait_for_event("import_finished")


def moved(house: House, _: Service) -> None:
    wait_until(lambda: bool(house.archived()), "the first file in bak", timeout=30)


@pytest.mark.parametrize(
    ("nth", "wait"),
    [(2, claimed(1)), (4, committed), (5, moved)],
    ids=["after the first claim", "between the commit and the move", "between the file and its report"],
)
def test_what_a_killed_node_has_begun_is_finished_once_by_the_other(
    nodes: Pair, nth: int, wait: Callable[[House, Service], None]
) -> None:
    one, two = nodes
    drop_all(one)
    with holder_and_other(nodes, held_at_rename(nth)) as (first, second):
        for name in NAMES:
            first.wait_for_event("upload_settled", file=name)
        first.tick()
        wait(one, first)
        kill_traced(first)
        take_over(two, second)
        assert second.terminate() == 0
    two.once()
    assert_done_once(one, two)


def take_over(house: House, service: Service) -> None:
    """Have the service take over and import what lies there, which settles anew once the other has let go of it."""
    wait_until(lambda: house.records(CLAIMERS) == [{"count": 0}], "the lock to be freed", timeout=20)
    for name in house.waiting():
        service.wait_for_event("upload_settled", file=name)
    service.tick()
    service.wait_for_event("client_taken_over")
    wait_until(lambda: not house.waiting() and not house.claimed(), "every file to be imported", timeout=20)


def test_a_node_killed_within_its_transaction_has_imported_nothing_and_the_other_does(nodes: Pair) -> None:
    one, two = nodes
    drop_all(one)
    with holder_and_other(nodes) as (first, second):
        for name in NAMES:
            first.wait_for_event("upload_settled", file=name)
        assert one.engine is not None
        with one.engine.connect() as blocking:
            blocking.execute(text("LOCK TABLE imports IN EXCLUSIVE MODE"))
            first.tick()
            wait_until(lambda: one.records(WAITS_FOR_LEDGER) == [{"count": 1}], "the transaction", timeout=20)
            first.kill()
        take_over(two, second)
        assert second.terminate() == 0
    two.once()
    assert_done_once(one, two)


def test_two_nodes_on_one_directory_that_tick_at_once_import_each_file_once(nodes: Pair) -> None:
    one, two = nodes
    with holder_and_other(nodes) as (first, second):
        drop_all(one)
        for name in NAMES:
            first.wait_for_event("upload_settled", file=name)
            second.wait_for_event("upload_settled", file=name)
        second.tick()
        first.tick()
        for name in NAMES:
            first.wait_for_event("file_archived", file=name)
        assert not second.events("import_finished")
        assert not second.events("batch_started")
        assert len(second.events("client_held_elsewhere")) == 1
        assert not second.events("alert_opened")
        assert (second.terminate(), first.terminate()) == (0, 0)
    one.once()
    assert_done_once(one, two)


def test_a_single_run_that_leaves_the_files_to_another_node_ends_with_75(nodes: Pair) -> None:
    one, two = nodes
    with one.service() as first:
        wait_until(lambda: one.records(CLAIMERS) == [{"count": 1}], "the first service to hold the client", timeout=30)
        with two.service("--once", ready=False) as second:
            assert second.wait() == 75
            assert "another userdrop imports the files" in second.tail()
        assert first.terminate() == 0


def test_two_nodes_on_directories_of_their_own_import_side_by_side_and_share_the_users(
    tmp_path: Path, url: str
) -> None:
    one, two = node(tmp_path / "one", url), node(tmp_path / "two", url)
    with one.service() as first, two.service() as second:
        for number, (house, service) in enumerate(((one, first), (two, second), (one, first))):
            content = files.csv_of(files.good(2 * number + 1), files.bad(2 * number + 2))
            house.drop(NAMES[number], content)
            imported_at_next_tick(service, NAMES[number])
        assert not first.events("client_held_elsewhere") + second.events("client_held_elsewhere")
        first.kill()
        assert second.terminate() == 0
    two.once()
    one.once()
    assert_done_once(one, two)

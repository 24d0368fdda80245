"""Two services with two databases on one upload directory: the second one is kept out, until the first one has gone."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.postgresql import PostgresqlServer
from tests.servers.service import Event, Service
from tests.servers.tools import wait_until

FIRST, SECOND = files.csv_of(files.good(1)), files.csv_of(files.good(2))


@pytest.fixture
def other(house: House) -> House:
    """An installation with a state directory and a database of its own, on the same upload directory."""
    root = house.root / "other"
    root.mkdir()
    return House(root, house.upload)


@contextlib.contextmanager
def kept_out(house: House, *arguments: str) -> Iterator[str]:
    """What a service says that does not start, because another one works there."""
    with house.service(*arguments, ready=False) as service:
        assert service.wait(60) == 75
    yield service.tail()


def taken_over(*nodes: Service) -> list[Event]:
    """What services have logged of a directory that was another database's before."""
    return [event for node in nodes for event in node.events("upload_dir_taken_over")]


@pytest.mark.parametrize("arguments", [(), ("--once",)], ids=["a service", "a single run"])
def test_a_service_with_another_database_does_not_start_where_one_works(
    house: House, other: House, arguments: tuple[str, ...]
) -> None:
    has_folders = bool(arguments)
    for each in (house, other):
        each.set(CLIENT_FOLDERS=str(has_folders).lower())
    if has_folders:
        (house.upload / "acme").mkdir()
    with house.service() as service:
        (house.upload / ("acme/first.csv" if has_folders else "first.csv")).write_bytes(FIRST)
        imported_at_next_tick(service, "first.csv")
        with kept_out(other, *arguments) as said:
            assert f"works in {house.upload}, on another database, sqlite:///{house.database}" in said
        assert service.terminate() == 0
    assert (len(house.users()), other.users()) == (1, [])


def test_a_site_moves_to_another_database_by_stopping_one_service_and_starting_the_other(
    house: House, other: House, postgresql: PostgresqlServer
) -> None:
    with house.service() as service:
        house.drop("first.csv", FIRST)
        imported_at_next_tick(service, "first.csv")
        assert service.terminate() == 0
    url = postgresql.url()
    other.keeps_users_in(url)
    third = House(other.root, house.upload)
    third.state = other.root / "state-3"
    third.keeps_users_in(url)
    third.set(STATE_DIR=third.state)
    with other.service() as node, third.service() as second_node:
        wait_until(lambda: taken_over(node, second_node) != [], "a node to take the directory")
        (taken,) = taken_over(node, second_node)
        assert taken["before"] == f"sqlite:///{house.database}"
        with kept_out(house) as said:
            assert "on another database, postgresql" in said
        assert (node.terminate(), second_node.terminate()) == (0, 0)
    assert taken_over(node, second_node) == [taken]
    with house.service() as service:
        house.drop("second.csv", SECOND)
        imported_at_next_tick(service, "second.csv")
        assert service.terminate() == 0
    assert len(house.users()) == 2

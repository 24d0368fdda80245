"""A state machine drives the importer on both databases beside a pure model; see `tests.machine`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from importer.database.engines import make_engine
from importer.database.tables import migrate
from tests.crashes import seeded
from tests.crashes.house import RIGHT, Build
from tests.importing import PEOPLE
from tests.machine.imports import Imports, World

DEFAULT = settings(
    max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=[*HealthCheck], print_blob=False
)
LONG = settings(DEFAULT, max_examples=10, stateful_step_count=40)
SEARCH = settings(
    DEFAULT, max_examples=100, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
)
"""Finds a bug, always the same way, and does not care for a short example."""


@contextmanager
def machine(place: Path, url: str, build: Build = RIGHT) -> Iterator[type[Imports]]:
    working, looking = build.engine(url), make_engine(url)
    migrate(looking, PEOPLE)
    world = World(place=place, working=working, looking=looking, importer=build.importer)

    class ImportsOfTheWorld(Imports):
        def __init__(self) -> None:
            super().__init__(world)

    yield ImportsOfTheWorld
    working.dispose()
    looking.dispose()


def test_whatever_goes_wrong_every_file_becomes_what_the_model_says_exactly_once(
    tmp_path: Path, database_url: str
) -> None:
    with machine(tmp_path, database_url) as right:
        run_state_machine_as_test(right, settings=DEFAULT)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_same_for_longer(tmp_path: Path, database_url: str) -> None:
    with machine(tmp_path, database_url) as right:
        run_state_machine_as_test(right, settings=LONG)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(seeded.NO_UNIQUENESS, id="uniqueness is not checked"),
        pytest.param(seeded.NOTICE_APART, id="a notice in a transaction of its own"),
        pytest.param(seeded.TWO_TRANSACTIONS, id="users and ledger in two transactions", marks=pytest.mark.full),
        pytest.param(seeded.BLIND_RETRY, id="blind retry of a commit", marks=pytest.mark.full),
        pytest.param(seeded.NO_RULE_FOR_COMMITTED, id="no rule for what is committed", marks=pytest.mark.full),
        pytest.param(seeded.ARCHIVED_BEFORE_THE_MOVE, id="archived before the move", marks=pytest.mark.full),
    ],
)
def test_it_finds_a_bug(tmp_path: Path, build: Build) -> None:
    with machine(tmp_path, f"sqlite:///{tmp_path / 'userdrop.db'}", build) as wrong, pytest.raises(AssertionError):
        run_state_machine_as_test(wrong, settings=SEARCH)

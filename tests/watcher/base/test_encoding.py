"""What the watcher's values become on their way between processes, and that they come back as they were."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest

from watcher.base.encoding import OtherShapeError, plain, value_of


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    colour: Colour
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    name: str
    is_tall: bool
    leaves: tuple[Leaf, ...]
    notes: tuple[Mapping[str, Any], ...] = ()
    height: int | None = None


TREE = Tree(
    name="oak",
    is_tall=True,
    leaves=(Leaf(colour=Colour.RED, at=datetime(2030, 1, 1, 12, 0, 0, 5, tzinfo=UTC)), Leaf(colour=Colour.RED)),
    notes=({"a": [1, None]},),
    height=7,
)
READ = {"name": "oak", "is_tall": True, "leaves": [{"colour": "red"}]}


def test_a_value_comes_back_as_it_was_sent() -> None:
    assert value_of(Tree, json.loads(json.dumps(TREE, default=plain))) == TREE


def test_a_neighbouring_version_may_send_more_and_leave_out_what_has_a_default() -> None:
    expected = Tree(name="oak", is_tall=True, leaves=(Leaf(colour=Colour.RED),))
    assert value_of(Tree, READ | {"age": 100}) == expected


@pytest.mark.parametrize(
    "read",
    [
        None,
        [],
        "oak",
        {"name": "oak"},
        READ | {"name": None},
        READ | {"is_tall": 1},
        READ | {"height": True},
        READ | {"leaves": {}},
        READ | {"leaves": [{"colour": "green"}]},
        READ | {"leaves": [{"colour": "red", "at": "noon"}]},
        READ | {"leaves": [{"colour": "red", "at": 12}]},
        READ | {"notes": [7]},
    ],
)
def test_what_is_no_such_value_is_refused(read: object) -> None:
    with pytest.raises(OtherShapeError):
        value_of(Tree, read)

"""Two threads on one stream."""

import threading
from collections.abc import Iterator

import pytest

from importer.prefetch import ahead


def test_things_come_in_order_and_are_made_elsewhere() -> None:
    made_by = set[int]()

    def made() -> Iterator[int]:
        for number in range(100):
            made_by.add(threading.get_ident())
            yield number

    with ahead(made()) as things:
        assert [*things] == [*range(100)]
    assert len(made_by) == 1
    assert threading.get_ident() not in made_by


def test_the_next_thing_is_made_while_one_is_used() -> None:
    second_is_made = threading.Event()

    def made() -> Iterator[int]:
        yield 1
        second_is_made.set()
        yield 2

    with ahead(made()) as things:
        assert next(things) == 1
        assert second_is_made.wait(30)


def test_what_making_raises_is_raised_after_the_things_before_it() -> None:
    def made() -> Iterator[int]:
        yield 1
        raise MemoryError

    used: list[int] = []
    with pytest.raises(MemoryError):
        _use(made(), used)
    assert used == [1]


def test_making_has_ended_when_the_block_ends() -> None:
    making, proceed = threading.Event(), threading.Event()
    ended: list[bool] = []

    def made() -> Iterator[int]:
        yield 1
        making.set()
        proceed.wait(30)
        ended.append(True)
        yield 2

    with ahead(made()) as things:
        assert next(things) == 1
        assert making.wait(30)
        proceed.set()
    assert ended == [True]


def test_nothing_is_made_of_nothing() -> None:
    nothing: list[int] = []
    with ahead(nothing) as things:
        assert [*things] == nothing


def _use(made: Iterator[int], used: list[int]) -> None:
    with ahead(made) as things:
        used.extend(things)

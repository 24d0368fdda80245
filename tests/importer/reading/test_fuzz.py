"""The reader, fed with mutated files; see `tests.tools.fuzz`, which goes on for as long as it is asked to."""

import pytest

from tests.tools.fuzz import fuzz
from watcher.base.clock import elapsed


def test_a_few_hundred_mutated_files_are_read_without_a_find() -> None:
    assert [*fuzz(1, until=lambda number: number >= 200)] == []


@pytest.mark.full
def test_a_minute_of_mutated_files_is_read_without_a_find() -> None:
    started = elapsed()
    assert [*fuzz(2, until=lambda _: elapsed() - started > 60)] == []


def test_a_reader_whose_verdict_depends_on_its_blocks_is_found() -> None:
    assert next(fuzz(1, until=lambda number: number >= 5, judge=lambda _, block_bytes: block_bytes), None) is not None


def test_a_reader_that_fails_is_found() -> None:
    def fail(content: bytes, block_bytes: int) -> None:
        del content, block_bytes
        raise MemoryError

    assert next(fuzz(1, until=lambda number: number >= 5, judge=fail), None) is not None

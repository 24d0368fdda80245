"""An iterator that works ahead on a second thread: the next thing is made while the last one is used."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Thing = TypeVar("_Thing")


@contextmanager
def ahead(things: Iterable[_Thing]) -> Iterator[Iterator[_Thing]]:
    """Make each of an iterable's things on another thread, one ahead and the first at once.

    That thread is done with them when the block ends.

    An error in making one is raised where it would be used.
    """
    rest = iter(things)
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
            yield _one_ahead(thread, rest, thread.submit(next, rest, None))
    finally:
        if isinstance(rest, Generator):
            rest.close()  # with what it has open, or an error would keep that as long as it is looked at


def _one_ahead(thread: ThreadPoolExecutor, things: Iterator[_Thing], coming: Future[_Thing | None]) -> Iterator[_Thing]:
    while (thing := coming.result()) is not None:
        coming = thread.submit(next, things, None)
        yield thing

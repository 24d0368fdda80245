"""Questions about a client's users, asked while a file is copied, which leaves a processor free."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import Engine

from importer.database.engines import reading_engine
from importer.model import Claim, Fingerprint
from importer.reading.transcoding import has_compressed_name
from importer.reading.user_file import Limits
from importer.storing.repeats import MANY_ROWS, ROW_BYTES
from importer.storing.staging import Foreknown, foreknow
from importer.storing.store import Store


@contextmanager
def foreknowing(
    claim: Claim, seen: Fingerprint, engine: Engine, store: Store, limits: Limits
) -> Iterator[Callable[[], Foreknown | None]]:
    """Ask about a client's users on another thread; wait for the answer before the database is used otherwise.

    When the block ends the question has been answered, whether that was waited for or not.
    """
    # Nothing is asked for a file that will not be read, or whose size does not tell how many rows it has.
    is_telling = seen.size <= limits.max_bytes and not has_compressed_name(claim.name)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="foreknow") as beside:
        yield beside.submit(foreknown, claim.client, seen.size if is_telling else 0, engine, store).result


def foreknown(client: str, size: int, engine: Engine, store: Store) -> Foreknown | None:
    """Ask what is known of a client's users, for a file of some size in bytes; None where that is better asked later.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    rows = size // ROW_BYTES
    if rows < MANY_ROWS or not store.skips_unchanged:
        return None
    with reading_engine(engine).begin() as connection:
        return foreknow(connection, store, client, rows)

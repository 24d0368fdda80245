"""Room on disk: how much an import may take, how much is left where it writes, and what is done where none is."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import sqlite_file, trim_log
from importer.database.failures import is_disk_full, is_outage
from importer.files import claiming
from importer.files.faults import has_few_inodes
from importer.judging.brevity import is_own_doing, may_be_taken
from importer.model import Claim, FileRefused, Fingerprint
from importer.reading.transcoding import has_compressed_name
from importer.reading.user_file import Limits
from importer.storing.recording import look_up_entry
from importer.words.reasons import refusal, shown_size

_TEMPORARY = Path("/var/tmp")  # noqa: S108 - nothing of ours is put there
"""The directories of SQLite's temporary tables, unless the environment names one. Source: sqlite.org/tempfiles.html."""


def most_expanded(name: str, seen: Fingerprint, limits: Limits) -> int:
    """The most bytes that the content of an upload may have once it is expanded."""
    return limits.most_expanded(seen.size, is_compressed=has_compressed_name(name))


def has_room(workroom: Path, uploads: Sequence[tuple[str, Fingerprint]], limits: Limits) -> bool:
    """Whether uploads may be taken beside what their client has in work already."""
    if limits.max_work_bytes is None:
        return True
    size = sum(most_expanded(name, seen, limits) for name, seen in uploads)
    return may_be_taken(claiming.bytes_in_work(workroom), size, limits.max_work_bytes)


def refuse_beyond_room(claim: Claim, limits: Limits) -> None:
    """Refuse a file that takes more room than its client may have.

    Raises:
        FileRefused: the file takes more room.
    """
    most = limits.max_work_bytes
    if most is not None and claiming.bytes_in(claim.work) > most:
        raise FileRefused(refusal("needs_too_much_room", limit=shown_size(most)))


def _least_free(claim: Claim, engine: Engine) -> int:
    """The bytes that are free where the import of a file writes: on the disk that has the fewest.

    The claim's own directory, which lies on the disk of the client's folder, is gone when the file is in bak.
    """
    database = sqlite_file(engine.url.render_as_string(hide_password=False))
    places = [claim.folder, *([] if database is None else [database.parent, _TEMPORARY, Path(gettempdir())])]
    return min(_free_bytes(place) for place in places if place.exists())


def _free_bytes(place: Path) -> int:
    """The free bytes of a disk; 0 where hardly any file can be made, whatever is free. Source: statvfs(3)."""
    status = os.statvfs(place)
    return 0 if has_few_inodes(status) else status.f_bavail * status.f_frsize


@contextmanager
def attempting(claim: Claim, seen: Fingerprint, limits: Limits, engine: Engine) -> Iterator[None]:
    """Guard a counted attempt to import a file; one that ends in an outage does not count, and leaves no rest.

    An attempt that has filled the disk by itself counts, and is noted.
    """
    room = _least_free(claim, engine)
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        if is_outage(error):
            _discard(claim, engine)
            size = most_expanded(claim.name, seen, limits)
            with suppress(OSError):
                if is_disk_full(error) and is_own_doing(size, room, _least_free(claim, engine)):
                    claiming.note_filled(claim)
                else:
                    claiming.uncount_attempt(claim)
        raise


@contextmanager
def leaving_room(claims: Sequence[Claim], engine: Engine) -> Iterator[None]:
    """Discard what was written for some claims where the disk is full, as it is in everybody's way."""
    try:
        yield
    except OSError:
        for claim in claims:
            _discard(claim, engine)
        raise


def _discard(claim: Claim, engine: Engine) -> None:
    """Remove a claim's copy, unless the file is committed, or may be: then the ledger promises it to bak."""
    with suppress(SQLAlchemyError, OSError):
        if look_up_entry(engine, claim) is None:
            claiming.discard(claim)
            trim_log(engine, at_most=0)

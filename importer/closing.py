"""The ends that a claim can come to: put into bak, given back, refused, set aside, or left to be tried again.

Each records first, in a transaction of its own, and moves the file then: what a crash leaves between the two is
finished by what the ledger says.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

from sqlalchemy import Engine

from importer.clock import Clock
from importer.files import claiming
from importer.files.archiving import BAK, ForBak, put_into_bak
from importer.files.attempts import MAX_ATTEMPTS
from importer.files.claiming import ChangedWhileTakenError, Copied, NotCopied, UnreadableError
from importer.files.faults import fault
from importer.model import (
    Archived,
    Claim,
    FileRefused,
    Imported,
    NotTaken,
    NotTakenWhy,
    Quarantined,
    Refusal,
    Refused,
    Returned,
    Superseded,
    Unarchived,
)
from importer.storing.ledger import Entry, mark_archived
from importer.storing.recording import (
    look_up_entry,
    record_quarantine,
    record_refusal,
    record_superseded,
    rename_archive,
)
from importer.storing.turns import client_turn
from importer.words.details import detail

_WHY_SET_ASIDE = (
    f"While this file was imported, the importing process ended {MAX_ATTEMPTS} times, "
    "or the whole service while it did nothing else."
)


def refuse(
    claim: Claim, copied: Copied | None, refusal: Refusal, engine: Engine, *, at: dt.datetime, seconds: float
) -> Refused:
    """Record that a file is refused; it is to be archived then. `copied` is None where it was not copied."""
    with client_turn(engine, claim.client) as connection:
        return record_refusal(connection, claim, copied, refusal, at=at, seconds=seconds)


def answer(
    claim: Claim, copy: Copied | NotCopied, engine: Engine, *, at: dt.datetime
) -> Copied | Refusal | Returned | Superseded | NotTaken:
    """Decide what becomes of a file that was to be copied with others; one that changed meanwhile is given back."""
    match copy:
        case Copied():
            return copy
        case FileRefused():
            return copy.refusal
        case ChangedWhileTakenError() | UnreadableError():
            return give_back(claim, copy, engine, at=at)


def give_back(
    claim: Claim, why: ChangedWhileTakenError | UnreadableError, engine: Engine, *, at: dt.datetime
) -> Returned | Superseded | NotTaken:
    """Put a file that was not copied back under its name; where a newer one has that, it is to be archived."""
    if not claiming.give_back(claim):
        with client_turn(engine, claim.client) as connection:
            return record_superseded(connection, claim, at=at)
    match why:
        case ChangedWhileTakenError():
            return Returned(claim=claim)
        case UnreadableError():
            return NotTaken(client=claim.client, name=claim.name, why=NotTakenWhy.UNREADABLE)


def quarantine(claim: Claim, engine: Engine, *, at: dt.datetime) -> Quarantined | Unarchived:
    """Set a file aside because each attempt to import it ended the process."""
    with engine.begin() as connection:
        record_quarantine(connection, claim, at=at)
    return set_aside(claim)


def set_aside(claim: Claim) -> Quarantined | Unarchived:
    """Move a file that is recorded as set aside."""
    try:
        claiming.quarantine(claim, _WHY_SET_ASIDE)
    except PermissionError as hindrance:
        return Unarchived(claim=claim, why=fault(hindrance, claim.directory))
    return Quarantined(claim=claim, attempts=MAX_ATTEMPTS)


def archive_recorded(claim: Claim, engine: Engine, clock: Clock) -> Iterator[Archived | Unarchived]:
    """Put a file into bak, if the ledger has an entry of it."""
    entry = look_up_entry(engine, claim)
    if entry is not None:
        yield archive(claim, entry, engine, clock)


def archive(claim: Claim, entry: Entry, engine: Engine, clock: Clock) -> Archived | Unarchived:
    """Put a file into bak under the names that the ledger has given it."""
    file = ForBak(claim=claim, archive=entry.archive, report=entry.report, sha256=entry.sha256)
    (outcome,) = archive_all([file], engine, clock)
    return outcome


def archive_all(files: Sequence[ForBak], engine: Engine, clock: Clock) -> list[Archived | Unarchived]:
    """Put files of one client into bak, and note which of them lie there."""
    hindrances = put_into_bak(files) if files else []
    both = [*zip(files, hindrances, strict=True)]
    archived = [file.claim for file, hindrance in both if hindrance is None]
    if archived:
        with engine.begin() as connection:
            mark_archived(connection, archived, at=clock.now())
    return [_archived(file, hindrance, engine, clock) for file, hindrance in both]


def _archived(file: ForBak, hindrance: OSError | None, engine: Engine, clock: Clock) -> Archived | Unarchived:
    if hindrance is None:
        return Archived(claim=file.claim, archive=file.archive, report=file.report)
    if isinstance(hindrance, FileExistsError):
        with client_turn(engine, file.claim.client) as connection:
            rename_archive(connection, file.claim, at=clock.now())
        return Unarchived(claim=file.claim, why=detail("name_taken"))
    return Unarchived(claim=file.claim, why=fault(hindrance, file.claim.directory / BAK))


def for_bak(done: Imported | Refused | Superseded) -> ForBak:
    """The archive, still to be put into bak, of a file that was recorded just now."""
    return ForBak(
        claim=done.claim,
        archive=done.archive,
        report=done.report if isinstance(done, Imported) else None,
        sha256="" if isinstance(done, Superseded) else done.sha256,
    )

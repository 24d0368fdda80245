"""The order in which a judged file becomes users, whether it came alone or with others."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace

from sqlalchemy import Connection

from importer.files.claiming import Copied
from importer.judging.examining import JudgedBlock, Judging
from importer.judging.judged import Judged
from importer.model import Claim, Remark
from importer.prefetch import ahead
from importer.storing.adding import NewUsers
from importer.storing.conflicting import Conflicts
from importer.storing.hashing import with_hashes
from importer.storing.merging import Merge
from importer.storing.recording import Merged, merged
from importer.storing.refusing import RefusedByDatabaseError, refusals_told, refused_rows
from importer.storing.staging import Staging
from importer.storing.staleness import stale_rows
from importer.storing.store import Store
from importer.storing.zeros import lost_zeros


def store_judged(
    connection: Connection,
    rows: Staging,
    judged: Judged,
    claim: Claim,
    copied: Copied | None,
    *,
    now: Callable[[], dt.datetime],
    report: Callable[[Judged], tuple[Remark, ...]],
    tries: bool = False,
) -> Merged:
    """Store a file's users, within the caller's transaction and turn: staged → conflicts → merged → report.

    Args:
        connection: a connection within the caller's transaction.
        rows: the staging of the file's rows, which may have begun already.
        judged: the judged file, of which more rows may fail now.
        claim: the file's claim.
        copied: the size and hash of the file's copy; None where it was not copied.
        now: gives the time of the change.
        report: writes the report of the rows that fail, where there are any; returns the remarks about it.
        tries: whether rows that the database refuses are looked for first, and fail.

    Raises:
        RefusedByDatabaseError: the database refuses rows; the caller must roll back, and ask that it `tries`.
        sqlalchemy.exc.SQLAlchemyError: the database failed; the caller must roll back.
        OSError: the report could not be written; the caller must roll back.
    """
    staged = rows.fill(connection, judged)
    judged.fail(stale_rows(connection, staged, judged.claims))
    judged.fail(Conflicts(connection, staged).drop(judged.failed_rows_of))
    about_zeros = lost_zeros(connection, staged)
    merge = Merge(staged, claim, now())
    while tries and (late := refused_rows(connection, staged, claim, merge)):
        judged.fail(late)
        judged.fail(Conflicts(connection, staged).drop(judged.failed_rows_of))
    with refusals_told(connection):
        counts = merge.run(connection, {claim.id: judged.counts})[claim.id]
    remarks = report(judged) if judged.counts.failed else ()
    return merged(claim, copied, judged, counts, (*about_zeros, *remarks))


def store_first(
    connection: Connection,
    store: Store,
    judging: Judging,
    claim: Claim,
    copied: Copied,
    *,
    at: dt.datetime,
    report: Callable[[Judged], tuple[Remark, ...]],
) -> Merged | None:
    """Store a file whose client has no users yet, within the client's turn: added while judged → report.

    None is returned where the caller must roll back, if that is not done yet, and stage and merge the file as usual:
    where most rows fail, for which the database would be held, where the database refuses a row, and where the rows
    that were added are not the accepted ones.
    """
    new = NewUsers(connection, store, claim, at)
    transaction = connection.get_transaction()
    with ahead(_hashed(judging, store)) as blocks:
        for block in blocks:
            if transaction is not None and not _adds(new, block):
                transaction.rollback()
                transaction = None
    if transaction is None:
        return None
    judged = judging.finish()
    counts, has_fallen = judged.counts, not judged.fallen.is_empty()
    if not new.are_those_of(counts.accepted, has_fallen=has_fallen):
        return None
    try:
        with refusals_told(connection):
            new.done()
    except RefusedByDatabaseError:
        return None
    remarks = report(judged) if counts.failed else ()
    return merged(claim, copied, judged, replace(counts, inserted=counts.accepted), remarks)


def _adds(new: NewUsers, block: JudgedBlock) -> bool:
    """Add the users of a block; returns whether it is worth while to go on."""
    try:
        with refusals_told(new.connection):
            new.add_if_free(block.accepted)
    except RefusedByDatabaseError:
        return False
    return new.added.total() * 2 >= block.last_row - 1


def _hashed(judging: Judging, store: Store) -> Iterator[JudgedBlock]:
    return (block._replace(accepted=with_hashes(block.accepted, store.format)) for block in judging.blocks())

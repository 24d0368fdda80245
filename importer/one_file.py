"""The order in which a judged file becomes users, whether it came alone or with others."""

import datetime as dt
from collections.abc import Callable

from sqlalchemy import Connection

from importer.files.claiming import Copied
from importer.judging.judged import Judged
from importer.model import Claim, Remark
from importer.storing.conflicting import Conflicts
from importer.storing.merging import Merge
from importer.storing.recording import Merged, merged
from importer.storing.staging import Staging


def store_judged(
    connection: Connection,
    rows: Staging,
    judged: Judged,
    claim: Claim,
    copied: Copied | None,
    *,
    now: Callable[[], dt.datetime],
    report: Callable[[Judged], tuple[Remark, ...]],
) -> Merged:
    """Store a file's users, within the caller's transaction and turn: staged → conflicts → report → merged.

    Args:
        connection: a connection within the caller's transaction.
        rows: the staging of the file's rows, which may have begun already.
        judged: the judged file, of which more rows may fail now.
        claim: the file's claim.
        copied: the size and hash of the file's copy; None where it was not copied.
        now: gives the time of the change.
        report: writes the report of the rows that fail, where there are any; returns the remarks about it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed; the caller must roll back.
        OSError: the report could not be written; the caller must roll back.
    """
    staged = rows.fill(connection, judged)
    judged.fail(Conflicts(connection, staged).drop())
    remarks = report(judged) if judged.counts.failed else ()
    counts = Merge(staged, claim, now()).run(connection, {claim.id: judged.counts})[claim.id]
    return merged(claim, copied, judged, counts, remarks)

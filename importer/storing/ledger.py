"""The ledger: what is known of a claim, and the rows of the ledger and of notices that tell of an import."""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from importer.database.tables import CAME_FIRST, imports, notices
from importer.files.claiming import Copied
from importer.model import (
    Audience,
    Claim,
    Counts,
    Imported,
    Notice,
    NoticeKind,
    Status,
    shown_name,
)

NOTHING = Copied(size=0, sha256="")
"""The copy of a file that was not copied."""

_PAIRS_AT_ONCE = 400
"""The number of pairs that any SQLite takes in one statement."""
_TOLD_WARNINGS = frozenset({"may_be_cut"})
"""The warnings that are worth a mail though no row failed: a value that was cut off looks like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the ledger, as far as it is needed to finish an import."""

    claim: Claim
    sha256: str
    archive: str
    report: str | None
    is_archived: bool
    is_quarantined: bool


def find_entry(connection: Connection, claim: Claim) -> Entry | None:
    """The ledger's entry of a claim; None where there is none, which is final within the client's turn.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    row = connection.execute(select(imports).where(imports.c.claim_id == claim.id)).one_or_none()
    return None if row is None else _entry(row, claim.name)


def unarchived(connection: Connection, client: str, directory: Path, claims: Iterable[str]) -> list[Entry]:
    """Committed imports whose files are not known to lie in the directory's bak, oldest first.

    Those of other directories are their own nodes' to finish; `claims` lie in this one, whatever the node that made
    them calls it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    here = or_(imports.c.directory == str(directory), imports.c.claim_id.in_([*claims]))
    is_for_bak = imports.c.status != Status.QUARANTINED
    pending = select(imports).where(imports.c.archived_at.is_(None), imports.c.client == client, is_for_bak, here)
    return [_entry(row, row.file) for row in connection.execute(pending.order_by(imports.c.claim_id))]


def mark_archived(connection: Connection, claims: Collection[Claim], *, at: dt.datetime) -> None:
    """Note that these files lie in bak under the ledger's names.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    ids = [claim.id for claim in claims]
    connection.execute(update(imports).where(imports.c.claim_id.in_(ids)).values(archived_at=at))


def _entry(row: Row[Any], name: str) -> Entry:
    """Make an entry of a row of the ledger; `name` is the file's own name, where it is known."""
    return Entry(
        claim=Claim(id=row.claim_id, client=row.client, directory=Path(row.directory), name=name),
        sha256=row.sha256,
        archive=row.archive,
        report=row.report,
        is_archived=row.archived_at is not None,
        is_quarantined=Status(row.status) is Status.QUARANTINED,
    )


def earlier_claims(connection: Connection, client: str, sha256s: Collection[str]) -> dict[str, str]:
    """Find the first imports of the same bytes by a client: SHA-256 → claim id, without those that have none.

    Only what came first is looked at, however often the same bytes have come since.
    """
    earlier = (
        select(imports.c.sha256, func.min(imports.c.claim_id))
        .where(imports.c.client == client, imports.c.sha256.in_({*sha256s} - {""}), CAME_FIRST)
        .group_by(imports.c.sha256)
    )
    return {row[0]: row[1] for row in connection.execute(earlier)}


def promised_names(connection: Connection, directory: Path, pairs: Sequence[tuple[str, str]]) -> set[str]:
    """The names among these pairs, each of an archive and a report, that the ledger has given to files of a directory.

    They are found one by one by their indexes, so that it does not matter how many files of a name there were.
    """
    found: set[str] = set()
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        archives, reports = zip(*pairs[start : start + _PAIRS_AT_ONCE], strict=True)
        given = or_(imports.c.archive.in_(archives), imports.c.report.in_(reports))
        query = select(imports.c.archive, imports.c.report).where(given, imports.c.directory == str(directory))
        found.update(name for row in connection.execute(query) for name in row if name is not None)
    return found


def earlier_claim(connection: Connection, claim: Claim, copied: Copied) -> str | None:
    """Find the first import of the same bytes by the same client; None where there is none."""
    return earlier_claims(connection, claim.client, [copied.sha256]).get(copied.sha256)


def entry_values(claim: Claim, status: Status, copied: Copied, archive: str, at: dt.datetime) -> dict[str, Any]:
    """The values of the ledger's row for a file of which nothing was imported."""
    return {
        "claim_id": claim.id,
        "client": claim.client,
        "directory": str(claim.directory),
        "file": shown_name(claim.name),
        "status": status,
        "size": copied.size,
        "sha256": copied.sha256,
        **dataclasses.asdict(Counts()),
        "reasons": [],
        "warnings": [],
        "seconds": 0.0,
        "committed_at": at,
        "archive": archive,
    }


def imported_values(done: Imported, copied: Copied, at: dt.datetime) -> Mapping[str, Any]:
    """The values of the ledger's row for an import."""
    return entry_values(done.claim, Status.IMPORTED, copied, done.archive, at) | {
        **dataclasses.asdict(done.counts),
        "reasons": [dataclasses.asdict(reason) for reason in done.reasons],
        "warnings": [warning.plain() for warning in done.warnings],
        "same_as": done.same_as,
        "seconds": done.seconds,
        "report": done.report,
    }


def notice_of(done: Imported) -> Notice:
    """The notice that tells the sender of an import."""
    return Notice(
        client=done.claim.client,
        audience=Audience.CLIENT,
        kind=NoticeKind.IMPORTED,
        file=shown_name(done.claim.name),
        claim_id=done.claim.id,
        counts=done.counts,
        reasons=done.reasons,
        warnings=done.warnings,
        archive=done.archive,
        report=done.report,
    )


def plain_notice(claim: Claim, kind: NoticeKind, audience: Audience, archive: str | None) -> Notice:
    """A notice that needs no figures."""
    return Notice(
        client=claim.client,
        audience=audience,
        kind=kind,
        file=shown_name(claim.name),
        claim_id=claim.id,
        archive=archive,
    )


def is_worth_telling(done: Imported) -> bool:
    """Whether the sender gets a mail about the import."""
    return done.counts.failed > 0 or any(warning.code in _TOLD_WARNINGS for warning in done.warnings)


def write_entry(connection: Connection, values: Mapping[str, Any]) -> None:
    """Add a row to the ledger, within the caller's transaction; raises IntegrityError where the claim has one."""
    write_entries(connection, [values])


def write_entries(connection: Connection, entries: Sequence[Mapping[str, Any]]) -> None:
    """Add rows of the same columns to the ledger, as `write_entry` adds one."""
    connection.execute(insert(imports), entries)


def write_notice(connection: Connection, notice: Notice, at: dt.datetime, *, once: str | None = None) -> None:
    """Store a notice, within the caller's transaction."""
    facts = dataclasses.asdict(notice)
    values = {"client": notice.client, "audience": notice.audience, "facts": facts, "created_at": at, "once": once}
    connection.execute(insert(notices).values(values))

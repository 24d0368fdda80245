"""What the ledger and the notices say of an import, as rows of their tables. Written by `importer.storing`."""

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from importer.claiming import Copied
from importer.database import imports, notices
from importer.model import (
    Audience,
    Claim,
    Counts,
    Imported,
    Notice,
    NoticeKind,
    shown_name,
)

NOTHING = Copied(size=0, sha256="")
"""Of a file that was not copied."""

_TOLD_WARNINGS = frozenset({"may_be_cut"})
"""Warnings that are worth a mail though no row failed: a value that was cut off looks like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger needs to know of an import before it can finish it."""

    claim: Claim
    sha256: str
    archive: str
    report: str | None
    is_archived: bool
    is_quarantined: bool


def entry_of(row: Row[Any], name: str) -> Entry:
    """The entry that a row of the ledger is; `name` is the file's own name, where it is known."""
    return Entry(
        claim=Claim(id=row.claim_id, client=row.client, directory=Path(row.directory), name=name),
        sha256=row.sha256,
        archive=row.archive,
        report=row.report,
        is_archived=row.archived_at is not None,
        is_quarantined=row.status == "quarantined",
    )


def earlier_claims(connection: Connection, client: str, sha256s: Collection[str]) -> dict[str, str]:
    """SHA-256 → the first import of those bytes by the client; nothing where there is none."""
    earlier = (
        select(imports.c.sha256, func.min(imports.c.claim_id))
        .where(imports.c.client == client, imports.c.sha256.in_(sha256s), imports.c.sha256 != "")
        .group_by(imports.c.sha256)
    )
    return {row[0]: row[1] for row in connection.execute(earlier)}


def earlier_claim(connection: Connection, claim: Claim, copied: Copied) -> str | None:
    """The first import of the same bytes by the same client, None where there is none."""
    return earlier_claims(connection, claim.client, [copied.sha256]).get(copied.sha256)


def entry_values(claim: Claim, status: str, copied: Copied, archive: str, at: dt.datetime) -> dict[str, Any]:
    """An entry of the ledger of which nothing was imported."""
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
    """The entry of an import."""
    return entry_values(done.claim, "imported", copied, done.archive, at) | {
        **dataclasses.asdict(done.counts),
        "reasons": [dataclasses.asdict(reason) for reason in done.reasons],
        "warnings": [warning.plain() for warning in done.warnings],
        "same_as": done.same_as,
        "seconds": done.seconds,
        "report": done.report,
    }


def notice_of(done: Imported) -> Notice:
    """What the sender is told of an import."""
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
    """Add to the ledger, within the caller's transaction; a claim that is there already is an IntegrityError."""
    write_entries(connection, [values])


def write_entries(connection: Connection, entries: Sequence[Mapping[str, Any]]) -> None:
    """Add several of the same kind to the ledger, likewise."""
    connection.execute(insert(imports), entries)


def write_notice(connection: Connection, notice: Notice, at: dt.datetime, *, once: str | None = None) -> None:
    """Store a notice, within the caller's transaction."""
    facts = dataclasses.asdict(notice)
    values = {"client": notice.client, "audience": notice.audience, "facts": facts, "created_at": at, "once": once}
    connection.execute(insert(notices).values(values))

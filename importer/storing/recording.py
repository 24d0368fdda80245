"""The record of what became of a file, in the ledger and in notices, within the transaction that stores its users."""

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, select, update

from importer.database.engines import reading_engine
from importer.database.tables import imports, notices
from importer.files.archiving import BAK, archive_names
from importer.files.claiming import Copied
from importer.judging.judged import Judged
from importer.model import (
    Audience,
    Claim,
    Counts,
    Imported,
    Notice,
    NoticeKind,
    ReasonCount,
    Refusal,
    Refused,
    Remark,
    Status,
    Superseded,
)
from importer.storing.ledger import (
    NOTHING,
    Entry,
    earlier_claim,
    earlier_claims,
    entry_values,
    find_entry,
    imported_values,
    is_worth_telling,
    notice_of,
    plain_notice,
    promised_names,
    write_entries,
    write_entry,
    write_notice,
)
from importer.storing.turns import client_turn
from importer.words.reasons import warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A file whose accepted rows are users now, in this transaction.

    Attributes:
        copied: the size and hash of the file's copy.
        counts: what became of the file's rows.
        reasons: why rows failed, the most frequent first.
        warnings: warnings about the file, and about its report.
    """

    claim: Claim
    copied: Copied
    counts: Counts
    reasons: tuple[ReasonCount, ...] = ()
    warnings: tuple[Remark, ...]


def merged(claim: Claim, copied: Copied | None, judged: Judged, counts: Counts, remarks: tuple[Remark, ...]) -> Merged:
    """Make a `Merged` of a file that was judged by itself; `remarks` are the warnings about its report."""
    warnings = (*judged.warnings, *remarks)
    reasons = judged.reason_counts()
    return Merged(claim=claim, copied=copied or NOTHING, counts=counts, reasons=reasons, warnings=warnings)


def record_imports(
    connection: Connection, files: Sequence[Merged], *, at: dt.datetime, seconds: float, tells_success: bool
) -> list[Imported]:
    """Record that files of one client were imported, and tell of each what is worth telling.

    Args:
        connection: a connection within the transaction that has stored their users.
        files: the files, all of one directory.
        at: when the import is decided, UTC.
        seconds: how long the import of each file took.
        tells_success: whether somebody is told of a file that nobody would be told of otherwise.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed, or a claim was recorded before.
    """
    names = _names(connection, [file.claim for file in files], at)
    earlier = earlier_claims(connection, files[0].claim.client, {file.copied.sha256 for file in files})
    done = [
        Imported(
            claim=file.claim,
            counts=file.counts,
            reasons=file.reasons,
            warnings=(*file.warnings, *_remarks(file)),
            sha256=file.copied.sha256,
            same_as=earlier.get(file.copied.sha256),
            seconds=seconds,
            archive=archive,
            report=report if file.counts.failed else None,
        )
        for file, (archive, report) in zip(files, names, strict=True)
    ]
    write_entries(connection, [imported_values(each, file.copied, at) for each, file in zip(done, files, strict=True)])
    for each in done:
        _tell(connection, each, at, tells_success=tells_success)
    return done


def _remarks(file: Merged) -> Sequence[Remark]:
    """What is to be said of the end of an upload, unless the file itself has shown that it may be cut."""
    is_said = any(each.code == "may_be_cut" for each in file.warnings)
    return [warning("end_not_seen")] if file.claim.is_end_unseen and not is_said else []


def _tell(connection: Connection, done: Imported, at: dt.datetime, *, tells_success: bool) -> None:
    """Tell the sender of failures, and whoever wants to know of a file without any."""
    if is_worth_telling(done):
        write_notice(connection, notice_of(done), at)
    elif tells_success:
        write_notice(connection, notice_of(done).to(Audience.SUCCESS), at)


def record_refusal(
    connection: Connection, claim: Claim, copied: Copied | None, refusal: Refusal, *, at: dt.datetime, seconds: float
) -> Refused:
    """Record that a file was refused, and tell the sender and the admin; `copied` is None where it was not copied.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed, or the claim was recorded before.
    """
    content = copied or NOTHING
    ((archive, _),) = _names(connection, [claim], at)
    done = Refused(claim=claim, refusal=refusal, sha256=content.sha256, seconds=seconds, archive=archive)
    why = {"refusal_code": refusal.code, "refusal_message": refusal.summarised().message, "seconds": seconds}
    earlier = {"same_as": earlier_claim(connection, claim, content)}
    write_entry(connection, entry_values(claim, Status.REFUSED, content, archive, at) | why | earlier)
    notice = replace(plain_notice(claim, NoticeKind.REFUSED, Audience.CLIENT, archive), refusal=refusal)
    write_notice(connection, notice, at)
    write_notice(connection, replace(notice.to(Audience.ADMIN), refusal=refusal.summarised()), at)
    return done


def record_superseded(connection: Connection, claim: Claim, *, at: dt.datetime) -> Superseded:
    """Record that a file changed while it was taken, and that a newer one of its name has come since.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed, or the claim was recorded before.
    """
    ((archive, _),) = _names(connection, [claim], at)
    write_entry(connection, entry_values(claim, Status.SUPERSEDED, NOTHING, archive, at))
    write_notice(connection, plain_notice(claim, NoticeKind.SUPERSEDED, Audience.CLIENT, archive), at)
    return Superseded(claim=claim, archive=archive)


def record_replaced(connection: Connection, claim: Claim, *, size: int, at: dt.datetime) -> None:
    """Record that a file was replaced by a newer one of its name before it was claimed, unless that is recorded.

    Nothing of it is left that could go to bak. Nobody is mailed: the newer one counts, and is told of where it must be.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    if find_entry(connection, claim) is None:
        values = entry_values(claim, Status.SUPERSEDED, Copied(size=size, sha256=""), "", at)
        write_entry(connection, values | {"archived_at": at})


def record_quarantine(connection: Connection, claim: Claim, *, at: dt.datetime) -> None:
    """Record that a file is set aside, and tell the admin.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed, or the claim was recorded before.
    """
    write_entry(connection, entry_values(claim, Status.QUARANTINED, NOTHING, "", at))
    write_notice(connection, plain_notice(claim, NoticeKind.QUARANTINED, Audience.ADMIN, None), at)


def record_notice(connection: Connection, notice: Notice, *, once: str, at: dt.datetime) -> None:
    """Store a notice about a file that was not claimed, unless one was stored with the same `once` before.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    told = connection.execute(select(notices.c.id).where(notices.c.once == once)).first()
    if told is None:
        write_notice(connection, notice, at, once=once)


def rename_archive(connection: Connection, claim: Claim, *, at: dt.datetime) -> None:
    """Give an import other names in bak, because somebody else's file has taken them.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    this = imports.c.claim_id == claim.id
    row = connection.execute(select(imports).where(this)).one()
    ((archive, report),) = _names(connection, [claim], at)
    names = {"archive": archive, "report": report if row.report else None}
    connection.execute(update(imports).where(this).values(names))


def _names(connection: Connection, claims: Sequence[Claim], at: dt.datetime) -> list[tuple[str, str]]:
    """Choose the names in bak of each claim; the claims are of one directory."""
    directory, bak = claims[0].directory, os.fspath(claims[0].folder / BAK)

    def taken_of(pairs: Sequence[tuple[str, str]]) -> set[str]:
        # A mail may name a file that has left bak since, so its name is not given to another one.
        lying = {name for pair in pairs for name in pair if os.path.lexists(f"{bak}/{name}")}
        return lying | promised_names(connection, directory, pairs)

    return archive_names([claim.name for claim in claims], at, taken_of)


def look_up_entry(engine: Engine, claim: Claim) -> Entry | None:
    """Look up a claim's entry in a transaction of its own; None where nothing of it was committed, nor ever will be.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    with client_turn(reading_engine(engine), claim.client) as connection:
        return find_entry(connection, claim)

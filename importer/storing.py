"""Users, the ledger and the notices: what one import writes, in one transaction."""

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, Engine, and_, or_, select, update

from importer.archiving import BAK, archive_names
from importer.claiming import Copied
from importer.database import LOOKUP_TABLES, imports, notices, user_table
from importer.engines import reading_engine, take_turns
from importer.examining import Examination
from importer.format import Format, Lookup
from importer.ledger import (
    NOTHING,
    Entry,
    earlier_claim,
    entry_of,
    entry_values,
    imported_values,
    is_worth_telling,
    notice_of,
    plain_notice,
    write_entry,
    write_notice,
)
from importer.merging import Conflicts, Merge, Staging
from importer.model import (
    Audience,
    Claim,
    Imported,
    Notice,
    NoticeKind,
    Refusal,
    Refused,
    Superseded,
    shown_name,
)


class Store:
    """The database as the importer sees it.

    Args:
        engine: see `importer.engines.make_engine`; already migrated.
        format_: the columns of `users`.
    """

    def __init__(self, engine: Engine, format_: Format) -> None:
        self._engine = engine
        self._format = format_
        self._users = user_table(format_)

    def known_format(self) -> Format:
        """The format, its lookups extended by the site's tables.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
        """
        lookups = dict(self._format.lookups)
        with reading_engine(self._engine).begin() as connection:
            for name, table in LOOKUP_TABLES.items():
                if name in lookups:
                    stored = {row.id: row.name for row in connection.execute(select(table))}
                    lookups[name] = Lookup(noun=lookups[name].noun, entries={**stored, **lookups[name].entries})
        return replace(self._format, lookups=lookups)

    def entry(self, claim: Claim) -> Entry | None:
        """The ledger's entry of a claim, None where it was never committed and never will be."""
        with reading_engine(self._engine).begin() as connection:
            _take_turns(connection, claim.client)
            row = connection.execute(select(imports).where(imports.c.claim_id == claim.id)).one_or_none()
        return None if row is None else entry_of(row, claim.name)

    def unarchived(self, client: str) -> list[Entry]:
        """Committed imports whose files are not known to lie in bak, oldest first."""
        pending = (
            select(imports)
            .where(imports.c.archived_at.is_(None), imports.c.client == client, imports.c.status != "quarantined")
            .order_by(imports.c.claim_id)
        )
        with reading_engine(self._engine).begin() as connection:
            _take_turns(connection, client)
            return [entry_of(row, row.file) for row in connection.execute(pending)]

    def mark_archived(self, claim: Claim, at: dt.datetime) -> None:
        """The file lies in bak under the ledger's name."""
        with self._engine.begin() as connection:
            connection.execute(update(imports).where(imports.c.claim_id == claim.id).values(archived_at=at))

    def rename_archive(self, claim: Claim, at: dt.datetime) -> None:
        """Give an import other names in bak, because somebody else's file has taken them."""
        with self._engine.begin() as connection:
            _take_turns(connection, claim.client)
            row = connection.execute(select(imports).where(imports.c.claim_id == claim.id)).one()
            archive, report = self._names(connection, claim, at)
            names = {"archive": archive, "report": report if row.report else None}
            connection.execute(update(imports).where(imports.c.claim_id == claim.id).values(names))

    def import_users(
        self,
        claim: Claim,
        copied: Copied,
        examination: Examination,
        *,
        at: dt.datetime,
        seconds: Callable[[], float],
        write_report: Callable[[Examination], None],
    ) -> Imported:
        """Merge the accepted rows, with the ledger's entry and the notices, in one transaction.

        Args:
            claim: what is imported.
            copied: its size and hash.
            examination: its rows; rows whose unique values other users hold fail here.
            at: now.
            seconds: how long the import has taken so far.
            write_report: makes the failed-users CSV durable before the commit.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was committed, unless the commit itself failed: ask `entry`.
            OSError: the report could not be written; nothing was committed.
        """
        with self._engine.connect() as connection:
            staging = Staging(connection, self._format, examination)
            with connection.begin():
                _take_turns(connection, claim.client)
                examination.fail(Conflicts(connection, self._users, staging, self._format, claim.client).drop())
                if examination.counts.failed:
                    write_report(examination)
                counts = Merge(self._users, staging, self._format, claim, at).run(connection, examination.counts)
                archive, report = self._names(connection, claim, at)
                done = Imported(
                    claim=claim,
                    counts=counts,
                    reasons=examination.reason_counts(),
                    warnings=examination.warnings,
                    sha256=copied.sha256,
                    same_as=earlier_claim(connection, claim, copied),
                    seconds=seconds(),
                    archive=archive,
                    report=report if counts.failed else None,
                )
                write_entry(connection, imported_values(done, copied, at))
                if is_worth_telling(done):
                    write_notice(connection, notice_of(done), at)
        return done

    def refuse(
        self, claim: Claim, copied: Copied | None, refusal: Refusal, *, at: dt.datetime, seconds: float
    ) -> Refused:
        """Record that a file was refused, and tell the sender and the admin.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was recorded.
        """
        content = copied or NOTHING
        with self._engine.begin() as connection:
            _take_turns(connection, claim.client)
            archive, _ = self._names(connection, claim, at)
            done = Refused(claim=claim, refusal=refusal, sha256=content.sha256, seconds=seconds, archive=archive)
            why = {"refusal_code": refusal.code, "refusal_message": refusal.summarised().message, "seconds": seconds}
            earlier = {"same_as": earlier_claim(connection, claim, content)}
            write_entry(connection, entry_values(claim, "refused", content, archive, at) | why | earlier)
            notice = replace(plain_notice(claim, NoticeKind.REFUSED, Audience.CLIENT, archive), refusal=refusal)
            write_notice(connection, notice, at)
            write_notice(connection, replace(notice.to(Audience.ADMIN), refusal=refusal.summarised()), at)
        return done

    def supersede(self, claim: Claim, *, at: dt.datetime) -> Superseded:
        """Record that a file changed while it was taken, and that a newer one of its name has come since."""
        with self._engine.begin() as connection:
            _take_turns(connection, claim.client)
            archive, _ = self._names(connection, claim, at)
            write_entry(connection, entry_values(claim, "superseded", NOTHING, archive, at))
            write_notice(connection, plain_notice(claim, NoticeKind.SUPERSEDED, Audience.CLIENT, archive), at)
        return Superseded(claim=claim, archive=archive)

    def quarantine(self, claim: Claim, *, at: dt.datetime) -> None:
        """Record that a file is set aside, and tell the admin."""
        with self._engine.begin() as connection:
            write_entry(connection, entry_values(claim, "quarantined", NOTHING, "", at))
            write_notice(connection, plain_notice(claim, NoticeKind.QUARANTINED, Audience.ADMIN, None), at)

    def notify(self, notice: Notice, *, once: str, at: dt.datetime) -> None:
        """Store a notice about a file that was not claimed, unless that was done under the same `once` before."""
        with self._engine.begin() as connection:
            _take_turns(connection, notice.client)
            told = connection.execute(select(notices.c.id).where(notices.c.once == once)).first()
            if told is None:
                write_notice(connection, notice, at, once=once)

    def _names(self, connection: Connection, claim: Claim, at: dt.datetime) -> tuple[str, str]:
        # A mail may name a file that has left bak since, so its name is not given to another one.
        namesakes = and_(imports.c.client == claim.client, imports.c.file == shown_name(claim.name))
        promised = select(imports.c.archive, imports.c.report).where(
            imports.c.directory == str(claim.directory), or_(imports.c.archived_at.is_(None), namesakes)
        )
        taken = {name for row in connection.execute(promised) for name in row}
        bak = claim.directory / BAK
        return archive_names(claim.name, at, lambda name: name in taken or os.path.lexists(bak / name))


def _take_turns(connection: Connection, client: str) -> None:
    """What a transaction found of a client stays true until its end: owners of unique values, names in bak.

    Who asks what was committed waits for a commit under way: a PostgreSQL server finishes one whose sender has died.
    """
    take_turns(connection, f"client {client}")

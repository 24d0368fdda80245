"""Users, the ledger and the notices: what one import writes, in one transaction."""

import datetime as dt
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, Engine, and_, or_, select, update
from sqlalchemy.exc import DBAPIError

from importer.adding import NewUsers
from importer.ahead import ahead
from importer.archiving import BAK, archive_names
from importer.claiming import Copied
from importer.conflicting import Conflicts
from importer.database import LOOKUP_TABLES, has_other_unique_values, imports, notices, user_table
from importer.engines import is_outage, reading_engine, staging, take_turns
from importer.examining import Examination, Judged
from importer.format import Format, Lookup
from importer.hashing import with_hashes
from importer.ledger import (
    NOTHING,
    Entry,
    earlier_claim,
    earlier_claims,
    entry_of,
    entry_values,
    imported_values,
    is_worth_telling,
    notice_of,
    plain_notice,
    write_entries,
    write_entry,
    write_notice,
)
from importer.merging import Merge
from importer.model import (
    Audience,
    Claim,
    Counts,
    Imported,
    Notice,
    NoticeKind,
    Refusal,
    Refused,
    Superseded,
    shown_name,
)
from importer.repeats import MANY_ROWS, ROW_BYTES
from importer.runs import Mergeable, runs
from importer.staging import Accepted, Foreknown, Staging, has_users, imported_files, known_users
from importer.together import Joined, PlainFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file of a group: what was found in it, and the size and hash of its copy, None where it was not copied."""

    claim: Claim
    copied: Copied | None
    found: PlainFile | Examination | Refusal

    @property
    def mergeable(self) -> Mergeable:
        """What decides with which others it can be merged."""
        if isinstance(self.found, PlainFile):
            return Mergeable(kind=self.found.header, values=self.found.values)
        return Mergeable(kind=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The import of one file.

    Attributes:
        claim: what is imported.
        copied: the size and hash of its copy.
        foreknown: what `Store.foreknown` says; to be waited for before the database is used otherwise.
        now: the time of day.
        seconds: how long the import has taken so far.
        write_report: makes the failed-users CSV durable before the commit.
    """

    claim: Claim
    copied: Copied
    foreknown: Callable[[], Foreknown | None] = lambda: None
    now: Callable[[], dt.datetime]
    seconds: Callable[[], float]
    write_report: Callable[[Examination], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How a group is imported.

    Attributes:
        at: now.
        seconds: how long the import of one of its files has taken so far, on average.
        examine: examines a plain file by itself.
        write_report: makes a file's failed-users CSV durable before the commit.
    """

    at: dt.datetime
    seconds: Callable[[], float]
    examine: Callable[[Claim], Examination]
    write_report: Callable[[Claim, Examination], None]


class _NotAsOneError(Exception):
    """Merging these files as if they were one would not be the same as merging them one after the other."""


class Store:
    """The database as the importer sees it.

    Args:
        engine: see `importer.engines.make_engine`; already migrated.
        format_: the columns of `users`.
        skips_unchanged: whether a row that repeats what the feed last gave leaves its user alone, whatever is stored.
        tells_success: whether somebody is told of a file that nobody would be told of otherwise.
    """

    def __init__(
        self, engine: Engine, format_: Format, *, skips_unchanged: bool = True, tells_success: bool = False
    ) -> None:
        self._engine = engine
        self._format = format_
        self._users = user_table(format_)
        self._skips_unchanged = skips_unchanged
        self._tells_success = tells_success

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

    def unarchived(self, client: str, directory: Path, claims: Iterable[str]) -> list[Entry]:
        """Committed imports whose files are not known to lie in the directory's bak, oldest first.

        Those of other directories are their own nodes' to finish; `claims` lie in this one, whatever the node that
        made them calls it.
        """
        here = or_(imports.c.directory == str(directory), imports.c.claim_id.in_([*claims]))
        pending = (
            select(imports)
            .where(imports.c.archived_at.is_(None), imports.c.client == client, imports.c.status != "quarantined", here)
            .order_by(imports.c.claim_id)
        )
        with reading_engine(self._engine).begin() as connection:
            _take_turns(connection, client)
            return [entry_of(row, row.file) for row in connection.execute(pending)]

    def mark_archived(self, claims: Collection[Claim], at: dt.datetime) -> None:
        """The files lie in bak under the ledger's names."""
        ids = [claim.id for claim in claims]
        with self._engine.begin() as connection:
            connection.execute(update(imports).where(imports.c.claim_id.in_(ids)).values(archived_at=at))

    def rename_archive(self, claim: Claim, at: dt.datetime) -> None:
        """Give an import other names in bak, because somebody else's file has taken them."""
        with self._engine.begin() as connection:
            _take_turns(connection, claim.client)
            row = connection.execute(select(imports).where(imports.c.claim_id == claim.id)).one()
            archive, report = self._names(connection, claim, at)
            names = {"archive": archive, "report": report if row.report else None}
            connection.execute(update(imports).where(imports.c.claim_id == claim.id).values(names))

    def foreknown(self, client: str, size: int) -> Foreknown | None:
        """What is known of a client's users, for a file of so many bytes; None where that is better asked later.

        To be asked while a file is copied, which leaves a processor free.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed.
        """
        rows = size // ROW_BYTES
        if rows < MANY_ROWS or not self._skips_unchanged:
            return None
        with reading_engine(self._engine).begin() as connection:
            seen = imported_files(connection, client)  # first, or an import might be half seen
            users = known_users(connection, self._users, self._format, client)
            return Foreknown(seen, rows, users.identities(rows))

    def import_users(self, job: Job, examination: Examination) -> Imported:
        """Merge the accepted rows, with the ledger's entry and the notices, in one transaction.

        Args:
            job: the file.
            examination: of the file, begun; it is judged here. Rows whose unique values other users hold fail as well.

        Raises:
            FileRefused: the file as a whole cannot be imported; nothing was committed.
            sqlalchemy.exc.SQLAlchemyError: nothing was committed, unless the commit itself failed: ask `entry`.
            OSError: the report could not be written; nothing was committed.
        """
        foreknown = job.foreknown()
        with self._engine.connect() as connection:
            with staging(connection):
                is_first = not has_users(connection, self._users, job.claim.client)
            done = self._import_first(connection, job, examination) if is_first else None
            if done is not None:
                return done
            staged = self._staging(examination, job.claim.client)
            staged.fill_early(connection, foreknown)
            examination.finish()
            with connection.begin():
                _take_turns(connection, job.claim.client)
                return self._import(connection, staged, job, examination)

    def _import_first(self, connection: Connection, job: Job, examination: Examination) -> Imported | None:
        """Write the file of a client who has no users yet while it is being judged.

        A row makes a user unless one of its unique values is taken by an earlier row. So every row that is accepted in
        the end makes one, and it is enough to count: where more rows did, some of them fail. None, with nothing
        written, where the usual way is to be gone: then, where most rows fail, for which the database would be held,
        where users have come meanwhile, and where more is unique than the format says.
        """
        claim = job.claim
        with connection.begin() as transaction:
            _take_turns(connection, claim.client)
            if has_users(connection, self._users, claim.client):
                return None
            new = NewUsers(connection, self._users, self._format, claim, job.now())
            with ahead(_hashed(examination.judge(), self._format)) as blocks:
                for block in blocks:
                    if transaction.is_active:
                        new.add_if_free(block.accepted)
                        if new.added.total() * 2 < block.last_row - 1:
                            transaction.rollback()
            counts = replace(examination.counts, inserted=new.added.total())
            if transaction.is_active and counts.inserted == counts.accepted and self._is_proof(connection, examination):
                new.done()
                if counts.failed:
                    job.write_report(examination)
                return self._done(connection, job, examination, counts)
            if transaction.is_active:
                transaction.rollback()
        return None

    def _is_proof(self, connection: Connection, examination: Examination) -> bool:
        """Whether as many users as accepted rows are those of the accepted rows.

        A value that only an index of an earlier format wants unique keeps out rows that are accepted.
        """
        return examination.fallen.is_empty() or not has_other_unique_values(connection, self._format)

    def _import(self, connection: Connection, staged: Staging, job: Job, examination: Examination) -> Imported:
        staged.fill(connection)
        examination.fail(Conflicts(connection, self._users, staged, self._format, job.claim.client).drop())
        if examination.counts.failed:
            job.write_report(examination)
        merge = Merge(self._users, staged, self._format, job.claim, job.now())
        counts = merge.run(connection, {job.claim.id: examination.counts})[job.claim.id]
        return self._done(connection, job, examination, counts)

    def _done(self, connection: Connection, job: Job, examination: Examination, counts: Counts) -> Imported:
        """Write what became of a file."""
        at = job.now()
        archive, report = self._names(connection, job.claim, at)
        done = Imported(
            claim=job.claim,
            counts=counts,
            reasons=examination.reason_counts(),
            warnings=examination.warnings,
            sha256=job.copied.sha256,
            same_as=earlier_claim(connection, job.claim, job.copied),
            seconds=job.seconds(),
            archive=archive,
            report=report if counts.failed else None,
        )
        write_entry(connection, imported_values(done, job.copied, at))
        self._tell(connection, done, at)
        return done

    def import_group(self, client: str, members: Sequence[Member], work: Work) -> list[Imported | Refused]:
        """Import files of one client in their order, in one transaction.

        Each file is merged as if it came alone, and sees what those before it have stored; files that have nothing
        to do with each other are merged as one. A file that the database refuses is left out: nothing of it is
        stored, and the others are.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: as for `import_users`.
            OSError: as for `import_users`.
        """
        done: list[Imported | Refused] = []
        with self._engine.begin() as connection:
            _take_turns(connection, client)
            start = 0
            for length in runs(member.mergeable for member in members):
                done += self._import_run(connection, members[start : start + length], work)
                start += length
        return done

    def _import_run(
        self, connection: Connection, members: Sequence[Member], work: Work
    ) -> Sequence[Imported | Refused]:
        """As one where that is the same; otherwise half by half, down to single files."""
        if isinstance(members[0].found, PlainFile):
            try:
                with connection.begin_nested():
                    return self._import_as_one(connection, members, work)
            except _NotAsOneError:
                pass
            except DBAPIError as error:
                if is_outage(error):
                    raise
        if len(members) == 1:
            return self._import_alone(connection, members[0], work)
        middle = len(members) // 2
        halves = members[:middle], members[middle:]
        return [done for half in halves for done in self._import_run(connection, half, work)]

    def _import_as_one(self, connection: Connection, members: Sequence[Member], work: Work) -> list[Imported]:
        claims = {member.claim.id: member.claim for member in members}
        files = {member.claim.id: found for member in members if isinstance(found := member.found, PlainFile)}
        first = members[0].claim
        staged = self._staging(Joined(files), first.client)
        staged.fill(connection)
        if Conflicts(connection, self._users, staged, self._format, first.client).are_possible():
            raise _NotAsOneError
        accepted = {id_: file.accepted.height for id_, file in files.items()}
        merge = Merge(self._users, staged, self._format, first, work.at)
        counts = merge.run(connection, {id_: Counts(records=rows, accepted=rows) for id_, rows in accepted.items()})
        contents = {member.claim.id: member.copied or NOTHING for member in members}
        earlier = earlier_claims(connection, first.client, {content.sha256 for content in contents.values()})
        names = self._names_of(connection, [*claims.values()], work.at)
        done = [
            Imported(
                claim=claim,
                counts=counts[id_],
                reasons=(),
                warnings=files[id_].warnings,
                sha256=contents[id_].sha256,
                same_as=earlier.get(contents[id_].sha256),
                seconds=work.seconds(),
                archive=names[id_][0],
                report=None,
            )
            for id_, claim in claims.items()
        ]
        write_entries(connection, [imported_values(each, contents[each.claim.id], work.at) for each in done])
        for each in done:
            self._tell(connection, each, work.at)
        return done

    def _tell(self, connection: Connection, done: Imported, at: dt.datetime) -> None:
        """The sender of failures, and whoever wants to know of a file without any."""
        if is_worth_telling(done):
            write_notice(connection, notice_of(done), at)
        elif self._tells_success:
            write_notice(connection, notice_of(done).to(Audience.SUCCESS), at)

    def _import_alone(self, connection: Connection, member: Member, work: Work) -> list[Imported | Refused]:
        """Nothing where the database refuses the file."""
        try:
            with connection.begin_nested():
                return [self._stored(connection, member, work)]
        except DBAPIError as error:
            if is_outage(error):
                raise
            return []

    def _stored(self, connection: Connection, member: Member, work: Work) -> Imported | Refused:
        claim, copied, found = member.claim, member.copied, member.found
        if isinstance(found, Refusal):
            return self._refuse(connection, claim, copied, found, at=work.at, seconds=work.seconds())
        with work.examine(claim) if isinstance(found, PlainFile) else nullcontext(found) as examination:
            job = Job(
                claim=claim,
                copied=copied or NOTHING,
                now=lambda: work.at,
                seconds=work.seconds,
                write_report=lambda judged: work.write_report(claim, judged),
            )
            return self._import(connection, self._staging(examination, claim.client), job, examination)

    def refuse(
        self, claim: Claim, copied: Copied | None, refusal: Refusal, *, at: dt.datetime, seconds: float
    ) -> Refused:
        """Record that a file was refused, and tell the sender and the admin.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was recorded.
        """
        with self._engine.begin() as connection:
            _take_turns(connection, claim.client)
            return self._refuse(connection, claim, copied, refusal, at=at, seconds=seconds)

    def _refuse(
        self,
        connection: Connection,
        claim: Claim,
        copied: Copied | None,
        refusal: Refusal,
        *,
        at: dt.datetime,
        seconds: float,
    ) -> Refused:
        content = copied or NOTHING
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

    def _staging(self, rows: Accepted, client: str) -> Staging:
        return Staging(self._users, self._format, rows, client, skips_unchanged=self._skips_unchanged)

    def _names(self, connection: Connection, claim: Claim, at: dt.datetime) -> tuple[str, str]:
        return self._names_of(connection, [claim], at)[claim.id]

    def _names_of(self, connection: Connection, claims: Sequence[Claim], at: dt.datetime) -> dict[str, tuple[str, str]]:
        """Claim → its names in bak; the claims are of one client."""
        client = claims[0].client
        # A mail may name a file that has left bak since, so its name is not given to another one.
        files = {shown_name(claim.name) for claim in claims}
        namesakes = and_(imports.c.client == client, imports.c.file.in_(files))
        promised = select(imports.c.archive, imports.c.report).where(
            imports.c.directory == str(claims[0].directory), or_(imports.c.archived_at.is_(None), namesakes)
        )
        taken = {name for row in connection.execute(promised) for name in row}
        bak = os.fspath(claims[0].folder / BAK)

        def is_taken(name: str) -> bool:
            return name in taken or os.path.lexists(f"{bak}/{name}")

        names: dict[str, tuple[str, str]] = {}
        for claim in claims:
            names[claim.id] = archive_names(claim.name, at, is_taken)
            taken.update(names[claim.id])
        return names


def _hashed(blocks: Iterator[Judged], format_: Format) -> Iterator[Judged]:
    return (block._replace(accepted=with_hashes(block.accepted, format_)) for block in blocks)


def _take_turns(connection: Connection, client: str) -> None:
    """What a transaction found of a client stays true until its end: owners of unique values, names in bak.

    Who asks what was committed waits for a commit under way: a PostgreSQL server finishes one whose sender has died.
    """
    take_turns(connection, f"client {client}")

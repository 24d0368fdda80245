"""The order of the work: claim, copy, judge, store, archive. Steps 3 to 6 of the protocol, and their recovery.

`Conductor` says in which order the steps of a file are taken, and in which transaction; `Importer` claims the files and
says which of them take the steps when. Files that are handed over together go through each step together, see
`importer.grouping`; how a judged file becomes users is the same for both, see `importer.one_file`. Recovery takes files
one by one: what ends the process in a group costs none of its files an attempt, and the one that did it is found alone.

A crash at any point leaves the file either under its own name, or in its claim's directory, or in bak; what the
ledger says of the claim tells `Importer.recover` how to go on.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, Engine

from importer import closing
from importer.clock import Clock
from importer.database.engines import reading_engine, staging
from importer.database.lookups import known_format
from importer.database.tables import migrate, user_table
from importer.files import claiming
from importer.files.anchoring import Folder
from importer.files.attempts import MAX_ATTEMPTS
from importer.files.claiming import ChangedWhileTakenError, Copied, UnreadableError
from importer.foreknowing import foreknowing
from importer.formats.columns import Format
from importer.grouping import Group, judge_group
from importer.judging.examining import JudgedBlock, Judging, begin_judging
from importer.judging.judge import Source
from importer.judging.judged import Judged
from importer.judging.reporting import write_report
from importer.model import (
    Claim,
    FileRefused,
    Fingerprint,
    Imported,
    InHand,
    Notice,
    NotTaken,
    NotTakenWhy,
    Outcome,
    Progress,
    Purged,
    Refusal,
    Refused,
    Remark,
    Retention,
    Returned,
    Superseded,
    Suspected,
    claim_id,
)
from importer.one_file import store_judged
from importer.prefetch import ahead
from importer.reading.user_file import Limits
from importer.removing.purging import purge
from importer.room import attempting, has_room, leaving_room, refuse_beyond_room
from importer.storing.adding import NewUsers
from importer.storing.hashing import with_hashes
from importer.storing.ledger import unarchived
from importer.storing.recording import Merged, look_up_entry, merged, record_imports, record_notice, record_replaced
from importer.storing.staging import Foreknown, Staging, has_users
from importer.storing.store import Store
from importer.storing.turns import client_turn, take_client_turn
from importer.words.reasons import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Conductor:
    """The conductor of an import, who leads claimed files through its steps.

    Attributes:
        engine: the database, already migrated.
        store: where users are stored, and how.
        format: the format of `store`, its lookups extended by the site's tables.
        limits: the bounds of a file; one that exceeds them is refused.
        clock: the source of time and chance.
        language: the language in which reasons are told.
        shows: is told, block by block, how far a file that is imported alone has come.
    """

    engine: Engine
    store: Store
    format: Format
    limits: Limits
    clock: Clock
    language: str = "en"
    shows: Callable[[InHand], None] | None = None

    def import_file(self, claim: Claim, seen: Fingerprint) -> Iterator[Outcome]:
        """Import a file: copied → judged and stored, or refused, or given back → put into bak.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; what is not committed is recovered later.
            OSError: the disk failed; what is not committed is recovered later.
        """
        started = self.clock.elapsed()
        copied: Copied | None = None
        done: Imported | Refused | Returned | Superseded | NotTaken
        try:
            with foreknowing(claim, seen, self.engine, self.store, self.limits) as foreknown:
                copied = claiming.copy(claim, seen=seen, max_bytes=self.limits.max_bytes)
                with self._judging(claim) as judging:
                    done = self.store_file(claim, copied, judging, started, foreknown())
        except FileRefused as refused:
            done = self.refuse(claim, copied, refused.refusal, started)
        except (ChangedWhileTakenError, UnreadableError) as why:
            done = closing.give_back(claim, why, self.engine, at=self.clock.now())
        yield done
        yield from closing.archive_recorded(claim, self.engine, self.clock)

    def store_file(
        self,
        claim: Claim,
        copied: Copied,
        judging: Judging,
        started: float,
        foreknown: Foreknown | None = None,
    ) -> Imported:
        """Judge a copy and store its users in one transaction: staged → conflicts → report → merged → look_up_entry.

        Raises:
            FileRefused: the file as a whole cannot be imported; nothing was committed.
            sqlalchemy.exc.SQLAlchemyError: nothing was committed, unless the commit itself failed: ask the ledger.
            OSError: the report could not be written; nothing was committed.
        """
        with self.engine.connect() as connection:
            with staging(connection):
                is_first = not has_users(connection, self.store, claim.client)
            first = self._store_first(connection, claim, copied, judging, started) if is_first else None
            if first is not None:
                return first
            rows = Staging(self.store, judging, claim.client)
            rows.fill_early(connection, judging, foreknown)  # without the lock, for which others may wait
            judged = judging.finish()
            with connection.begin():
                take_client_turn(connection, claim.client)
                report = partial(self._write_report, claim)
                done = store_judged(connection, rows, judged, claim, copied, now=self.clock.now, report=report)
                return self._record(connection, done, started)

    def _store_first(
        self, connection: Connection, claim: Claim, copied: Copied, judging: Judging, started: float
    ) -> Imported | None:
        """Store a file whose client has no users yet, in one transaction: added while judged → report → look_up_entry.

        None is returned, with nothing written, where the file must be staged and merged as usual instead: where most
        rows fail, for which the database would be held, where users have come meanwhile, and where the rows that were
        added are not the accepted ones.
        """
        with connection.begin() as transaction:
            take_client_turn(connection, claim.client)
            if has_users(connection, self.store, claim.client):
                return None
            new = NewUsers(connection, self.store, claim, self.clock.now())
            with ahead(_hashed(judging, self.format)) as blocks:
                for block in blocks:
                    if transaction.is_active:
                        new.add_if_free(block.accepted)
                        if new.added.total() * 2 < block.last_row - 1:
                            transaction.rollback()
            if not transaction.is_active:
                return None
            judged = judging.finish()
            counts, has_fallen = judged.counts, not judged.fallen.is_empty()
            if not new.are_those_of(counts.accepted, has_fallen=has_fallen):
                transaction.rollback()
                return None
            new.done()
            remarks = self._write_report(claim, judged) if counts.failed else ()
            counts = replace(counts, inserted=counts.accepted)
            return self._record(connection, merged(claim, copied, judged, counts, remarks), started)

    def import_group(
        self, taken: Sequence[tuple[Claim, Fingerprint]]
    ) -> Generator[Outcome, None, list[tuple[Claim, Fingerprint]]]:
        """Import files of one client: copied → judged → stored in one transaction → put into bak.

        What is committed is told first, as it is to be archived. Before the commit nothing of the group is stored.

        Returns:
            The files of which nothing is stored, because the database refuses them.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; what is not committed is recovered later.
            OSError: the disk failed; what is not committed is recovered later.
        """
        started = self.clock.elapsed()
        stored: list[Imported | Refused] = []
        with leaving_room([claim for claim, _ in taken], self.engine), ExitStack() as resources:
            found = claiming.copy_all(taken, max_bytes=self.limits.max_bytes)
            answers = {
                claim: closing.answer(claim, copy, self.engine, at=self.clock.now())
                for (claim, _), copy in zip(taken, found, strict=True)
            }
            at = self.clock.now()
            sources = {claim: self._source(claim) for claim in answers}
            members = judge_group(sources, answers, self.format, resources, today=at.date())
            if members:
                with client_turn(self.engine, members[0].claim.client) as connection:
                    group = Group(
                        connection=connection,
                        store=self.store,
                        at=at,
                        clock=self.clock,
                        started=started,
                        files=len(taken),
                    )
                    stored = group.store_all(members)
        committed = [*(each for each in answers.values() if isinstance(each, Superseded)), *stored]
        yield from committed
        yield from closing.archive_all([closing.for_bak(each) for each in committed], self.engine, self.clock)
        yield from (each for each in answers.values() if isinstance(each, Returned | NotTaken))
        left_out = {member.claim for member in members} - {each.claim for each in stored}
        return [(claim, seen) for claim, seen in taken if claim in left_out]

    def refuse(self, claim: Claim, copied: Copied | None, why: Refusal, started: float) -> Refused:
        """Record that a file is refused; it is to be archived then."""
        at, seconds = self.clock.now(), self.clock.elapsed() - started
        return closing.refuse(claim, copied, why, self.engine, at=at, seconds=seconds)

    def _record(self, connection: Connection, file: Merged, started: float) -> Imported:
        at, seconds = self.clock.now(), self.clock.elapsed() - started
        (done,) = record_imports(connection, [file], at=at, seconds=seconds, tells_success=self.store.tells_success)
        return done

    @contextmanager
    def _judging(self, claim: Claim) -> Iterator[Judging]:
        """Open a file's copy, of which no row is judged yet; `shows` is told how far the judging has come."""
        source, today = self._source(claim), self.clock.now().date()
        show = partial(self._show, claim)
        with (
            TemporaryDirectory(prefix=".spool-", dir=claim.work) as spool,
            begin_judging(source, today=today, spool_directory=Path(spool), progress=show) as judging,
        ):
            yield judging

    def _source(self, claim: Claim) -> Source:
        return Source(path=claim.copy, name=claim.name, format=self.format, limits=self.limits, language=self.language)

    def _show(self, claim: Claim, progress: Progress) -> None:
        refuse_beyond_room(claim, self.limits)
        if self.shows is not None:
            self.shows(InHand(claim=claim, progress=progress))

    def _write_report(self, claim: Claim, judged: Judged) -> tuple[Remark, ...]:
        return write_report(judged, claim.report, lambda: refuse_beyond_room(claim, self.limits))


def _hashed(judging: Judging, format_: Format) -> Iterator[JudgedBlock]:
    return (block._replace(accepted=with_hashes(block.accepted, format_)) for block in judging.blocks())


class Importer:
    """The importer of the files of one database's clients, which tells reasons in `language`.

    For `skips_unchanged` and `tells_success` see `importer.storing.store.Store`, for `shows` see `Conductor`. `run` is
    the name of this run of the service, which no other has, see `importer.files.attempts`.
    """

    def __init__(
        self,
        engine: Engine,
        format_: Format,
        limits: Limits,
        clock: Clock,
        *,
        skips_unchanged: bool = True,
        tells_success: bool = False,
        language: str = "en",
        shows: Callable[[InHand], None] | None = None,
        run: str = "",
    ) -> None:
        users = user_table(format_)
        self._engine = engine
        self._format = format_
        self._store = Store(format=format_, users=users, skips_unchanged=skips_unchanged, tells_success=tells_success)
        self._limits = limits
        self._clock = clock
        self._language = language
        self._shows = shows
        self.run = run

    def prepare(self) -> None:
        """Bring the database up to date.

        Raises:
            UnusableDatabaseError: what is in it does not go together with this version or with the format.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or is none.
        """
        migrate(self._engine, self._format)

    def tell(self, notice: Notice, *, once: str) -> None:
        """Store a notice about a file that was not claimed, unless it was stored before."""
        with client_turn(self._engine, notice.client) as connection:
            record_notice(connection, notice, once=once, at=self._clock.now())

    def supersede(self, claim: Claim, *, size: int) -> None:
        """Record that a file was replaced by a newer one of its name before it was claimed, unless that is recorded."""
        with client_turn(self._engine, claim.client) as connection:
            record_replaced(connection, claim, size=size, at=self._clock.now())

    def purge(self, client: str, folder: Folder, retention: Retention) -> Purged:
        """Remove from bak what has stayed there long enough.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed.
            OSError: the disk failed.
        """
        return purge(self._engine, client, folder, retention, self._clock.now())

    def conductor(self) -> Conductor:
        """Make the conductor of the files that are imported now, for which the site's tables of lookups are read.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed.
        """
        with reading_engine(self._engine).begin() as connection:
            format_ = known_format(connection, self._format)
        return Conductor(
            engine=self._engine,
            store=self._store,
            format=format_,
            limits=self._limits,
            clock=self._clock,
            language=self._language,
            shows=self._shows,
        )

    def import_files(
        self,
        client: str,
        folder: Folder,
        uploads: Sequence[tuple[str, Fingerprint]],
        *,
        unseen_ends: frozenset[str] = frozenset(),
    ) -> Iterator[Outcome]:
        """Import files that are complete, in the order given; several are a group, with one transaction.

        Args:
            client: the client to whom the files belong.
            folder: the directory in which they lie.
            uploads: each name, and what was seen of the file when it was found to be complete; as many and as large
                as memory has room for.
            unseen_ends: the names of those whose upload's end was not seen, though it should have been.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; what is not committed is recovered later.
            OSError: the disk failed; what is not committed is recovered later.
        """
        conductor = self.conductor()
        with claiming.workroom(folder.anchor) as workroom:
            if not has_room(workroom, uploads, self._limits):
                yield from (NotTaken(client=client, name=name, why=NotTakenWhy.NO_ROOM) for name, _ in uploads)
                return
            claimed = [
                (self._claim(client, folder, name, workroom, unseen=name in unseen_ends), seen)
                for name, seen in uploads
            ]
            taken = [(claim, seen) for claim, seen in claimed if isinstance(claim, Claim)]
            claiming.make_durable([claim for claim, _ in taken])
            yield from (answer for answer, _ in claimed if isinstance(answer, NotTaken))
            if taken:
                self._clock.pause()
            if len(taken) > 1:
                taken = yield from conductor.import_group(taken)
            for claim, seen in taken:
                yield from self._attempt(conductor, claim, seen)

    def _claim(self, client: str, folder: Folder, name: str, workroom: Path, *, unseen: bool) -> Claim | NotTaken:
        id_ = claim_id(self._clock.now(), self._clock.token())
        return claiming.claim(
            Claim(
                id=id_,
                client=client,
                directory=folder.directory,
                name=name,
                anchor=folder.anchor,
                workroom=workroom,
                is_end_unseen=unseen,
            )
        )

    def _attempt(
        self, conductor: Conductor, claim: Claim, seen: Fingerprint, *, alone: bool = False
    ) -> Iterator[Outcome]:
        """Count an attempt to import a file, then make it; after too many the file is set aside or refused instead."""
        if claiming.count_attempt(claim, self.run, alone=alone) <= MAX_ATTEMPTS:
            with attempting(claim, seen, self._limits, self._engine):
                yield from conductor.import_file(claim, seen)
        elif claiming.filled(claim) < MAX_ATTEMPTS:
            yield closing.quarantine(claim, self._engine, at=self._clock.now())
        else:
            yield conductor.refuse(claim, None, refusal("fills_disk", times=MAX_ATTEMPTS), self._clock.elapsed())
            yield from closing.archive_recorded(claim, self._engine, self._clock)

    def recover(self, client: str, folder: Folder, *, alone: bool = False) -> Iterator[Outcome]:
        """Finish what an earlier run, or an outage, left half done; suspects are told and left.

        With `alone`, which is for when nothing else waits, the oldest of them is tried.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; what is not committed is recovered later.
            OSError: the disk failed; what is not committed is recovered later.
        """
        with claiming.workroom(folder.anchor) as workroom:
            left = {claim.id: claim for claim in claiming.claims(client, folder, workroom)}
            with client_turn(reading_engine(self._engine), client) as connection:
                entries = unarchived(connection, client, folder.directory, left)
            for entry in entries:
                reached = replace(entry.claim, anchor=folder.anchor, workroom=workroom)
                yield closing.archive(left.get(entry.claim.id, reached), entry, self._engine, self._clock)
            yield from self._recover(left, alone=alone)

    def _recover(self, left: Mapping[str, Claim], *, alone: bool) -> Iterator[Outcome]:
        """Finish the claims of which the ledger does not say that they are to be archived."""
        conductor = self.conductor()
        unknown: list[tuple[Claim, Fingerprint]] = []
        for claim in left.values():
            known = look_up_entry(self._engine, claim)
            if known is None:
                unknown.append((claim, claiming.fingerprint(claim.original.lstat())))
            elif known.is_quarantined:
                yield closing.set_aside(claim)
            elif known.is_archived:
                claiming.release(claim)
        suspects = [each for each in unknown if self._is_to_wait(each[0])]
        yield from self._retry(conductor, [each for each in unknown if each not in suspects])
        tried = suspects[:1] if alone else []
        yield from (Suspected(claim=claim) for claim, _ in suspects[len(tried) :])
        yield from self._retry(conductor, tried, alone=True)

    def _is_to_wait(self, claim: Claim) -> bool:
        attempts = claiming.attempts_of(claim, self.run)
        return attempts.is_suspect and attempts.ended < MAX_ATTEMPTS

    def _retry(
        self, conductor: Conductor, left: Sequence[tuple[Claim, Fingerprint]], *, alone: bool = False
    ) -> Iterator[Outcome]:
        if left:
            self._clock.pause()
        for claim, seen in left:
            yield from self._attempt(conductor, claim, seen, alone=alone)

"""The order of the work: claim, copy, examine, store, archive. Steps 3 to 6 of the protocol, and their recovery.

Files that are handed over together go through each step together. Recovery takes them one by one: what ends the
process in a group costs none of its files an attempt, and the one that did it is found alone.

A crash at any point leaves the file either under its own name, or in its claim's directory, or in bak; what the
ledger says of the claim tells `recover` how to go on.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer import claiming
from importer.anchoring import Folder
from importer.archiving import ForBak, put_all_into_bak
from importer.claiming import ChangedWhileTakenError, Copied, NotCopied, UnreadableError
from importer.database import migrate
from importer.engines import is_outage
from importer.examining import Examination, Source, begin_examination, examine
from importer.format import Format
from importer.ledger import Entry
from importer.model import (
    Archived,
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
    Quarantined,
    Refusal,
    Refused,
    Retention,
    Returned,
    Superseded,
    Unarchived,
)
from importer.purging import purge
from importer.reading import Limits
from importer.reporting import write_report
from importer.staging import Foreknown
from importer.storing import Job, Member, Store, Work
from importer.together import read_together
from importer.transcoding import has_compressed_name

MAX_ATTEMPTS = 3
"""A file whose import ends the process this often is set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What the importer is told of time and chance; the real one is made by the process that runs it.

    Attributes:
        now: the time of day, aware, UTC.
        elapsed: seconds that only ever grow.
        pause: waits long enough for a writer of a file just claimed to show itself (the protocol says 1 s).
        token: text that nobody else has.
    """

    now: Callable[[], dt.datetime]
    elapsed: Callable[[], float]
    pause: Callable[[], None]
    token: Callable[[], str]


class Importer:
    """Imports the files of one database's clients, and tells reasons in `language`.

    For `skips_unchanged` and `tells_success` see `importer.storing.Store`. `shows` is told, block by block, how far a
    file that is imported alone has come.
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
    ) -> None:
        self._engine = engine
        self._format = format_
        self._store = Store(engine, format_, skips_unchanged=skips_unchanged, tells_success=tells_success)
        self._limits = limits
        self._clock = clock
        self._language = language
        self._shows = shows

    def prepare(self) -> None:
        """Bring the database up to date.

        Raises:
            UnusableDatabaseError: what is in it does not go together with this version or with the format.
            sqlalchemy.exc.SQLAlchemyError: it cannot be reached, or is none.
        """
        migrate(self._engine, self._format)

    def tell(self, notice: Notice, *, once: str) -> None:
        """Store a notice about a file that was not claimed, unless it was stored before."""
        self._store.notify(notice, once=once, at=self._clock.now())

    def import_files(
        self, client: str, folder: Folder, uploads: Sequence[tuple[str, Fingerprint]]
    ) -> Iterator[Outcome]:
        """Import files that are complete, in the order given; several are a group, with one transaction.

        Args:
            client: whose they are.
            folder: where they lie.
            uploads: each name, and what was seen of the file when it was found to be complete; as many and as large
                as memory has room for.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; what is not committed is recovered later.
            OSError: the disk failed, likewise.
        """
        format_ = self._store.known_format()
        with claiming.workroom(folder.anchor) as room:
            taken: list[tuple[Claim, Fingerprint]] = []
            not_taken: list[NotTaken] = []
            for name, seen in uploads:
                claimed = self._claim(client, folder, name, room)
                if isinstance(claimed, Claim):
                    taken.append((claimed, seen))
                else:
                    not_taken.append(claimed)
            claiming.make_durable([claim for claim, _ in taken])
            yield from not_taken
            if len(taken) > 1:
                self._clock.pause()
                yield from self._import_group(taken, format_)
            else:
                yield from self._import_one_by_one(taken, format_)

    def purge(self, client: str, folder: Folder, retention: Retention) -> Purged:
        """Remove from bak what has stayed there long enough.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed.
            OSError: the disk failed.
        """
        return purge(self._engine, client, folder, retention, self._clock.now())

    def recover(self, client: str, folder: Folder) -> Iterator[Outcome]:
        """Finish what an earlier run, or an outage, left half done.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: as for import_files.
            OSError: as for import_files.
        """
        with claiming.workroom(folder.anchor) as room:
            left = {claim.id: claim for claim in claiming.claims(client, folder, room)}
            for entry in self._store.unarchived(client, folder.directory, left):
                reached = replace(entry.claim, anchor=folder.anchor, workroom=room)
                yield self._archive(left.get(entry.claim.id, reached), entry)
            yield from self._recover(left)

    def _recover(self, left: Mapping[str, Claim]) -> Iterator[Outcome]:
        """Finish those claims of which the ledger does not say that they are to be archived."""
        format_ = self._store.known_format()
        unknown: list[tuple[Claim, Fingerprint]] = []
        for claim in left.values():
            known = self._store.entry(claim)
            if known is None:
                unknown.append((claim, claiming.fingerprint(claim.original.lstat())))
            elif known.is_quarantined:
                yield self._set_aside(claim)
            elif known.is_archived:
                claiming.release(claim)
        yield from self._import_one_by_one(unknown, format_)

    def _import_one_by_one(self, taken: Sequence[tuple[Claim, Fingerprint]], format_: Format) -> Iterator[Outcome]:
        if taken:
            self._clock.pause()
        for claim, seen in taken:
            yield from self._import(claim, seen, format_)

    def _import_group(self, taken: Sequence[tuple[Claim, Fingerprint]], format_: Format) -> Iterator[Outcome]:
        """Files of one client, each step for all of them; what is committed is told first, as it is to be archived.

        Before the commit nothing of the group is stored, and `recover` goes on after a crash; then it only archives.
        """
        started = self._clock.elapsed()
        with self._leaving_room([claim for claim, _ in taken]), ExitStack() as resources:
            found = claiming.copy_all(taken, max_bytes=self._limits.max_bytes)
            copies = {
                claim: copy if isinstance(copy, Copied) else self._answered(claim, copy)
                for (claim, _), copy in zip(taken, found, strict=True)
            }
            work = Work(
                at=self._clock.now(),
                seconds=lambda: (self._clock.elapsed() - started) / len(taken),
                examine=lambda claim: self._examine(claim, format_),
                write_report=lambda claim, judged: write_report(judged, claim.report),
            )
            members = self._members(copies, format_, resources)
            stored = self._store.import_group(members[0].claim.client, members, work) if members else []
        changed = [each for each in copies.values() if isinstance(each, Returned | Superseded | NotTaken)]
        committed = [*(each for each in changed if isinstance(each, Superseded)), *stored]
        yield from committed
        yield from self._archive_all([_for_bak(each) for each in committed])
        yield from (each for each in changed if not isinstance(each, Superseded))
        left_out = {member.claim for member in members} - {each.claim for each in stored}
        for claim, seen in taken:
            if claim in left_out:  # the database refuses it, which alone it will again, until its attempts are used up
                yield from self._import(claim, seen, format_)

    def _members(self, copies: Mapping[Claim, object], format_: Format, resources: ExitStack) -> list[Member]:
        """What is found in each file that was copied or refused."""
        copied = {claim: copy for claim, copy in copies.items() if isinstance(copy, Copied)}
        sources = [self._source(claim, format_) for claim in copied]
        plain = dict(zip(copied, read_together(sources, format_, today=self._clock.now().date()), strict=True))
        members = []
        for claim, copy in copies.items():
            if isinstance(copy, Copied):
                found = plain[claim] or self._found(claim, format_, resources)
                members.append(Member(claim=claim, copied=copy, found=found))
            elif isinstance(copy, Refusal):
                members.append(Member(claim=claim, copied=None, found=copy))
        return members

    def _found(self, claim: Claim, format_: Format, resources: ExitStack) -> Examination | Refusal:
        try:
            return resources.enter_context(self._examine(claim, format_))
        except FileRefused as refused:
            return refused.refusal

    def _examine(self, claim: Claim, format_: Format) -> Examination:
        today = self._clock.now().date()
        return examine(self._source(claim, format_), today=today, spool_directory=None, keep_accepted=True)

    def _source(self, claim: Claim, format_: Format) -> Source:
        return Source(path=claim.copy, name=claim.name, format=format_, limits=self._limits, language=self._language)

    def _claim(self, client: str, folder: Folder, name: str, room: Path) -> Claim | NotTaken:
        id_ = claiming.claim_id(self._clock.now(), self._clock.token())
        return claiming.claim(
            Claim(id=id_, client=client, directory=folder.directory, name=name, anchor=folder.anchor, workroom=room)
        )

    def _import(self, claim: Claim, seen: Fingerprint, format_: Format) -> Iterator[Outcome]:
        attempt = claiming.count_attempt(claim)
        if attempt > MAX_ATTEMPTS:
            yield self._quarantine(claim)
            return
        try:
            yield from self._attempt(claim, seen, format_)
        except (SQLAlchemyError, OSError) as error:
            if is_outage(error):
                self._undo(claim)
            raise

    def _undo(self, claim: Claim) -> None:
        self._discard(claim)
        with suppress(OSError):
            claiming.uncount_attempt(claim)

    def _discard(self, claim: Claim) -> None:
        """Leave the disk to others, unless the file is committed, or may be: then the ledger promises it to bak."""
        with suppress(SQLAlchemyError, OSError):
            if self._store.entry(claim) is None:
                claiming.discard(claim)

    @contextmanager
    def _leaving_room(self, claims: Sequence[Claim]) -> Iterator[None]:
        """On a full disk what was written is in everybody's way."""
        try:
            yield
        except OSError:
            for claim in claims:
                self._discard(claim)
            raise

    def _attempt(self, claim: Claim, seen: Fingerprint, format_: Format) -> Iterator[Outcome]:
        yield self._take(claim, seen, format_)
        entry = self._store.entry(claim)
        if entry is not None:
            yield self._archive(claim, entry)

    def _take(
        self, claim: Claim, seen: Fingerprint, format_: Format
    ) -> Imported | Refused | Returned | Superseded | NotTaken:
        started = self._clock.elapsed()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="foreknow") as beside:
            # Nothing is asked for a file that will not be read, or whose size does not tell how many rows it has.
            is_telling = seen.size <= self._limits.max_bytes and not has_compressed_name(claim.name)
            size = seen.size if is_telling else 0
            foreknown = beside.submit(self._store.foreknown, claim.client, size)
            (found,) = claiming.copy_all([(claim, seen)], max_bytes=self._limits.max_bytes)
            if isinstance(found, Copied):
                done = self._examine_and_store(claim, found, foreknown.result, format_, started)
                if isinstance(done, Imported):
                    return done
        # The question has been answered by now, so that the database is free.
        copied, answer = (found, done) if isinstance(found, Copied) else (None, self._answered(claim, found))
        return self._refuse(claim, copied, answer, started) if isinstance(answer, Refusal) else answer

    def _answered(self, claim: Claim, found: NotCopied) -> Refusal | Returned | Superseded | NotTaken:
        match found:
            case ChangedWhileTakenError():
                return self._give_back(claim) or Returned(claim=claim)
            case UnreadableError():
                return self._give_back(claim) or _unreadable(claim)
            case FileRefused():
                return found.refusal

    def _refuse(self, claim: Claim, copied: Copied | None, refusal: Refusal, started: float) -> Refused:
        seconds = self._clock.elapsed() - started
        return self._store.refuse(claim, copied, refusal, at=self._clock.now(), seconds=seconds)

    def _examine_and_store(
        self, claim: Claim, copied: Copied, foreknown: Callable[[], Foreknown | None], format_: Format, started: float
    ) -> Imported | Refusal:
        job = Job(
            claim=claim,
            copied=copied,
            foreknown=foreknown,
            now=self._clock.now,
            seconds=lambda: self._clock.elapsed() - started,
            write_report=lambda judged: write_report(judged, claim.report),
        )
        source, today = self._source(claim, format_), self._clock.now().date()
        shown = None if self._shows is None else partial(_show, self._shows, claim)
        try:
            with (
                TemporaryDirectory(prefix=".spool-", dir=claim.work) as spool,
                begin_examination(source, today=today, spool_directory=Path(spool), progress=shown) as examination,
            ):
                return self._store.import_users(job, examination)
        except FileRefused as refused:
            return refused.refusal

    def _give_back(self, claim: Claim) -> Superseded | None:
        """None where the file is back under its name."""
        if claiming.give_back(claim):
            return None
        return self._store.supersede(claim, at=self._clock.now())

    def _archive(self, claim: Claim, entry: Entry) -> Archived | Unarchived:
        file = ForBak(claim=claim, archive=entry.archive, report=entry.report, sha256=entry.sha256)
        (outcome,) = self._archive_all([file])
        return outcome

    def _archive_all(self, files: Sequence[ForBak]) -> list[Archived | Unarchived]:
        """Files of one client."""
        hindrances = put_all_into_bak(files) if files else []
        both = [*zip(files, hindrances, strict=True)]
        archived = [file.claim for file, hindrance in both if hindrance is None]
        if archived:
            self._store.mark_archived(archived, self._clock.now())
        return [self._archived(file, hindrance) for file, hindrance in both]

    def _archived(self, file: ForBak, hindrance: OSError | None) -> Archived | Unarchived:
        if hindrance is None:
            return Archived(claim=file.claim, archive=file.archive, report=file.report)
        if isinstance(hindrance, FileExistsError):
            self._store.rename_archive(file.claim, self._clock.now())
            return Unarchived(claim=file.claim, why="its name in bak is taken; it gets another one")
        return Unarchived(claim=file.claim, why=hindrance.strerror or str(hindrance))

    def _quarantine(self, claim: Claim) -> Quarantined | Unarchived:
        self._store.quarantine(claim, at=self._clock.now())
        return self._set_aside(claim)

    def _set_aside(self, claim: Claim) -> Quarantined | Unarchived:
        try:
            claiming.quarantine(claim, f"Its import ended the importing process {MAX_ATTEMPTS} times.")
        except PermissionError as hindrance:
            return Unarchived(claim=claim, why=hindrance.strerror or str(hindrance))
        return Quarantined(claim=claim, attempts=MAX_ATTEMPTS)


def _show(shows: Callable[[InHand], None], claim: Claim, progress: Progress) -> None:
    shows(InHand(claim=claim, progress=progress))


def _for_bak(done: Imported | Refused | Superseded) -> ForBak:
    return ForBak(
        claim=done.claim,
        archive=done.archive,
        report=done.report if isinstance(done, Imported) else None,
        sha256="" if isinstance(done, Superseded) else done.sha256,
    )


def _unreadable(claim: Claim) -> NotTaken:
    return NotTaken(client=claim.client, name=claim.name, why=NotTakenWhy.UNREADABLE)

"""The order of the work: claim, copy, examine, store, archive. Steps 3 to 6 of the protocol, and their recovery.

A crash at any point leaves the file either under its own name, or in its claim's directory, or in bak; what the
ledger says of the claim tells `recover` how to go on.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer import claiming
from importer.archiving import put_into_bak
from importer.claiming import ChangedWhileTakenError, Copied, UnreadableError
from importer.database import migrate
from importer.engines import is_outage
from importer.examining import Source, examine
from importer.format import Format
from importer.ledger import Entry
from importer.model import (
    Archived,
    Claim,
    FileRefused,
    Fingerprint,
    Imported,
    Notice,
    NotTaken,
    NotTakenWhy,
    Outcome,
    Quarantined,
    Refused,
    Returned,
    Superseded,
    Unarchived,
)
from importer.reading import Limits
from importer.reporting import write_report
from importer.storing import Store

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
    """Imports the files of one database's clients."""

    def __init__(self, engine: Engine, format_: Format, limits: Limits, clock: Clock) -> None:
        self._engine = engine
        self._format = format_
        self._store = Store(engine, format_)
        self._limits = limits
        self._clock = clock

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
        self, client: str, directory: Path, uploads: Sequence[tuple[str, Fingerprint]]
    ) -> Iterator[Outcome]:
        """Import files that are complete, in the order given.

        Args:
            client: whose they are.
            directory: where they lie.
            uploads: each name, and what was seen of the file when it was found to be complete.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; what is not committed is recovered later.
            OSError: the disk failed, likewise.
        """
        format_ = self._store.known_format()
        taken: list[tuple[Claim, Fingerprint]] = []
        for name, seen in uploads:
            claimed = self._claim(client, directory, name)
            if isinstance(claimed, Claim):
                taken.append((claimed, seen))
            else:
                yield claimed
        yield from self._import_taken(taken, format_)

    def recover(self, client: str, directory: Path) -> Iterator[Outcome]:
        """Finish what an earlier run, or an outage, left half done.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: as for import_files.
            OSError: as for import_files.
        """
        left = {claim.id: claim for claim in claiming.claims(client, directory)}
        for entry in self._store.unarchived(client):
            yield self._archive(left.get(entry.claim.id, entry.claim), entry)
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
        yield from self._import_taken(unknown, format_)

    def _import_taken(self, taken: Sequence[tuple[Claim, Fingerprint]], format_: Format) -> Iterator[Outcome]:
        if taken:
            self._clock.pause()
        for claim, seen in taken:
            yield from self._import(claim, seen, format_)

    def _claim(self, client: str, directory: Path, name: str) -> Claim | NotTaken:
        id_ = claiming.claim_id(self._clock.now(), self._clock.token())
        return claiming.claim(Claim(id=id_, client=client, directory=directory, name=name))

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
        """Leave the disk to others, unless the file is committed, or may be: then the ledger promises it to bak."""
        with suppress(SQLAlchemyError, OSError):
            if self._store.entry(claim) is None:
                claiming.discard(claim)
        with suppress(OSError):
            claiming.uncount_attempt(claim)

    def _attempt(self, claim: Claim, seen: Fingerprint, format_: Format) -> Iterator[Outcome]:
        yield self._take(claim, seen, format_)
        entry = self._store.entry(claim)
        if entry is not None:
            yield self._archive(claim, entry)

    def _take(
        self, claim: Claim, seen: Fingerprint, format_: Format
    ) -> Imported | Refused | Returned | Superseded | NotTaken:
        started = self._clock.elapsed()
        copied: Copied | None = None
        try:
            copied = claiming.copy(claim, seen=seen, max_bytes=self._limits.max_bytes)
            return self._examine_and_store(claim, copied, format_, started)
        except ChangedWhileTakenError:
            return self._give_back(claim) or Returned(claim=claim)
        except UnreadableError:
            return self._give_back(claim) or _unreadable(claim)
        except FileRefused as refused:
            seconds = self._clock.elapsed() - started
            return self._store.refuse(claim, copied, refused.refusal, at=self._clock.now(), seconds=seconds)

    def _examine_and_store(self, claim: Claim, copied: Copied, format_: Format, started: float) -> Imported:
        source = Source(path=claim.copy, name=claim.name, format=format_, limits=self._limits)
        today = self._clock.now().date()
        with (
            TemporaryDirectory(prefix=".spool-", dir=claim.work) as spool,
            examine(source, today=today, spool_directory=Path(spool), keep_accepted=True) as examination,
        ):
            return self._store.import_users(
                claim,
                copied,
                examination,
                at=self._clock.now(),
                seconds=lambda: self._clock.elapsed() - started,
                write_report=lambda judged: write_report(judged, claim.report),
            )

    def _give_back(self, claim: Claim) -> Superseded | None:
        """None where the file is back under its name."""
        if claiming.give_back(claim):
            return None
        return self._store.supersede(claim, at=self._clock.now())

    def _archive(self, claim: Claim, entry: Entry) -> Archived | Unarchived:
        try:
            put_into_bak(claim, entry.archive, entry.report, sha256=entry.sha256)
        except FileExistsError:
            self._store.rename_archive(claim, self._clock.now())
            return Unarchived(claim=claim, why="its name in bak is taken; it gets another one")
        except OSError as error:
            return Unarchived(claim=claim, why=error.strerror or str(error))
        self._store.mark_archived(claim, self._clock.now())
        return Archived(claim=claim, archive=entry.archive, report=entry.report)

    def _quarantine(self, claim: Claim) -> Quarantined:
        self._store.quarantine(claim, at=self._clock.now())
        return self._set_aside(claim)

    def _set_aside(self, claim: Claim) -> Quarantined:
        claiming.quarantine(claim, f"Its import ended the importing process {MAX_ATTEMPTS} times.")
        return Quarantined(claim=claim, attempts=MAX_ATTEMPTS)


def _unreadable(claim: Claim) -> NotTaken:
    return NotTaken(client=claim.client, name=claim.name, why=NotTakenWhy.UNREADABLE)

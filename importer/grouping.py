"""The order of the work on a group: files of one client that were copied together are judged and stored together.

Files that have nothing to do with each other are merged as one. Any other file is merged by itself, as if it came
alone, and sees what those before it have stored. A file that the database refuses is left out: nothing of it is stored,
and the others are.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from importer.clock import Clock
from importer.database.failures import is_outage
from importer.files.claiming import Copied
from importer.formats.columns import Format
from importer.judging.examining import examine
from importer.judging.judge import Source
from importer.judging.judged import Judged
from importer.judging.reporting import write_report
from importer.judging.together import Joined, PlainFile, read_together
from importer.model import Claim, Counts, FileRefused, Imported, Outcome, Refusal, Refused
from importer.one_file import store_judged
from importer.storing.conflicting import Conflicts
from importer.storing.ledger import NOTHING
from importer.storing.merging import Merge
from importer.storing.recording import Merged, record_imports, record_refusal
from importer.storing.runs import Mergeable, runs
from importer.storing.staging import Staging
from importer.storing.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file of a group, and what was found in it.

    Attributes:
        source: the source from which the file is judged.
        copied: the size and hash of the file's copy; None where it was not copied.
        found: what was found in the file.
    """

    claim: Claim
    source: Source
    copied: Copied | None
    found: PlainFile | Judged | Refusal

    @property
    def mergeable(self) -> Mergeable:
        """The file as `runs` needs it, to decide with which others it can be merged."""
        if isinstance(self.found, PlainFile):
            return Mergeable(kind=self.found.header, values=self.found.values)
        return Mergeable(kind=None)


class _NotAsOneError(Exception):
    """Merging these files as if they were one would not be the same as merging them one after the other."""


def judge_group(
    sources: Mapping[Claim, Source],
    answers: Mapping[Claim, Copied | Refusal | Outcome],
    format_: Format,
    resources: ExitStack,
    *,
    today: dt.date,
) -> list[Member]:
    """Judge the files that were copied, those that are plain together; what was given back is no member.

    Args:
        sources: claim → the source from which its file is judged.
        answers: claim → its copy, or why there is none.
        format_: the columns of the files.
        resources: closes the files that are judged by themselves.
        today: the date after which no date of birth may lie.

    Raises:
        OSError: the disk is broken.
    """
    copied = [claim for claim, answer in answers.items() if isinstance(answer, Copied)]
    together = read_together([sources[claim] for claim in copied], format_, today=today)
    plain = dict(zip(copied, together, strict=True))
    members = []
    for claim, answer in answers.items():
        source = sources[claim]
        if isinstance(answer, Refusal):
            members.append(Member(claim=claim, source=source, copied=None, found=answer))
        elif isinstance(answer, Copied):
            found = plain[claim] or _judged_alone(source, resources, today)
            members.append(Member(claim=claim, source=source, copied=answer, found=found))
    return members


def _judged_alone(source: Source, resources: ExitStack, today: dt.date) -> Judged | Refusal:
    try:
        return resources.enter_context(_examined(source, today))
    except FileRefused as refused:
        return refused.refusal


def _examined(source: Source, today: dt.date) -> AbstractContextManager[Judged]:
    return examine(source, today=today, spool_directory=None, keep_accepted=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The storing of files of one client in their order, in one transaction.

    Attributes:
        connection: a connection in the transaction, within the client's turn.
        store: where users are stored.
        at: when the import is decided, UTC.
        clock: the clock that says how long the import takes.
        started: when the import of the group began, on the clock of `elapsed`.
        files: how many files the group has.
    """

    connection: Connection
    store: Store
    at: dt.datetime
    clock: Clock
    started: float
    files: int

    def store_all(self, members: Sequence[Member]) -> list[Imported | Refused]:
        """Store and record files, as one where they can be merged; those that the database refuses are left out.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: an outage; the caller must roll back.
            OSError: a report could not be written; the caller must roll back.
        """
        done: list[Imported | Refused] = []
        start = 0
        for length in runs(member.mergeable for member in members):
            done += self._store_run(members[start : start + length])
            start += length
        return done

    def _store_run(self, members: Sequence[Member]) -> Sequence[Imported | Refused]:
        """Store a run as one where that comes to the same; otherwise half by half, down to single files."""
        if isinstance(members[0].found, PlainFile):
            try:
                with self.connection.begin_nested():
                    return self._store_as_one(members)
            except _NotAsOneError:
                pass
            except DBAPIError as error:
                if is_outage(error):
                    raise
        if len(members) == 1:
            return self._store_unless_refused(members[0])
        middle = len(members) // 2
        return [done for half in (members[:middle], members[middle:]) for done in self._store_run(half)]

    def _store_as_one(self, members: Sequence[Member]) -> list[Imported]:
        """Store plain files as one: staged → without conflicts → merged → recorded."""
        files = {member.claim.id: found for member in members if isinstance(found := member.found, PlainFile)}
        first = members[0].claim
        joined = Joined(files)
        staged = Staging(self.store, joined, first.client).fill(self.connection, joined)
        if Conflicts(self.connection, staged).are_possible():
            raise _NotAsOneError
        accepted = {id_: file.accepted.height for id_, file in files.items()}
        counts = Merge(staged, first, self.at).run(
            self.connection, {id_: Counts(records=rows, accepted=rows) for id_, rows in accepted.items()}
        )
        return self._recorded(
            [
                Merged(
                    claim=member.claim,
                    copied=member.copied or NOTHING,
                    counts=counts[member.claim.id],
                    warnings=files[member.claim.id].warnings,
                )
                for member in members
            ]
        )

    def _store_unless_refused(self, member: Member) -> list[Imported | Refused]:
        """Store a file by itself; nothing of it is stored where the database refuses it."""
        try:
            with self.connection.begin_nested():
                return [self._store_one(member)]
        except DBAPIError as error:
            if is_outage(error):
                raise
            return []

    def _store_one(self, member: Member) -> Imported | Refused:
        """Store and record a file by itself."""
        claim, found = member.claim, member.found
        if isinstance(found, Refusal):
            return record_refusal(self.connection, claim, member.copied, found, at=self.at, seconds=self._seconds)
        alone = _examined(member.source, self.at.date()) if isinstance(found, PlainFile) else nullcontext(found)
        with alone as judged:
            rows = Staging(self.store, judged, claim.client)
            stored = store_judged(
                self.connection,
                rows,
                judged,
                claim,
                member.copied,
                now=lambda: self.at,
                report=lambda judged: write_report(judged, claim.report),
            )
            (done,) = self._recorded([stored])
        return done

    def _recorded(self, files: Sequence[Merged]) -> list[Imported]:
        tells_success, seconds = self.store.tells_success, self._seconds
        return record_imports(self.connection, files, at=self.at, seconds=seconds, tells_success=tells_success)

    @property
    def _seconds(self) -> float:
        """The seconds that the import of one of the files has taken so far, on average."""
        return (self.clock.elapsed() - self.started) / self.files

"""Houses with a bug each, which the enumeration of crashes, the power losses or the state machine must find."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, update

from importer.clock import Clock
from importer.database.engines import make_engine
from importer.database.tables import mails
from importer.files import claiming
from importer.files.anchoring import Folder
from importer.files.claiming import Copied
from importer.formats.columns import Format
from importer.importing import Conductor, Importer
from importer.judging.examining import Judging
from importer.model import Claim, Fingerprint, Imported, Outcome, Refused
from importer.reading.user_file import Limits
from importer.storing.ledger import mark_archived
from importer.storing.staging import Foreknown
from notifier.messages import Message
from notifier.smtp import Transport
from tests.crashes.house import Build, to_folder


def _engine_of_two_transactions(url: str, second: str = "imports") -> Engine:
    """What was written before that table is committed without it: users before the ledger knows of them."""
    engine = make_engine(url)
    open_savepoints: list[str] = []

    def split(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        verb, _, name = statement.rpartition("SAVEPOINT ")
        if verb or statement.startswith("SAVEPOINT "):
            open_savepoints[:] = [each for each in open_savepoints if each != name] + ([] if verb else [name])
        if not statement.startswith(f"INSERT INTO {second} "):
            return
        driver: Any = connection.connection.dbapi_connection
        driver.execute("COMMIT")
        driver.execute("BEGIN IMMEDIATE")
        for each in open_savepoints:
            driver.execute(f"SAVEPOINT {each}")

    event.listen(engine, "begin", lambda _connection: open_savepoints.clear())
    event.listen(engine, "before_cursor_execute", split)
    return engine


def _engine_that_does_not_wait_for_the_disk(url: str) -> Engine:
    engine = make_engine(url)
    event.listen(engine, "connect", lambda driver, _record: driver.execute("PRAGMA synchronous=NORMAL"))
    return engine


class _MarksArchivedFirst(Importer):
    def import_files(
        self,
        client: str,
        folder: Folder,
        uploads: Sequence[tuple[str, Fingerprint]],
        *,
        unseen_ends: frozenset[str] = frozenset(),
    ) -> Iterator[Outcome]:
        for outcome in super().import_files(client, folder, uploads, unseen_ends=unseen_ends):
            if isinstance(outcome, Imported | Refused):
                with self._engine.begin() as connection:
                    mark_archived(connection, [outcome.claim], at=self._clock.now())
            yield outcome


class _FinishesNothing(Importer):
    """Has no rule for what is committed and not archived."""

    def recover(self, client: str, folder: Folder, *, alone: bool = False) -> Iterator[Outcome]:
        with claiming.workroom(folder.anchor) as room:
            left = {claim.id: claim for claim in claiming.claims(client, folder, room)}
            yield from self._recover(left, alone=alone)


class _RetriesBlindly(Importer):
    """Takes what it does not know the end of for a new file, without asking the ledger."""

    def recover(self, client: str, folder: Folder, *, alone: bool = False) -> Iterator[Outcome]:
        for claim in [*claiming.claims(client, folder, folder.anchor / claiming.WORK_DIRECTORY)]:
            claiming.give_back(claim)
            seen = claiming.fingerprint((folder.anchor / claim.name).lstat())
            yield from self.import_files(client, folder, [(claim.name, seen)])
        yield from super().recover(client, folder, alone=alone)


class _ChecksNoUniqueness(Importer):
    def __init__(self, engine: Engine, format_: Format, limits: Limits, clock: Clock) -> None:
        columns = tuple(replace(column, unique=column.name == format_.key) for column in format_.columns)
        super().__init__(engine, replace(format_, columns=columns), limits, clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copying(Conductor):
    def store_file(
        self,
        claim: Claim,
        copied: Copied,
        judging: Judging,
        started: float,
        foreknown: Foreknown | None = None,
    ) -> Imported:
        content = claim.copy.read_bytes()
        claim.copy.unlink()
        claim.copy.write_bytes(content)
        return Conductor.store_file(self, claim, copied, judging, started, foreknown)


class _CopiesWithoutFsync(Importer):
    def conductor(self) -> Conductor:
        ours = super().conductor()
        return _Copying(**{field.name: getattr(ours, field.name) for field in fields(ours)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _MarksSentFirst:
    engine: Engine
    then: Transport

    async def send(self, message: Message, recipient: str) -> None:
        with self.engine.begin() as connection:
            this = mails.c.message_id == message["Message-ID"]
            connection.execute(update(mails).where(this).values(state="sent"))
        await self.then.send(message, recipient)


def _marking_sent_first(place: Path, engine: Engine) -> Transport:
    return _MarksSentFirst(engine=engine, then=to_folder(place, engine))


TWO_TRANSACTIONS = Build(engine=_engine_of_two_transactions)
NOTICE_APART = Build(engine=partial(_engine_of_two_transactions, second="notices"))
ARCHIVED_BEFORE_THE_MOVE = Build(importer=_MarksArchivedFirst)
NO_RULE_FOR_COMMITTED = Build(importer=_FinishesNothing)
BLIND_RETRY = Build(importer=_RetriesBlindly)
SENT_BEFORE_SENDING = Build(transport=_marking_sent_first)
NO_UNIQUENESS = Build(importer=_ChecksNoUniqueness)
COPY_WITHOUT_FSYNC = Build(importer=_CopiesWithoutFsync)
SYNCHRONOUS_NORMAL = Build(engine=_engine_that_does_not_wait_for_the_disk)

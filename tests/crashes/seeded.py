"""Houses with a bug each, which the enumeration of crashes, the power losses or the state machine must find."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, update

from importer import claiming
from importer.anchoring import Folder
from importer.archiving import ForBak
from importer.claiming import Copied
from importer.database import mails
from importer.engines import make_engine
from importer.format import Format
from importer.importing import Clock, Importer
from importer.ledger import Entry
from importer.model import Archived, Claim, Imported, Outcome, Refusal, Unarchived
from importer.reading import Limits
from importer.staging import Foreknown
from importer.storing import Store
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
    def _archive_all(self, files: Sequence[ForBak]) -> list[Archived | Unarchived]:
        self._store.mark_archived([file.claim for file in files], self._clock.now())
        return super()._archive_all(files)


class _ForgetfulStore(Store):
    def unarchived(self, client: str, directory: Path, claims: Iterable[str]) -> list[Entry]:
        del client, directory, claims
        return []


class _FinishesNothing(Importer):
    """Has no rule for what is committed and not archived."""

    def __init__(self, engine: Engine, format_: Format, limits: Limits, clock: Clock) -> None:
        super().__init__(engine, format_, limits, clock)
        self._store = _ForgetfulStore(engine, format_)


class _RetriesBlindly(Importer):
    """Takes what it does not know the end of for a new file, without asking the ledger."""

    def recover(self, client: str, folder: Folder) -> Iterator[Outcome]:
        for claim in [*claiming.claims(client, folder, folder.anchor / claiming.WORK_DIRECTORY)]:
            claiming.give_back(claim)
            seen = claiming.fingerprint((folder.anchor / claim.name).lstat())
            yield from self.import_files(client, folder, [(claim.name, seen)])
        yield from super().recover(client, folder)


class _ChecksNoUniqueness(Importer):
    def __init__(self, engine: Engine, format_: Format, limits: Limits, clock: Clock) -> None:
        columns = tuple(replace(column, unique=column.name == format_.key) for column in format_.columns)
        super().__init__(engine, replace(format_, columns=columns), limits, clock)


class _CopiesWithoutFsync(Importer):
    def _examine_and_store(
        self, claim: Claim, copied: Copied, foreknown: Callable[[], Foreknown | None], format_: Format, started: float
    ) -> Imported | Refusal:
        content = claim.copy.read_bytes()
        claim.copy.unlink()
        claim.copy.write_bytes(content)
        return super()._examine_and_store(claim, copied, foreknown, format_, started)


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

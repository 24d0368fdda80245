"""The child process that reads, validates and stores.

polars ends the process when memory runs out, so it lives in a process that may die. What the child needs comes
through a pipe, never by arguments or environment, which other users of the machine can read.
"""

import gc
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, assert_never

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer.client_lock import ClientLocks, LockedElsewhereError
from importer.database.engines import is_shared, trim_log
from importer.database.failures import (
    Cause,
    UnusableDatabaseError,
    cause_of,
    failure_detail,
    is_busy,
    is_outage,
)
from importer.database.former import mistake_of_empty, remember
from importer.database.identity import place_of
from importer.files.anchoring import Folder, opened_folder
from importer.files.faults import fault
from importer.model import Claim, Detail, Imported, InHand, Outcome, Refused, Superseded
from importer.words.details import detail
from watcher.base.clock import elapsed, utc_now
from watcher.base.limits import Allowance, allow_cpu, confine, die_with, forgo_algebra, silence
from watcher.base.logs import place
from watcher.work.jobs import (
    Bug,
    Finished,
    FinishFile,
    ImportFiles,
    Job,
    OutageError,
    OutageKind,
    Prepare,
    Purge,
    Recover,
    Supersede,
    Tell,
    UnusableSetupError,
    WorkerConfig,
)

if TYPE_CHECKING:
    from importer.importing import Importer

_SECONDS_AFTER_CLAIM = 1.0
"""A writer that had the file open when it was renamed shows itself within this time (measured, with a margin)."""
SHOWN_SECONDS = 0.5
"""Seconds between two messages of the child about how far it has come, at least."""


def serve(pipe: Connection, config: WorkerConfig, parent: int) -> None:
    """The child's main loop; it ends with its parent, or when the pipe is closed."""
    die_with(parent)
    silence()
    forgo_algebra()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(ignored, signal.SIG_IGN)
    tools = None
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        if isinstance(job, FinishFile):
            continue
        if tools is None:
            tools = _tools(config, rarely(pipe.send, elapsed))
            confine(config.allowance)
        allow_cpu(config.allowance)
        try:
            _do(pipe, tools, job, config.allowance)
        except (LockedElsewhereError, OutageError, UnusableSetupError) as told:
            pipe.send(told)
        except BaseException as error:  # noqa: BLE001 - polars' panics too; only its place is told, see silence
            pipe.send(Bug(_why(error)))
            os._exit(70)  # at once: the parent waits half a second for the code
        else:
            pipe.send(Finished())


def _why(error: BaseException) -> Detail | str:
    """What has ended the child: a limit of the database that the file has met, or the place of a bug."""
    if isinstance(error, SQLAlchemyError) and cause_of(error) is Cause.CUT_SHORT:
        return detail("because_database", why=failure_detail(error))
    return place(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """The tools of the child: an importer for each language of reasons.

    Attributes:
        misreadings: why this Python must not read anybody's file; empty where it may.
    """

    misreadings: tuple[str, ...]
    importer: Callable[[str], "Importer"]
    engine: Engine
    locks: ClientLocks
    config: WorkerConfig


def _tools(config: WorkerConfig, shows: Callable[[InHand], None]) -> _Tools:
    from importer.clock import Clock  # noqa: PLC0415
    from importer.database.engines import make_engine  # noqa: PLC0415 - polars is met in the child only
    from importer.importing import Importer  # noqa: PLC0415
    from importer.reading.self_test import misreadings  # noqa: PLC0415
    from importer.reading.user_file import Limits  # noqa: PLC0415

    clock = Clock(
        now=utc_now,
        elapsed=elapsed,
        pause=lambda: _wait(_SECONDS_AFTER_CLAIM),
        token=partial(next, tokens()),
    )
    limits = Limits(
        max_bytes=config.max_bytes, max_expanded_bytes=config.max_bytes, max_work_bytes=config.max_work_bytes
    )
    gc.freeze()  # what is loaded by now stays, and need not be looked through for garbage again and again
    engine = make_engine(config.database_url, single=True)

    @cache
    def importer(language: str) -> Importer:
        return Importer(
            engine,
            config.format,
            limits,
            clock,
            skips_unchanged=config.skips_unchanged,
            tells_success=config.tells_success,
            language=language,
            shows=shows,
            run=config.run,
        )

    return _Tools(
        misreadings=(*misreadings(),),
        importer=importer,
        engine=engine,
        locks=ClientLocks(engine),
        config=config,
    )


def rarely(show: Callable[[InHand], None], elapsed: Callable[[], float]) -> Callable[[InHand], None]:
    """Show progress at most every `SHOWN_SECONDS`; of a file that took so long also that all of it is read."""
    claim: Claim | None = None
    due, was_shown = 0.0, False

    def shows(now: InHand) -> None:
        nonlocal claim, due, was_shown
        if now.claim != claim:
            claim, due, was_shown = now.claim, elapsed() + SHOWN_SECONDS, False
        elif elapsed() >= due or (was_shown and now.progress.is_all):
            due, was_shown = elapsed() + SHOWN_SECONDS, True
            show(now)

    return shows


def tokens() -> Iterator[str]:
    """Make unique texts that sort in the order in which they were made.

    They end the ids of claims, and after a crash claims are taken up in the order of their ids.
    """
    for number in count():
        yield f"{number:06}{secrets.token_hex(4)}"


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _do(pipe: Connection, tools: _Tools, job: Job, allowance: Allowance) -> None:
    if tools.misreadings:
        raise UnusableSetupError([*tools.misreadings])
    try:
        for outcome in _outcomes(tools, job):
            pipe.send(outcome)
            allow_cpu(allowance)
            if pipe.poll() and not isinstance(outcome, Imported | Refused | Superseded):
                return  # those three are still to be archived
        trim_log(tools.engine)
    except (SQLAlchemyError, OSError) as error:
        if not is_outage(error):
            raise
        if is_busy(error) and is_shared(tools.engine) and (client := _client(job)):
            raise LockedElsewhereError(client) from None  # another node writes users of that name
        if isinstance(error, SQLAlchemyError):
            raise OutageError(OutageKind.DATABASE, failure_detail(error)) from None
        raise OutageError(OutageKind.DISK, _disk_detail(error, job)) from None


def _client(job: Job) -> str:
    """The client that a job is about; empty where it is about none."""
    match job:
        case Prepare():
            return ""
        case Tell():
            return job.notice.client
        case ImportFiles() | Recover() | Supersede() | Purge():
            return job.client
        case _:
            assert_never(job)


def _outcomes(tools: _Tools, job: Job) -> Iterator[Outcome]:
    importer = tools.importer(job.language if isinstance(job, ImportFiles | Recover | Purge) else "en")
    match job:
        case Prepare():
            _prepare(importer, tools)
        case ImportFiles():
            with _held(tools, job) as (folder, is_new):
                if is_new:  # the connection was replaced, and another node may have begun something meanwhile
                    yield from importer.recover(job.client, folder)
                yield from importer.import_files(job.client, folder, job.uploads, unseen_ends=job.unseen_ends)
        case Recover():
            with _held(tools, job) as (folder, _):
                yield from importer.recover(job.client, folder, alone=job.alone)
        case Tell():
            importer.tell(job.notice, once=job.once)
        case Supersede():
            claim = Claim(id=job.claim_id, client=job.client, directory=job.directory, name=job.name)
            importer.supersede(claim, size=job.size)
        case Purge():
            with _held(tools, job) as (folder, is_new):
                if is_new:  # as for ImportFiles: something may have been left half done
                    yield from importer.recover(job.client, folder)
                yield importer.purge(job.client, folder, tools.config.retention)
        case _:
            assert_never(job)


@contextmanager
def _held(tools: _Tools, job: ImportFiles | Recover | Purge) -> Iterator[tuple[Folder, bool]]:
    """The client's directory, opened once for the whole job, and whether it is newly held; see `ClientLocks.locked`."""
    with opened_folder(job.directory) as folder, tools.locks.locked(job.client, folder.anchor) as is_new:
        yield folder, is_new


def _prepare(importer: "Importer", tools: _Tools) -> None:
    from importer.database.tables import has_no_tables  # noqa: PLC0415 - see _tools
    from importer.formats.patterns import pattern_mistakes  # noqa: PLC0415

    if mistakes := [*pattern_mistakes(tools.config.format)]:
        raise UnusableSetupError(mistakes)
    state_dir, place = tools.config.state_dir, place_of(tools.config.database_url)
    try:
        if has_no_tables(tools.engine) and (mistake := mistake_of_empty(state_dir, place)):
            raise UnusableSetupError([mistake])
        importer.prepare()
    except UnusableDatabaseError as error:
        raise UnusableSetupError([str(error)]) from None
    remember(state_dir, place)


def _disk_detail(error: OSError, job: Job) -> Detail | str:
    """The words for what failed on a disk, without customers' data."""
    return fault(error, None if isinstance(job, Prepare | Tell) else job.directory)

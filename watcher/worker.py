"""The child process that reads, validates and stores, and the parent's handle on it.

polars ends the process when memory runs out, so it lives in a process that may die. What the child needs comes
through a pipe, never by arguments or environment, which other users of the machine can read.
"""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import secrets
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, assert_never, cast

from sqlalchemy.exc import SQLAlchemyError

from importer.anchoring import Folder, opened_folder
from importer.database import UnusableDatabaseError
from importer.engines import is_outage, what_failed
from importer.format import Format
from importer.holding import HeldElsewhereError, Holder
from importer.model import (
    Archived,
    Claim,
    Fingerprint,
    Imported,
    InHand,
    Notice,
    Outcome,
    Refused,
    Retention,
    Superseded,
)
from watcher.clock import elapsed, utc_now
from watcher.confining import Allowance, allow_cpu, confine, forgo_algebra, is_stuck, usage
from watcher.logs import place

if TYPE_CHECKING:
    from importer.importing import Importer

_PR_SET_PDEATHSIG = 1
_SECONDS_AFTER_CLAIM = 1.0
"""A writer that had the file open when it was renamed shows itself within this time (measured, with a margin)."""
SHOWN_SECONDS = 0.5
"""How often the child says at most how far it has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What the child works with; frozen for its life."""

    database_url: str
    format: Format
    max_bytes: int
    allowance: Allowance
    retention: Retention
    skips_unchanged: bool = True
    tells_success: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Check the format's patterns and bring the database up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFiles:
    """Import complete files of a client, each with what was seen of it when it was found complete."""

    client: str
    directory: Path
    uploads: tuple[tuple[str, Fingerprint], ...]
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """Finish what an earlier run left half done."""

    client: str
    directory: Path
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Store a notice, at most once for each `once`."""

    notice: Notice
    once: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Remove from a client's bak what has stayed there long enough."""

    client: str
    directory: Path
    language: str = "en"


Job = Prepare | ImportFiles | Recover | Tell | Purge


class OutageKind(StrEnum):
    """What was out while a job was done."""

    DATABASE = "database"
    DISK = "disk"
    WORKER = "importing process"


class OutageError(Exception):
    """A job stopped because something failed that is not ours; what it left is recovered later."""

    def __init__(self, kind: OutageKind, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class UnusableSetupError(Exception):
    """The format file's patterns are not understood, or the database does not go together with them."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class WorkerDiedError(Exception):
    """The child ended in the middle of a job: killed, out of memory, or by a bug of ours."""

    def __init__(self, exit_code: int | None, where: str) -> None:
        super().__init__(f"the importing process ended with {exit_code} {where}".strip())
        self.exit_code = exit_code
        self.where = where


class _StuckError(Exception):
    """The child stands still with hardly any memory left."""


class _EndedError(Exception):
    """The child was ended, because of what this says."""


@dataclass(frozen=True, slots=True)
class _Bug:
    where: str


class _Finished:
    """The job is done."""


class _FinishFile:
    """Stop after the file in hand."""


class Worker:
    """The parent's side. One job at a time; a child that has died, or has done its share, is replaced at the next job.

    Start the first job from the main thread: the child dies with the thread that made it.

    Attributes:
        in_hand: the file that is read or stored now, where that takes long enough to be told of.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.in_hand: InHand | None = None
        self._config = config
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._is_busy = False
        self._files = 0
        self._receiver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker-pipe")

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return self._is_busy

    async def run(self, job: Job) -> AsyncIterator[Outcome]:
        """Do a job; yields what becomes of each file.

        Raises:
            HeldElsewhereError: another process imports the client's files.
            OutageError: the database or a disk failed.
            UnusableSetupError: from Prepare.
            WorkerDiedError: the child ended.
        """
        pipe = self._started()
        self._is_busy = True
        try:
            pipe.send(job)
            # To bring a large database up to date may take long, and no file is at fault.
            patience = None if isinstance(job, Prepare) else self._config.allowance.seconds
            while not isinstance(answer := await self._receive(pipe, patience), _Finished):
                self._files += isinstance(answer, Archived)
                match answer:
                    case HeldElsewhereError() | OutageError() | UnusableSetupError():
                        raise answer
                    case _Bug():
                        raise WorkerDiedError(self._end(), answer.where)
                    case _:
                        yield cast("Outcome", answer)
        except (EOFError, OSError):
            raise WorkerDiedError(self._end(), "") from None
        except _EndedError as error:
            raise WorkerDiedError(self._end(), str(error)) from None
        finally:
            self._is_busy = False
            self.in_hand = None

    def finish_file(self) -> None:
        """Ask the running job to end after the file in hand."""
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            self._pipe.send(_FinishFile())

    def close(self) -> None:
        """End the child; a transaction in hand rolls back."""
        if self._process is not None:
            self._process.kill()
        self._end()
        self._receiver.shutdown(wait=False, cancel_futures=True)

    def _started(self) -> Connection:
        is_tired = self._files >= self._config.allowance.files
        if self._process is None or not self._process.is_alive() or self._pipe is None or is_tired:
            self._end()
            self._files = 0
            spawn = multiprocessing.get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            self._process = spawn.Process(target=_serve, args=(theirs, self._config, os.getpid()), name="importer")
            self._process.start()
            theirs.close()
        return self._pipe

    async def _receive(self, pipe: Connection, patience: float | None) -> object:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience):
                while True:
                    answer = await self._unless_stuck(loop.run_in_executor(self._receiver, pipe.recv))
                    if not isinstance(answer, InHand):
                        return answer
                    self.in_hand = answer
        except TimeoutError:
            why = f"because a file took it longer than {self._config.allowance.seconds:,.0f} s"
        except _StuckError:
            why = "because it stood still with hardly any memory left"
        if self._process is not None:
            self._process.kill()
            await loop.run_in_executor(self._receiver, self._process.join)  # behind the recv, which ends by it
        raise _EndedError(why)

    async def _unless_stuck(self, coming: asyncio.Future[object]) -> object:
        """What is coming; where it is waited for no longer, nobody is told of it."""
        before = None
        try:
            while not (await asyncio.wait({coming}, timeout=self._config.allowance.still_seconds))[0]:
                now = usage(self._process.pid) if self._process is not None and self._process.pid is not None else None
                if before is not None and now is not None and is_stuck(before, now):
                    raise _StuckError
                before = now
            return coming.result()
        finally:
            coming.cancel()

    def _end(self) -> int | None:
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        exit_code = None
        if process is not None:
            process.join(timeout=0.5)
            process.kill()
            process.join()
            exit_code = process.exitcode
            process.close()
        if pipe is not None:
            pipe.close()
        return exit_code


def _serve(pipe: Connection, config: WorkerConfig, parent: int) -> None:
    """The child's main loop; it ends with its parent, or when the pipe is closed."""
    _die_with(parent)
    _silence()
    forgo_algebra()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(ignored, signal.SIG_IGN)
    tools = None
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        if isinstance(job, _FinishFile):
            continue
        if tools is None:
            tools = _tools(config, rarely(pipe.send, elapsed))
            confine(config.allowance)
        allow_cpu(config.allowance)
        try:
            _do(pipe, tools, job, config.allowance)
        except (HeldElsewhereError, OutageError, UnusableSetupError) as told:
            pipe.send(told)
        except BaseException as error:  # noqa: BLE001 - polars' panics too; only its place is told, see _silence
            pipe.send(_Bug(place(error)))
            os._exit(70)  # at once: the parent waits half a second for the code
        else:
            pipe.send(_Finished())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """What the child works with; an importer for each language of reasons."""

    importer: Callable[[str], "Importer"]
    holder: Holder
    format: Format
    retention: Retention


def _tools(config: WorkerConfig, shows: Callable[[InHand], None]) -> _Tools:
    from importer.engines import make_engine  # noqa: PLC0415 - polars is met in the child only
    from importer.importing import Clock, Importer  # noqa: PLC0415
    from importer.reading import Limits  # noqa: PLC0415

    clock = Clock(
        now=utc_now,
        elapsed=elapsed,
        pause=lambda: _wait(_SECONDS_AFTER_CLAIM),
        token=partial(next, tokens()),
    )
    limits = Limits(max_bytes=config.max_bytes, max_expanded_bytes=config.max_bytes)
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
        )

    return _Tools(importer=importer, holder=Holder(engine), format=config.format, retention=config.retention)


def rarely(show: Callable[[InHand], None], elapsed: Callable[[], float]) -> Callable[[InHand], None]:
    """Shows what is new at most every `SHOWN_SECONDS`; of a file that took so long also that all of it is read."""
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
    """Texts that nobody else has, and that sort in the order in which they were made.

    They end the ids of claims, and after a crash claims are taken up in the order of their ids.
    """
    for number in count():
        yield f"{number:06}{secrets.token_hex(4)}"


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _do(pipe: Connection, tools: _Tools, job: Job, allowance: Allowance) -> None:
    try:
        for outcome in _outcomes(tools, job):
            pipe.send(outcome)
            allow_cpu(allowance)
            if pipe.poll() and not isinstance(outcome, Imported | Refused | Superseded):
                return  # those three are still to be archived
    except (SQLAlchemyError, OSError) as error:
        if not is_outage(error):
            raise
        kind = OutageKind.DATABASE if isinstance(error, SQLAlchemyError) else OutageKind.DISK
        raise OutageError(kind, _detail(error)) from None


def _outcomes(tools: _Tools, job: Job) -> Iterator[Outcome]:
    importer = tools.importer(job.language if isinstance(job, ImportFiles | Recover | Purge) else "en")
    match job:
        case Prepare():
            _prepare(importer, tools.format)
        case ImportFiles():
            with _held(tools, job) as (folder, is_new):
                if is_new:  # the connection was replaced, and another node may have begun something meanwhile
                    yield from importer.recover(job.client, folder)
                yield from importer.import_files(job.client, folder, job.uploads)
        case Recover():
            with _held(tools, job) as (folder, _):
                yield from importer.recover(job.client, folder)
        case Tell():
            importer.tell(job.notice, once=job.once)
        case Purge():
            with _held(tools, job) as (folder, is_new):
                if is_new:  # see above
                    yield from importer.recover(job.client, folder)
                yield importer.purge(job.client, folder, tools.retention)
        case _:
            assert_never(job)


@contextmanager
def _held(tools: _Tools, job: ImportFiles | Recover | Purge) -> Iterator[tuple[Folder, bool]]:
    """The client's directory, opened once for the whole job, and whether it is newly held; see `Holder.holding`."""
    with opened_folder(job.directory) as folder, tools.holder.holding(job.client, folder.anchor) as is_new:
        yield folder, is_new


def _prepare(importer: "Importer", format_: Format) -> None:
    from importer.patterns import pattern_mistakes  # noqa: PLC0415 - see _importer

    if mistakes := [*pattern_mistakes(format_)]:
        raise UnusableSetupError(mistakes)
    try:
        importer.prepare()
    except UnusableDatabaseError as error:
        raise UnusableSetupError([str(error)]) from None


def _detail(error: SQLAlchemyError | OSError) -> str:
    """What failed, without customers' data."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return what_failed(error)


def _silence() -> None:
    """Nothing is written to standard error: what a library says when it gives up may hold customers' data.

    Nor does Rust work it out: where memory runs out, that can hang.
    """
    os.putenv("RUST_BACKTRACE", "0")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _die_with(parent: int) -> None:
    """No orphan goes on writing. Source: prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

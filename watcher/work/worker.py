"""The parent's handle on the child that works for it: one job at a time, and a child that dies is replaced.

What the child does is in `watcher.work.child`, what both say to each other in `watcher.work.jobs`.
"""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from importer.client_lock import LockedElsewhereError
from importer.files.anchoring import opened_folder
from importer.files.claiming import give_back_attempts, workroom
from importer.model import Archived, Detail, InHand, Outcome
from importer.words.details import detail
from watcher.base.limits import is_stuck, usage
from watcher.work.child import serve
from watcher.work.jobs import (
    Answer,
    Bug,
    Finished,
    FinishFile,
    ImportFiles,
    Job,
    OutageError,
    Prepare,
    Purge,
    Recover,
    UnusableSetupError,
    WorkerConfig,
    WorkerDiedError,
)


class _StuckError(Exception):
    """The child stands still with hardly any memory left."""


class _EndedError(Exception):
    """The child was ended, for the reason that the error tells."""

    def __init__(self, why: Detail) -> None:
        super().__init__(why)
        self.why = why


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
        self._unfinished: Job | None = None
        self._files = 0
        self._receiver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker-pipe")

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return self._is_busy

    async def run(self, job: Job) -> AsyncIterator[Outcome]:
        """Do a job; yields what becomes of each file.

        Raises:
            LockedElsewhereError: another process imports the client's files.
            OutageError: the database or a disk failed.
            UnusableSetupError: from Prepare, or from any job where this Python misreads files.
            WorkerDiedError: the child ended.
        """
        pipe = self._started()
        self._is_busy = True
        self._unfinished = job
        try:
            pipe.send(job)
            # To bring a large database up to date may take long, and no file is at fault.
            patience = None if isinstance(job, Prepare) else self._config.allowance.seconds
            while not isinstance(answer := await self._receive(pipe, patience), Finished):
                self._files += isinstance(answer, Archived)
                match answer:
                    case LockedElsewhereError() | OutageError() | UnusableSetupError():
                        self._unfinished = None
                        raise answer
                    case Bug():
                        raise WorkerDiedError(self._end(), answer.where)
                    case _:
                        yield answer
            self._unfinished = None
        except (EOFError, OSError):
            raise WorkerDiedError(self._end(), "") from None
        except _EndedError as error:
            raise WorkerDiedError(self._end(), error.why) from None
        finally:
            self._is_busy = False
            self.in_hand = None

    def finish_file(self) -> None:
        """Ask the running job to end after the file in hand."""
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            self._pipe.send(FinishFile())

    def give_back_attempt(self) -> None:
        """Keep the attempt in hand from counting, whatever ends child or service from now on: the service stops."""
        if self._unfinished is not None and self._process is not None and self._process.is_alive():
            _give_back_attempts(self._unfinished, self._config.run)

    def close(self) -> None:
        """End the child; a transaction in hand rolls back, and the attempt does not count."""
        unfinished = self._unfinished
        is_ours = self._process is not None and self._process.is_alive()
        if self._process is not None:
            self._process.kill()
        self._end()
        if is_ours and unfinished is not None:
            _give_back_attempts(unfinished, self._config.run)
        self._receiver.shutdown(wait=False, cancel_futures=True)

    def _started(self) -> Connection:
        is_tired = self._files >= self._config.allowance.files
        if self._process is None or not self._process.is_alive() or self._pipe is None or is_tired:
            self._end()
            self._files = 0
            spawn = multiprocessing.get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            self._process = spawn.Process(target=serve, args=(theirs, self._config, os.getpid()), name="importer")
            self._process.start()
            theirs.close()
        return self._pipe

    async def _receive(self, pipe: Connection, patience: float | None) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience):
                while True:
                    answer = await self._unless_stuck(loop.run_in_executor(self._receiver, pipe.recv))
                    if not isinstance(answer, InHand):
                        return answer
                    self.in_hand = answer
        except TimeoutError:
            why = detail("file_took_long", seconds=f"{self._config.allowance.seconds:,.0f}")
        except _StuckError:
            why = detail("stood_still")
        if self._process is not None:
            self._process.kill()
            await loop.run_in_executor(self._receiver, self._process.join)  # behind the recv, which ends by it
        raise _EndedError(why)

    async def _unless_stuck(self, coming: asyncio.Future[Answer | InHand]) -> Answer | InHand:
        """The answer that comes; where it is waited for no longer, nobody is told of it."""
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
        self._unfinished = None
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


def _give_back_attempts(job: Job, run: str) -> None:
    """Give back the attempts of the job's client; where that fails a suspect is left, which is tried again, too."""
    if isinstance(job, ImportFiles | Recover | Purge):
        with suppress(OSError), opened_folder(job.directory) as folder, workroom(folder.anchor) as room:
            give_back_attempts(room, run)

"""The search for a person in files, any of which may be a bomb: in a process of its own, in the bounds of an import."""

import errno
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path

from importer.removing.persons import Looked, Person
from watcher.base.limits import Allowance, allow_cpu, confine, die_with, forgo_algebra, silence

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BEYOND_BOUNDS = "it takes more memory or processor time than a file may (USERDROP_FILE_MEMORY_MB, …_CPU_SECONDS)"


@contextmanager
def looking(known_names: frozenset[str], allowance: Allowance) -> Iterator["Looker"]:
    """Yield a looker, whose process ends with the block.

    Args:
        known_names: `Format.known_names`.
        allowance: the limits for each file.
    """
    looker = Looker(known_names, allowance)
    try:
        yield looker
    finally:
        looker.close()


class Looker:
    """A searcher of one file after the other; a process that a file has ended is replaced."""

    def __init__(self, known_names: frozenset[str], allowance: Allowance) -> None:
        self._known_names, self._allowance = known_names, allowance
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __call__(self, path: Path, name: str, wanted: Person) -> Looked:
        """Search a file; one that cannot be searched, for whatever reason, is found with a hindrance.

        Raises:
            FileNotFoundError: it is not there any more.
        """
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:
            raise
        except OSError as error:
            return Looked(is_named=False, hindrance=os.strerror(error.errno or errno.EIO))
        try:
            return self._asked(descriptor, name, wanted)
        except (EOFError, OSError):
            self.close()
            return Looked(is_named=False, hindrance=_BEYOND_BOUNDS)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """End the process that searches."""
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        if process is not None and pipe is not None:
            process.kill()
            process.join()
            process.close()
            pipe.close()

    def _asked(self, descriptor: int, name: str, wanted: Person) -> Looked:
        process, pipe = self._started()
        pipe.send((name, wanted))
        send_handle(pipe, descriptor, process.pid)
        if not pipe.poll(self._allowance.seconds):
            self.close()
            return Looked(is_named=False, hindrance=f"it takes longer than {self._allowance.seconds:,.0f} s")
        answer: Looked = pipe.recv()
        return answer

    def _started(self) -> tuple[BaseProcess, Connection]:
        if self._process is None or self._pipe is None:
            spawn = multiprocessing.get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            arguments = theirs, self._known_names, self._allowance, os.getpid()
            self._process = spawn.Process(target=_serve, args=arguments, name="looker", daemon=True)
            self._process.start()
            theirs.close()
        return self._process, self._pipe


def _serve(pipe: Connection, known_names: frozenset[str], allowance: Allowance, parent: int) -> None:
    """The process's main loop; it ends with its parent, or when the pipe is closed."""
    die_with(parent)
    silence()
    forgo_algebra()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from importer.removing.searching import look  # noqa: PLC0415 - polars is met in this process only

    confine(allowance)
    while True:
        try:
            name, wanted = pipe.recv()
        except EOFError:
            return
        allow_cpu(allowance)
        descriptor = recv_handle(pipe)
        try:
            pipe.send(look(Path(f"/proc/self/fd/{descriptor}"), name, wanted, known_names))
        except OSError as error:
            pipe.send(Looked(is_named=False, hindrance=os.strerror(error.errno or errno.EIO)))
        except BaseException:  # noqa: BLE001 - polars' panics too; nothing of it is shown, as it may hold cells
            os._exit(70)
        finally:
            os.close(descriptor)

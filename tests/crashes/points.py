"""A process for each point: forked from one that has loaded everything, and tampered with by `strace`.

strace counts the calls of each thread by itself. What an import does to the disk is done by one thread, and what the
sending process does to it by another one, so that every call of either is a point. The copies and claims of a group
are made durable by several threads: the nth call of any of them is a point.
"""

import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.crashes.house import BUG, House, finish, furnish
from tests.servers.tools import needs

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.crashes.house", "tests.crashes.seeded"])

Job = Callable[[House], Any]
AT_ONCE = 3
KILLED = -9
_LOST_SIGHT = 255
"""What multiprocessing says of a process whose end its fork server has not seen: now and then, of a traced one."""

_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: its exit code, what its job returned, and what it has written."""

    code: int | None
    answer: Any
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The nth system call of a kind, and what happens there instead of it."""

    call: str
    fault: str
    nth: int

    @property
    def name(self) -> str:
        """Also that of the place where it is tried."""
        return f"{self.call}-{self.nth}-{self.fault.partition('=')[2]}"

    @property
    def injection(self) -> str:
        """For strace."""
        return f"{self.call}:{self.fault}:when={self.nth}"


class Watched:
    """A process that does a job and is tampered with; it waits to be started.

    Args:
        job: what it does.
        house: where; the process's output and its trace come beside it.
        injection: for strace, which is left out where there is none.
    """

    def __init__(self, job: Job, house: House, injection: str = "") -> None:
        self._log = house.place.with_suffix(".log")
        self._trace = house.place.with_suffix(".trace")
        self._injection = injection
        self._strace: subprocess.Popen[bytes] | None = None
        self._ours, self._theirs = FORKS.Pipe()
        self._process = FORKS.Process(target=_begin, args=(self._theirs, self._log, job, house), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        if self._injection:
            self._strace = _attached(self.pid, self._injection, self._trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        if self._strace is not None:
            with self._strace:
                self._strace.terminate()
        self._process.join()
        self._ours.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    def start(self) -> None:
        """Let it begin."""
        self._ours.send("go")

    def end(self) -> Ended:
        """Wait for its end."""
        answer = _answer(self._ours)
        self._process.join(_PATIENCE_SECONDS)
        if self._strace is not None:
            self._strace.wait(_PATIENCE_SECONDS)
        log = self._log.read_text(encoding="utf-8", errors="replace")
        return Ended(code=self._process.exitcode, answer=answer, log=log)

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return not self._process.is_alive()

    def trace(self) -> str:
        """What strace has seen so far."""
        return self._trace.read_text(encoding="utf-8", errors="replace") if self._injection else ""


def run(job: Job, house: House, injection: str = "") -> Ended:
    """Do a job in a process of its own."""
    with Watched(job, house, injection) as watched:
        watched.start()
        return watched.end()


def restarted(house: House) -> list[str]:
    """What is wrong in a house after a restart."""
    ended = run(finish, house)
    return [f"the restart ended with {ended.code}: {ended.log[-2000:]}"] if ended.answer is None else ended.answer


def violations(
    job: Job,
    faults: Iterable[tuple[str, str]],
    house: House,
    *,
    before: Job | None = None,
    setting: Callable[[House], AbstractContextManager[object]] = nullcontext,
    also: Callable[[House], list[str]] = lambda _house: [],
) -> tuple[int, list[str]]:
    """Do a job again and again, tampered with at each point, restart the house, and see what is wrong then.

    Args:
        job: is tampered with.
        faults: kinds of calls, each with what happens there; each is tried from the first call to the last.
        house: not yet built.
        before: a job done before, undisturbed.
        setting: what is around the house while it is tried.
        also: looks at the house after each restart for what else is wrong.

    Returns:
        The number of points, and what is wrong after them.

    Raises:
        RuntimeError: the house does not work undisturbed.
    """
    house.place.mkdir()
    furnish(house)
    if before is not None:
        _undisturbed(before, house)
    untouched = house.copied_to(house.place.with_name("undisturbed"))
    with setting(untouched):
        _undisturbed(job, untouched)
        if wrong := restarted(untouched):
            raise RuntimeError("; ".join(wrong))

    def walk(fault: tuple[str, str]) -> tuple[int, list[str]]:
        call, what = fault
        found: list[str] = []
        for nth in count(1):
            point = Point(call=call, fault=what, nth=nth)
            tried = house.copied_to(house.place.with_name(point.name))
            with setting(tried):
                wrong = _try(job, point, tried)
                if wrong is None:
                    return nth - 1, found
                found += [f"{point.name}: {line}" for line in (*wrong, *also(tried))]
            shutil.rmtree(tried.place)
        raise AssertionError  # count() does not end

    with ThreadPoolExecutor(AT_ONCE) as pool:
        walked = list(pool.map(walk, faults))
    return sum(number for number, _ in walked), [line for _, lines in walked for line in lines]


def _try(job: Job, point: Point, house: House) -> list[str] | None:
    """What is wrong after a restart; None where the job did not come to the point."""
    with Watched(job, house, point.injection) as watched:
        watched.start()
        ended = watched.end()
        if ended.code != KILLED and "(INJECTED)" not in watched.trace():
            return None
    wrong = restarted(house)
    if ended.code not in {0, BUG, KILLED, _LOST_SIGHT}:
        wrong.append(f"the process ended with {ended.code}: {ended.log[-2000:]}")
    return wrong


def _undisturbed(job: Job, house: House) -> None:
    ended = run(job, house)
    if ended.code != 0:
        raise RuntimeError(ended.log)


def _begin(gate: Connection, log: Path, job: Job, house: House) -> None:
    """The process: it waits until it is watched."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    gate.recv()
    gate.send(job(house))


def _answer(gate: Connection) -> Any:  # noqa: ANN401 - as the job
    try:
        return gate.recv()
    except EOFError:
        return None


def _attached(pid: int, injection: str, output: Path) -> "subprocess.Popen[bytes]":
    calls = injection.partition(":")[0]
    command = [needs("strace"), "-f", "-p", str(pid), "-o", str(output)]
    command += ["-e", f"trace={calls}", "-e", f"inject={injection}"]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert strace.stderr is not None
    said = strace.stderr.readline()
    if b"attached" not in said:
        with strace:
            strace.kill()
        raise RuntimeError(said.decode())
    return strace

"""Limits of the importing process, so that no file takes the machine along. Source: setrlimit(2)."""

import ctypes
import math
import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_SPARE_BYTES = 16 << 20
"""A process with fewer bytes of memory left is at its end: one allocation wants more, or the next one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The limits of the child; a child that wants more is ended, which costs the file in hand an attempt.

    Attributes:
        memory_bytes: bytes of data in memory, beside what an idle child has.
        cpu_seconds: processor time from one outcome of a job to the next.
        seconds: time for which an outcome is waited; the parent looks after that.
        files: number of files after which a child that is well is replaced by a fresh one.
        still_seconds: time of doing nothing with its memory at an end; a child that waits for a database does more.
    """

    memory_bytes: int
    cpu_seconds: int
    seconds: float
    files: int
    still_seconds: float = 60.0


def confine(allowed: Allowance) -> None:
    """Bound this process's data in memory, and have it leave no core, which would hold customers' data.

    The address space is not bounded, as allocators reserve much of it that is never used: the more, the more processors
    there are. Call this function when everything is loaded.
    """
    _limit(resource.RLIMIT_DATA, _data_bytes(os.getpid()) + allowed.memory_bytes)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def forgo_algebra() -> None:
    """Keep numpy from starting a thread for each processor, for linear algebra; call it before numpy is loaded."""
    os.putenv("OPENBLAS_NUM_THREADS", "1")


def allow_cpu(allowed: Allowance) -> None:
    """Allow this process so many seconds of CPU time from now on; SIGXCPU ends it then."""
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + allowed.cpu_seconds)


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a process has used.

    Attributes:
        cpu_ticks: ticks of processor time since it began.
        data_bytes: bytes of data that it has in memory now.
        most_bytes: bytes of data that it may have; RLIM_INFINITY without a bound.
    """

    cpu_ticks: int
    data_bytes: int
    most_bytes: int


def usage(pid: int) -> Usage | None:
    """The resources that a process of ours has used; None where it has ended, or may not be asked."""
    try:
        # The name before the parenthesis may hold anything. Source: proc_pid_stat(5).
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        most, _ = resource.prlimit(pid, resource.RLIMIT_DATA)
        return Usage(cpu_ticks=int(stat[11]) + int(stat[12]), data_bytes=_data_bytes(pid), most_bytes=most)
    except (OSError, ValueError):  # a process that nobody has waited for yet has no memory
        return None


def is_stuck(before: Usage, now: Usage) -> bool:
    """Whether a process that has work did nothing between two usages, with hardly any memory left.

    A thread that gets no memory may never say so to those that wait for it: polars' do not (measured, 2.1). Between the
    two lies a minute: who waits for a database, whose drivers look up ten times a second, uses some ticks in it.
    """
    is_bounded = now.most_bytes != resource.RLIM_INFINITY
    return is_bounded and now.cpu_ticks == before.cpu_ticks and now.data_bytes >= now.most_bytes - _SPARE_BYTES


def _limit(which: int, wanted: int) -> None:
    """Set the soft limit, within the hard one."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _data_bytes(pid: int) -> int:
    """Bytes that RLIMIT_DATA counts: private memory that can be written. Source: proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    (line,) = (each for each in status.splitlines() if each.startswith("VmData:"))
    return int(line.split()[1]) << 10


def silence() -> None:
    """Discard standard error: what a library says when it gives up may hold customers' data.

    Nor does Rust work it out: where memory runs out, that can hang.
    """
    os.putenv("RUST_BACKTRACE", "0")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def die_with(parent: int) -> None:
    """End this process when its parent ends, so that no orphan goes on writing. Source: prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

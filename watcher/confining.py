"""What the importing process may use, so that no file takes the machine along. Source: setrlimit(2)."""

import math
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the child may use; a child that wants more is ended, which costs the file in hand an attempt.

    Attributes:
        memory_bytes: of data in memory, beside what an idle child has.
        cpu_seconds: from one outcome of a job to the next.
        seconds: of waiting for an outcome; the parent looks after that.
        files: after so many a child that is well is replaced by a fresh one.
    """

    memory_bytes: int
    cpu_seconds: int
    seconds: float
    files: int


def confine(allowed: Allowance) -> None:
    """Bound this process's data in memory, and leave no core, which would hold customers' data.

    Not its address space, of which allocators reserve much that is never used: the more, the more processors there are.
    Call it when everything is loaded.
    """
    _limit(resource.RLIMIT_DATA, _data_bytes() + allowed.memory_bytes)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def allow_cpu(allowed: Allowance) -> None:
    """From now on this process may use so much CPU time and no more; SIGXCPU ends it."""
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + allowed.cpu_seconds)


def _limit(which: int, wanted: int) -> None:
    """Set the soft limit, within the hard one."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts: private memory that can be written. Source: proc_pid_status(5)."""
    (line,) = (each for each in _STATUS.read_text(encoding="ascii").splitlines() if each.startswith("VmData:"))
    return int(line.split()[1]) << 10

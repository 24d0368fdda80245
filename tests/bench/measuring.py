"""Whole processes, measured from outside."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from time import perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process: seconds from start to end, its largest resident memory, and its exit code and last words.

    Attributes:
        cpu_seconds: of all its threads, user and system: what a busy machine changes least.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    code: int
    last_words: str


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> Run:
    """Run a process to its end.

    The peak is ru_maxrss of wait4(2), which no other child and (for its exec) hardly the parent touches: the parent
    must stay small, since what it held while it forked counts.
    """
    with TemporaryFile() as errors:
        start = perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        lines = [line for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return Run(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        code=process.returncode,
        last_words=next((line for line in reversed(lines) if "rror" in line or "xception" in line), ""),
    )


def typical(runs: Sequence[Run]) -> Run:
    """The median of each figure, with the first run's end."""
    return Run(
        seconds=median(one.seconds for one in runs),
        cpu_seconds=median(one.cpu_seconds for one in runs),
        peak_mb=median(one.peak_mb for one in runs),
        code=runs[0].code,
        last_words=runs[0].last_words,
    )

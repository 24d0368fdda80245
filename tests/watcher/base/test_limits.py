"""When a process with work counts as one that will do nothing any more."""

import os
import resource
import subprocess
import sys

import pytest

from watcher.base.limits import Usage, is_stuck, usage

BOUNDED = "import resource as r; r.setrlimit(r.RLIMIT_DATA, (1 << 30, 1 << 30)); print(flush=True); input()"
FORGONE = """
import os
from watcher.base.limits import forgo_algebra
forgo_algebra()
import numpy
print(len(os.listdir("/proc/self/task")))
"""
MOST = 1 << 30
NEAR = MOST - (16 << 20)
BEFORE = Usage(cpu_ticks=100, data_bytes=1, most_bytes=MOST)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (Usage(cpu_ticks=100, data_bytes=NEAR, most_bytes=MOST), True),
        (Usage(cpu_ticks=101, data_bytes=MOST, most_bytes=MOST), False),
        (Usage(cpu_ticks=100, data_bytes=NEAR - 1, most_bytes=MOST), False),
        (Usage(cpu_ticks=100, data_bytes=10**12, most_bytes=resource.RLIM_INFINITY), False),
    ],
)
def test_who_stands_still_is_stuck_where_hardly_any_memory_is_left(now: Usage, expected: bool) -> None:  # noqa: FBT001 - a table
    assert is_stuck(BEFORE, now) is expected


def test_the_usage_of_a_process_is_told_until_it_ends() -> None:
    mine = usage(os.getpid())
    assert mine is not None
    assert mine.data_bytes > 0
    assert mine.cpu_ticks > 0
    with subprocess.Popen([sys.executable, "-c", BOUNDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        told = usage(other.pid)
        assert told is not None
        assert told.most_bytes == 1 << 30
        assert told.data_bytes < 1 << 30
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert usage(other.pid) is None, "nobody has waited for it yet"
    assert usage(other.pid) is None


def test_numpy_starts_no_threads_for_an_algebra_that_is_forgone() -> None:
    done = subprocess.run([sys.executable, "-c", FORGONE], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"1\n"

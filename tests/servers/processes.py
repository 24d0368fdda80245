"""Ending processes by pid, together with the processes that they started."""

import contextlib
import os
import select
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

_END_SECONDS = 10


def bound_to_us(command: Sequence[str]) -> list[str]:
    """Return the command in a form that the kernel kills when the thread that starts it ends, however it ends."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def descendants(pid: int) -> list[int]:
    """Return the pids of all processes below one, nearest first."""
    children = _children()
    found = list(children[pid])
    for child in found:
        found.extend(children[child])
    return found


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process had. Source: proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (each for each in status.splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def cpu_seconds(pid: int) -> float:
    """Return the time that all threads of a process have used, user and system. Source: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children() -> Mapping[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended in the meantime
            # The name stands in brackets and may hold anything: state and parent follow the last bracket.
            parent = stat.read_text(errors="replace").rpartition(")")[2].split()[1]
            children[int(parent)].append(int(stat.parent.name))
    return children


@contextlib.contextmanager
def handles(pids: Iterable[int]) -> Iterator[list[int]]:
    """Yield a pidfd for each process that still runs: unlike a pid, it can't come to mean another process."""
    with contextlib.ExitStack() as stack:
        opened = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                stack.callback(os.close, handle)
                opened.append(handle)
        yield opened


def kill(opened: Sequence[int]) -> None:
    """Send SIGKILL to the processes of these pidfds and return when all have ended.

    Raises:
        TimeoutError: one still runs after 10 s.
    """
    for handle in opened:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    wait_for_end(opened)


def wait_for_end(opened: Sequence[int], *, timeout: float = _END_SECONDS) -> None:
    """Return when the processes of these pidfds have ended.

    Raises:
        TimeoutError: one still runs after `timeout` seconds.
    """
    for handle in opened:
        ended, _, _ = select.select([handle], [], [], timeout)
        if not ended:
            message = f"a process did not end within {timeout} s"
            raise TimeoutError(message)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that we started and everything below it; does nothing when it has been ended before."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGSTOP)  # no new children while we look
    with handles(descendants(process.pid)) as opened:
        kill(opened)
    process.kill()
    process.wait(_END_SECONDS)

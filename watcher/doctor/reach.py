"""The number of client folders for which the limits of the kernel and of the systemd unit reach."""

import os
from dataclasses import dataclass
from pathlib import Path

from watcher.doctor.findings import Finding, broken, ok, warning

EVENTS = "inotify"
TASKS = "threads"

INOTIFY_LIMITS = Path("/proc/sys/fs/inotify")
CGROUPS = Path("/sys/fs/cgroup")
EVENTS_OF_A_FOLDER = 8
"""The number of events of a folder at one moment: a canary's three, twice, and those of an upload."""
LEAST_QUEUED = 1024
THREADS = 96
"""The threads of the service and its importing process, for any number of clients, but those for each processor."""
THREADS_OF_A_PROCESSOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class InotifyLimits:
    """The kernel's limits of inotify, for all programs of a user together. Source: inotify(7).

    Attributes:
        instances: the number of instances; the service needs one, whatever the number of folders.
        watches: the number of watches; the service needs one for each folder.
        queued: the number of events that an instance keeps until they are read.
    """

    instances: int
    watches: int
    queued: int


def limits(inotify: Path, folders: int) -> Finding:
    """Judge whether every folder can be watched; limits that others use up show when a watch is made.

    Args:
        inotify: the directory in which the kernel has its limits.
        folders: how many folders are to be watched.
    """
    try:
        known = InotifyLimits(
            instances=_number(inotify / "max_user_instances"),
            watches=_number(inotify / "max_user_watches"),
            queued=_number(inotify / "max_queued_events"),
        )
    except (OSError, ValueError):
        return warning(EVENTS, f"the limits in {inotify} cannot be read", "run the doctor where /proc/sys is mounted")
    return judged(known, folders)


def judged(known: InotifyLimits, folders: int) -> Finding:
    """Judge whether limits reach for a number of folders."""
    are = "folder is" if folders == 1 else "folders are"
    seen = (
        f"{folders:,} {are} watched by one instance; fs.inotify.max_user_instances={known.instances},"
        f" fs.inotify.max_user_watches={known.watches}, fs.inotify.max_queued_events={known.queued}"
    )
    if folders > known.watches:
        what = f"{seen}: {folders - known.watches:,} folders are scanned every few seconds instead"
        return broken(EVENTS, what, _raised("max_user_watches", 2 * folders))
    if 2 * folders > known.watches:
        what = f"{seen}: other programs of the same user need watches, too"
        return warning(EVENTS, what, _raised("max_user_watches", 4 * folders))
    queued = max(LEAST_QUEUED, EVENTS_OF_A_FOLDER * folders)
    if known.queued < queued:
        what = f"{seen}: bursts of files overflow the queue, and all is scanned again"
        return warning(EVENTS, what, _raised("max_queued_events", max(16_384, 2 * queued)))
    return ok(EVENTS, f"{seen}, which is enough for {_reach(known):,} folders")


def _reach(known: InotifyLimits) -> int:
    return min(known.watches // 2, known.queued // EVENTS_OF_A_FOLDER)


def _raised(limit: str, value: int) -> str:
    return f"sysctl -w fs.inotify.{limit}={value}, and the same in /etc/sysctl.d"


def threads(process: int, *, processors: int, cgroups: Path = CGROUPS, proc: Path = Path("/proc")) -> Finding | None:
    """Judge whether the unit lets the service have the threads that it needs; None where no limit is seen.

    Args:
        process: the running service's number.
        processors: the number of the machine's processors; the importing process has threads for each.
        cgroups: the directory of the control groups. Source: cgroups(7), "pids.max".
        proc: the directory of the processes, /proc.
    """
    try:
        (group,) = (
            line.removeprefix("0::").strip("/")
            for line in os.fsdecode((proc / str(process) / "cgroup").read_bytes()).splitlines()
            if line.startswith("0::")
        )
        most, now = _number(cgroups / group / "pids.max"), _number(cgroups / group / "pids.current")
    except (OSError, ValueError):  # "max" is no number
        return None
    needed = THREADS + THREADS_OF_A_PROCESSOR * processors
    seen = f"the service has {now} of {most} threads; with {processors} processors it needs up to {needed}"
    if most < needed:
        return broken(TASKS, seen, f"systemctl edit userdrop: [Service], TasksMax={2 * needed}; then restart it")
    return ok(TASKS, f"{seen}, however many the clients are")


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))

"""The power goes: what the disk holds at each moment of a job, and what a restart makes of it.

The house stands on an ext4 of its own, on a loop device over a file. What was not fsynced is in the kernel's memory
and not in that file, so a copy of the file is what a disk holds after a power loss. `commit=` keeps the kernel from
writing by itself, which is the worst case. The process stands still after each system call while the copy is made;
where the call has left the disk as it was, the house is not restarted once more.
"""

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crashes.house import House, furnish
from tests.crashes.points import Job, Watched, restarted
from tests.importing import mounted
from tests.servers.tools import needs, wait_until

_MEGABYTES = 24
_CALLS = "renameat2,rename,fsync,fdatasync,unlink,unlinkat,pwrite64,write,mkdir,rmdir,ftruncate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """At how many points the power went, how many different disks that left, and what is wrong after a restart."""

    points: int
    restarts: int
    wrong: list[str]


def losses(jobs: Sequence[Job], house: House, *, data: str = "ordered", flush_every: int | None = None) -> Losses:
    """Do jobs on a disk, lose the power after each of their system calls, and restart the house.

    Args:
        jobs: done one after the other.
        house: not yet built.
        data: how ext4 orders data and metadata.
        flush_every: after how many calls the kernel happens to write everything; None for never.
    """
    ext4 = ("-t", "ext4", "-o", f"loop,commit=900,noatime,data={data}")
    memory = house.place.with_name("memory")  # where an fsync of the loop device's file costs nothing
    for directory in (memory, house.place):
        directory.mkdir()
    disk = memory / "disk"
    with mounted(memory, "-t", "tmpfs", "tmpfs"):
        _format(disk)
        with mounted(house.place, *ext4, str(disk)):
            furnish(house)
        with mounted(house.place, *ext4, str(disk)):
            points = [_snapshots(job, house, disk, flush_every) for job in jobs]
        different = [copy for copies, _ in points for copy in copies]
        wrong: list[str] = []
        for copy in different:
            with mounted(house.place, *ext4, str(copy)):
                wrong += [f"{copy.name}: {line}" for line in restarted(house)]
            copy.unlink()
    return Losses(points=sum(number for _, number in points), restarts=len(different), wrong=wrong)


def _format(disk: Path) -> None:
    with disk.open("wb") as file:
        file.truncate(_MEGABYTES << 20)
    subprocess.run([needs("mkfs.ext4"), "-q", "-b", "1024", "-J", "size=4", str(disk)], check=True, timeout=60)


def _snapshots(job: Job, house: House, disk: Path, flush_every: int | None) -> tuple[list[Path], int]:
    """Do a job and copy the disk after each call, where it has changed; returns the copies and the number of calls."""
    copies: list[Path] = []
    last, number = b"", 0
    with Watched(job, house, f"{_CALLS}:signal=STOP") as watched:

        def stands_still_or_has_ended() -> bool:
            return _stops(watched) > number or watched.has_ended()

        watched.start()
        while True:
            wait_until(stands_still_or_has_ended, "the next system call", timeout=60)
            if _stops(watched) == number:
                break
            number += 1
            if flush_every is not None and number % flush_every == 0:
                subprocess.run(["sync", "--file-system", str(house.place)], check=True, timeout=60)
            if (now := _hash(disk)) != last:
                last = now
                copies.append(disk.with_name(f"{job.__name__}-{number}"))
                subprocess.run(["cp", "--sparse=always", str(disk), str(copies[-1])], check=True, timeout=60)
            os.kill(watched.pid, signal.SIGCONT)
        ended = watched.end()
    if ended.code != 0:
        raise RuntimeError(ended.log)
    return copies, number


def _hash(disk: Path) -> bytes:
    with disk.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _stops(watched: Watched) -> int:
    """How often the process has come to a stand; each of its threads says so."""
    return len(re.findall(rf"^{watched.pid} +--- stopped by SIGSTOP", watched.trace(), re.MULTILINE))

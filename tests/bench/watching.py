"""Watching: what events, waiting files and a scan cost, and how long the event loop is held up meanwhile.

Run as a module it does one of these in a process of its own: `python -m tests.bench.watching WHAT DIRECTORY NUMBER`.
"""

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, WatchDescriptor

from notifier.alerts import Alerts
from watcher.base.clock import elapsed, utc_now
from watcher.base.logs import configure_logs
from watcher.running import collect_rarely
from watcher.uploads.intake import Intake
from watcher.uploads.model import Upload
from watcher.uploads.observing import DirectoryWatch
from watcher.uploads.scanning import scan
from watcher.uploads.settling import Patience

Figures = dict[str, float]

CONTENT = b"unique_id\nU1\n"
PROBE_SECONDS = 0.002
QUIET_SECONDS = 0.5
AIM_MILLISECONDS = 100
_DROP = """
import os, sys
directory, number = sys.argv[1], int(sys.argv[2])
for at in range(number):
    os.close(os.open(f"{directory}/{at:06}.csv", os.O_CREAT | os.O_WRONLY, 0o600))
"""


@dataclass(slots=True)
class Latency:
    """How much later than asked for the event loop came back, in milliseconds."""

    samples: list[float] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def stalls(self) -> Iterator[tuple[float, float, float]]:
        """When the loop was asked, by perf_counter, each sample, and what of it the loop itself was at work, in ms.

        What is more than that others had the processor, or the interpreter.
        """
        return zip(self.at, self.samples, self.cpu, strict=True)

    def figures(self) -> Figures:
        ordered = sorted(self.samples)
        return {"latency_ms": ordered[-1], "latency_p99_ms": ordered[len(ordered) * 99 // 100]}


@contextlib.asynccontextmanager
async def probed() -> AsyncIterator[Latency]:
    latency = Latency()

    async def probe() -> None:
        while True:
            asked, worked = perf_counter(), thread_time()
            await asyncio.sleep(PROBE_SECONDS)
            latency.at.append(asked)
            latency.cpu.append((thread_time() - worked) * 1000)
            latency.samples.append((perf_counter() - asked - PROBE_SECONDS) * 1000)

    task = asyncio.create_task(probe())
    yield latency
    await asyncio.sleep(PROBE_SECONDS)
    task.cancel()


def peak_mb() -> float:
    """The most memory that this program has used; ru_maxrss would tell of the one that has started it, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


async def bridge(directory: Path, number: int) -> Figures:
    """Events from a thread to the loop, without the kernel."""
    awake = asyncio.Event()
    watch = DirectoryWatch(directory, awake.set, awake.set)
    closed, one = InotifyConstants.IN_CLOSE_WRITE, WatchDescriptor(1)
    events = [InotifyEvent(one, closed, 0, f"{at % 40_000:06}.csv".encode()) for at in range(number)]
    gc.collect()
    before = peak_mb()
    dispatch = watch._marker.on_event  # noqa: SLF001

    def burst() -> None:
        for event in events:
            dispatch(event)

    thread = threading.Thread(target=burst)
    async with probed() as latency:
        started = perf_counter()
        thread.start()
        wakes = 0
        while thread.is_alive() or awake.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(awake.wait(), 0.01)
            awake.clear()
            wakes += bool(watch.drain().names)
        seconds = perf_counter() - started
    return {"per_second": number / seconds, "wakes": wakes, "grown_mb": peak_mb() - before} | latency.figures()


async def burst(directory: Path, number: int) -> Figures:
    """Events of a real directory, two for each file, made by another process as fast as it can."""
    awake = asyncio.Event()
    watch = DirectoryWatch(directory, awake.set, awake.set)
    watch.start()
    before = peak_mb()
    names: set[str] = set()
    must_scan = False
    async with probed() as latency:
        started = perf_counter()
        dropping = await asyncio.create_subprocess_exec(sys.executable, "-c", _DROP, str(directory), str(number // 2))
        ended = asyncio.create_task(dropping.wait())
        while not ended.done() or awake.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(awake.wait(), 0.2)
            awake.clear()
            marks = watch.drain()
            must_scan |= marks.everything or watch.fault() is not None
            names = set() if len(names) > 50_000 else names | marks.names
        seconds = perf_counter() - started
    await watch.stop()
    return {"per_second": number / seconds, "lost": must_scan, "grown_mb": peak_mb() - before} | latency.figures()


def _intake(directory: Path, quiet: float, hand_on: Callable[[list[Upload]], None]) -> Intake:
    return Intake(
        client="default",
        directory=directory,
        interval=timedelta(hours=1),
        patience=Patience(proven=quiet, quiet=quiet, long_quiet=quiet),
        verdicts=None,
        now=utc_now,
        elapsed=elapsed,
        alerts=Alerts(utc_now, elapsed),
        hand_on=hand_on,
        tell_doubt=lambda _: None,
    )


async def waiting(directory: Path, number: int) -> Figures:
    """Files that wait: the scan, a look at each, and the tick that hands all of them on."""
    started = perf_counter()
    assert len(scan(directory).candidates) == number
    scanned = perf_counter() - started
    handed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def hand_on(batch: list[Upload]) -> None:
        handed.set_result(len(batch))

    intake = _intake(directory, QUIET_SECONDS, hand_on)
    gc.collect()
    before = peak_mb()
    stopping = asyncio.Event()
    async with probed() as latency:
        started = perf_counter()
        running = asyncio.create_task(intake.run(stopping))
        while intake.settled < number:  # noqa: ASYNC110 - the probe's own measure is fine enough
            await asyncio.sleep(0.01)
        settled = perf_counter() - started
        started = perf_counter()
        intake.tick()
        assert await handed == number
        ticked = perf_counter() - started
        stopping.set()
        intake.wake()
        await running
    return {
        "scan_seconds": scanned,
        "settled_seconds": settled,
        "tick_seconds": ticked,
        "grown_mb": peak_mb() - before,
    } | latency.figures()


async def settling(directory: Path, number: int) -> Figures:
    """One file after the other: from its close to when it is settled, less the quiet time."""
    intake = _intake(directory, QUIET_SECONDS, lambda _: None)
    stopping = asyncio.Event()
    running = asyncio.create_task(intake.run(stopping))
    while not intake.watch.is_live:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    late: list[float] = []
    for at in range(number):
        (directory / f"{at:06}.csv").write_bytes(CONTENT)
        closed = perf_counter()
        while intake.settled <= at:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        late.append((perf_counter() - closed - QUIET_SECONDS) * 1000)
    stopping.set()
    intake.wake()
    await running
    return {"median_ms": sorted(late)[len(late) // 2], "worst_ms": max(late)}


async def idle(directory: Path, number: int) -> Figures:
    """Nothing: what the machine and its other users make of the loop's latency."""
    del directory
    before = peak_mb()
    async with probed() as latency:
        await asyncio.sleep(number)
    return {"grown_mb": peak_mb() - before} | latency.figures()


STAGES: dict[str, Callable[[Path, int], Coroutine[Any, Any, Figures]]] = {
    "idle": idle,
    "bridge": bridge,
    "burst": burst,
    "waiting": waiting,
    "settling": settling,
}


@click.command()
@click.option("--events", default=200_000, show_default=True, type=click.IntRange(min=1000))
@click.option("--files", default=100_000, show_default=True, type=click.IntRange(min=1))
@click.option("--place", type=click.Path(path_type=Path, exists=True), help="A directory on the disk to measure.")
def watch(*, events: int, files: int, place: Path | None) -> None:
    """Watch a directory: a burst of events, many waiting files, one file after the other."""
    with TemporaryDirectory(prefix="userdrop-bench-", dir=place) as name:
        directories = {stage: Path(name) / stage for stage in STAGES}
        for directory in directories.values():
            directory.mkdir()
        for at in range(files):
            (directories["waiting"] / f"{at:06}.csv").write_bytes(CONTENT)
        numbers = {"idle": 3, "bridge": events, "burst": events, "waiting": files, "settling": 20}
        figures = {stage: _measured(stage, directories[stage], numbers[stage]) for stage in STAGES}
    _show(Console(width=150), figures, numbers)


def _measured(stage: str, directory: Path, number: int) -> Figures:
    command = [sys.executable, "-m", "tests.bench.watching", stage, str(directory), str(number)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    measured: Figures = json.loads(done.stdout)
    return measured


def _show(console: Console, figures: dict[str, Figures], numbers: dict[str, int]) -> None:
    nothing, bridged, bursting, many, single = (figures[stage] for stage in STAGES)
    table = Table(title="Watching", title_justify="left", caption_justify="left")
    table.add_column("what")
    for name in ("figure", "loop latency, worst (p99) ms", "memory grown by MB"):
        table.add_column(name, justify="right")

    def row(what: str, figure: str, of: Figures) -> None:
        table.add_row(
            what, figure, f"{of['latency_ms']:.0f} ({of['latency_p99_ms']:.0f})", f"{max(0, of['grown_mb']):.0f}"
        )

    row("nothing", "", nothing)
    row(f"{numbers['bridge']:,} events over the bridge", f"{bridged['per_second']:,.0f} events/s", bridged)
    lost = ", some lost: scan" if bursting["lost"] else ""
    row(f"{numbers['burst']:,} events of a directory", f"{bursting['per_second']:,.0f} events/s{lost}", bursting)
    row(f"{numbers['waiting']:,} waiting files: all settled", f"{many['settled_seconds']:.1f} s", many)
    table.add_row("… their tick", f"{many['tick_seconds']:.1f} s")
    table.add_row("… a bare scan for each 100,000", f"{many['scan_seconds'] * 100_000 / numbers['waiting']:.2f} s")
    table.add_row(
        "close to settled, less the quiet time", f"{single['median_ms']:.0f} ms, at worst {single['worst_ms']:.0f} ms"
    )
    table.caption = (
        f"The aim for the loop's latency is {AIM_MILLISECONDS} ms. The bridge was woken {bridged['wakes']:,.0f} times. "
        f"{os.cpu_count()} CPUs."
    )
    console.print(table)


def _main() -> None:
    what, directory, number = sys.argv[1:]
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        configure_logs(level="info", form="json", stream=nowhere)
        collect_rarely()
        figures = asyncio.run(STAGES[what](Path(directory), int(number)))
    print(json.dumps(figures))  # noqa: T201 - for the process that has started this one


if __name__ == "__main__":
    _main()

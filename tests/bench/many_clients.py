"""Many clients: what the service's own process needs for a thousand folders and a server's log, and how long it stalls.

Run as a module it is that process, with a probe in its event loop: `python -m tests.bench.many_clients FIGURES`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.request import urlopen

import click
from rich.console import Console
from rich.table import Table

from importer.formats.format_file import load_format
from tests.bench.watching import AIM_MILLISECONDS, probed
from tests.servers.ports import LOOPBACK, reserved_ports
from watcher.app import Service
from watcher.base.control import asked
from watcher.base.journal import Journal
from watcher.base.logs import configure_logs
from watcher.running import collect_rarely
from watcher.settings.variables import load_settings
from watcher.wiring import make_directories

AIM_MB = 250
CONTENT = b"unique_id,first_name,last_name,email,login_source\nU1,Ana,Example,ana@example.org,campus\n"
STALL_MS = 5.0
_LINE = 'Wed Jul  1 12:00:00 2026 [pid 7] [ftp] OK UPLOAD: Client "127.0.0.1", "{path}", {size} bytes, 1.00Kbyte/sec\n'


@dataclass(slots=True)
class Part:
    """What is measured of a part of the run, which began at `since`; both times are those of perf_counter."""

    name: str
    since: float
    cpu_before: float
    until: float = 0.0
    cpu: float = 0.0
    worst: float = 0.0
    worst_cpu: float = 0.0


@dataclass(slots=True)
class Measured:
    """A running service, from outside."""

    process: subprocess.Popen[bytes]
    parts: list[Part] = field(default_factory=list)
    most_threads: int = 0
    most_descriptors: int = 0
    ended_after: float = 0.0

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    def look(self) -> None:
        self.most_threads = max(self.most_threads, len(os.listdir(f"/proc/{self.process.pid}/task")))  # noqa: PTH208
        self.most_descriptors = max(
            self.most_descriptors,
            len(os.listdir(f"/proc/{self.process.pid}/fd")),  # noqa: PTH208
        )

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        part = Part(name, perf_counter(), self.cpu_seconds())
        self.parts.append(part)
        yield
        part.until, part.cpu = perf_counter(), self.cpu_seconds() - part.cpu_before

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = perf_counter() + seconds
        while not condition():
            self.look()
            if self.process.poll() is not None or perf_counter() > end:
                message = f"{self.parts[-1].name}: not within {seconds} s, exit code {self.process.returncode}"
                raise click.ClickException(message)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)


class Said:
    """What the service's log says, counted by event."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self._counts: dict[str, int] = {}

    def times(self, event: str, **fields: object) -> int:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for said in map(json.loads, lines):
            keys = [said["event"], *(f"{said['event']} {key}={value}" for key, value in said.items() if key == "to")]
            for key in keys:
                self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts.get(" ".join([event, *(f"{key}={value}" for key, value in fields.items())]), 0)


@click.command()
@click.option("--clients", default=1000, show_default=True, type=click.IntRange(min=1))
@click.option("--log-mb", default=8, show_default=True, type=click.IntRange(min=0), help="Of vsftpd's log, before.")
@click.option("--seconds", default=300, show_default=True, type=click.IntRange(min=1), help="For each part, at most.")
@click.option("--imports/--no-imports", default=False, help="Wait until every file is imported, too.")
@click.option("--place", type=click.Path(path_type=Path, exists=True), help="A directory on the disk to measure.")
def clients(*, clients: int, log_mb: int, seconds: int, imports: bool, place: Path | None) -> None:
    """Serve many client folders with a server's log: an upload to each, a tick, the page, the metrics, the status."""
    with TemporaryDirectory(prefix="userdrop-bench-", dir=place) as name:
        root = Path(name)
        names = [f"client-{number:04}" for number in range(clients)]
        for each in names:
            (root / "upload" / each).mkdir(parents=True)
        _write_old_log(root / "vsftpd.log", names, log_mb << 20)
        measured, peak_mb = _served(root, names, seconds, imports=imports)
    _show(measured, peak_mb, clients, log_mb)


def _write_old_log(path: Path, names: list[str], size: int) -> None:
    with path.open("w", encoding="ascii") as log:
        numbers = count()
        while log.tell() < size:
            for number in islice(numbers, 1000):
                path_ = f"/{names[number % len(names)]}/old-{number:07}.csv"
                log.write(_LINE.format(path=path_, size=len(CONTENT)))


def _served(root: Path, names: list[str], seconds: float, *, imports: bool) -> tuple[Measured, float]:
    with reserved_ports() as ports:
        return _served_at(ports[0], root, names, seconds, imports=imports)


def _served_at(port: int, root: Path, names: list[str], seconds: float, *, imports: bool) -> tuple[Measured, float]:
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251 - that of whoever measures
        "USERDROP_UPLOAD_DIR": str(root / "upload"),
        "USERDROP_STATE_DIR": str(root / "state"),
        "USERDROP_CLIENT_FOLDERS": "true",
        "USERDROP_INTERVAL_MINUTES": "60",
        "USERDROP_VSFTPD_LOG": str(root / "vsftpd.log"),
        "USERDROP_FAILED_IMPORT_EMAIL": "failed@example.org",
        "USERDROP_REPLY_TO_ADMIN_EMAIL": "admin@example.org",
        "USERDROP_HTTP_LISTEN": f"{LOOPBACK}:{port}",
        "USERDROP_MIN_FREE_MB": "0",
    }
    figures = root / "figures.json"
    with (root / "log").open("wb") as out:
        command = [sys.executable, "-m", "tests.bench.many_clients", str(figures)]
        measured = Measured(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment))
    said = Said(root / "log")
    try:
        _walk(measured, said, root, names, seconds=seconds, port=port, imports=imports)
        peak = measured.peak_mb()
        asked_at = perf_counter()
        measured.process.send_signal(signal.SIGTERM)
        measured.process.wait(60)
        measured.ended_after = perf_counter() - asked_at
    finally:
        measured.process.kill()
        measured.process.wait()
    samples = json.loads(figures.read_text())
    for part in measured.parts:
        within = [each for each in samples if part.since <= each[0] <= part.until]
        part.worst = max((ms for _, ms, _ in within), default=0.0)
        part.worst_cpu = max((ms for _, _, ms in within), default=0.0)
    return measured, peak


def _walk(
    measured: Measured, said: Said, root: Path, names: list[str], *, seconds: float, port: int, imports: bool
) -> None:
    number = len(names)
    with measured.part("start: every watch is live"):
        measured.until(lambda: said.times("watch_changed", to="live") >= number, seconds)
    with measured.part("nothing to do, for 15 s"):
        end = perf_counter() + 15
        measured.until(lambda: perf_counter() > end, 20)
    with measured.part("an upload to each: all settled"):
        with (root / "vsftpd.log").open("a", encoding="ascii") as log:
            for name in names:
                (root / "upload" / name / "students.csv").write_bytes(CONTENT)
                log.write(_LINE.format(path=f"/{name}/students.csv", size=len(CONTENT)))
                log.flush()
        measured.until(lambda: said.times("upload_settled") >= number, seconds)
    for path in ("metrics", "", "readyz"):
        with measured.part(f"asked for /{path}"):
            measured.look()
            urlopen(f"http://{LOOPBACK}:{port}/{path}", timeout=60).read()
    with measured.part("asked for the status"):
        asked(root / "state", "status")
    with measured.part("a tick: the first is imported"):
        measured.process.send_signal(signal.SIGUSR1)
        measured.until(lambda: said.times("file_archived") >= 1, seconds)
    with measured.part("the second minute"):
        end = perf_counter() + 60
        measured.until(lambda: perf_counter() > end, 70)
    with measured.part("the kernel's queue overflows: every watch is made anew"):
        measured.process.send_signal(signal.SIGSTOP)
        _overflow(root / "upload" / names[0])
        measured.process.send_signal(signal.SIGCONT)
        measured.until(lambda: said.times("watch_changed", to="live") >= 2 * number, seconds)
    if imports:
        with measured.part("all are imported"):
            measured.until(lambda: said.times("file_archived") >= number, 4 * number + seconds)


def _overflow(folder: Path) -> None:
    """Make more events than the kernel keeps for who does not read them: each file is created, closed and deleted."""
    for number in range(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // 2):
        path = folder / f"{number:06}.tmp"
        path.touch()
        path.unlink()


def _show(measured: Measured, peak_mb: float, clients: int, log_mb: int) -> None:
    title = f"{clients:,} client folders, {log_mb} MB of vsftpd's log"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("what")
    for name in ("seconds", "CPU seconds", "loop stalled at worst, ms", "at work itself, ms"):
        table.add_column(name, justify="right")
    for part in measured.parts:
        stalls = (f"{part.worst:.0f}", f"{part.worst_cpu:.0f}")
        table.add_row(part.name, f"{part.until - part.since:.1f}", f"{part.cpu:.1f}", *stalls)
    table.caption = (
        f"The service's own process had {peak_mb:.0f} MB at most (aim {AIM_MB}), {measured.most_threads}"
        f" threads and {measured.most_descriptors} descriptors; the aim for a stall is {AIM_MILLISECONDS} ms."
        f" It ended {measured.ended_after:.1f} s after SIGTERM. {os.cpu_count()} CPUs."
    )
    Console(width=130).print(table)


async def _run() -> list[tuple[float, float, float]]:
    settings = load_settings()
    journal = Journal()
    configure_logs(level="info", form="json", note=journal.note)
    make_directories(settings)
    service = Service(settings, load_format(settings.format_file), journal)
    collect_rarely()
    async with probed() as latency:
        await service.run(begun=lambda: None)
    return [each for each in latency.stalls if each[1] >= STALL_MS]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asyncio.run(_run())), encoding="ascii")

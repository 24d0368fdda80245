"""Files that attack: how long each takes, what they cost the service in memory, and how much later another client's
files are imported meanwhile.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from importer.model import shown_name
from tests.e2e import files
from tests.e2e.house import House
from tests.generate.hostile import LEFT, Hostile, hostile_things
from tests.servers.processes import cpu_seconds, descendants, peak_bytes
from tests.servers.service import Service
from watcher.settings.variables import Settings

ATTACKER, NEIGHBOUR = "attacker", "neighbour"
AIM_SECONDS, AIM_PARENT_MB, AIM_LATER = 10, 200, 0.1
_PATIENCE_SECONDS = 900
_GOOD = files.csv_of(*(files.good(number) for number in range(10)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds from the tick to `bak`, or to the alert about what is left; and the processor time of all processes."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One after the other; then the peaks."""

    costs: dict[Hostile, Cost]
    parent_mb: float
    child_mb: float


@click.command()
@click.option(
    "--megabytes", default=300, show_default=True, type=click.IntRange(min=1), help="The size of the largest."
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
def hostile(*, megabytes: int, rounds: int) -> None:
    """Drop every file of the hostile corpus, one by one; then all at once, beside another client's files."""
    console = Console(width=150)
    with TemporaryDirectory(prefix="userdrop-bench-") as place:
        _show_attack(console, _one_by_one(Path(place), megabytes))
    attacked: list[float] = []
    alone: list[float] = []
    for _ in range(rounds):
        with TemporaryDirectory(prefix="userdrop-bench-") as place:
            some = [*_neighbours_waits(Path(place), megabytes)]
        with TemporaryDirectory(prefix="userdrop-bench-") as place:
            alone += [wait for wait, _ in zip(_neighbours_waits(Path(place), None), some, strict=False)]
        attacked += some
    _show_neighbour(console, attacked, alone)


def _house(place: Path) -> House:
    house = House(place)
    house.change(CLIENT_FOLDERS="true", DEFAULT_LOGIN_SOURCE="OPSCOM")
    for client in (ATTACKER, NEIGHBOUR):
        (house.upload / client).mkdir()
    return house


def _one_by_one(place: Path, megabytes: int) -> Attack:
    house = _house(place)
    folder = house.upload / ATTACKER
    costs: dict[Hostile, Cost] = {}
    parent_bytes = child_bytes = 0
    with house.service() as service:
        for thing in hostile_things(megabytes):
            thing.make(folder / thing.name)
            costs[thing] = _left(service, folder, thing) if thing.becomes == LEFT else _taken(service, thing)
            parent_bytes = peak_bytes(service.process.pid)
            child_bytes = max([child_bytes, *map(peak_bytes, descendants(service.process.pid))])
        service.terminate()
    return Attack(costs=costs, parent_mb=parent_bytes / (1 << 20), child_mb=child_bytes / (1 << 20))


def _taken(service: Service, thing: Hostile) -> Cost:
    name = shown_name(thing.name)
    service.wait_for_event("upload_settled", file=name, client=ATTACKER, timeout=_PATIENCE_SECONDS)
    return _tick(service, lambda: _archived(service, ATTACKER, name))


def _archived(service: Service, client: str, name: str) -> None:
    service.wait_for_event("file_archived", file=name, client=client, timeout=_PATIENCE_SECONDS)


def _tick(service: Service, wait: Callable[[], object]) -> Cost:
    """What it costs from a tick to the end of the wait. A child that is new meanwhile counts from its start."""
    before = _cpu_seconds(service)
    started = perf_counter()
    service.tick()
    wait()
    seconds = perf_counter() - started
    after = _cpu_seconds(service)
    return Cost(seconds=seconds, cpu_seconds=sum(now - before.get(pid, 0) for pid, now in after.items()))


def _cpu_seconds(service: Service) -> dict[int, float]:
    return {pid: cpu_seconds(pid) for pid in (service.process.pid, *descendants(service.process.pid))}


def _left(service: Service, folder: Path, thing: Hostile) -> Cost:
    before = len(service.events("alert_opened", kind="odd_file"))
    cost = _tick(service, lambda: service.wait_for_event("alert_opened", nth=before + 1, kind="odd_file"))
    path = folder / thing.name
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
    service.tick()
    service.wait_for_event("alert_resolved", nth=before + 1, kind="odd_file")
    return cost


def _neighbours_waits(place: Path, megabytes: int | None) -> Iterator[float]:
    """Seconds from a tick to `bak` of small files, one after the other: while there are hostile ones, or for ever."""
    house = _house(place)
    things = [] if megabytes is None else [*hostile_things(megabytes)]
    for thing in things:
        thing.make(house.upload / ATTACKER / thing.name)
    with house.service() as service:
        service.wait_for_event("watch_changed", client=NEIGHBOUR, to="live")
        if things:
            to_be_taken = sum(thing.becomes != LEFT for thing in things)
            service.wait_for_event("upload_settled", client=ATTACKER, nth=to_be_taken, timeout=_PATIENCE_SECONDS)
            service.tick()
            service.wait_for_event("batch_started", client=ATTACKER)
        for number in count():
            if service.events("batch_finished", client=ATTACKER):
                return
            yield _neighbours_wait(house, service, f"{number}.csv")


def _neighbours_wait(house: House, service: Service, name: str) -> float:
    draft = house.root / name
    draft.write_bytes(_GOOD)
    draft.rename(house.upload / NEIGHBOUR / name)
    service.wait_for_event("upload_settled", client=NEIGHBOUR, file=name)
    return _tick(service, lambda: _archived(service, NEIGHBOUR, name)).seconds


def _show_attack(console: Console, attack: Attack) -> None:
    table = Table(title=f"{len(attack.costs)} hostile things", title_justify="left", caption_justify="left")
    for name in ("thing", "becomes"):
        table.add_column(name)
    for name in ("seconds", "CPU s"):
        table.add_column(name, justify="right")
    for thing, cost in sorted(attack.costs.items(), key=lambda each: -each[1].seconds):
        name = escape(shown_name(thing.name)[:60])
        table.add_row(name, thing.becomes, f"{cost.seconds:.2f}", f"{cost.cpu_seconds:.2f}")
    worst = max(cost.seconds for cost in attack.costs.values())
    table.caption = (
        f"From the tick to bak, 1 s of which is waited for writers; what is left, to its alert. At worst {worst:.1f} s "
        f"(the aim is {AIM_SECONDS} s).\nThe parent takes {attack.parent_mb:.0f} MB at most (the aim is "
        f"{AIM_PARENT_MB} MB), the importing process {attack.child_mb:,.0f} MB. {os.cpu_count()} CPUs."
    )
    console.print(table)


def _show_neighbour(console: Console, attacked: list[float], alone: list[float]) -> None:
    later = median(attacked) - median(alone)
    fields = Settings.model_fields
    way = fields["quiet_seconds"].default + fields["interval_minutes"].default * 60 / 2 + median(alone)
    console.print(
        f"Another client's file takes {median(attacked):.2f} s (at worst {max(attacked):.2f} s) from its tick to bak "
        f"while the hostile ones are imported, and {median(alone):.2f} s (at worst {max(alone):.2f} s) without them: "
        f"{later:.2f} s later.\nOf its whole way of {way:.0f} s (the quiet time, half an interval, the import) that is "
        f"{later / way:.1%}; the aim is {AIM_LATER:.0%}. Medians of {len(attacked)} files each."
    )

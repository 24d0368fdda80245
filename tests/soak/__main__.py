"""Soak userdrop: files and faults at random, and everything that must be true is compared with an oracle.

The real service runs on real servers; three clients drop files, and the service, its database, its disks, its clock
and its mail server break and are mended, in an order that the seed decides (their timing is the machine's). At quiet
points, and at the end, what there is must be what an oracle makes of the archived files: users cell by cell, each file
imported once or explained, each failed row in one report and one mail, nothing left over, no cell in a log.

Exit codes: 0 nothing is wrong, 1 something is (it is told, with the seed, and the directory is kept), 3 wrong usage.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import click

from tests.soak.faults import Breakage
from tests.soak.gathering import ending, is_settled, progress, settle_alerts, world
from tests.soak.house import Soaked, faketime, soaked
from tests.soak.judging import wrong, wrong_at_the_end
from tests.soak.plan import NEEDS_FAKETIME, NEEDS_MOUNTS, Begin, Correct, Drop, End, Fault, Quiet, Step, plan
from watcher.base.clock import elapsed

_STALLED_SECONDS = 120
"""How long nothing may come to its end while something waits; how long all of it takes is the machine's."""
WRONG, USAGE = 1, 3


def main(arguments: Sequence[str]) -> int:
    """Soak, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long files are dropped and faults made (60)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed drops and breaks the same (1)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite", help="(sqlite)")
    parser.add_argument("--directory", type=Path, help="below which the house is built (the temporary directory)")
    parser.add_argument("--quietly", action="store_true", help="do not tell each step")
    parser.add_argument("--spoil", action="store_true", help="change a user at the end, which must be found")
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.in_namespace and _may_mount():
        inside = [sys.executable, "-m", "tests.soak", *arguments, "--in-namespace"]
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *inside])  # noqa: S606 - the signals that we get are its own then
    return _soak(options)


def _may_mount() -> bool:
    """Whether a mount namespace of our own can be had, in which mounts are nobody else's and go with us."""
    return subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0


def missing_faults(*, mounts: bool) -> frozenset[Fault]:
    """What this machine cannot break."""
    return frozenset((set() if mounts else NEEDS_MOUNTS) | (set() if faketime() else NEEDS_FAKETIME))


def _soak(options: argparse.Namespace) -> int:
    mounts: bool = options.in_namespace
    without = missing_faults(mounts=mounts)
    for fault in sorted(without):
        click.echo(f"left out: {fault} (it takes root, or the package faketime)")
        if os.environ.get("CI") == "true":  # noqa: TID251 # a fact about the machine
            return WRONG
    steps = plan(options.seed, options.seconds, without)
    root = Path(tempfile.mkdtemp(prefix="userdrop-soak-", dir=options.directory))
    with soaked(root, options.database, options.seconds, mounts=mounts) as house:
        found = _found(house, steps, options)
        _summarise(house, steps, options)
        if found:
            _keep(house, found)
    if found:
        told = "\n".join(f"  {line}" for line in found[:60])
        click.echo(f"seed {options.seed}, {options.seconds:g} s, {options.database}: {len(found)} wrong\n{told}")
        click.echo(f"kept: {root}/kept")
        return WRONG
    shutil.rmtree(root, ignore_errors=True)
    return 0


def _found(house: Soaked, steps: Sequence[Step], options: argparse.Namespace) -> list[str]:
    try:
        return _played(house, steps, tells=not options.quietly) or _finished(house, spoils=options.spoil)
    except Exception:  # noqa: BLE001 - whatever it is, the house is kept and the seed is told
        return [f"the soak itself failed:\n{traceback.format_exc()}"]


def _played(house: Soaked, steps: Sequence[Step], *, tells: bool) -> list[str]:
    """Everything that is wrong; after the first thing the rest is not played."""
    with contextlib.closing(Breakage(house)) as breakage:
        house.start()
        _play(house, breakage, steps, tells=tells)
    return house.wrong


def _play(house: Soaked, breakage: Breakage, steps: Sequence[Step], *, tells: bool) -> None:
    began = elapsed()
    for step in steps:
        house.live_until(lambda: elapsed() >= began + step.at, step.at)  # noqa: B023 - it is called at once
        if tells:
            click.echo(f"{step.at:7.2f} {_told(step)}")
        paused = elapsed()
        match step.act:
            case Drop():
                house.drop(step.act)
            case Correct():
                house.correct(step.act)
            case Begin():
                breakage.begin(step.act)
            case End():
                breakage.end(step.act)
            case Quiet():
                breakage.close()
                house.wrong += _quiet(house)
                began += elapsed() - paused
            case _:
                assert_never(step.act)
        if house.wrong:
            return


def _told(step: Step) -> str:
    match step.act:
        case Drop(client=client, name=name, content=content, sent=sent):
            return f"{client} drops {name}, {len(content)} bytes" + ("" if sent is None else f", cut after {sent}")
        case Correct(client=client):
            return f"{client} corrects a report"
        case Begin(fault=fault):
            return f"begins: {fault}"
        case End(fault=fault):
            return f"ends: {fault}"
        case Quiet():
            return "all is quiet"
        case _:
            assert_never(step.act)


def _quiet(house: Soaked) -> list[str]:
    while not is_settled(house):
        before = progress(house)
        if not house.live_until(lambda: is_settled(house) or progress(house) != before, _STALLED_SECONDS):  # noqa: B023
            return [f"nothing has come to its end for {_STALLED_SECONDS} s", *wrong(world(house))]
    return wrong(world(house))


def _finished(house: Soaked, *, spoils: bool) -> list[str]:
    """The service recovers by itself, is stopped, and delivers what waits."""
    if found := _quiet(house):
        return found
    settle_alerts(house)
    house.stop()
    house.run_once()
    if spoils:
        house.spoil()
    return [*house.wrong, *wrong_at_the_end(world(house), ending(house))]


def _summarise(house: Soaked, steps: Sequence[Step], options: argparse.Namespace) -> None:
    fates = Counter(drop.fate for drop in house.dropped)
    faults = sum(isinstance(step.act, Begin) for step in steps)
    now = world(house)
    statuses = Counter(entry["status"] for entry in now.ledger)
    by_itself = [ended.code for ended in house.ended if not ended.asked]
    rows, failed = (sum(entry[each] for entry in now.ledger) for each in ("records", "failed"))
    click.echo(
        f"seed {options.seed}, {options.database}: {fates.total()} files ({dict(fates)}), {faults} faults,"
        f" {len(house.ended)} runs, ended by themselves with {by_itself};"
        f" ledger {dict(statuses)}, {rows} rows, {failed} failed;"
        f" {len(now.users)} users, {len(house.smtp.received)} mails"
    )


def _keep(house: Soaked, found: Sequence[str]) -> None:
    """Copy what lies on disks that go with this process."""
    kept = house.house.root / "kept"
    for directory in (house.house.upload.parent, house.house.state):
        with contextlib.suppress(shutil.Error, OSError):
            shutil.copytree(directory, kept / directory.name, symlinks=True)
    kept.mkdir(exist_ok=True)
    running = house.service.lines() if house.service.process.poll() is None else []
    lines = [*house.log, *running]
    (kept / "log").write_text("".join(f"{line}\n" for line in lines))
    (kept / "wrong").write_text("".join(f"{line}\n" for line in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

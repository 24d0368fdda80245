"""The importer as a process of its own that `strace` ends before a system call, and what must be true afterwards.

Run as a module it does one job: `python -m tests.crashing DATABASE DIRECTORY NAME SIZE…`.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from importer.claiming import fingerprint
from importer.engines import make_engine
from importer.importing import Importer
from importer.model import Returned
from tests.importing import LIMITS, PEOPLE, Site, clock
from tests.servers.tools import needs

KILLED = {-9, 137}

FILE = "uid,email,city\nU1,new@b.ca,Hull\nU2,a@b.ca,\nU3,x,\nU4,c@b.ca,\nU4,d@b.ca,\n"
"""On top of BEFORE: an update, a new user who takes over a value, a bad row, a new user, and the same user again."""
BEFORE = "uid,email\nU1,a@b.ca\n"
AFTER = {"U1": ("new@b.ca", "Hull"), "U2": ("a@b.ca", None), "U4": ("c@b.ca", None)}
REPORTED = ["U3", "U4"]


def run(site: Site, name: str, call: str | None = None, nth: int = 0, *, seen_size: int | None = None) -> int:
    """Import one file in a process that is killed before its nth such call; returns how it ended."""
    url, size = str(site.engine.url), seen_size or (site.directory / name).stat().st_size
    job = [sys.executable, "-B", "-m", "tests.crashing", url, str(site.directory), name, str(size)]
    trace = []
    if call is not None:
        inject = f"inject={call}:signal=KILL:when={nth}"
        trace = [needs("strace"), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
    root = Path(__file__).parents[1]
    done = subprocess.run([*trace, *job], cwd=root, check=False, capture_output=True, timeout=60)
    if done.returncode not in {0, *KILLED}:
        raise RuntimeError(done.stderr.decode())
    return done.returncode


def finish(site: Site) -> None:
    """What the service does after a restart: recover, then import what lies there."""
    site.recover(tokens="r")
    site.recover(tokens="s")
    for path in sorted(site.directory.glob("*.csv")):
        if any(isinstance(outcome, Returned) for outcome in site.take(path.name, tokens="u")):
            site.take(path.name, tokens="v")


def check(site: Site, files: int = 1) -> None:
    """Every good row is a user once; for each file one entry, one archive, one report and one notice; nothing is left.

    Raises:
        AssertionError: something was lost or done twice.
    """
    users = {key: (user["email"], user["city"]) for key, user in site.users().items()}
    assert users == AFTER
    entries = site.ledger()[1:]
    assert [entry["status"] for entry in entries] == ["imported"] * files
    assert all(entry["archived_at"] is not None for entry in entries)
    assert sum(entry["inserted"] for entry in entries) == 2
    assert site.notices() == [("imported", "client")] * files
    archived = site.archived()
    names = [name for entry in entries for name in (entry["archive"], entry["report"])]
    assert {*names} == {*archived} - {site.ledger()[0]["archive"]}
    for entry in entries:
        assert archived[entry["archive"]] == FILE.encode()
        report = archived[entry["report"]].decode("utf-8-sig").splitlines()
        assert [line.partition(",")[0] for line in report[1:]] == REPORTED
    assert site.left() in ([], [".importing"])


def main() -> None:
    """The process: one file, then its end."""
    url, directory, name, size = sys.argv[1:]
    importer = Importer(make_engine(url), PEOPLE, LIMITS, clock(tokens="c"))
    seen = replace(fingerprint(os.lstat(Path(directory) / name)), size=int(size))
    list(importer.import_files("acme", Path(directory), [(name, seen)]))


if __name__ == "__main__":
    main()

"""A full disk under SQLite's shared memory: the service says so and goes on when there is room, and is not ended."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from importer.database.engines import make_engine, read_only_engine, reading_engine
from importer.database.failures import is_busy, is_outage, what_failed
from tests.importing import mounted
from tests.servers.tools import environment, needs

ROOT = Path(__file__).parents[3]
DISK_MB = 120
QUESTIONS = "rwrw"
ASKED = """
import sys
from pathlib import Path
from tests.importer.database.test_disk_room import answered
from importer.database.engines import make_engine

engine = make_engine(sys.argv[1])
with engine.connect() as first, engine.connect() as second:  # of the pool, so that none is opened later
    pass
for line in sys.stdin:
    print(answered(engine, line.strip()), flush=True)
"""


def answered(engine: Engine, how: str) -> str:
    """What became of a transaction that reads or writes."""
    try:
        with (engine if how == "w" else reading_engine(engine)).begin() as connection:
            sql = "INSERT INTO filled VALUES (zeroblob(5000))" if how == "w" else "SELECT count(*) FROM filled"
            connection.execute(text(sql))
    except OperationalError as error:
        return what_failed(error)
    return "done"


def fill(directory: Path) -> Path:
    """To the last byte."""
    path = directory / "filler"
    for size in (1 << 20, 4096, 512):
        try:
            with path.open("ab", buffering=0) as file:
                while True:
                    file.write(b"x" * size)
        except OSError:
            subprocess.run(["sync", "--file-system", str(directory)], check=False, timeout=60)
    return path


@contextmanager
def disk(place: Path, kind: str) -> Iterator[str]:
    """The URL of a database on a small disk of its own."""
    (directory := place / "disk").mkdir()
    image = place / "image"
    with image.open("wb") as file:
        file.truncate(DISK_MB << 20)
    options = ["--mixed"] if kind == "btrfs" else []
    subprocess.run([needs(f"mkfs.{kind}"), "-q", *options, str(image)], check=True, capture_output=True, timeout=60)
    with mounted(directory, "-o", "loop", str(image)):
        url = f"sqlite:///{directory / 'userdrop.db'}"
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE filled (content BLOB)"))
        engine.dispose()
        yield url


@pytest.mark.parametrize("kind", ["btrfs", "ext4"])
def test_a_full_disk_ends_no_process_and_is_told_until_there_is_room(tmp_path: Path, kind: str) -> None:
    with disk(tmp_path, kind) as url:
        asked = subprocess.Popen(
            [sys.executable, "-c", ASKED, url],
            env=environment(PYTHONPATH=str(ROOT)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert asked.stdin is not None
        assert asked.stdout is not None

        def ask(how: str) -> str:
            print(how, file=asked.stdin, flush=True)
            return asked.stdout.readline().strip() if asked.stdout is not None else ""

        with asked:
            assert [ask(how) for how in QUESTIONS] == ["done"] * len(QUESTIONS)
            filler = fill(tmp_path / "disk")
            told = [ask(how) for how in QUESTIONS]
            assert asked.poll() is None, "the kernel has ended it"
            assert "database or disk is full" in told[1]
            filler.unlink()
            subprocess.run(["sync", "--file-system", str(tmp_path / "disk")], check=True, timeout=60)
            assert [ask(how) for how in QUESTIONS] == ["done"] * len(QUESTIONS)
            asked.stdin.close()
        assert asked.returncode == 0


def test_a_disk_that_copies_on_write_is_not_read_when_it_is_full(tmp_path: Path) -> None:
    with disk(tmp_path, "btrfs") as url:
        fill(tmp_path / "disk")
        for engine in (read_only_engine(url), make_engine(url)):
            with pytest.raises(OperationalError, match="less than 8 MB are free") as full, engine.connect():
                pass
            assert is_outage(full.value)
            assert not is_busy(full.value)
            engine.dispose()

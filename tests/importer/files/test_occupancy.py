"""Who may work in an upload directory: services of one database together, and of another one when they have gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from importer.files.claiming import WORK_DIRECTORY
from importer.files.occupancy import OCCUPANT_FILE, Occupancy, Occupant, OccupiedError, occupy, working_in
from importer.files.writers import PROC_LOCKS

OURS, OTHERS = Occupant("aa", "sqlite:////srv/a b.sqlite3"), Occupant("bb", "postgresql+psycopg://host/users")


def _at_once() -> None:
    """No pause: nobody lets go meanwhile."""


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[Occupant], Occupancy]]:
    with ExitStack() as stack:

        def held(database: Occupant) -> Occupancy:
            taken = occupy(tmp_path, database, _at_once)
            stack.callback(taken.close)
            return taken

        yield held


def seen(directory: Path) -> Occupant | None:
    return working_in(directory, PROC_LOCKS.read_text())


def test_services_of_one_database_work_together_and_another_one_is_kept_out(
    tmp_path: Path, hold: Callable[[Occupant], Occupancy]
) -> None:
    assert [hold(OURS).former, hold(OURS).former] == [None, None]
    with pytest.raises(OccupiedError) as refused:
        hold(OTHERS)
    assert (refused.value.directory, refused.value.place) == (tmp_path, OURS.place)
    assert seen(tmp_path) == OURS


def test_a_directory_is_taken_over_when_its_services_have_gone(tmp_path: Path) -> None:
    first, second = (occupy(tmp_path, OURS, _at_once) for _ in range(2))
    first.close()
    with pytest.raises(OccupiedError):
        occupy(tmp_path, OTHERS, _at_once)
    second.close()
    assert seen(tmp_path) is None
    third = occupy(tmp_path, OTHERS, _at_once)
    assert (third.former, seen(tmp_path)) == (OURS.place, OTHERS)
    third.close()


def test_a_service_that_was_killed_keeps_nobody_out(tmp_path: Path) -> None:
    code = (
        "import sys, threading, pathlib; from importer.files.occupancy import occupy, Occupant\n"
        "held = occupy(pathlib.Path(sys.argv[1]), Occupant('aa', 'x'), lambda: None)\n"
        "print('held', flush=True); threading.Event().wait()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(OccupiedError):
            occupy(tmp_path, OTHERS, _at_once)
        other.send_signal(signal.SIGKILL)
    occupy(tmp_path, OTHERS, _at_once).close()


@pytest.mark.parametrize("written", [b"", b"a", b"bb", b"bb ", b"aa half a pla", b"\xff\0 x\n", b" \n", b"x" * 9000])
def test_a_name_that_is_half_written_stops_nobody(tmp_path: Path, written: bytes) -> None:
    occupy(tmp_path, OURS, _at_once).close()
    (tmp_path / WORK_DIRECTORY / OCCUPANT_FILE).write_bytes(written)
    taken = occupy(tmp_path, OURS, _at_once)
    assert seen(tmp_path) == OURS
    taken.close()


def test_of_two_that_come_at_once_one_gets_the_directory(tmp_path: Path) -> None:
    def come(number: int) -> Occupancy | None:
        try:
            return occupy(tmp_path, (OURS, OTHERS)[number % 2], _at_once)
        except OccupiedError:
            return None

    for _ in range(30):
        with ThreadPoolExecutor(4) as threads:
            got = [*threads.map(come, range(4))]
        winner = seen(tmp_path)
        owners = {(OURS, OTHERS)[number % 2] for number, each in enumerate(got) if each is not None}
        assert owners <= {winner}
        for each in got:
            if each is not None:
                each.close()


def test_nobody_is_seen_where_nothing_was_kept(tmp_path: Path) -> None:
    assert seen(tmp_path) is None
    (tmp_path / WORK_DIRECTORY).mkdir()
    (tmp_path / WORK_DIRECTORY / OCCUPANT_FILE).symlink_to(os.devnull)
    assert seen(tmp_path) is None

"""The real child process: what it is given, what it answers, and what is left when it is killed."""

import asyncio
import datetime as dt
import multiprocessing
import os
import select as io_select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import select, text

from importer.database.engines import LOG_BYTES, make_engine
from importer.database.tables import user_table
from importer.files.attempts import MAX_ATTEMPTS, Attempts
from importer.files.claiming import WORK_DIRECTORY, attempts_of, claims, fingerprint
from importer.formats.columns import Column, Format
from importer.formats.format_file import load_format
from importer.model import (
    Archived,
    Audience,
    Claim,
    Fingerprint,
    Imported,
    InHand,
    Notice,
    NoticeKind,
    NotTaken,
    NotTakenWhy,
    Outcome,
    Progress,
    Purged,
    Quarantined,
    Retention,
)
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.model import Delivered
from notifier.smtp import FolderTransport
from tests.generate.big import big_file
from tests.importing import by_name
from tests.mailing import ADDRESSES, LETTERS, failed_rows, store
from tests.servers.tools import environment, wait_until
from watcher.base.clock import elapsed, utc_now
from watcher.base.limits import Allowance
from watcher.work.child import SHOWN_SECONDS, rarely, tokens
from watcher.work.jobs import (
    ImportFiles,
    Job,
    OutageError,
    OutageKind,
    Prepare,
    Purge,
    Recover,
    Tell,
    UnusableSetupError,
    WorkerConfig,
    WorkerDiedError,
)
from watcher.work.worker import Worker

ROOT = Path(__file__).parents[3]
CONTENT = b"unique_id,login_source\nU1,OPSCOM\nU2,OPSCOM\n"
NOTICE = Notice(client="default", audience=Audience.CLIENT, kind=NoticeKind.INCOMPLETE, file="a.csv")

LARGE_ROWS = 100_000
"""So many users make SQLite's log larger than it stays."""
NORMAL = Allowance(memory_bytes=4 << 30, cpu_seconds=60, seconds=60, files=100)


class Bench:
    """A worker with a directory and a database."""

    def __init__(self, place: Path, format_: Format, allowance: Allowance = NORMAL) -> None:
        self.upload = place / "upload"
        self.upload.mkdir()
        self.database = place / "userdrop.db"
        self.url = f"sqlite:///{self.database}"
        self.worker = Worker(
            WorkerConfig(
                database_url=self.url,
                state_dir=place,
                format=format_,
                max_bytes=100 << 20,
                allowance=allowance,
                retention=Retention(archives=dt.timedelta(microseconds=1)),
                run="ours",
            )
        )

    def put(self, name: str, content: bytes = CONTENT) -> tuple[str, Fingerprint]:
        path = self.upload / name
        path.write_bytes(content)
        return name, fingerprint(path.stat())

    def importing(self, *uploads: tuple[str, Fingerprint]) -> ImportFiles:
        return ImportFiles(client="default", directory=self.upload, uploads=uploads)

    def recover(self) -> Recover:
        return Recover(client="default", directory=self.upload)

    async def do(self, job: Job) -> list[Outcome]:
        async with asyncio.timeout(120):
            return [outcome async for outcome in self.worker.run(job)]

    def count(self, table: str) -> int:
        engine = make_engine(self.url)
        with engine.begin() as connection:
            found = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - our own names
        engine.dispose()
        return int(found)

    def users(self) -> list[str]:
        engine = make_engine(self.url)
        users = user_table(load_format(None))
        with engine.begin() as connection:
            found = [*connection.execute(select(users.c.unique_id).order_by(users.c.unique_id)).scalars()]
        engine.dispose()
        return found

    def archived(self) -> list[str]:
        bak = self.upload / "bak"
        return sorted(path.name.split(".")[0] for path in bak.iterdir()) if bak.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, load_format(None))
    yield made
    made.worker.close()


def child() -> BaseProcess:
    (found,) = [process for process in multiprocessing.active_children() if process.name == "importer"]
    return found


def kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(timeout=20)


async def test_a_file_goes_from_the_directory_into_the_database_and_to_bak(bench: Bench) -> None:
    assert await bench.do(Prepare()) == []
    assert await bench.do(bench.recover()) == []
    imported, archived = await bench.do(bench.importing(bench.put("a.csv")))
    assert isinstance(imported, Imported)
    assert (imported.counts.records, imported.counts.inserted) == (2, 2)
    assert isinstance(archived, Archived)
    assert bench.users() == ["U1", "U2"]
    assert (bench.upload / "bak" / archived.archive).read_bytes() == CONTENT
    assert not (bench.upload / "a.csv").exists()


async def test_one_child_does_job_after_job(bench: Bench) -> None:
    await bench.do(Prepare())
    first = child().pid
    await bench.do(Prepare())
    await bench.do(bench.recover())
    assert child().pid == first
    assert not bench.worker.is_busy


async def test_what_is_old_enough_leaves_bak(bench: Bench) -> None:
    await bench.do(Prepare())
    await bench.do(bench.importing(bench.put("a.csv")))
    assert bench.archived() == ["a"]
    purged = Purged(client="default", archives=1, reports=0)
    assert await bench.do(Purge(client="default", directory=bench.upload)) == [purged]
    assert bench.archived() == []


async def test_a_notice_is_stored_once(bench: Bench) -> None:
    await bench.do(Prepare())
    for once in ("x", "x", "y"):
        assert await bench.do(Tell(notice=NOTICE, once=once)) == []
    assert bench.count("notices") == 2


async def test_a_child_that_was_killed_between_two_jobs_is_replaced(bench: Bench) -> None:
    await bench.do(Prepare())
    before = child()
    pid = before.pid
    kill(before)
    assert len(await bench.do(bench.importing(bench.put("a.csv")))) == 2
    assert child().pid != pid


async def test_a_file_whose_child_is_killed_in_mid_import_is_imported_once_by_the_next(bench: Bench) -> None:
    await bench.do(Prepare())
    job = bench.importing(bench.put("a.csv"), ("gone.csv", Fingerprint(device=0, inode=0, size=0, modified_ns=0)))
    outcomes = []
    first = child().pid
    with pytest.raises(WorkerDiedError) as death:  # noqa: PT012 - it is raised while the outcomes are waited for
        async for outcome in bench.worker.run(job):
            outcomes.append(outcome)
            assert not (bench.upload / "a.csv").exists(), "it is claimed by now, and not yet imported"
            kill(child())
    assert outcomes == [NotTaken(client="default", name="gone.csv", why=NotTakenWhy.GONE)]
    assert death.value.exit_code == -signal.SIGKILL
    assert bench.users() == []
    imported, archived = await bench.do(bench.recover())
    assert child().pid != first
    assert isinstance(imported, Imported)
    assert isinstance(archived, Archived)
    assert await bench.do(bench.recover()) == []
    assert bench.users() == ["U1", "U2"]
    assert (bench.count("imports"), bench.archived()) == (1, ["a"])


@asynccontextmanager
async def begun(bench: Bench) -> AsyncIterator[Claim]:
    """A file whose import is begun and cannot go on, because somebody else writes to the database."""
    await bench.do(Prepare())
    work = asyncio.ensure_future(bench.do(bench.importing(bench.put("a.csv"))))
    room = bench.upload / WORK_DIRECTORY
    with closing(sqlite3.connect(bench.database, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        await asyncio.to_thread(wait_until, lambda: any(room.glob("*/.copy")), "a copy", timeout=60)
        (claim,) = claims("default", by_name(bench.upload), room)
        yield claim
        with pytest.raises(WorkerDiedError):
            await work


async def test_an_attempt_whose_child_is_ended_because_the_service_stops_does_not_count(bench: Bench) -> None:
    async with begun(bench) as claim:
        assert attempts_of(claim, "the next run").is_suspect
        bench.worker.close()
        assert attempts_of(claim, "the next run") == Attempts()


async def test_an_attempt_does_not_count_from_when_a_stop_was_asked_for(bench: Bench) -> None:
    """Whoever waits for us less long than we need ends us by SIGKILL."""
    async with begun(bench) as claim:
        bench.worker.give_back_attempt()
        kill(child())
    assert attempts_of(claim, "the next run") == Attempts()


async def test_an_attempt_whose_child_ended_by_itself_counts_though_the_service_stops_then(bench: Bench) -> None:
    async with begun(bench) as claim:
        kill(child())
    bench.worker.give_back_attempt()
    bench.worker.close()
    assert attempts_of(claim, "ours") == Attempts(ended=1)
    assert attempts_of(claim, "the next run") == Attempts(is_suspect=True)


def is_written(database: Path) -> bool:
    """Whether somebody holds SQLite's write lock."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


async def test_while_a_large_first_file_is_written_nothing_is_out_and_afterwards_the_log_is_small(bench: Bench) -> None:
    """The child writes for as long as the test wants, as it is stopped in the middle of its transaction."""
    await bench.do(Prepare())
    impatient = make_engine(bench.url, busy_seconds=0)
    store(impatient, failed_rows())
    big = bench.upload / "big.csv"
    big_file(big, LARGE_ROWS, 0.0)
    work = asyncio.ensure_future(bench.do(bench.importing((big.name, fingerprint(big.stat())))))
    await asyncio.to_thread(wait_until, lambda: is_written(bench.database), "the import's transaction", timeout=120)
    os.kill(child().pid or 0, signal.SIGSTOP)
    alerts = Alerts(utc_now, elapsed)
    (mail := bench.upload.parent / "mail").mkdir()
    delivery = Delivery(
        engine=impatient,
        transport=FolderTransport(directory=mail),
        addresses=ADDRESSES,
        letters=LETTERS,
        clock=utc_now,
        next_run=lambda: None,
        jitter=lambda: 0.5,
        alerts=alerts,
        is_writing=lambda: bench.worker.is_busy,
    )
    assert work.done() is False
    assert await delivery.once() == Delivered()
    assert not alerts.board.alerts
    os.kill(child().pid or 0, signal.SIGCONT)
    imported, _ = await work
    assert isinstance(imported, Imported)
    assert imported.counts.inserted == LARGE_ROWS
    assert os.stat(f"{bench.database}-wal").st_size <= LOG_BYTES  # noqa: PTH116 - pathlib's is not for async
    assert await delivery.once() == Delivered(formed=1, sent=1)
    impatient.dispose()


async def test_a_child_that_is_asked_to_stop_ends_after_the_file_in_hand(bench: Bench) -> None:
    await bench.do(Prepare())
    missing = ("gone.csv", Fingerprint(device=0, inode=0, size=0, modified_ns=0))
    job = bench.importing(bench.put("a.csv"), bench.put("b.csv"), missing)
    outcomes: list[Outcome] = []
    async for outcome in bench.worker.run(job):
        outcomes.append(outcome)
        if len(outcomes) == 1:
            assert bench.worker.is_busy
            bench.worker.finish_file()
    assert len(outcomes) < 5
    await bench.do(bench.recover())
    assert bench.archived() == ["a", "b"], "what was claimed is finished by the recovery"
    assert bench.count("imports") == 2


async def test_a_database_that_is_none_is_an_outage_and_the_child_lives_on(tmp_path: Path, bench: Bench) -> None:
    database = tmp_path / "userdrop.db"
    database.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(OutageError) as outage:
        await bench.do(Prepare())
    assert outage.value.kind is OutageKind.DATABASE
    assert outage.value.detail
    pid = child().pid
    database.unlink()
    await bench.do(Prepare())
    assert child().pid == pid


async def test_no_job_follows_a_link_in_the_place_of_the_clients_directory(tmp_path: Path, bench: Bench) -> None:
    await bench.do(Prepare())
    importing, other = bench.importing(bench.put("a.csv")), tmp_path / "other"
    bench.upload.rename(other)
    bench.upload.symlink_to(other)
    for job in (importing, bench.recover(), Purge(client="default", directory=bench.upload)):
        with pytest.raises(OutageError) as outage:
            await bench.do(job)
        assert (outage.value.kind, str(outage.value.detail)) == (OutageKind.DISK, f"{bench.upload}: Not a directory")
    assert [path.name for path in other.iterdir()] == ["a.csv"]


async def test_patterns_that_are_not_understood_are_all_told(tmp_path: Path) -> None:
    columns = tuple(Column(name=name, kind="pattern", pattern="(") for name in "ab")
    bench = Bench(tmp_path, Format(columns=columns, key="a"))
    with pytest.raises(UnusableSetupError) as unusable:
        await bench.do(Prepare())
    bench.worker.close()
    assert [mistake.split(":")[0] for mistake in unusable.value.mistakes] == ["columns.a.pattern", "columns.b.pattern"]


async def test_a_bug_in_the_child_is_told_by_its_place_and_not_by_its_text(bench: Bench) -> None:
    await bench.do(Prepare())
    with pytest.raises(WorkerDiedError) as death:
        await bench.do(ImportFiles(client="default", directory=bench.upload, uploads=(("canary", None),) * 2 + ((7,),)))  # type: ignore[arg-type]
    assert death.value.exit_code == 70
    assert "Error in " in str(death.value.where)
    assert "canary" not in str(death.value)
    assert await bench.do(bench.recover()) == []


async def test_a_closed_worker_leaves_no_child(bench: Bench) -> None:
    await bench.do(Prepare())
    process = child()
    pid = process.pid
    assert pid is not None
    ended = os.pidfd_open(pid)
    bench.worker.close()
    assert io_select.select([ended], [], [], 20)[0]
    os.close(ended)
    assert multiprocessing.active_children() == []


@contextmanager
def bench_with(place: Path, allowance: Allowance) -> Iterator[Bench]:
    bench = Bench(place, load_format(None), allowance)
    try:
        yield bench
    finally:
        bench.worker.close()


async def died(bench: Bench, job: Job) -> WorkerDiedError:
    with pytest.raises(WorkerDiedError) as death:
        await bench.do(job)
    return death.value


async def test_a_child_that_hangs_is_ended_and_the_file_is_imported_by_the_next(tmp_path: Path) -> None:
    with bench_with(tmp_path, replace(NORMAL, seconds=15)) as bench:
        await bench.do(Prepare())
        os.kill(child().pid or 0, signal.SIGSTOP)
        death = await died(bench, bench.importing(bench.put("a.csv")))
        assert death.exit_code == -signal.SIGKILL
        assert "longer than 15 s" in str(death)
        assert [type(outcome) for outcome in await bench.do(bench.importing(bench.put("a.csv")))] == [
            Imported,
            Archived,
        ]


async def test_a_child_that_stands_still_with_hardly_any_memory_left_is_ended_long_before_its_time(
    tmp_path: Path,
) -> None:
    with bench_with(tmp_path, replace(NORMAL, memory_bytes=8 << 20, still_seconds=2)) as bench:
        await bench.do(Prepare())
        os.kill(child().pid or 0, signal.SIGSTOP)
        death = await died(bench, bench.importing(bench.put("a.csv")))
        assert death.exit_code == -signal.SIGKILL
        assert "stood still with hardly any memory left" in str(death)


@pytest.mark.parametrize(
    ("allowance", "exit_codes"),
    [
        pytest.param(replace(NORMAL, cpu_seconds=1), {-signal.SIGXCPU}, id="processor time"),
        # Rust ends the process, C++ and Python raise; whichever is the first to ask for too much.
        # Now and then its threads wait for each other instead, and the parent ends it.
        pytest.param(replace(NORMAL, memory_bytes=160 << 20), {-signal.SIGABRT, 70, -signal.SIGKILL}, id="memory"),
    ],
)
async def test_a_file_that_takes_too_much_is_set_aside_and_the_others_go_on(
    tmp_path: Path, allowance: Allowance, exit_codes: set[int]
) -> None:
    with bench_with(tmp_path, allowance) as bench:
        await bench.do(Prepare())
        big_file(tmp_path / "big", 300_000, 0.01)
        job = bench.importing(bench.put("big.csv", (tmp_path / "big").read_bytes()), bench.put("small.csv"))
        deaths = [await died(bench, job)]
        outcomes: list[Outcome] = []
        while not outcomes:
            try:
                outcomes = await bench.do(bench.recover())
            except WorkerDiedError as death:
                deaths.append(death)
        assert {death.exit_code for death in deaths} <= exit_codes
        assert len(deaths) == 1 + MAX_ATTEMPTS, "what happens in a group costs no file an attempt"
        assert [type(outcome) for outcome in outcomes] == [Quarantined, Imported, Archived]
        assert bench.users() == ["U1", "U2"]
        assert (bench.archived(), bench.count("imports")) == (["small"], 2)


def test_what_is_in_hand_is_told_rarely_and_only_of_what_takes_long() -> None:
    told: list[tuple[str, int]] = []
    time = 0.0
    tell = rarely(lambda now: told.append((now.claim.name, now.progress.read)), lambda: time)

    def at(moment: float, name: str, read: int) -> None:
        nonlocal time
        time = moment
        claim = Claim(id=name, client="default", directory=Path("/"), name=name)
        tell(InHand(claim=claim, progress=Progress(rows=0, read=read, total=100)))

    at(0, "short.csv", 50)
    at(SHOWN_SECONDS / 2, "short.csv", 100)
    assert told == []
    at(10, "long.csv", 10)
    at(10 + SHOWN_SECONDS, "long.csv", 30)
    at(10 + SHOWN_SECONDS * 1.5, "long.csv", 60)
    at(10 + SHOWN_SECONDS * 2, "long.csv", 80)
    at(10 + SHOWN_SECONDS * 2.1, "long.csv", 100)
    assert told == [("long.csv", 30), ("long.csv", 80), ("long.csv", 100)]


def test_claims_of_one_second_keep_their_order() -> None:
    made = [*islice(tokens(), 1_000)]
    assert made == sorted(made)
    assert len({token[-8:] for token in made}) == len(made), "another process counts from 0 too"


async def test_a_child_that_has_done_its_share_is_replaced(tmp_path: Path) -> None:
    with bench_with(tmp_path, replace(NORMAL, files=2)) as bench:
        await bench.do(Prepare())
        pids = []
        for number in range(5):
            await bench.do(bench.importing(bench.put(f"{number}.csv")))
            pids.append(child().pid)
        assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]
        assert len(bench.archived()) == 5


_PARENT = """
import asyncio, multiprocessing, sys
from pathlib import Path
from tests.watcher.work.test_worker import NORMAL
from importer.formats.format_file import load_format
from importer.model import Retention
from watcher.work.jobs import Prepare, WorkerConfig
from watcher.work.worker import Worker

async def begin(worker):
    async for _ in worker.run(Prepare()):
        pass

if __name__ == "__main__":
    config = WorkerConfig(
        database_url=sys.argv[1],
        state_dir=Path(sys.argv[1].removeprefix("sqlite:///")).parent,
        format=load_format(None),
        max_bytes=1,
        allowance=NORMAL,
        retention=Retention(),
    )
    worker = Worker(config)
    asyncio.run(begin(worker))
    print(multiprocessing.active_children()[0].pid, flush=True)
    sys.stdin.read()
"""


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), f"sqlite:///{tmp_path / 'userdrop.db'}"],
        env=environment(PYTHONPATH=str(ROOT)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        ended = os.pidfd_open(int(parent.stdout.readline()))
        assert not io_select.select([ended], [], [], 0)[0]
        parent.kill()
    assert io_select.select([ended], [], [], 20)[0]
    os.close(ended)


def test_the_parent_never_imports_polars() -> None:
    code = "import sys, watcher.__main__, watcher.asking_doctor, watcher.commands.demo, watcher.commands.run\n"
    code += "print([n for n in sys.modules if n.startswith('polars')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (b"[]\n", b"")

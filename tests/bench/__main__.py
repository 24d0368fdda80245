"""`python -m tests.bench read`: how fast, how small and how exact `userdrop check` is beside what else there is.

`python -m tests.bench mail`: how fast mails leave, and what a large report costs in memory.

`python -m tests.bench store`: how fast and how small an import is beside what the database's own programs need.

`python -m tests.bench watch`: what events, waiting files and scans cost, and how long the loop is held up meanwhile.

`python -m tests.bench clients`: what a thousand client folders and a server's log cost the service's own process.

`python -m tests.bench hostile`: how long files take that attack, and whom they hold up.

Every contestant is a process of its own and reads the same bytes; rounds are interleaved, figures are medians.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from importer.database.engines import make_engine
from importer.database.tables import migrate
from importer.formats.format_file import load_format
from tests.bench.adversarial import CLEAN, FILES, adversarial_file
from tests.bench.bounds import postgresql_bound, sqlite_bound
from tests.bench.hostile import hostile
from tests.bench.judging import judged
from tests.bench.mail import mail
from tests.bench.many_clients import clients
from tests.bench.measuring import Run, run, typical
from tests.bench.page import page
from tests.bench.small import small
from tests.bench.watching import watch
from tests.generate.big import CHUNK_RECORDS, COLUMNS, big_file, person
from tests.servers.postgresql import PostgresqlServer, postgresql_server

BROKEN_SHARE = 0.01
ROUNDS = 3
TIMES = "\N{MULTIPLICATION SIGN}"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "USERDROP_MAX_FILE_MB": "100000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A way to read or to validate a file; `module` is what it needs, a slow one gets a tenth of the rows."""

    name: str
    title: str
    module: str
    validates: bool
    share: int = 1

    def command(self, file: Path, rows_to: Path | None) -> list[str | Path]:
        if self is USERDROP:
            userdrop = Path(sys.executable).with_name("userdrop")
            return [userdrop, "check", file, *(("--accepted", rows_to) if rows_to else ())]
        return [sys.executable, "-m", "tests.bench.peers", self.name, file, *((rows_to,) if rows_to else ())]


USERDROP = Contestant(name="userdrop", title="userdrop check", module="importer", validates=True)
BOUND = Contestant(name="polars", title="polars read_csv, all String", module="polars", validates=False)
CONTESTANTS = (
    USERDROP,
    BOUND,
    Contestant(name="duckdb", title="duckdb, store_rejects", module="duckdb", validates=False),
    Contestant(name="pyarrow", title="pyarrow, invalid_row_handler", module="pyarrow", validates=False),
    Contestant(name="dataframely", title="dataframely on polars", module="dataframely", validates=True),
    Contestant(name="pydantic", title="Python csv + pydantic", module="pydantic", validates=True, share=10),
    Contestant(name="frictionless", title="frictionless", module="frictionless", validates=True, share=10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A generated file, and its first tenth by itself for the slow ones."""

    title: str
    records: int
    broken_share: float
    paths: dict[int, Path]


@click.group()
def bench() -> None:
    """Measurements on this machine."""


@bench.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=100))
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(min=1))
def read(*, rows: int, rounds: int) -> None:
    """Read and validate a file of 20 columns, clean and with 1 % broken rows, and files that are made to be hard."""
    console = Console(width=150)
    with TemporaryDirectory(prefix="userdrop-bench-") as directory:
        clean = _sheet(Path(directory), "clean", rows, 0.0)
        broken = _sheet(Path(directory), "1 % broken", rows, BROKEN_SHARE)
        bound = _contest(console, clean, rounds, None)
        _contest(console, broken, rounds, bound)
    with TemporaryDirectory(prefix="userdrop-bench-") as directory:
        _adversarial(console, Path(directory), rows // 2, rounds)


@bench.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=100))
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(min=1))
def store(*, rows: int, rounds: int) -> None:
    """Import a file of 20 columns into an empty database, and again with 1 % of its rows changed."""
    with TemporaryDirectory(prefix="userdrop-bench-") as directory, postgresql_server() as server:
        # The server's user reads nothing here; psql and sqlite3 run as we do.
        files = Path(directory) / "first.csv", Path(directory) / "again.csv"
        big_file(files[0], rows, 0.0)
        _again(files[1], rows)
        runs: dict[tuple[str, str], list[Run]] = {}
        for number in range(rounds):
            place = Path(directory) / str(number)
            place.mkdir()
            for title, url, bound in _databases(place, server):
                for what, run_ in _store_round(place, url, files, bound):
                    runs.setdefault((title, what), []).append(run_)
        figures = {what: typical(some) for what, some in runs.items()}
    _show_stores(Console(width=150), figures, rows)


Bound = Callable[[str, Path], Sequence[str]]


def _databases(place: Path, server: PostgresqlServer) -> Iterable[tuple[str, Callable[[], str], Bound]]:
    names = iter(("ours.db", "bound.db"))
    yield "SQLite", lambda: f"sqlite:///{place / next(names)}", sqlite_bound
    yield "PostgreSQL", server.url, postgresql_bound


def _store_round(
    place: Path, url: Callable[[], str], files: tuple[Path, Path], bound: Bound
) -> Iterable[tuple[str, Run]]:
    for_bound, ours = url(), url()
    engine = make_engine(for_bound)
    migrate(engine, load_format(None))
    engine.dispose()
    os.sync()  # here and below: no run waits for what the one before it has written
    done = _run(bound(for_bound, files[0]))
    if done.code:
        message = f"the bound failed: {done.last_words}"
        raise RuntimeError(message)
    yield "bound", done
    for what, file in zip(("first", "again"), files, strict=True):
        result = place / "result.json"
        os.sync()
        done = _run([sys.executable, "-m", "tests.bench.storing", ours, place, file, result])
        if done.code:
            message = f"the import failed: {done.last_words}"
            raise RuntimeError(message)
        yield what, replace(done, seconds=json.loads(result.read_text())["seconds"])
        result.unlink()


def _again(path: Path, records: int) -> None:
    """The clean file of so many records, every hundredth of which has another first name."""
    people = (_changed(at) if at % 100 == 0 else person(at) for at in range(records))
    with path.open("wb") as file:
        file.write(f"{COLUMNS}\r\n".encode())
        while chunk := "\r\n".join(islice(people, CHUNK_RECORDS)):
            file.write(f"{chunk}\r\n".encode())


def _changed(at: int) -> str:
    return person(at).replace(",OPSCOM,", ",OPSCOM,X", 1)


def _show_stores(console: Console, figures: dict[tuple[str, str], Run], rows: int) -> None:
    table = Table(title=f"{rows:,} rows", title_justify="left", caption_justify="left")
    table.add_column("database")
    for name in ("work", "seconds", "CPU s", "peak MB", "ratio", "aim"):
        table.add_column(name, justify="right")
    for (database, what), figure in figures.items():
        beside, aim = {
            "bound": (figure, ""),
            "first": (figures[database, "bound"], "1.25 of the bound, 500 MB"),
            "again": (figures[database, "first"], f"{0.4 if database == 'SQLite' else 0.25} of the first"),
        }[what]
        ratio = f"{figure.seconds / beside.seconds:.2f}"
        table.add_row(
            database, what, f"{figure.seconds:.2f}", f"{figure.cpu_seconds:.2f}", f"{figure.peak_mb:,.0f}", ratio, aim
        )
    table.caption = (
        "bound: sqlite3 .import or psql \\copy, then one INSERT … SELECT … ON CONFLICT, without reading and rules. "
        "first: the whole import; again: 1 % changed.\n"
        f"CPU and memory are the importing process's, start included. {os.cpu_count()} CPUs."
    )
    console.print(table)


def _sheet(directory: Path, title: str, records: int, broken_share: float) -> Sheet:
    paths = {share: directory / f"{title.replace(' ', '-').replace('%', 'percent')}-{share}.csv" for share in (1, 10)}
    for share, path in paths.items():
        big_file(path, records // share, broken_share)
    return Sheet(title=title, records=records, broken_share=broken_share, paths=paths)


def _contest(console: Console, sheet: Sheet, rounds: int, bound: Run | None) -> Run:
    """Measure everybody on a file, and show it; returns the bound, which cannot read a broken file."""
    installed = [contestant for contestant in CONTESTANTS if find_spec(contestant.module)]
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in installed}
    for _ in range(rounds):
        for contestant in installed:
            runs[contestant.name].append(_run(contestant.command(sheet.paths[contestant.share], None)))
    figures = {name: typical(some) for name, some in runs.items()}
    bound = bound or figures[BOUND.name]
    table = _table(f"{sheet.title}: {sheet.records:,} records, {sheet.paths[1].stat().st_size / 1e6:,.0f} MB")
    for contestant in CONTESTANTS:
        figure = figures.get(contestant.name)
        table.add_row(contestant.title, *(_cells(contestant, figure, sheet, bound) if figure else ["not installed"]))
    console.print(table)
    if _is_done(USERDROP, figures[USERDROP.name]):
        ours, row_by_row = figures[USERDROP.name], figures["pydantic"].seconds * 10
        console.print(
            f"userdrop check takes {ours.seconds / bound.seconds:.2f} times as long as polars with the clean file and "
            f"{ours.peak_mb / bound.peak_mb:.2f} times its memory;\n"
            f"Python csv + pydantic takes {row_by_row / ours.seconds:.1f} times as long as userdrop check.\n"
        )
    return bound


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("process")
    for name in ("seconds", "CPU s", "rows/s", "peak MB", f"{TIMES} polars", "good rows lost", "wrong rows"):
        table.add_column(name, justify="right")
    table.caption = (
        f"Slow ones read a tenth: seconds {TIMES} 10, the rest as measured. Readers are judged without rules."
    )
    return table


def _cells(contestant: Contestant, figure: Run, sheet: Sheet, bound: Run) -> Iterable[str]:
    if not _is_done(contestant, figure):
        return [
            f"fails after {figure.seconds:.1f}",
            f"{figure.cpu_seconds:.1f}",
            "",
            f"{figure.peak_mb:,.0f}",
            "",
            "all",
            figure.last_words[:60],
        ]
    seconds = figure.seconds * contestant.share
    lost, wrong = _judged(contestant, sheet)
    return [
        f"{seconds:.2f}" + (f" ({TIMES} 10)" if contestant.share > 1 else ""),
        f"{figure.cpu_seconds * contestant.share:.2f}",
        f"{sheet.records / seconds:,.0f}",
        f"{figure.peak_mb:,.0f}",
        f"{seconds / bound.seconds:.2f}",
        lost,
        wrong,
    ]


def _is_done(contestant: Contestant, figure: Run) -> bool:
    """Whether it came to an end; `userdrop check` says by 1 that some rows failed."""
    return figure.code == 0 or (contestant is USERDROP and figure.code == 1)


def _judged(contestant: Contestant, sheet: Sheet) -> tuple[str, str]:
    with TemporaryDirectory(prefix="userdrop-bench-") as directory:
        rows = Path(directory) / "rows.csv"
        _run(contestant.command(sheet.paths[contestant.share], rows))
        verdict = judged(
            rows,
            records=sheet.records // contestant.share,
            broken_share=sheet.broken_share,
            validated=contestant.validates,
        )
    return f"{verdict.lost:,}", f"{verdict.wrong:,}"


def _adversarial(console: Console, directory: Path, records: int, rounds: int) -> None:
    """Measure `userdrop check` on files that are hard, beside their clean twin."""
    paths = {kind: directory / f"{number}.csv" for number, kind in enumerate(FILES)}
    for kind, path in paths.items():
        adversarial_file(path, kind, records)
    runs: dict[str, list[Run]] = {kind: [] for kind in paths}
    for _ in range(rounds):
        for kind, path in paths.items():
            runs[kind].append(_run(USERDROP.command(path, None)))
    figures = {kind: typical(some) for kind, some in runs.items()}
    table = Table(title=f"userdrop check on {records:,} hard records", title_justify="left")
    table.add_column("file")
    for name in ("seconds", "peak MB", f"{TIMES} clean twin", "exit code"):
        table.add_column(name, justify="right")
    for kind, figure in figures.items():
        ratio = figure.seconds / figures[CLEAN].seconds
        table.add_row(kind, f"{figure.seconds:.2f}", f"{figure.peak_mb:,.0f}", f"{ratio:.2f}", str(figure.code))
    console.print(table)


def _run(command: Sequence[str | Path]) -> Run:
    return run(command, ENVIRONMENT)


bench.add_command(small)
bench.add_command(watch)
bench.add_command(mail)
bench.add_command(hostile)
bench.add_command(page)
bench.add_command(clients)


if __name__ == "__main__":
    bench()

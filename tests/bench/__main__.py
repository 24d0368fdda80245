"""`python -m tests.bench read`: how fast, how small and how exact `userdrop check` is beside what else there is.

Every contestant is a process of its own and reads the same bytes; rounds are interleaved, figures are medians.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from tests.bench.adversarial import CLEAN, FILES, adversarial_file
from tests.bench.judging import judged
from tests.bench.measuring import Run, run, typical
from tests.bench.small import small
from tests.generate.big import big_file

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


if __name__ == "__main__":
    bench()

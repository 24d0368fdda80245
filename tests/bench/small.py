"""Many small files in one window: what each costs, from its claim to bak.

Run as a module it imports what lies in a directory: `python -m tests.bench.small DIRECTORY DATABASE`.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

import click
from rich.console import Console

from tests.bench.measuring import run
from tests.generate.big import COLUMNS, person

if TYPE_CHECKING:
    from importer.importing import Importer

GROUP_FILES = 256
"""As many as the watcher puts into a group; it waits a second for each group, which is not measured here."""
CLIENT = "default"


@click.command()
@click.option("--files", default=10_000, show_default=True, type=click.IntRange(min=1))
@click.option("--rows", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--place", type=click.Path(path_type=Path, exists=True), help="A directory on the disk to measure.")
def small(*, files: int, rows: int, place: Path | None) -> None:
    """Import many small files of 20 columns into SQLite: milliseconds a file and peak memory."""
    console = Console(width=150)
    with TemporaryDirectory(prefix="userdrop-bench-", dir=place) as name:
        upload = Path(name) / "upload"
        upload.mkdir()
        for number in range(files):
            records = (person(number * rows + row) for row in range(rows))
            (upload / f"{number:06}.csv").write_text("\r\n".join([COLUMNS, *records, ""]), newline="")
        command: list[str | Path] = [sys.executable, "-m", "tests.bench.small", upload, f"sqlite:///{name}/userdrop.db"]
        done = run(command, {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
        if done.code:
            raise click.ClickException(done.last_words)
        fsync = _fsync_milliseconds(Path(name))
        archived = len(list((upload / "bak").iterdir()))
    console.print(
        f"{archived:,} of {files:,} files of {rows} rows: {done.seconds / files * 1000:.2f} ms a file "
        f"({done.cpu_seconds / files * 1000:.2f} ms of CPU), {done.peak_mb:,.0f} MB at most; "
        f"writing and fsyncing a file takes {fsync:.2f} ms here"
    )


def _fsync_milliseconds(place: Path) -> float:
    """What a file costs that is written and made durable: the figure to compare with on a disk that others use too."""
    started = perf_counter()
    for number in range(100):
        with (place / f"fsync-{number}").open("wb") as file:
            file.write(b"x" * 2000)
            file.flush()
            os.fsync(file.fileno())
    return (perf_counter() - started) * 10


def main() -> None:
    """The process that is measured: the importer, as the service's child uses it, but for its second's wait."""
    from importer.clock import Clock  # noqa: PLC0415
    from importer.database.engines import make_engine  # noqa: PLC0415 - who measures must stay small, see measuring.run
    from importer.formats.format_file import load_format  # noqa: PLC0415
    from importer.importing import Importer  # noqa: PLC0415
    from importer.reading.user_file import Limits  # noqa: PLC0415

    upload, url = Path(sys.argv[1]), sys.argv[2]
    tokens: Iterator[int] = itertools.count()
    clock = Clock(
        now=lambda: datetime.now(UTC),  # noqa: TID251 - a measurement's own clock
        elapsed=perf_counter,
        pause=lambda: None,
        token=lambda: f"{next(tokens):08}",
    )
    limits = Limits(max_bytes=1 << 20, max_expanded_bytes=1 << 20)
    importer = Importer(make_engine(url), load_format(None), limits, clock)
    importer.prepare()
    names = sorted(path.name for path in upload.iterdir())
    for first in range(0, len(names), GROUP_FILES):
        _import(importer, upload, names[first : first + GROUP_FILES])


def _import(importer: "Importer", upload: Path, names: list[str]) -> None:
    from importer.files.anchoring import opened_folder  # noqa: PLC0415 - as above
    from importer.files.claiming import fingerprint  # noqa: PLC0415

    uploads = [(name, fingerprint((upload / name).lstat())) for name in names]
    with opened_folder(upload) as folder:
        for _ in importer.import_files(CLIENT, folder, uploads):
            pass


if __name__ == "__main__":
    main()

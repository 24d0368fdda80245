"""What the importer's tests share: a small format, files examined from text, and a client's directory."""

import csv
import datetime as dt
import io
import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, Table, event, select

from importer.clock import Clock
from importer.database.engines import make_engine
from importer.database.tables import imports, migrate, notices, user_table
from importer.files import claiming
from importer.files.anchoring import Folder
from importer.files.archiving import BAK
from importer.files.claiming import fingerprint
from importer.formats.columns import Format
from importer.formats.format_file import load_format, parse_format
from importer.importing import Importer
from importer.judging.examining import Judging, begin_judging
from importer.judging.judge import Source
from importer.judging.judged import Judged
from importer.judging.reporting import write_report
from importer.model import Claim, Fingerprint, Outcome
from importer.reading.user_file import BLOCK_BYTES, Limits
from importer.storing.repeats import MANY_ROWS, ROW_BYTES
from tests.servers.tools import unavailable

NOW = dt.datetime(2026, 11, 22, 10, 10, 13, tzinfo=dt.UTC)
LIMITS = Limits(max_bytes=1 << 26, max_expanded_bytes=1 << 26)
BUILT_IN = load_format(None)
PEOPLE = parse_format(
    """
    key = "uid"
    [columns.uid]
    required = true
    unique = true
    max_length = 8
    [columns.email]
    aliases = ["E-Mail Address"]
    kind = "email"
    unique = true
    [columns.user_name]
    unique = true
    [columns.city]
    max_length = 10
    [columns.level]
    kind = "choice"
    values = { 1 = "low", 2 = "high" }
    [defaults]
    level = "1"
    """
)
"""A format of five columns: the key, two unique ones, a free one, and one with a default."""


@contextmanager
def opened(
    text: str | bytes,
    format_: Format = PEOPLE,
    *,
    name: str = "people.csv",
    block_bytes: int = BLOCK_BYTES,
    language: str = "en",
) -> Iterator[Judging]:
    """A file of that text, of which no block is judged yet."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "copy"
        path.write_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
        source = Source(path=path, name=name, format=format_, limits=LIMITS, language=language, block_bytes=block_bytes)
        with begin_judging(source, today=NOW.date(), spool_directory=Path(directory)) as judging:
            yield judging


@contextmanager
def examined(text: str | bytes, format_: Format = PEOPLE, **how: Any) -> Iterator[Judged]:  # noqa: ANN401 - as opened
    """A file of that text, read and judged."""
    with opened(text, format_, **how) as judging:
        yield judging.finish()


def messages(examination: Judged) -> dict[int, list[str]]:
    """Row → the sentences that tell why it failed."""
    found: dict[int, list[str]] = {}
    for _, reasons in examination.failed():
        for row, message in reasons.select("row", "message").iter_rows():
            found.setdefault(row, []).append(message)
    return found


def accepted(examination: Judged) -> dict[int, dict[str, str | None]]:
    """Row → what is to be stored."""
    rows = (row for frame in examination.accepted() for row in frame.iter_rows(named=True))
    return {row.pop("row"): {name: value for name, value in row.items() if name != "line"} for row in rows}


def report_bytes(text: str | bytes, format_: Format = PEOPLE, **how: Any) -> bytes:  # noqa: ANN401 - as examined
    """The failed-users CSV of a file of that text."""
    with examined(text, format_, **how) as examination, TemporaryDirectory() as directory:
        path = Path(directory) / "report.csv"
        write_report(examination, path)
        return path.read_bytes()


def report_rows(report: bytes, separator: str = ",") -> list[list[str]]:
    """The failed-users CSV as another reader of CSV sees it."""
    return list(csv.reader(io.StringIO(report.decode("utf-8-sig"), newline=""), delimiter=separator, strict=True))


def large_roster(first_city: str) -> str:
    """A file of MANY_ROWS users, as large as such files are taken to be; all but the first one live in Laval."""
    rows = (f"U{number},{'Laval' if number else first_city:{ROW_BYTES}}\n" for number in range(MANY_ROWS))
    return "uid,city\n" + "".join(rows)


@contextmanager
def asking_for_users(engine: Engine, act: Callable[[], None] = lambda: None) -> Iterator[list[str]]:
    """The threads on which it is asked meanwhile for the last user's id, before users are handed out."""
    threads: list[str] = []

    def note(*given: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own types
        if "max(users.id)" in given[2]:
            threads.append(threading.current_thread().name)
            act()

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield threads
    finally:
        event.remove(engine, "before_cursor_execute", note)


def rows_of(engine: Engine, table: Table) -> list[dict[str, Any]]:
    """Every row of a table, in the order of its key."""
    with engine.begin() as connection:
        query = select(table).order_by(*table.primary_key.columns)
        return [dict(row) for row in connection.execute(query).mappings()]


def clock(*, now: dt.datetime = NOW, pause: Callable[[], None] = lambda: None, tokens: str = "t") -> Clock:
    """A clock that stands still; each token is another one."""
    numbers = itertools.count(1)
    return Clock(now=lambda: now, elapsed=lambda: 7.5, pause=pause, token=lambda: f"{tokens}{next(numbers)}")


def by_name(directory: Path) -> Folder:
    """A client's directory that is reached by its path, as nobody puts another one in its place."""
    return Folder(directory=directory, anchor=directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A client's upload directory beside a database, and what a test asks of them."""

    directory: Path
    engine: Engine
    format: Format

    @property
    def folder(self) -> Folder:
        """The directory as the importer is given it."""
        return by_name(self.directory)

    @property
    def bak(self) -> Path:
        """Where imported files go."""
        return self.directory / BAK

    def drop(self, name: str, content: str | bytes) -> Path:
        """Put a whole file there, as a client does."""
        path = self.directory / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def seen(self, name: str) -> tuple[str, Fingerprint]:
        """What the watcher tells of a complete file."""
        return name, fingerprint(os.lstat(self.directory / name))

    def claims(self) -> list[Claim]:
        """What was taken and is not finished, oldest first."""
        return [*claiming.claims("acme", self.folder, self.directory / claiming.WORK_DIRECTORY)]

    def importer(self, **how: Any) -> Importer:  # noqa: ANN401 - as clock
        """An importer whose clock stands still."""
        return Importer(self.engine, self.format, LIMITS, clock(**how))

    def take(self, *names: str, unseen_ends: Iterable[str] = (), **how: Any) -> list[Outcome]:  # noqa: ANN401 - as clock
        """Import the files of these names; of some nothing has told the end of the upload."""
        uploads, unseen = [self.seen(name) for name in names], frozenset(unseen_ends)
        return list(self.importer(**how).import_files("acme", self.folder, uploads, unseen_ends=unseen))

    def recover(self, **how: Any) -> list[Outcome]:  # noqa: ANN401 - as clock
        """Finish what was left."""
        return list(self.importer(**how).recover("acme", self.folder))

    def users(self) -> dict[str, dict[str, Any]]:
        """Key → user."""
        table = user_table(self.format)
        return {row[self.format.key]: row for row in rows_of(self.engine, table)}

    def ledger(self) -> list[dict[str, Any]]:
        """Every entry, oldest claim first."""
        return rows_of(self.engine, imports)

    def notices(self) -> list[tuple[str, str]]:
        """Kind and audience of every notice."""
        return [(row["facts"]["kind"], row["audience"]) for row in rows_of(self.engine, notices)]

    def archived(self) -> dict[str, bytes]:
        """Name → content of everything in bak."""
        return {path.name: path.read_bytes() for path in sorted(self.bak.iterdir())} if self.bak.exists() else {}

    def left(self) -> list[str]:
        """Everything else in the client's directory, by its path."""
        paths = (path for path in self.directory.rglob("*") if self.bak not in (path, *path.parents))
        return sorted(str(path.relative_to(self.directory)) for path in paths)


def make_site(place: Path, format_: Format = PEOPLE, url: str | None = None) -> Site:
    """An empty upload directory and an empty database (by default SQLite), in directories of their own."""
    directory, state = place / "upload", place / "state"
    directory.mkdir()
    state.mkdir()
    engine = make_engine(url or f"sqlite:///{state / 'userdrop.db'}")
    migrate(engine, format_)
    return Site(directory=directory, engine=engine, format=format_)


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[None]:
    """Something else mounted over a directory; the test is skipped where that needs more rights."""
    mount = ["mount", *options, str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        unavailable("a mount needs root")
    try:
        yield
    finally:
        # The mount namespace of another test, as a soak's, may still have in use what was mounted when it was made.
        if subprocess.run(["umount", str(path)], check=False, capture_output=True).returncode:
            subprocess.run(["umount", "--lazy", str(path)], check=True)

"""How long the page for people takes with many imports in the ledger, asked by HTTP as a browser would."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import click
from rich.console import Console
from sqlalchemy import Engine

from importer.database.engines import make_engine
from importer.database.tables import migrate
from importer.files.claiming import Copied
from importer.formats.format_file import load_format
from importer.model import Claim, Status
from importer.storing.ledger import entry_values, write_entries
from notifier.alerts import Alerts
from notifier.model import Delivered
from tests.servers.ports import LOOPBACK
from tests.servers.postgresql import postgresql_server
from tests.tools.page import client, service
from watcher.uploads.gauging import Gauges, gauges
from watcher.uploads.snapshot import FileNow, FileSnapshot, ServiceSnapshot
from watcher.uploads.supervision import WatchState
from watcher.web.gathering import Gathering
from watcher.web.serving import Answers, listening, serving
from watcher.work.counting import Counting

CLIENTS = [f"client-{number:02}" for number in range(20)]
DAYS = 30
AIM_MS = 200


@click.command()
@click.option("--imports", default=10_000, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(min=1))
def page(*, imports: int, rounds: int) -> None:
    """Ask for the page, and for the metrics, again and again."""
    with TemporaryDirectory(prefix="userdrop-bench-") as name, postgresql_server() as server:
        for title, url in (("SQLite", f"sqlite:///{Path(name) / 'userdrop.db'}"), ("PostgreSQL", server.url())):
            engine = make_engine(url)
            now = datetime.now(UTC)  # noqa: TID251 - the imports are those of the last days
            _fill(engine, imports, now)
            for path in ("/", "/metrics"):
                seconds, size = asyncio.run(_asked(engine, path, rounds, now))
                Console(width=150).print(
                    f"{path} with {imports:,} imports of {len(CLIENTS)} clients in {DAYS} days, all with failed rows,"
                    f" on {title}: {1000 * statistics.median(seconds):.0f} ms"
                    f" ({1000 * max(seconds):.0f} ms at most, aim {AIM_MS}), {size / 1000:.0f} kB"
                )
            engine.dispose()


def _fill(engine: Engine, imports: int, now: datetime) -> None:
    migrate(engine, load_format(None))
    reasons = [
        {"code": code, "column": "email", "count": 5, "example_row": 2, "example": "email '@' is not a valid address"}
        for code in ("invalid", "required", "duplicate_in_file")
    ]
    entries = []
    for number in range(imports):
        at = now - timedelta(days=DAYS) * (imports - number) / imports
        claim = Claim(
            id=f"claim-{number:08}", client=CLIENTS[number % len(CLIENTS)], directory=Path(), name=f"{number}.csv"
        )
        counts = {"records": 1000, "accepted": 985, "failed": 15, "inserted": 985, "reasons": reasons}
        entries.append({**entry_values(claim, Status.IMPORTED, Copied(size=1, sha256=""), "", at), **counts})
    with engine.begin() as connection:
        write_entries(connection, entries)


async def _asked(engine: Engine, path: str, rounds: int, now: datetime) -> tuple[list[float], int]:
    async def shown() -> ServiceSnapshot:
        return service(*map(client, CLIENTS))

    async def known(_: str, __: str) -> FileSnapshot:
        return FileSnapshot(file=FileNow(), alerts=(), events=())

    async def numbers() -> tuple[Gauges, ...]:
        return tuple(gauges(name, WatchState.LIVE, seen={}, refused=(), now=0.0, last_tick=0.0) for name in CLIENTS)

    gathering = Gathering(
        engine=engine,
        interval=timedelta(minutes=5),
        now=lambda: now,
        service=shown,
        clients=numbers,
        file=known,
        folder=lambda _: None,
        alerts=Alerts(lambda: now, lambda: 0.0),
        counting=Counting(),
        delivered=Delivered,
    )
    answers = Answers(
        metrics=gathering.metrics, readiness=gathering.readiness, page=gathering.page, story=gathering.story
    )
    listener = listening(LOOPBACK, 0)
    base = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    found = []
    async with serving(listener, answers, token=None), aiohttp.ClientSession(base) as session:
        for _ in range(rounds):
            started = time.perf_counter()
            async with session.get(path) as response:
                size = len(await response.read())
                response.raise_for_status()
            found.append(time.perf_counter() - started)
    gathering.close()
    return found, size

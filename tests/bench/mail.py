"""How fast mails leave, and what an 80 MB report costs in memory.

Run as a module it delivers what a queue holds: `python -m tests.bench.mail DATABASE PORT CA_FILE`.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from importer.database.engines import make_engine
from notifier import outbox
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.smtp import SmtpTransport
from tests.bench.measuring import Run, run
from tests.mailing import ADDRESSES, LETTERS, NOW, Clock, database, failed_rows, store, store_import
from tests.servers.smtp import SmtpServer, smtp_server

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


@click.command()
@click.option("--mails", default=1000, show_default=True, type=click.IntRange(min=1))
@click.option("--megabytes", default=80, show_default=True, type=click.IntRange(min=1))
def mail(*, mails: int, megabytes: int) -> None:
    """Deliver mails to a local server over STARTTLS, one session each; and one mail with a large report."""
    console = Console(width=150)
    with TemporaryDirectory(prefix="userdrop-bench-") as name, smtp_server(Path(name)) as server:
        many = _delivered(Path(name) / "many", server, count=mails, megabytes=0)
        console.print(
            f"{mails:,} mails in {many.seconds:.1f} s: {mails / many.seconds:.0f} a second"
            f" ({many.cpu_seconds / mails * 1000:.1f} ms of CPU each), {many.peak_mb:.0f} MB at most"
        )
        small = _delivered(Path(name) / "small", server, count=1, megabytes=0)
        large = _delivered(Path(name) / "large", server, count=1, megabytes=megabytes)
        console.print(
            f"a report of {megabytes} MB: {large.peak_mb - small.peak_mb:.0f} MB more memory than a mail without one"
            f" ({large.peak_mb:.0f} MB in all), {large.seconds - small.seconds:.1f} s longer"
        )


def _delivered(place: Path, server: SmtpServer, *, count: int, megabytes: int) -> Run:
    place.mkdir()
    engine = database(place)
    for number in range(count):
        notice = failed_rows(number, client=f"c{number}")
        store_import(engine, notice, place, archived=True)
        store(engine, notice)
        if megabytes:
            _write_report(place / "bak" / str(notice.report), megabytes)
    outbox.form(engine, LETTERS, ADDRESSES, now=NOW, next_run=None)
    engine.dispose()
    before = len(server.received)
    command: list[str | Path] = [sys.executable, "-m", "tests.bench.mail", str(engine.url), str(server.port)]
    done = run([*command, server.ca_file], ENVIRONMENT)
    if done.code or len(server.received) != before + count:
        raise click.ClickException(done.last_words or "mails are missing")
    return done


def _write_report(path: Path, megabytes: int) -> None:
    with path.open("wb") as file:
        file.write(b"unique_id,city,import_error\r\n")
        while file.tell() < megabytes * 1_000_000:
            rows = (f"U{os.urandom(4).hex()},{os.urandom(8).hex()},city is too long\r\n" for _ in range(10_000))
            file.write("".join(rows).encode())


def deliver(url: str, port: int, ca_file: Path) -> None:
    """Send all that waits."""
    clock = Clock(datetime.now(UTC))  # noqa: TID251 - mails are due by it
    delivery = Delivery(
        engine=make_engine(url),
        transport=SmtpTransport(host="localhost", port=port, ca_file=ca_file),
        addresses=ADDRESSES,
        letters=LETTERS,
        clock=clock,
        next_run=lambda: None,
        jitter=lambda: 0,
        alerts=Alerts(clock, clock.elapsed),
    )
    asyncio.run(delivery.once())


if __name__ == "__main__":
    deliver(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

"""`userdrop run`: the service."""

import sys
from collections.abc import Iterator

import click

from watcher.base.clock import utc_now
from watcher.base.exit_codes import exit_codes
from watcher.commands.loading import loaded
from watcher.commands.terminal import fail, tell
from watcher.running import EndedError, serve
from watcher.settings.variables import Settings
from watcher.uploads.batching import next_tick


@click.command()
@click.option(
    "--once", is_flag=True, help="Import the files that are there once they are complete, deliver the mail, and end."
)
@exit_codes(
    unavailable="USERDROP_HTTP_LISTEN cannot be listened at, or with --once the database or disk is out",
    bug="a bug",
    already_running="another instance is running",
)
def run(*, once: bool) -> None:
    """Run the service: watch the upload directory and import.

    Complete files are imported whenever the minute, UTC, is a multiple of USERDROP_INTERVAL_MINUTES, and at once on
    SIGUSR1; on SIGTERM the service finishes the file in hand and ends within 30 seconds.
    """
    settings, format_ = loaded()
    if sys.stderr.isatty() and not once:
        tell(_welcome(settings))
    try:
        unmailed = serve(settings, format_, once=once)
    except EndedError as end:
        fail(str(end), end.exit_code)
    tell(unmailed)


def _welcome(settings: Settings) -> Iterator[str]:
    """Tell who has started the service at a terminal what to do now."""
    where = f"a client's folder in {settings.upload_dir}" if settings.client_folders else str(settings.upload_dir)
    minutes = "minute" if settings.interval_minutes == 1 else f"{settings.interval_minutes} minutes"
    yield f"drop CSV files into {where}; complete ones are imported every {minutes}"
    yield f"the next run is at {next_tick(utc_now(), settings.interval):%H:%M} UTC; `userdrop now` has one at once"

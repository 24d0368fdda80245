"""`userdrop now`: a tick that is asked for."""

import os
import signal
from collections.abc import Iterator

import click

from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.base.instance import running_process
from watcher.commands.asking import answer_of
from watcher.commands.loading import loaded
from watcher.commands.terminal import fail
from watcher.uploads.model import CLIENT
from watcher.uploads.snapshot import ServiceSnapshot, WaitingFile, WaitReason

MOST_TOLD = 20
"""The number of files of which is told when they are taken."""


@click.command()
@exit_codes(amiss="no service runs")
def now() -> None:
    """Have the running service import at once what is complete.

    The service looks at every upload directory and imports at once, as it does whenever the minute is a multiple of
    USERDROP_INTERVAL_MINUTES. What is still being written, or has to lie unchanged for some time yet, is imported at a
    later run.
    """
    settings, _ = loaded()
    process = running_process(settings.state_dir)
    if process is None:
        where = settings.state_dir
        fail(f"no userdrop runs with the state directory {where}: start it with `userdrop run`", ExitCode.AMISS)
    before = answer_of(settings, ServiceSnapshot, "status")
    try:
        os.kill(process, signal.SIGUSR1)
    except PermissionError:
        fail(f"userdrop runs as process {process} of another user: ask as that user or as root", ExitCode.USAGE)
    click.echo(f"userdrop, process {process}, imports now what is complete; see `userdrop history`")
    for line in () if before is None else taken(before):
        click.echo(line)


def taken(service: ServiceSnapshot) -> Iterator[str]:
    """Tell of each file that waits whether it is taken now, or when: a line each, of many only the first."""
    waiting = [
        (f"{client.client}: {file.file}" if client.client != CLIENT else file.file, file)
        for client in service.clients
        for file in client.waiting.shown
    ]
    for name, file in waiting[:MOST_TOLD]:
        yield f"  {name}: {_when(file)}"
    more = sum(client.waiting.files for client in service.clients) - len(waiting[:MOST_TOLD])
    if more > 0:
        yield f"  {more:,} more wait; see `userdrop status`"
    if not waiting and not more:
        yield "  no file waits"


def _when(file: WaitingFile) -> str:
    match file.reason:
        case WaitReason.COMPLETE:
            return "taken now"
        case WaitReason.QUIET if file.until is not None:
            return (
                f"not yet; whether it is complete is decided at {file.until:%H:%M:%S} UTC if nothing changes until then"
            )
        case _:
            return f"not now; `userdrop why` tells why it waits ({file.reason.value.replace('_', ' ')})"

"""`userdrop status`: the running service."""

from threading import Event

import click
from rich.console import Console

from watcher.base.clock import utc_now
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.answering import overview_line, overview_table, status_json, status_line, status_tables
from watcher.commands.asking import Answer, answer_of, whole_answer_of
from watcher.commands.loading import loaded
from watcher.commands.overview import overview
from watcher.commands.terminal import fail
from watcher.settings.variables import Settings
from watcher.uploads.snapshot import ServiceSnapshot

STATUS_SECONDS = 2.0
"""Seconds from one status that `--watch` shows to the next."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option("--watch", is_flag=True, help=f"Show the status again every {STATUS_SECONDS:.0f} seconds, until Ctrl-C.")
@exit_codes(amiss="no service runs", usage="wrong usage or settings, or the service does not answer")
def status(*, as_json: bool, watch: bool) -> None:
    """Show what the running service does, and what waits for it.

    The status names what is imported now, the files that wait and why, open alerts, the last imports, and the number
    of mails. `userdrop why FILE` tells the story of one file, `userdrop history` shows all imports, and `userdrop mail
    list` the mails that wait.
    """
    settings, _ = loaded()
    show = _show_json if as_json else _show_tables
    show(settings)
    while watch:
        Event().wait(STATUS_SECONDS)
        if not as_json:
            click.clear()
        show(settings)


def _show_json(settings: Settings) -> None:
    answer = _running(settings, whole_answer_of(settings, "status"))
    click.echo(status_json(answer, overview(settings, utc_now())))


def _show_tables(settings: Settings) -> None:
    answer = _running(settings, answer_of(settings, ServiceSnapshot, "status"))
    stored = overview(settings, utc_now())
    click.echo(status_line(answer))
    click.echo(overview_line(stored))
    for table in (*status_tables(answer), *([overview_table(stored)] if stored.imports else [])):
        click.echo()
        Console().print(table)


def _running(settings: Settings, answer: Answer | None) -> Answer:
    """The answer of the running service; the command ends where none runs."""
    if answer is None:
        where = settings.state_dir
        fail(f"no userdrop runs with the state directory {where}; `userdrop run` starts it", ExitCode.AMISS)
    return answer

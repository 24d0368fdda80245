"""`userdrop why`: the story of one file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TextIO

import click

from importer.model import shown_name
from watcher.base.clock import utc_now
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.answering import story_json, story_lines
from watcher.commands.asking import answer_of
from watcher.commands.loading import clients_of, directory_of, loaded
from watcher.commands.options import CLIENT_OPTION
from watcher.commands.overview import file_history
from watcher.commands.terminal import fail
from watcher.settings.variables import Settings
from watcher.stories.story import Happened, events_of, now_told, story
from watcher.stories.whereabouts import whereabouts
from watcher.uploads.snapshot import FileSnapshot


@click.command()
@click.argument("file")
@CLIENT_OPTION
@click.option(
    "--log",
    type=click.File(encoding="utf-8", errors="replace"),
    help="Read a log of the service as well; - is standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@exit_codes(amiss="nothing is known of such a file")
def why(*, file: str, client: str | None, log: TextIO | None, as_json: bool) -> None:
    """Tell what happened to FILE, what did not, and why.

    The story tells when the file was seen, by what it was found complete, when it was imported, archived and mailed,
    and why something of this was not done. FILE is the name by which it was uploaded. The running service knows what
    it saw lately; what was seen before it began is in its log:
    journalctl -u userdrop -o cat | userdrop why FILE --log -
    """
    settings, _ = loaded()
    file = PurePath(file).name  # as `status` shows files of folders, and as an administrator copies a path
    if not file:
        fail("a file has a name", ExitCode.USAGE)
    clients = clients_of(settings, client)
    lines = [*(log or ())]
    found = [_known(settings, name, file, lines) for name in clients]
    known = [each for each in found if each.told or each.now]
    if not known:
        where = directory_of(settings, clients[0]) if len(clients) == 1 else f"any of {len(clients):,} clients' folders"
        rest = "nor in the ledger" if found[0].unread is None else f"and {found[0].unread}"
        fail(f"nothing is known of {shown_name(file)}: it is not in {where}, {rest}", ExitCode.AMISS)
    for each in known:
        now = each.now if each.unread is None else [*each.now, each.unread]
        if as_json:
            click.echo(story_json(each.client, each.told, now))
            continue
        if len(clients) > 1:
            click.echo(f"client {shown_name(each.client)}:")
        click.echo("\n".join(story_lines(each.told, now)))
    if not any(each.is_found for each in known):
        sys.exit(ExitCode.AMISS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of a file of one client.

    Attributes:
        is_found: whether anything is known but that some place could not be looked into.
        unread: why ledger and mails could not be asked; None where they were.
    """

    client: str
    is_found: bool
    told: Sequence[Happened]
    now: Sequence[str]
    unread: str | None


def _known(settings: Settings, client: str, file: str, lines: Sequence[str]) -> _Known:
    where = whereabouts(directory_of(settings, client), file)
    stored = file_history(settings, client, file, utc_now())
    answer = answer_of(settings, FileSnapshot, "file", client, file)
    events = [*events_of(lines, client, shown_name(file)), *(answer.events if answer else ())]
    told = story(events, stored.past)
    return _Known(
        client=client,
        is_found=bool(told) or where.is_anywhere,
        told=told,
        now=[*now_told(file, where, answer, client=client)],
        unread=None if stored.error is None else f"the ledger and the mails cannot be read: {stored.error}",
    )

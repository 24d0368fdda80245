"""`userdrop why`: the story of one file."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import NoReturn, TextIO

import click

from importer.model import shown_name
from watcher.base.clock import utc_now
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.answering import story_json, story_lines
from watcher.commands.asking import answer_of
from watcher.commands.loading import clients_of, directory_of, loaded, missed
from watcher.commands.options import CLIENT_OPTION
from watcher.commands.overview import file_history
from watcher.commands.terminal import fail
from watcher.settings.variables import Settings
from watcher.stories.present import now_told
from watcher.stories.sentences import Sentences
from watcher.stories.story import Happened, events_of, story
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
    gone = missed(settings)
    found = [_known(settings, name, file, lines, gone.get(name)) for name in clients]
    known = [each for each in found if each.told or (each.now and not each.is_away)]
    if not known:
        known = _away(settings, found, gone)
    if not known:
        _fail_unknown(settings, found, file)
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
        is_away: whether the client's directory is not there.
        unread: why ledger and mails could not be asked; None where they were.
    """

    client: str
    is_found: bool
    is_away: bool
    told: Sequence[Happened]
    now: Sequence[str]
    unread: str | None


def _known(settings: Settings, client: str, file: str, lines: Sequence[str], gone_since: datetime | None) -> _Known:
    directory = settings.upload_dir / client if settings.client_folders else settings.upload_dir
    where = whereabouts(directory, file, within=settings.upload_dir if settings.client_folders else None)
    stored = file_history(settings, client, file, utc_now())
    answer = answer_of(settings, FileSnapshot, "file", client, file)
    events = [*events_of(lines, client, shown_name(file)), *(answer.events if answer else ())]
    told = story(events, stored.past)
    return _Known(
        client=client,
        is_found=bool(told) or where.is_anywhere,
        is_away=where.away is not None,
        told=told,
        now=[*now_told(file, where, answer, client=client, gone_since=gone_since)],
        unread=None if stored.error is None else Sentences().say("unread", why=stored.error),
    )


def _away(settings: Settings, found: Sequence[_Known], gone: Collection[str]) -> list[_Known]:
    """Those of clients, where nothing is known of a file, whose directories are not there and were."""
    is_known = not settings.client_folders or not settings.upload_dir.is_dir()
    return [each for each in found if each.is_away and (is_known or each.client in gone)]


def _fail_unknown(settings: Settings, found: Sequence[_Known], file: str) -> NoReturn:
    """End the command, as nothing is known of a file though all places are there."""
    for each in found:
        if each.is_away:
            fail(f"no folder of the upload directory is the client {shown_name(each.client)}", ExitCode.USAGE)
    alone = directory_of(settings, found[0].client) if len(found) == 1 else None
    where = alone or f"any of {len(found):,} clients' folders"
    rest = "nor in the ledger" if found[0].unread is None else f"and {found[0].unread}"
    fail(f"nothing is known of {shown_name(file)}: it is not in {where}, {rest}", ExitCode.AMISS)

"""`userdrop mail`: the queue of mails, looked at and changed."""

from collections.abc import Callable

import click
from rich.console import Console

from notifier.model import MailState
from notifier.queueing import UNSENT, counted, drop, found, listed, retry, retry_all
from watcher.base.clock import utc_now
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.answering import mail_counts, mail_json, mail_text, mails_table
from watcher.commands.database import changed_database, read_database
from watcher.commands.loading import loaded
from watcher.commands.options import DATABASE_OUT, JSON_OPTION, LIMIT_OPTION, NO_DATABASE
from watcher.commands.terminal import fail

_NUMBER = click.IntRange(1, 2**63 - 1)
_NUMBERS = click.argument("numbers", type=_NUMBER, nargs=-1, required=True, metavar="MAIL...")


@click.group()
@exit_codes(
    amiss="there is no such mail, or it is sent already or being sent", usage=NO_DATABASE, unavailable=DATABASE_OUT
)
def mail() -> None:
    """Show, retry or drop the mails that were not delivered.

    A queued mail waits for its next attempt; a dead one could not be delivered and is tried no more.
    """


@mail.command("list")
@click.option("--all", "with_sent", is_flag=True, help="Show the mails that were sent as well.")
@LIMIT_OPTION
@JSON_OPTION
def list_mails(*, with_sent: bool, limit: int, as_json: bool) -> None:
    """Show queued and dead mails, the newest first, and how many there are in each state.

    A refused mail is queued as well: it waits because the mail server refuses us, or may do so.
    """
    settings, _ = loaded()
    with read_database(settings) as connection:
        states = (*UNSENT, MailState.SENT) if with_sent else UNSENT
        queued = listed(connection, states=states, limit=limit, now=utc_now())
        counts = counted(connection, now=utc_now())
    if as_json:
        for each in queued:
            click.echo(mail_json(each))
    elif queued:
        Console().print(mails_table(queued))
        click.echo(f"mails: {mail_counts(counts)}")
    else:
        click.echo("no mail waits", err=True)


@mail.command("show")
@click.argument("number", type=_NUMBER, metavar="MAIL")
def show_mail(*, number: int) -> None:
    """Show what became of the MAIL with this number, and what it says."""
    settings, _ = loaded()
    with read_database(settings) as connection:
        shown = found(connection, number, now=utc_now())
    if shown is None:
        fail(f"there is no mail {number}", ExitCode.AMISS)
    click.echo(mail_text(*shown), nl=False)


@mail.command("retry")
@click.option("--all", "every", is_flag=True, help="Retry each dead mail, and each that the mail server refuses.")
@click.argument("numbers", type=_NUMBER, nargs=-1, metavar="[MAIL...]")
def retry_mails(*, every: bool, numbers: tuple[int, ...]) -> None:
    """Have the running service try each MAIL at once.

    A dead mail is tried as well. Each one then has five days again.
    """
    if every == bool(numbers):
        message = "name mails by their numbers, or give --all"
        raise click.UsageError(message)
    if every:
        _retry_all()
    else:
        _change(retry, numbers, "queued again")


@mail.command("drop")
@_NUMBERS
def drop_mails(*, numbers: tuple[int, ...]) -> None:
    """Delete each MAIL that was not sent; reports stay in bak."""
    _change(drop, numbers, "dropped")


def _retry_all() -> None:
    settings, _ = loaded()
    with changed_database(settings) as engine, engine.begin() as connection:
        number = retry_all(connection, now=utc_now())
    click.echo(f"{number:,} {'mail is' if number == 1 else 'mails are'} queued again")


def _change(change: Callable[..., list[int]], numbers: tuple[int, ...], what: str) -> None:
    settings, _ = loaded()
    with changed_database(settings) as engine, engine.begin() as connection:
        changed = change(connection, numbers, now=utc_now())
    for number in changed:
        click.echo(f"mail {number} is {what}")
    left = [str(number) for number in numbers if number not in changed]
    if left:
        fail(f"left as they are, because they are not there, sent, or being sent: {', '.join(left)}", ExitCode.AMISS)

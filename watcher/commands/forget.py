"""`userdrop forget`: a person removed."""

import sys

import click

from importer.removing import forgetting
from importer.removing.forgetting import Forgotten, Where
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.database import changed_database
from watcher.commands.loading import clients_of, listed_names, loaded, opened_directory_of
from watcher.commands.options import DATABASE_OUT, NO_DATABASE, utf8
from watcher.commands.terminal import fail
from watcher.settings.variables import Settings
from watcher.wiring import allowance
from watcher.work.looking import looking


@click.command()
@click.argument("key", callback=utf8)
@click.option("--client", callback=utf8, help="Name of the client; it must be given where there are several.")
@click.option("--files", is_flag=True, help="Also remove the files and mails that name the person.")
@exit_codes(
    done="nothing is left",
    amiss="nothing was known",
    worse="something is left",
    usage=NO_DATABASE,
    unavailable=DATABASE_OUT,
)
def forget(*, key: str, client: str | None, files: bool) -> None:
    """Remove the person with this KEY.

    KEY is the value of the column that identifies a user. The user is removed, and so are the texts of the ledger and
    of notices about the person's rows, and those rows in reports. All files of the client and all its mails are
    searched for the key, the address and other unique values. Those found in bak, in quarantine and among the mails are
    listed, or removed with --files; files that wait to be imported stay, and bring the person back. Whatever is left is
    named with the reason.
    """
    settings, format_ = loaded()
    owner = _owner(settings, client)
    with (
        opened_directory_of(settings, owner) as directory,
        changed_database(settings, format_) as engine,
        looking(format_.known_names, allowance(settings)) as look,
    ):
        where = Where(client=owner, directory=directory, mails=settings.mail_dir)
        found = forgetting.forget(engine, format_, where, key, look, with_files=files)
    _show(found)
    if found.left:
        sys.exit(ExitCode.WORSE)
    if found.is_nothing:
        fail("nobody is known by that key", ExitCode.AMISS)


def _owner(settings: Settings, client: str | None) -> str:
    """The client whose person is meant: never guessed where there are several."""
    clients = clients_of(settings, client)
    if len(clients) != 1:
        fail(f"say by --client whose person that is: {listed_names(clients)}", ExitCode.USAGE)
    return clients[0]


def _show(found: Forgotten) -> None:
    number = found.searched
    click.echo(
        f"searched: {number.files} files, {number.entries} entries of the ledger, {number.notices} notices, "
        f"{number.mails} mails"
    )
    click.echo("the user is removed" if found.was_user else "there was no such user")
    click.echo(f"{found.texts} texts of ledger and notices are emptied")
    for name in found.reports:
        click.echo(f"bak/{name}: the person's rows are removed")
    left = {each.what for each in found.left}
    for what in (*found.files, *(f"mail {number}" for number in found.mails)):
        if what not in left:
            click.echo(f"{what}: removed")
    for each in found.left:
        click.echo(f"left: {each.what} {each.why}")
    click.echo(
        "not searched: backups, mails in mailboxes, what the sender keeps; logs hold no cell. "
        "The person comes back by a file that is dropped again"
    )

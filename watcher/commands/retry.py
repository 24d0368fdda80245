"""`userdrop retry`: a file taken out of the quarantine."""

import click

from importer.files import claiming
from importer.model import shown_name
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.loading import clients_of, directory_of, loaded, only_client, opened_directory_of
from watcher.commands.options import CLIENT_OPTION
from watcher.commands.terminal import fail
from watcher.settings.variables import Settings


@click.command()
@click.argument("file")
@CLIENT_OPTION
@exit_codes(amiss="there is no such file or its name is taken")
def retry(*, file: str, client: str | None) -> None:
    """Have a FILE of the quarantine tried again.

    FILE is its name, or the id of its claim where several files have that name.
    """
    settings, _ = loaded()
    clients = clients_of(settings, client)
    found = [name for name in clients if _lying(settings, name, file)]
    owner = only_client(found, clients, f"{shown_name(file)} in quarantine")
    lying = _lying(settings, owner, file)
    with opened_directory_of(settings, owner) as directory:
        if len(lying) > 1:
            ids = ", ".join(each.claim_id for each in lying)
            fail(f"several files in quarantine have this name; give one of {ids}", ExitCode.USAGE)
        try:
            claiming.retry(lying[0], directory)
        except FileExistsError:
            fail(f"a newer {shown_name(lying[0].name)} waits to be imported; try again later", ExitCode.AMISS)
    click.echo(f"{shown_name(lying[0].name)} lies in {directory_of(settings, owner)} again")


def _lying(settings: Settings, client: str, file: str) -> list[claiming.SetAside]:
    """The files of a client's quarantine that a name or a claim means."""
    with opened_directory_of(settings, client) as directory:
        return [each for each in claiming.set_aside(directory) if file in {each.name, each.claim_id}]

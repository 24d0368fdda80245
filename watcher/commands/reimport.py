"""`userdrop reimport`: an archived file dropped again."""

import click

from importer.files import reimporting
from importer.model import shown_name
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.loading import clients_of, directory_of, loaded, only_client, opened_directory_of
from watcher.commands.options import CLIENT_OPTION
from watcher.commands.terminal import fail
from watcher.settings.variables import Settings


@click.command()
@click.argument("file")
@CLIENT_OPTION
@exit_codes(amiss="there is no such file or an upload of that name waits")
def reimport(*, file: str, client: str | None) -> None:
    """Drop a FILE of bak again, as a new upload.

    FILE is a name in bak, or the name by which the file was uploaded, which means its last archive.
    """
    settings, _ = loaded()
    clients = clients_of(settings, client)
    found = [name for name in clients if _lies_in_bak(settings, name, file)]
    owner = only_client(found, clients, f"{shown_name(file)} in bak")
    with opened_directory_of(settings, owner) as directory:
        try:
            archived, name = reimporting.reimport(directory, file)
        except FileNotFoundError:
            fail(f"there is no {shown_name(file)} in bak", ExitCode.AMISS)
        except FileExistsError:
            fail(f"an upload of the name of {shown_name(file)} waits; try again when it is imported", ExitCode.AMISS)
    click.echo(f"{shown_name(archived)} lies in {directory_of(settings, owner)} again, as {shown_name(name)}")


def _lies_in_bak(settings: Settings, client: str, file: str) -> bool:
    with opened_directory_of(settings, client) as directory:
        return reimporting.archive_of(directory, file) is not None

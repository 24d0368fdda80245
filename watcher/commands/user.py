"""`userdrop user`: which files brought and changed a user."""

import click
from rich.console import Console

from importer.database.history import past_user
from importer.model import shown_name
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.answering import user_json, user_table
from watcher.commands.database import read_database
from watcher.commands.loading import clients_of, loaded, searched
from watcher.commands.options import CLIENT_OPTION, DATABASE_OUT, JSON_OPTION, NO_DATABASE, utf8
from watcher.commands.terminal import fail


@click.command()
@click.argument("key", callback=utf8)
@CLIENT_OPTION
@JSON_OPTION
@exit_codes(amiss="there is no such user", usage=NO_DATABASE, unavailable=DATABASE_OUT)
def user(*, key: str, client: str | None, as_json: bool) -> None:
    """Show which files brought and last changed the user with KEY.

    KEY is the value of the column that identifies a user; `userdrop columns` names it. Files between the two are not
    known, nor are files that only repeated what was stored.
    """
    settings, format_ = loaded()
    clients = clients_of(settings, client)
    with read_database(settings, format_) as connection:
        asked = ((name, past_user(connection, format_, name, key)) for name in clients)
        found = {name: past for name, past in asked if past is not None}
    if not found:
        fail(f"no user of {searched(clients)} has that {format_.key}", ExitCode.AMISS)
    for name, past in found.items():
        if as_json:
            click.echo(user_json(past, key))
            continue
        if len(clients) > 1:
            click.echo(f"client {shown_name(name)}:")
        Console().print(user_table(past))

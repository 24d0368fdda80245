"""`userdrop history`: what happened to files."""

from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter

import click
from rich.console import Console

from importer.database.history import past_imports
from watcher.base.clock import utc_now
from watcher.base.exit_codes import exit_codes
from watcher.commands.answering import import_json, imports_table
from watcher.commands.database import read_database
from watcher.commands.loading import clients_of, loaded, searched
from watcher.commands.options import CLIENT_OPTION, DATABASE_OUT, JSON_OPTION, LIMIT_OPTION, NO_DATABASE


@click.command()
@click.option("--file", help="Show only files of this name.")
@CLIENT_OPTION
@click.option("--since", type=click.IntRange(1, 36_500), metavar="DAYS", help="Show only the last DAYS days.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Show only that day, UTC.")
@click.option("--failed", is_flag=True, help="Show only files of which a row failed or nothing was imported.")
@LIMIT_OPTION
@JSON_OPTION
@exit_codes(usage=NO_DATABASE, unavailable=DATABASE_OUT)
def history(
    *,
    file: str | None,
    client: str | None,
    since: int | None,
    day: datetime | None,
    failed: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show what happened to files, the newest first.

    The history may be asked for while the service runs.
    """
    settings, _ = loaded()
    start, end = None if since is None else utc_now() - timedelta(days=since), None
    if day is not None:
        start = day.replace(tzinfo=UTC)
        end = start + timedelta(days=1)
    clients = clients_of(settings, client)
    narrowed = partial(past_imports, file=file, since=start, until=end, only_failures=failed, limit=limit + 1)
    with read_database(settings) as connection:
        found = [each for name in clients for each in narrowed(connection, name)]
    found.sort(key=attrgetter("claim_id"), reverse=True)
    shown = found[:limit]
    if as_json:
        for each in shown:
            click.echo(import_json(each))
    elif shown:
        Console().print(imports_table(shown, with_clients=len(clients) > 1))
    else:
        click.echo(f"there is nothing like that of {searched(clients)} in the ledger", err=True)
    if len(found) > limit:
        click.echo(f"these are the newest {limit:,}; there are more: see --limit", err=True)

"""`userdrop settings`: the settings in force."""

import click

from watcher.commands.loading import loaded
from watcher.settings.variables import in_force


@click.command()
def settings() -> None:
    """Show the settings in force, secrets as ***."""
    in_use, _ = loaded()
    for name, value in in_force(in_use):
        click.echo(f"{name}={value}")

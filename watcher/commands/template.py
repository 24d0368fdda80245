"""`userdrop template`: a CSV to begin with."""

import csv
import io

import click

from importer.formats.columns import Format
from watcher.commands.loading import loaded


@click.command()
def template() -> None:
    """Print a CSV with the header and one example row."""
    _, format_ = loaded()
    click.echo(_template_csv(format_), nl=False)


def _template_csv(format_: Format) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(column.name for column in format_.columns)
    writer.writerow(column.example for column in format_.columns)
    return text.getvalue()

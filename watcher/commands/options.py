"""Options and arguments that several commands have."""

import click

NO_DATABASE = "wrong usage or settings or no usable database"
"""The mistakes with which a command that needs the database ends, for its help."""
DATABASE_OUT = "database out"


def utf8(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The value of an option, which a database can be asked for; raises BadParameter where it is not UTF-8."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        message = "is not UTF-8"
        raise click.BadParameter(message, context, parameter) from None
    return value


CLIENT_OPTION = click.option("--client", callback=utf8, help="Name of the client; without it, all are searched.")
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line, instead of a table.")
LIMIT_OPTION = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Show at most this many entries."
)

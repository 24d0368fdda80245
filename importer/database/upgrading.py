"""The migrations, by which tables come to a version, and by which it is known what tables a version has."""

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from importer.database.owning import VERSIONS, Tables


@cache
def tables_of(version: str) -> Tables | None:
    """The tables of a version with their columns, as the migrations make them; None for a version not known.

    A start asks several times, and the migrations of a version never change.
    """
    if version not in versions():
        return None
    made = create_engine("sqlite://")
    try:
        with made.begin() as connection:
            upgrade(connection, version, schema=None)
            found = inspect(connection)
            return {
                name: {column["name"] for column in found.get_columns(name)}
                for name in found.get_table_names()
                if name != VERSIONS
            }
    finally:
        made.dispose()


def versions() -> list[str]:
    """The versions of the tables, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()]


def upgrade(connection: Connection, version: str, *, schema: str | None) -> None:
    """Bring the tables to a version by the migrations.

    Args:
        connection: a connection within a transaction.
        version: a version, or head for the newest.
        schema: the schema that has the table of versions; None on SQLite.
    """
    config = _alembic()
    config.attributes |= {"connection": connection, "schema": schema}
    command.upgrade(config, version)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "importer.database:migrations")
    return config

"""The lookups of a format, extended by a site's own tables."""

from dataclasses import replace

from sqlalchemy import Connection, select

from importer.database.tables import LOOKUP_TABLES
from importer.formats.columns import Format, Lookup


def known_format(connection: Connection, format_: Format) -> Format:
    """Extend the lookups of a format by the site's tables; the format's own entries win.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    lookups = dict(format_.lookups)
    for name, table in LOOKUP_TABLES.items():
        if name in lookups:
            stored = {row.id: row.name for row in connection.execute(select(table))}
            lookups[name] = Lookup(noun=lookups[name].noun, entries={**stored, **lookups[name].entries})
    return replace(format_, lookups=lookups)

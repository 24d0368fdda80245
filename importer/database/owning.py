"""Whose a database is: userdrop's, nobody's yet, or another application's, in which nothing may be changed.

The tables that are there are compared with those that userdrop has at the version that the database names.
"""

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from sqlalchemy import Connection, String, column, inspect, select, table, text
from sqlalchemy.engine.reflection import ObjectKind

from importer.database.failures import (
    Cause,
    ForeignDatabaseError,
    IncompleteDatabaseError,
    UnusableDatabaseError,
)
from importer.words.outages import CAUSES

VERSIONS = "alembic_version"
"""The table in which the version of the tables stands; other applications that use Alembic have one of this name."""

Tables = Mapping[str, AbstractSet[str]]
"""Names of tables → names of their columns."""

_VERSION = "version_num"
_HALLMARKS: Tables = {
    "imports": frozenset({"claim_id", "client", "archive"}),
    "users": frozenset({"client", "created_by", "updated_by"}),
}
"""The columns by which userdrop's tables are known, of whatever version they are."""
_OF_ITS_OWN = {
    "sqlite": "set USERDROP_DATABASE_URL to a file of userdrop's own",
    "postgresql": "give userdrop a database of its own, or a schema (USERDROP_DATABASE_SCHEMA)",
}
_OWN_SCHEMA = text(
    "SELECT coalesce((SELECT nspname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
    " JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE relname = 'imports' AND attname = 'claim_id' AND NOT attisdropped AND pg_table_is_visible(pg_class.oid)),"
    " current_schema())"
)
"""The first schema of the search path that has the ledger, which need not be the one in which tables are made."""
_NEWER = "the database was made by a newer userdrop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is in the schema of a database in which userdrop's tables lie, or would lie.

    Attributes:
        kind: sqlite or postgresql.
        versions: what the table of versions says; None where there is no such table of Alembic's form.
        tables: the tables and views that have a name of userdrop's.
        others: the names of all others.
    """

    kind: str
    versions: tuple[str, ...] | None
    tables: Tables = field(default_factory=dict)
    others: tuple[str, ...] = ()


def own_schema(connection: Connection) -> str | None:
    """The schema of userdrop's tables, or the one in which they would be made; None on SQLite.

    Raises:
        UnusableDatabaseError: there is none, or the database's user may not use it.
    """
    if connection.dialect.name != "postgresql":
        return None
    schema: str | None = connection.execute(_OWN_SCHEMA).scalar_one()
    if schema is None:
        raise UnusableDatabaseError(*CAUSES[Cause.NO_SCHEMA])
    return schema


def contents(connection: Connection, names: Collection[str]) -> Contents:
    """Look at what is in a database.

    Args:
        connection: a connection within a transaction, which may be one that only reads.
        names: the names of userdrop's tables.

    Raises:
        UnusableDatabaseError: there is no schema to look into.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    schema = own_schema(connection)
    inspector = inspect(connection)
    there = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    if schema is not None:
        there += inspector.get_materialized_view_names(schema)
    # SQLite takes Users and users for one name.
    ours = {name: name.lower() if schema is None else name for name in there}
    found = {name: known for name, known in ours.items() if known in {*names, VERSIONS}}
    columns = inspector.get_multi_columns(schema, filter_names=[*found], kind=ObjectKind.ANY) if found else {}
    tables = {found[name]: frozenset(each["name"] for each in its) for (_, name), its in columns.items()}
    has_versions = _VERSION in tables.pop(VERSIONS, ())
    return Contents(
        kind=connection.dialect.name,
        versions=_versions(connection, schema) if has_versions else None,
        tables=tables,
        others=tuple(sorted(name for name in there if name not in found)),
    )


def _versions(connection: Connection, schema: str | None) -> tuple[str, ...]:
    number = column(_VERSION, String)
    return tuple(map(str, connection.execute(select(number).select_from(table(VERSIONS, schema=schema))).scalars()))


def version_of(found: Contents, expected: Callable[[str], Tables | None]) -> str | None:
    """The version of userdrop's tables in a database; None where it has none, and userdrop may make them there.

    Args:
        found: what is in the database.
        expected: gives the tables of a version; None for one that is not known.

    Raises:
        ForeignDatabaseError: what is there is another application's.
        IncompleteDatabaseError: some of userdrop's tables are missing, or lack columns.
        UnusableDatabaseError: a newer userdrop has made the tables.
    """
    if not found.versions:
        if others := [*found.tables, *(found.others if found.kind == "sqlite" else ())]:
            raise _foreign(found, f"there is a table {others[0]} that is not userdrop's")
        return None
    is_one = len(found.versions) == 1
    tables = expected(found.versions[0]) if is_one else None
    if tables is None:
        if is_one and _has(found.tables, _HALLMARKS):
            raise UnusableDatabaseError(_NEWER, "install that version, or use another database")
        raise _foreign(found, f"there is a table {VERSIONS} that is not userdrop's")
    if _has(found.tables, tables):
        return found.versions[0]
    if not any(_has(found.tables, {name: of_it}) for name, of_it in _HALLMARKS.items()):
        is_taken = next(iter(found.tables), VERSIONS)
        raise _foreign(found, f"there is a table {is_taken} that is not userdrop's, or userdrop's were removed")
    raise IncompleteDatabaseError(_lacks(found.tables, tables), "restore a backup of the database")


def _foreign(found: Contents, what: str) -> ForeignDatabaseError:
    return ForeignDatabaseError(what, _OF_ITS_OWN[found.kind])


def _has(tables: Tables, wanted: Tables) -> bool:
    return all(name in tables and tables[name] >= columns for name, columns in wanted.items())


def _lacks(tables: Tables, wanted: Tables) -> str:
    if missing := [name for name in wanted if name not in tables]:
        return f"of userdrop's tables {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    name = next(name for name, columns in wanted.items() if not tables[name] >= columns)
    return f"userdrop's table {name} lacks {', '.join(sorted(wanted[name] - tables[name]))}"

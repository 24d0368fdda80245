"""The tables that userdrop owns, the same on every database, and how they come to be.

Every table is written by one package only: `imports` and `users` by `importer.storing`, `mails` and `alerts` by
`notifier`; `notices` are written with an import and ended by the notifier. Times are UTC, names of files are shown
forms (see `importer.model.shown_name`), and nothing here knows the columns of a user: those follow the format
(`user_table`, `fit_users`).
"""

import datetime as dt
from collections.abc import Mapping

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    and_,
    inspect,
    literal_column,
    or_,
)
from sqlalchemy.exc import IntegrityError, ProgrammingError

from importer.engines import is_missing_right, shortcomings, take_turns
from importer.format import Column as FormatColumn
from importer.format import Format, Kind, comparison_column, unique_columns


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An aware UTC datetime, also on SQLite, which stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Aware in, UTC stored."""
        del dialect
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """UTC out."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


_id = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

imports = Table(
    "imports",
    metadata,
    Column(
        "claim_id",
        String(40),
        primary_key=True,
        comment="the import's id, sortable by time; the logs name it too; a claim is imported once or never",
    ),
    Column("client", String(255), nullable=False, comment="whose file it is"),
    Column("directory", Text, nullable=False, comment="the client's upload directory; bak lies in it"),
    Column("file", Text, nullable=False, comment="the sender's file name, shown form"),
    Column(
        "status",
        String(20),
        nullable=False,
        comment="imported, refused, superseded (by a newer file of its name) or quarantined (set aside)",
    ),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column(
        "sha256",
        String(64),
        nullable=False,
        comment="of the sender's bytes, in hexadecimal; empty where they were not copied",
    ),
    Column("same_as", String(40), comment="the first claim of the same bytes of the client"),
    Column(
        "records",
        Integer,
        nullable=False,
        comment="rows without the header: accepted + failed + blank; 0 where not imported",
    ),
    Column("accepted", Integer, nullable=False, comment="good rows: inserted + updated + unchanged"),
    Column("failed", Integer, nullable=False, comment="rows with a mistake; they are in the report"),
    Column("blank", Integer, nullable=False, comment="rows without a value"),
    Column("inserted", Integer, nullable=False, comment="new users"),
    Column("updated", Integer, nullable=False, comment="known users of whom something changed"),
    Column("unchanged", Integer, nullable=False, comment="known users of whom nothing changed"),
    Column(
        "reasons",
        JSON,
        nullable=False,
        comment="[{code, column, count, example_row, example}], most frequent first; an example may hold a cell",
    ),
    Column("warnings", JSON, nullable=False, comment="[{code, column, message}] about the file as a whole"),
    Column("refusal_code", String(40), comment="why the file was refused, for programs"),
    Column("refusal_message", Text, comment="the same for people, without a cell of the file"),
    Column("seconds", Float, nullable=False, comment="how long the import took"),
    Column(
        "committed_at", UtcDateTime, nullable=False, comment="when it was decided, with the users in one transaction"
    ),
    Column(
        "archive",
        Text,
        nullable=False,
        comment="the name in bak, fixed before the commit; empty for a quarantined file",
    ),
    Column("report", Text, comment="the failed-users CSV's name in bak"),
    Column("archived_at", UtcDateTime, comment="null until the file lies in bak"),
    Index("ix_imports_client_committed_at", "client", "committed_at"),
    Index("ix_imports_client_file_committed_at", "client", "file", "committed_at"),
    Index("ix_imports_client_sha256", "client", "sha256"),
    Index("ix_imports_archived_at", "archived_at"),
    comment="the ledger: a row for each file that was taken, whatever became of it",
)

HAS_FAILURES = or_(imports.c.failed > literal_column("0"), imports.c.status != literal_column("'imported'"))
"""Entries of files of which a row, or all, was not imported; without parameters, so that planners know its index."""

Index(
    "ix_imports_failures",
    imports.c.client,
    imports.c.committed_at,
    sqlite_where=HAS_FAILURES,
    postgresql_where=HAS_FAILURES,
)

notices = Table(
    "notices",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True, comment="number"),
    Column("client", String(255), nullable=False, comment="whom it is about"),
    Column("audience", String(20), nullable=False, comment="client or admin"),
    Column(
        "facts",
        JSON,
        nullable=False,
        comment="what happened: kind, file, claim_id, counts, reasons, …; may hold cells of the file",
    ),
    Column("once", String(255), unique=True, comment="what is told at most once"),
    Column("created_at", UtcDateTime, nullable=False, comment="when it was stored, with the import that it is about"),
    Column("formed_at", UtcDateTime, comment="when a mail was formed from it"),
    Index("ix_notices_formed_at", "formed_at"),
    comment="what is to be told to whom; mails are formed from it",
)

mails = Table(
    "mails",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True, comment="number, named `mail` in the logs"),
    Column("message_id", String(255), nullable=False, unique=True, comment="the mail's Message-ID"),
    Column("recipient", String(320), nullable=False, comment="an address"),
    Column("client", String(255), comment="whom it is about; null where it is about the service"),
    Column("subject", Text, nullable=False, comment="the subject"),
    Column("text", Text, nullable=False, comment="the body as plain text"),
    Column("html", Text, nullable=False, comment="the body as HTML"),
    Column("attachments", JSON, nullable=False, comment="[{claim_id, filename}]: the reports of these imports"),
    Column(
        "unattached",
        JSON(none_as_null=True),
        comment="{text, html}: what the mail says where none of its reports fits; null where it has none",
    ),
    Column("language", String(8), comment="of subject and body, as en or fr; null means en"),
    Column("state", String(20), nullable=False, comment="queued, sent or dead"),
    Column("tries", Integer, nullable=False, comment="how often the mail server was asked to take it"),
    Column("created_at", UtcDateTime, nullable=False, comment="the mail's Date"),
    Column("next_try_at", UtcDateTime, nullable=False, comment="not sent before this time"),
    Column(
        "leased_until",
        UtcDateTime,
        comment="until when a node has it for itself, by the database's clock where it has one",
    ),
    Column("leased_by", String(32), comment="the node that sends it now"),
    Column("ended_at", UtcDateTime, comment="when it was sent or given up"),
    Column("last_error", Text, comment="what the server said last, without addresses"),
    Index("ix_mails_state_next_try_at", "state", "next_try_at"),
    comment="mails that are to be sent, and those that were; they name users whose rows failed",
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True, comment="number"),
    Column(
        "kind",
        String(40),
        nullable=False,
        comment="what needs the admin, as in the events alert_opened and alert_resolved",
    ),
    Column("client", String(255), nullable=False, comment="empty for the service as a whole"),
    Column("detail", Text, nullable=False, comment="what failed"),
    Column("opened_at", UtcDateTime, nullable=False, comment="when it began"),
    Column("mailed_at", UtcDateTime, comment="when the admin was told"),
    Column("resolved_at", UtcDateTime, comment="when it was over; null while it lasts"),
    Index("ix_alerts_resolved_at", "resolved_at"),
    comment="what needs the admin, while it lasts and after",
)

user_types = Table(
    "user_types",
    metadata,
    Column("id", String(50), primary_key=True, comment="what is stored with a user"),
    Column("name", Text, nullable=False, comment="what a file may say instead of the id"),
    comment="the site's user types, which the site fills; nothing else writes here",
)

login_sources = Table(
    "login_sources",
    metadata,
    Column("id", String(50), primary_key=True, comment="what is stored with a user"),
    Column("name", Text, nullable=False, comment="what a file may say instead of the id"),
    comment="the site's login sources, which the site fills; nothing else writes here",
)

_STORED_MEANINGS: Mapping[Kind, str] = {
    "text": "as the file says it",
    "email": "an e-mail address",
    "date": "a date, YYYY-MM-DD",
    "integer": "a whole number",
    "decimal": "a number",
    "boolean": "true or false",
    "choice": "a code",
    "lookup": "an id",
    "pattern": "as the file says it",
}
"""What the text in a column of `users` is."""

LOOKUP_TABLES = {"user_types": user_types, "login_sources": login_sources}

users = Table(
    "users",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True, comment="number; it never changes"),
    Column(
        "client", String(255), nullable=False, comment="who sent the user; unique values are unique within a client"
    ),
    Column("created_at", UtcDateTime, nullable=False, comment="when the user was brought"),
    Column("updated_at", UtcDateTime, nullable=False, comment="when an import last changed the user"),
    Column("created_by", String(40), nullable=False, comment="the claim that brought the user"),
    Column(
        "updated_by",
        String(40),
        nullable=False,
        comment="the claim that last changed the user; what came between is not kept",
    ),
    Column("feed_hash", String(16), comment="of what a file last gave for the user; a row that repeats it is skipped"),
    comment="the users, and the columns of the format in force; nothing is ever deleted",
)


def user_columns(format_: Format) -> dict[str, str]:
    """The columns of `users` that the format asks for, comparison keys included → what they hold."""
    keys = {
        comparison_column(column.name): f"{column.name} in lower case, which is what is compared"
        for column in format_.columns
        if column.unique and column.kind == "email"
    }
    return {column.name: _stored_meaning(column, format_) for column in format_.columns} | keys


def _stored_meaning(column: FormatColumn, format_: Format) -> str:
    meaning = _STORED_MEANINGS[column.kind]
    if column.kind == "lookup":
        meaning = f"the id of a {format_.lookups[column.lookup or ''].noun}"
    elif column.kind == "choice":
        meaning = column.expected or f"one of {', '.join(column.values)}"
    if column.name == format_.key:
        return f"{meaning}; identifies the user within the client"
    return f"{meaning}; no two users of a client share one" if column.unique else meaning


def user_table(format_: Format) -> Table:
    """`users` with the format's columns, all of them text."""
    table = users.to_metadata(MetaData())
    for name, meaning in user_columns(format_).items():
        table.append_column(Column(name, Text, comment=meaning))
    for compared in unique_columns(format_).values():
        Index(f"uq_users_client_{compared}", table.c.client, table.c[compared], unique=True)
    return table


def has_other_unique_values(connection: Connection, format_: Format) -> bool:
    """Whether `users` has a unique index that the format does not ask for: an earlier format's, or the site's."""
    ours = {index.name for index in user_table(format_).indexes}
    return any(index["unique"] and index["name"] not in ours for index in inspect(connection).get_indexes("users"))


def is_user(users: Table, format_: Format, client: str, key: str) -> ColumnElement[bool]:
    """The client's user with this key; where it is an address, in any case."""
    compared = unique_columns(format_)[format_.key]
    value = key.lower() if compared == comparison_column(format_.key) else key
    return and_(users.c.client == client, users.c[compared] == value)


class UnusableDatabaseError(Exception):
    """What is in the database does not go together with this version, or with the format; it says what to do."""


class NotMigratedError(UnusableDatabaseError):
    """The next start of the service mends it."""


def migrate(engine: Engine, format_: Format) -> None:
    """Bring the database to this version's tables, and `users` to the format's columns, in one transaction.

    Raises:
        UnusableDatabaseError: it was made by a newer version, is not ours to change, may lose what is committed, or
            its users are not as unique as the format says.
        sqlalchemy.exc.SQLAlchemyError: it cannot be reached.
    """
    config = _alembic()
    try:
        with engine.begin() as connection:
            take_turns(connection, "migrations")
            if mistakes := shortcomings(connection):
                raise UnusableDatabaseError("; ".join(mistakes))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            fit_users(connection, format_)
    except CommandError:
        message = "the database was made by a newer userdrop: install that version, or use another database"
        raise UnusableDatabaseError(message) from None
    except ProgrammingError as error:
        if not is_missing_right(error):
            raise
        message = "the database's user may not make or change tables: see deploy/postgresql.sql"
        raise UnusableDatabaseError(message) from None


def require_tables(connection: Connection, format_: Format | None) -> None:
    """Make sure, without changing anything, that the tables are this version's, and `users` has the format's columns.

    Args:
        connection: within a transaction.
        format_: None where nobody is going to ask for users.

    Raises:
        UnusableDatabaseError: they are not.
    """
    revision = MigrationContext.configure(connection).get_current_revision()
    known = [script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()]
    if revision is None:
        message = "the database has no tables yet: `userdrop run` makes them at its start"
        raise NotMigratedError(message)
    if revision not in known:
        message = "the database was made by a newer userdrop: ask that version"
        raise UnusableDatabaseError(message)
    if revision != known[0]:
        message = "the database is an older userdrop's: `userdrop run` of this version changes it at its start"
        raise NotMigratedError(message)
    if format_ is not None:
        there = {column["name"] for column in inspect(connection).get_columns("users")}
        if missing := [name for name in user_columns(format_) if name not in there]:
            message = f"the table users has no {', '.join(missing)} yet: `userdrop run` adds that at its start"
            raise NotMigratedError(message)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "importer:migrations")
    return config


def fit_users(connection: Connection, format_: Format) -> None:
    """Add to `users` the columns and unique indexes that the format asks for; nothing is ever dropped.

    Raises:
        UnusableDatabaseError: stored users share a value that is to be unique.
    """
    found = inspect(connection)
    operations = Operations(MigrationContext.configure(connection))
    there = {column["name"] for column in found.get_columns("users")}
    for name in user_columns(format_):
        if name not in there:
            operations.add_column("users", Column(name, Text))
    indexed = {index["name"] for index in found.get_indexes("users")}
    for index in user_table(format_).indexes:
        if index.name not in indexed:
            names = [column.name for column in index.columns]
            try:
                operations.create_index(str(index.name), "users", names, unique=index.unique)
            except IntegrityError:
                message = f"users that are stored share a {names[-1]}: make them differ before the format says unique"
                raise UnusableDatabaseError(message) from None

"""The tables that userdrop owns, the same on every database, and how they come to be.

Every table is written by one package only: `imports` and `users` by `importer.storing`, `mails` and `alerts` by
`notifier`; `notices` are written with an import and ended by the notifier. Times are UTC, names of files are shown
forms (see `importer.model.shown_name`), and nothing here knows the columns of a user: those follow the format
(`user_table`, `fit_users`).
"""

import datetime as dt

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
    inspect,
    literal_column,
    or_,
)
from sqlalchemy.exc import IntegrityError, ProgrammingError

from importer.engines import is_missing_right, shortcomings, take_turns
from importer.format import Format, comparison_column, unique_columns


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
    Column("claim_id", String(40), primary_key=True, comment="the work name; a claim is imported once or never"),
    Column("client", String(255), nullable=False),
    Column("directory", Text, nullable=False, comment="the client's upload directory; bak lies in it"),
    Column("file", Text, nullable=False, comment="the sender's file name, shown form"),
    Column("status", String(20), nullable=False, comment="imported, refused, superseded or quarantined"),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("sha256", String(64), nullable=False),
    Column("same_as", String(40), comment="an earlier claim of the same bytes"),
    Column("records", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("blank", Integer, nullable=False),
    Column("inserted", Integer, nullable=False),
    Column("updated", Integer, nullable=False),
    Column("unchanged", Integer, nullable=False),
    Column("reasons", JSON, nullable=False, comment="reason counts, the most frequent first"),
    Column("warnings", JSON, nullable=False),
    Column("refusal_code", String(40)),
    Column("refusal_message", Text),
    Column("seconds", Float, nullable=False),
    Column("committed_at", UtcDateTime, nullable=False),
    Column("archive", Text, nullable=False, comment="the name in bak, fixed before the commit"),
    Column("report", Text, comment="the failed-users CSV's name in bak"),
    Column("archived_at", UtcDateTime, comment="null until the file lies in bak"),
    Index("ix_imports_client_committed_at", "client", "committed_at"),
    Index("ix_imports_client_file_committed_at", "client", "file", "committed_at"),
    Index("ix_imports_client_sha256", "client", "sha256"),
    Index("ix_imports_archived_at", "archived_at"),
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
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("client", String(255), nullable=False),
    Column("audience", String(20), nullable=False),
    Column("facts", JSON, nullable=False, comment="an importer.model.Notice"),
    Column("once", String(255), unique=True, comment="what is told at most once"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("formed_at", UtcDateTime, comment="when a mail was formed from it"),
    Index("ix_notices_formed_at", "formed_at"),
)

mails = Table(
    "mails",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("message_id", String(255), nullable=False, unique=True),
    Column("recipient", String(320), nullable=False),
    Column("client", String(255)),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("attachments", JSON, nullable=False, comment="[{claim_id, filename}]"),
    Column("state", String(20), nullable=False, comment="queued, sent or dead"),
    Column("tries", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, comment="the mail's Date"),
    Column("next_try_at", UtcDateTime, nullable=False),
    Column("leased_until", UtcDateTime, comment="by the database's clock, where it has one"),
    Column("leased_by", String(32), comment="the node that sends it now"),
    Column("ended_at", UtcDateTime),
    Column("last_error", Text, comment="what the server said last, without addresses"),
    Index("ix_mails_state_next_try_at", "state", "next_try_at"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("client", String(255), nullable=False, comment="empty for the service as a whole"),
    Column("detail", Text, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("mailed_at", UtcDateTime),
    Column("resolved_at", UtcDateTime),
    Index("ix_alerts_resolved_at", "resolved_at"),
)

user_types = Table(
    "user_types",
    metadata,
    Column("id", String(50), primary_key=True),
    Column("name", Text, nullable=False),
    comment="the site's user types; filled by the site",
)

login_sources = Table(
    "login_sources",
    metadata,
    Column("id", String(50), primary_key=True),
    Column("name", Text, nullable=False),
    comment="the site's login-source codes; filled by the site",
)

LOOKUP_TABLES = {"user_types": user_types, "login_sources": login_sources}

users = Table(
    "users",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("client", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("created_by", String(40), nullable=False, comment="the claim that brought the user"),
    Column("updated_by", String(40), nullable=False, comment="the claim that last changed the user"),
    Column("feed_hash", String(16), comment="of what the feed last gave for the user, see importer.hashing"),
)


def user_columns(format_: Format) -> list[str]:
    """The columns of `users` that the format asks for, comparison keys included."""
    keys = [comparison_column(column.name) for column in format_.columns if column.unique and column.kind == "email"]
    return [*(column.name for column in format_.columns), *keys]


def user_table(format_: Format) -> Table:
    """`users` with the format's columns, all of them text."""
    table = users.to_metadata(MetaData())
    for name in user_columns(format_):
        table.append_column(Column(name, Text))
    for compared in unique_columns(format_).values():
        Index(f"uq_users_client_{compared}", table.c.client, table.c[compared], unique=True)
    return table


class UnusableDatabaseError(Exception):
    """What is in the database does not go together with this version, or with the format; it says what to do."""


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
        raise UnusableDatabaseError(message)
    if revision not in known:
        message = "the database was made by a newer userdrop: ask that version"
        raise UnusableDatabaseError(message)
    if revision != known[0]:
        message = "the database is an older userdrop's: `userdrop run` of this version changes it at its start"
        raise UnusableDatabaseError(message)
    if format_ is not None:
        there = {column["name"] for column in inspect(connection).get_columns("users")}
        if missing := [name for name in user_columns(format_) if name not in there]:
            message = f"the table users has no {', '.join(missing)} yet: `userdrop run` adds that at its start"
            raise UnusableDatabaseError(message)


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

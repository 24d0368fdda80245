"""The tables that userdrop owns, the same on every database, and how they come to be.

Every table is written by one package only: `imports` and `users` by `importer.storing`, `mails`, `tellings` and
`alerts` by `notifier`; `notices` are written with an import and ended by the notifier. Times are UTC, names of files
are shown forms (see `importer.model.shown_name`), and nothing here knows the columns of a user: those follow the format
(`user_table`, `fit_users`).
"""

import datetime as dt

from alembic.migration import MigrationContext
from alembic.operations import Operations
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

from importer.database.engines import reading_engine, shortcomings, sqlite_file, take_turns
from importer.database.failures import Cause, NoTablesError, NotMigratedError, UnusableDatabaseError, is_missing_right
from importer.database.owning import contents, own_schema, version_of
from importer.database.pooling import is_pooled
from importer.database.upgrading import tables_of, upgrade, versions
from importer.formats.columns import Column as FormatColumn
from importer.formats.columns import Format, comparison_column, unique_columns
from importer.formats.kinds import kind_of
from importer.model import Status
from importer.words.outages import CAUSES


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An aware UTC datetime, also on SQLite, which stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Turn an aware time into the UTC that is stored."""
        del dialect
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Turn what is stored into an aware time in UTC."""
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
        comment="the name in bak, fixed before the commit; empty for a quarantined file, or one that was not taken",
    ),
    Column("report", Text, comment="the failed-users CSV's name in bak"),
    Column("archived_at", UtcDateTime, comment="null until the file lies in bak"),
    Index("ix_imports_client_committed_at", "client", "committed_at"),
    Index("ix_imports_client_file_committed_at", "client", "file", "committed_at"),
    Index("ix_imports_archived_at", "archived_at"),
    Index("ix_imports_archive", "archive"),
    comment="the ledger: a row for each file that was taken, or replaced before it was, whatever became of it",
)

HAS_FAILURES = or_(imports.c.failed > literal_column("0"), imports.c.status != literal_column(f"'{Status.IMPORTED}'"))
"""The condition for files that were not imported, or not wholly; it has no parameters, or planners miss its index."""

Index(
    "ix_imports_failures",
    imports.c.client,
    imports.c.committed_at,
    sqlite_where=HAS_FAILURES,
    postgresql_where=HAS_FAILURES,
)

HAS_REPORT = imports.c.report.is_not(None)

Index("ix_imports_report", imports.c.report, sqlite_where=HAS_REPORT, postgresql_where=HAS_REPORT)

CAME_FIRST = imports.c.same_as.is_(None)
"""The condition for entries of files whose bytes the client has not sent before."""

Index(
    "ix_imports_first",
    imports.c.client,
    imports.c.sha256,
    sqlite_where=CAME_FIRST,
    postgresql_where=CAME_FIRST,
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
    Column("held_until", UtcDateTime, comment="until when it waits for others like it, to be told with them"),
    Index("ix_notices_formed_at", "formed_at"),
    comment="what is to be told to whom; mails are formed from it",
)

HELD = and_(notices.c.formed_at.is_(None), notices.c.held_until.is_not(None))
"""The condition for notices that wait for others like them."""

Index("ix_notices_held", notices.c.client, notices.c.audience, sqlite_where=HELD, postgresql_where=HELD)

tellings = Table(
    "tellings",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True, comment="number"),
    Column("client", String(255), nullable=False, comment="whose files"),
    Column("audience", String(20), nullable=False, comment="client or admin"),
    Column("code", String(80), nullable=False, comment="why nothing of a file was imported, for programs"),
    Column("told_at", UtcDateTime, nullable=False, comment="when a mail was formed that says so"),
    Index("ix_tellings_client_audience", "client", "audience"),
    comment="of which reasons somebody was told within the last day, so that mails about them do not flood",
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
    Column(
        "refused_since",
        UtcDateTime,
        comment="since when it waits because the server refuses us, or may do so; null where it does not",
    ),
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
    Column(
        "detail_facts",
        JSON(none_as_null=True),
        comment="{text, code, facts}: what failed, as it is told in other languages; null for words of others",
    ),
    Column("opened_at", UtcDateTime, nullable=False, comment="when it began"),
    Column("mailed_at", UtcDateTime, comment="when the admin was told"),
    Column("resolved_at", UtcDateTime, comment="when it was over; null while it lasts"),
    Column(
        "held",
        Integer,
        nullable=False,
        server_default="0",
        comment="how many mails about it were held back since the last one, because they would have been too many",
    ),
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
    """The columns of `users` that the format asks for, comparison keys included: name → what the column holds."""
    keys = {
        comparison_column(column.name): f"{column.name} in lower case, which is what is compared"
        for column in format_.columns
        if column.unique and kind_of(column.kind).compared_in_lower_case
    }
    return {column.name: _stored_meaning(column, format_) for column in format_.columns} | keys


def _stored_meaning(column: FormatColumn, format_: Format) -> str:
    meaning = kind_of(column.kind).meaning(format_.options(column))
    if column.name == format_.key:
        return f"{meaning}; identifies the user within the client"
    return f"{meaning}; no two users of a client share one" if column.unique else meaning


def user_table(format_: Format) -> Table:
    """Define the table `users` with the format's columns, all of them text."""
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
    """The condition that a row is the client's user with this key; an address may be in upper or lower case."""
    compared = unique_columns(format_)[format_.key]
    value = key.lower() if compared == comparison_column(format_.key) else key
    return and_(users.c.client == client, users.c[compared] == value)


def migrate(engine: Engine, format_: Format) -> None:
    """Bring the database to this version's tables, and `users` to the format's columns, in one transaction.

    Raises:
        UnusableDatabaseError: the database was made by a newer version, is not ours to change, may lose what is
            committed, or its users are not as unique as the format says.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    if is_pooled(engine.url.render_as_string(hide_password=False)):
        raise UnusableDatabaseError(*CAUSES[Cause.POOLED])
    try:
        with engine.begin() as connection:
            take_turns(connection, "migrations")
            if mistakes := shortcomings(connection):
                raise UnusableDatabaseError("; ".join(mistakes))
            found_version(connection)
            upgrade(connection, "head", schema=own_schema(connection))
            fit_users(connection, format_)
    except ProgrammingError as error:
        if not is_missing_right(error):
            raise
        what = "the database's user may not make or change tables"
        raise UnusableDatabaseError(what, "see deploy/postgresql.sql") from None


def require_tables(connection: Connection, format_: Format | None) -> None:
    """Make sure, without changing anything, that the tables are this version's, and `users` has the format's columns.

    Args:
        connection: a connection within a transaction.
        format_: the format of `users`; None where nobody is going to ask for users.

    Raises:
        UnusableDatabaseError: the tables or columns are others.
    """
    revision = found_version(connection)
    if revision is None:
        message = "the database has no tables yet: `userdrop run` makes them at its start"
        raise NoTablesError(message)
    if revision != versions()[0]:
        message = "the database is an older userdrop's: `userdrop run` of this version changes it at its start"
        raise NotMigratedError(message)
    if format_ is not None:
        there = {column["name"] for column in inspect(connection).get_columns("users")}
        if missing := [name for name in user_columns(format_) if name not in there]:
            message = f"the table users has no {', '.join(missing)} yet: `userdrop run` adds that at its start"
            raise NotMigratedError(message)


def found_version(connection: Connection) -> str | None:
    """The version of the tables; None where there are none, and they may be made. Nothing is changed.

    Args:
        connection: a connection within a transaction.

    Raises:
        UnusableDatabaseError: what is there is another application's, a newer version's, or incomplete.
    """
    return version_of(contents(connection, metadata.tables), tables_of)


def has_no_tables(engine: Engine) -> bool:
    """Whether the database has no tables yet, as `found_version` tells; an SQLite file that is missing is not made."""
    path = sqlite_file(engine.url.render_as_string(hide_password=False))
    if path is not None and not path.exists():
        return True
    with reading_engine(engine).begin() as connection:
        return found_version(connection) is None


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

"""The database: connected to, compared with this version, written to and rolled back; and its clock."""

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from importer.database import NotMigratedError, UnusableDatabaseError, imports, notices, require_tables
from importer.engines import (
    database_time,
    is_missing_right,
    make_engine,
    read_only_engine,
    reading_engine,
    shortcomings,
    sqlite_file,
    what_failed,
)
from importer.format import Format
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.mounts import file_system, hears_other_hosts

NAME = "database"
TABLES = "database tables"
WRITING = "database writing"
CLOCK = "clock"

BUSY_SECONDS = 5.0
"""How long a running import's transaction is waited for."""
_LARGEST_DIFFERENCE = dt.timedelta(minutes=1)
_LOCKED = "locked"
_RIGHTS = "have the database and its tables belong to its user, as with deploy/postgresql.sql"


def examined(
    url: str, format_: Format, *, now: dt.datetime, mountinfo: Path, busy_seconds: float = BUSY_SECONDS
) -> Iterator[Finding]:
    """What can be said of a database; an SQLite file that is not there yet is not made.

    Args:
        url: the database's.
        format_: the columns that `users` is to have.
        now: by our clock, UTC.
        mountinfo: tells the type of file systems.
        busy_seconds: how long SQLite's write lock is waited for.
    """
    path = sqlite_file(url)
    if path is not None:
        yield from _place(path, mountinfo)
        if not path.exists():
            return
    engine = read_only_engine(url)
    try:
        yield from _read(engine, format_, now)
    except (SQLAlchemyError, OSError) as error:
        yield _unreachable(url, error)
        return
    finally:
        engine.dispose()
    yield from _written(url, now, busy_seconds)


def _place(path: Path, mountinfo: Path) -> Iterator[Finding]:
    parent = path.parent
    try:
        type_ = file_system(os.fsdecode(mountinfo.read_bytes()), parent.resolve())
    except (OSError, RuntimeError):
        type_ = ""
    if not hears_other_hosts(type_):
        what = f"the SQLite file {path} lies on {type_}, on which its locks and its log cannot be relied on"
        yield broken(NAME, what, "set USERDROP_STATE_DIR to a directory on a local disk, or use PostgreSQL")
    if path.exists():
        return
    if not parent.exists():
        yield ok(NAME, f"there is no directory {parent} yet; `userdrop run` makes it at its start")
    elif not os.access(parent, os.W_OK | os.X_OK):
        what = f"the SQLite file {path} is not there, and cannot be made: {parent} is not writable"
        yield broken(NAME, what, f"chown the service's user {parent}; chmod 700 {parent}")
    else:
        yield ok(NAME, f"there is no {path} yet; `userdrop run` makes it at its start")


def _read(engine: Engine, format_: Format, now: dt.datetime) -> Iterator[Finding]:
    with reading_engine(engine).connect() as connection:
        yield _version(connection)
        for mistake in shortcomings(connection):
            yield broken(NAME, mistake, "see deploy/postgresql.sql")
        try:
            require_tables(connection, format_)
        except NotMigratedError as error:
            yield warning(TABLES, str(error), "start the service")
        except UnusableDatabaseError as error:
            yield broken(TABLES, str(error), "install that version, or restore a backup of the database")
        else:
            yield ok(TABLES, "its tables are those of this version")
            yield from _ledger_clock(connection, now)


def _version(connection: Connection) -> Finding:
    if connection.dialect.name == "postgresql":
        version = connection.execute(text("SHOW server_version")).scalar_one()
        return ok(NAME, f"PostgreSQL {version} answers")
    return ok(NAME, f"SQLite {connection.execute(text('SELECT sqlite_version()')).scalar_one()} can read it")


def _ledger_clock(connection: Connection, now: dt.datetime) -> Iterator[Finding]:
    last: dt.datetime | None = connection.execute(select(func.max(imports.c.committed_at))).scalar_one()
    if last is not None and last > now + _LARGEST_DIFFERENCE:
        what = f"the last import was at {last:%Y-%m-%d %H:%M:%S} UTC, which is still to come by this machine's clock"
        yield warning(CLOCK, what, "set the clock right: timedatectl set-ntp true")


def _written(url: str, now: dt.datetime, busy_seconds: float) -> Iterator[Finding]:
    engine = make_engine(url)
    if engine.dialect.name == "sqlite":
        pragma = f"PRAGMA busy_timeout={busy_seconds * 1000:.0f}"
        event.listen(engine, "connect", lambda connection, _: connection.execute(pragma))
    try:
        yield _rolled_back(engine, now)
        yield _same_time(database_time(engine, now), now, is_shared=engine.dialect.name == "postgresql")
    except SQLAlchemyError as error:
        yield _unwritable(error, busy_seconds)
    except RuntimeError as error:  # the pragmas did not take effect
        yield broken(WRITING, str(error), "keep the SQLite file on a local disk, or use PostgreSQL")
    finally:
        engine.dispose()


def _rolled_back(engine: Engine, now: dt.datetime) -> Finding:
    """What an import and a migration need: rows in a table, a temporary table, and a table of its own."""
    facts = {"client": "", "audience": "admin", "facts": {}, "created_at": now}
    with engine.connect() as connection:
        there = connection.dialect.has_table(connection, notices.name)
        if there:
            connection.execute(insert(notices).values(facts))
        connection.execute(text("CREATE TEMPORARY TABLE userdrop_doctor_staged (x INTEGER)"))
        connection.execute(text("CREATE TABLE userdrop_doctor (x INTEGER)"))
        connection.rollback()
        seen = "a row and " if there else ""
        if connection.dialect.name == "sqlite":
            mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
            synchronous = connection.execute(text("PRAGMA synchronous")).scalar_one()
            return ok(
                WRITING, f"{seen}tables were written and rolled back; journal_mode={mode}, synchronous={synchronous}"
            )
    return ok(WRITING, f"{seen}tables were written and rolled back")


def _same_time(its: dt.datetime, now: dt.datetime, *, is_shared: bool) -> Finding:
    """Nodes agree by the database's clock; `now` was read before the database was asked, so that seconds may pass."""
    difference = abs(its - now)
    if difference > _LARGEST_DIFFERENCE:
        what = f"the database's clock and this machine's differ by {difference.total_seconds():,.0f} s"
        return warning(CLOCK, what, "have both set by NTP: timedatectl set-ntp true")
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    return ok(CLOCK, f"{shown} here, and in the database" if is_shared else shown)


def _unwritable(error: SQLAlchemyError, busy_seconds: float) -> Finding:
    what = what_failed(error)
    if isinstance(error, DBAPIError) and is_missing_right(error):
        return broken(WRITING, what, _RIGHTS)
    if _LOCKED in what:
        cure = "ask again; if it lasts, look for another program that holds the file open: fuser -v FILE"
        return warning(WRITING, f"somebody else writes, and was waited for {busy_seconds:g} s: {what}", cure)
    if "readonly" in what:
        return broken(WRITING, what, "chown the database file, and its -wal and -shm, to the service's user")
    if "full" in what:
        return broken(WRITING, what, "make room on the disk of the database")
    return broken(WRITING, what, "check the disk and the log of the database")


def _unreachable(url: str, error: SQLAlchemyError | OSError) -> Finding:
    what = what_failed(error) if isinstance(error, SQLAlchemyError) else error.strerror or type(error).__name__
    what = " ".join(what.split())
    if isinstance(error, DBAPIError) and is_missing_right(error):
        return broken(NAME, what, _RIGHTS)
    if sqlite_file(url) is not None:
        if "not a database" in what or "malformed" in what:
            return broken(NAME, what, "restore the file from a backup; the service imports nothing meanwhile")
        return broken(NAME, what, "check that the file of USERDROP_DATABASE_URL may be read and written by the service")
    if "password" in what or "authentication" in what or "no pg_hba.conf entry" in what:
        return broken(NAME, what, "check user and password in USERDROP_DATABASE_URL, and the server's pg_hba.conf")
    if "does not exist" in what:
        return broken(NAME, what, "make the role and the database with deploy/postgresql.sql")
    cure = "start PostgreSQL (systemctl start postgresql), or correct host and port in USERDROP_DATABASE_URL"
    return broken(NAME, what, cure)

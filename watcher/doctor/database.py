"""The examination of the database: a connection, its version, a write that is rolled back, and its clock."""

import datetime as dt
import os
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, func, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import (
    database_time,
    durability,
    full_name,
    is_journalled,
    is_shared,
    make_engine,
    read_only_engine,
    reading_engine,
    shortcomings,
    sqlite_file,
    timeouts_by_default,
)
from importer.database.failures import (
    Cause,
    NoTablesError,
    NotMigratedError,
    UnusableDatabaseError,
    cause_of,
    code_of,
    what_failed,
)
from importer.database.former import mistake_of_empty
from importer.database.identity import Identity, identity_of, place_of
from importer.database.pooling import is_pooled
from importer.database.tables import imports, notices, require_tables
from importer.formats.columns import Format
from importer.words.outages import CAUSES
from watcher.base.control import asked_for
from watcher.base.encoding import OtherShapeError
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.uploads.mounts import file_system, hears_other_hosts

NAME = "database"
TABLES = "database tables"
WRITING = "database writing"
CLOCK = "clock"

BUSY_SECONDS = 5.0
"""Seconds for which a running import's transaction is waited."""
_LARGEST_DIFFERENCE = dt.timedelta(minutes=1)


def examined(
    url: str, format_: Format, *, now: dt.datetime, mountinfo: Path, state_dir: Path, busy_seconds: float = BUSY_SECONDS
) -> Iterator[Finding]:
    """Examine a database; an SQLite file that is not there yet is not made.

    Args:
        url: the database's URL.
        format_: the columns that `users` is to have.
        now: the time by our clock, UTC.
        mountinfo: tells the type of file systems.
        state_dir: the service's own directory, in which the database that it has used is named.
        busy_seconds: seconds for which SQLite's write lock is waited.
    """
    path = sqlite_file(url)
    if path is not None:
        yield from _place(path, mountinfo)
        if not path.exists():
            yield from _as_before(url, state_dir)
            return
    engine = read_only_engine(url)
    try:
        may_write = yield from _read(engine, format_, now, partial(_as_before, url, state_dir))
        yield from _served(engine, url, state_dir)
        if may_write and is_pooled(url):
            yield broken(NAME, *CAUSES[Cause.POOLED])
    except (SQLAlchemyError, OSError) as error:
        yield _unreachable(error)
        return
    finally:
        engine.dispose()
    if may_write:
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


def _as_before(url: str, state_dir: Path) -> Iterator[Finding]:
    """Tell of an empty database with which the service does not start, because it has used another one."""
    if mistake := mistake_of_empty(state_dir, place_of(url)):
        what, _, cure = mistake.partition(": ")
        yield broken(TABLES, what, cure)


def _served(engine: Engine, url: str, state_dir: Path) -> Iterator[Finding]:
    """Tell of a running service that uses another database than the one that is examined."""
    try:
        served = asked_for(Identity, state_dir, "database")
    except (OSError, OtherShapeError):
        return
    with reading_engine(engine).connect() as connection:
        ours = identity_of(connection, url)
    if served is not None and ours.differs_from(served):
        what = f"the running service uses another database, {served.place}; this one is {ours.place}"
        cure = (
            "ask with the settings that the service has, as the installed `userdrop` does; "
            "where they have changed, restart the service"
        )
        yield broken(NAME, what, cure)


def _read(
    engine: Engine, format_: Format, now: dt.datetime, as_before: Callable[[], Iterator[Finding]]
) -> Generator[Finding, None, bool]:
    """Examine what can be seen without a change; returns whether a write may be tried."""
    with reading_engine(engine).connect() as connection:
        yield _version(connection)
        for mistake in shortcomings(connection):
            yield broken(NAME, mistake, "see deploy/postgresql.sql")
        yield from _timeouts(connection)
        try:
            require_tables(connection, format_)
        except NotMigratedError as error:
            yield warning(TABLES, error.what, "start the service")
            if isinstance(error, NoTablesError):
                yield from as_before()
            return is_journalled(connection)
        except UnusableDatabaseError as error:
            yield broken(TABLES, error.what, error.cure)
            return False
        yield ok(TABLES, "its tables are those of this version")
        yield from _ledger_clock(connection, now)
        return is_journalled(connection)


def _timeouts(connection: Connection) -> Iterator[Finding]:
    """Tell of timeouts that would end an import, if sessions of the service did not switch them off."""
    if found := timeouts_by_default(connection):
        said = ", ".join(f"{name} = {value}" for name, value in found.items())
        yield ok(NAME, f"{said} is the default of its user, and is switched off in the service's own sessions")


def _version(connection: Connection) -> Finding:
    name = full_name(connection)
    return ok(NAME, f"{name} answers" if is_shared(connection.engine) else f"{name} can read it")


def _ledger_clock(connection: Connection, now: dt.datetime) -> Iterator[Finding]:
    last: dt.datetime | None = connection.execute(select(func.max(imports.c.committed_at))).scalar_one()
    if last is not None and last > now + _LARGEST_DIFFERENCE:
        what = f"the last import was at {last:%Y-%m-%d %H:%M:%S} UTC, which is still to come by this machine's clock"
        yield warning(CLOCK, what, "set the clock right: timedatectl set-ntp true")


def _written(url: str, now: dt.datetime, busy_seconds: float) -> Iterator[Finding]:
    engine = make_engine(url, busy_seconds=busy_seconds)
    try:
        yield _rolled_back(engine, now)
        yield _same_time(database_time(engine, now), now, is_shared=is_shared(engine))
    except SQLAlchemyError as error:
        yield _unwritable(error, busy_seconds)
    except UnusableDatabaseError as error:  # another application's, which came just now
        yield broken(WRITING, error.what, error.cure)
    except RuntimeError as error:  # the pragmas did not take effect
        yield broken(WRITING, str(error), "keep the SQLite file on a local disk, or use PostgreSQL")
    finally:
        engine.dispose()


def _rolled_back(engine: Engine, now: dt.datetime) -> Finding:
    """Try what an import and a migration need: rows in a table, a temporary table, and a new table."""
    facts = {"client": "", "audience": "admin", "facts": {}, "created_at": now}
    with engine.connect() as connection:
        there = inspect(connection).has_table(notices.name)
        if there:
            connection.execute(insert(notices).values(facts))
        connection.execute(text("CREATE TEMPORARY TABLE userdrop_doctor_staged (x INTEGER)"))
        connection.execute(text("CREATE TABLE userdrop_doctor (x INTEGER)"))
        connection.rollback()
        seen = "a row and " if there else ""
        found = [f"{seen}tables were written and rolled back", durability(connection)]
    return ok(WRITING, "; ".join(filter(None, found)))


def _same_time(its: dt.datetime, now: dt.datetime, *, is_shared: bool) -> Finding:
    """Compare the database's clock, by which nodes agree, with `now`, which was read seconds before it was asked."""
    difference = abs(its - now)
    if difference > _LARGEST_DIFFERENCE:
        what = f"the database's clock and this machine's differ by {difference.total_seconds():,.0f} s"
        return warning(CLOCK, what, "have both set by NTP: timedatectl set-ntp true")
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    return ok(CLOCK, f"{shown} here, and in the database" if is_shared else shown)


def _unwritable(error: SQLAlchemyError, busy_seconds: float) -> Finding:
    if cause_of(error) is Cause.FILE_LOCKED:
        cure = (
            "ask again when `userdrop status` shows no import, which may write for minutes; "
            "if it lasts, look for another program that holds the file open: fuser -v FILE"
        )
        return warning(WRITING, f"somebody else writes, and was waited for {busy_seconds:g} s", cure)
    return _failed(WRITING, error)


def _unreachable(error: SQLAlchemyError | OSError) -> Finding:
    if isinstance(error, SQLAlchemyError):
        return _failed(NAME, error)
    return broken(NAME, error.strerror or type(error).__name__, "see that the service's user may read and write it")


def _failed(name: str, error: SQLAlchemyError) -> Finding:
    """The finding about an error: its cause, as its code tells, and beside it what the database says."""
    said = " ".join(what_failed(error).split())
    code = code_of(error)
    cause = cause_of(error)
    if cause is None:
        return broken(name, f"{code}: {said}" if code else said, "look into the log of the database")
    text = CAUSES[cause]
    return broken(name, f"{text.what} ({code}: {said})" if code else f"{text.what} ({said})", text.cure)

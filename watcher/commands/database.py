"""The service's database, read or changed by a command."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import make_engine
from importer.database.failures import Cause, UnusableDatabaseError, cause_of, failure_detail, is_busy, is_outage
from importer.database.history import open_history
from importer.database.identity import Identity, identity_of
from importer.formats.columns import Format
from watcher.base.control import asked_for
from watcher.base.encoding import OtherShapeError
from watcher.base.exit_codes import ExitCode
from watcher.commands.terminal import fail, tell
from watcher.settings.variables import Settings

_BUSY_SECONDS = 5.0
"""Seconds for which a command waits for a running import's transaction."""
_IS_WRITTEN = (
    "nothing was changed in the database, because somebody else writes to it, such as an import: "
    "try again when `userdrop status` shows none"
)


@contextmanager
def read_database(settings: Settings, format_: Format | None = None) -> Iterator[Connection]:
    """A connection that only reads the database; the command ends with the reason where there can be none."""
    with _database_errors(), open_history(settings.database, format_) as connection:
        tell_other_database(settings, connection)
        yield connection


@contextmanager
def changed_database(settings: Settings, format_: Format | None = None) -> Iterator[Engine]:
    """An engine by which the database may be changed; the command ends with the reason where there can be none."""
    with read_database(settings, format_):
        engine = make_engine(settings.database, busy_seconds=_BUSY_SECONDS)
    try:
        with _database_errors():
            yield engine
    finally:
        engine.dispose()


def tell_other_database(settings: Settings, connection: Connection) -> None:
    """Tell whoever asks that the running service uses another database; nothing where that is not known."""
    try:
        served = asked_for(Identity, settings.state_dir, "database")
    except (OSError, OtherShapeError):
        return
    ours = identity_of(connection, settings.database)
    if served is not None and ours.differs_from(served):
        tell([f"the service runs on another database than this command: it uses {served.place}, this is {ours.place}"])


@contextmanager
def _database_errors() -> Iterator[None]:
    """End the command with the reason where the database cannot be used."""
    try:
        yield
    except UnusableDatabaseError as error:
        fail(str(error), ExitCode.USAGE)
    except SQLAlchemyError as error:
        if is_busy(error):
            fail(_IS_WRITTEN, ExitCode.UNAVAILABLE)
        if cause_of(error) is Cause.RIGHTS:
            fail("the database's user may not read the tables", ExitCode.USAGE)
        if not is_outage(error) and cause_of(error) is None:
            raise
        fail(f"the database cannot be read: {failure_detail(error)}", ExitCode.UNAVAILABLE)

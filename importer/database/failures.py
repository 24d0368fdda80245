"""The meaning of a database's errors, found by codes, which are the same in every language the server speaks.

The codes are PostgreSQL's SQLSTATE and SQLite's result codes. Where a connection was not even made, what a trial of
ours has found stands in for them (`importer.database.connecting`).
"""

import errno
import sqlite3
from enum import StrEnum

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - no connection was free
)

from importer.model import Detail
from importer.words.details import cause_detail, cure_detail, detail

_FAULTS_OF_ONE_FILE = {
    *(errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENAMETOOLONG, errno.EFBIG, errno.EOVERFLOW),
    errno.ENOMEM,  # the process's own bound, which the file has met
}
_MISSING_RIGHT = "42501"
_LOCK_NOT_AVAILABLE = "55P03"
_READ_ONLY = "25006"
_PRIMARY_CODE = 0xFF
_OUT_OF_MEMORY = "out of memory", "cannot allocate memory"
_CONNECTING = "connection failed"

_CUT_SHORT = {"57014", "53400"}
"""The states of a statement that somebody cancelled, or that took more than it may: what one file asks for is at fault.

Source: PostgreSQL's appendix of error codes, query_canceled and configuration_limit_exceeded (as temp_file_limit).
"""
_OUT = {
    *("08", "28", "3D", "3F", "40", "53", "55", "57", "58", "F0", "XX"),
    *(_READ_ONLY, _MISSING_RIGHT, "42P01", "42703"),  # no file takes a right, a table or a column away
}
"""The states, and classes of states, in which the server or what it holds has failed everybody."""


class UnusableDatabaseError(Exception):
    """The database's content does not go together with this version, or with the format.

    Attributes:
        what: what is amiss.
        cure: what to do; empty where `what` says it.
    """

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what}: {cure}" if cure else what)
        self.what = what
        self.cure = cure


class NotMigratedError(UnusableDatabaseError):
    """The database is an older version's, which the next start of the service mends."""


class NoTablesError(NotMigratedError):
    """The database has no tables yet, which the next start of the service makes."""


class ForeignDatabaseError(UnusableDatabaseError):
    """The database holds what is not userdrop's; nothing was changed in it."""


class IncompleteDatabaseError(UnusableDatabaseError):
    """Of userdrop's own tables some are missing, or lack columns."""


class Reach(StrEnum):
    """How far an attempt to reach a PostgreSQL server came that got no answer of the server's."""

    UNKNOWN_NAME = "unknown_name"
    REFUSED = "refused"
    NO_SOCKET = "no_socket"
    FORBIDDEN = "forbidden"
    SILENT = "silent"
    NO_SESSION = "no_session"
    NO_PASSWORD = "no_password"  # noqa: S105 - not a password
    UNTRIED = "untried"


class Cause(StrEnum):
    """The causes that are told apart; each has a sentence and a cure in `importer.words.outages`."""

    PASSWORD = "password"  # noqa: S105 - not a password
    NO_PASSWORD = "no_password"  # noqa: S105 - not a password
    LOGIN = "login"
    NO_DATABASE = "no_database"
    NO_SCHEMA = "no_schema"
    RIGHTS = "rights"
    CHANGED = "changed"
    CONNECTIONS = "connections"
    DISK_FULL = "disk_full"
    RESOURCES = "resources"
    STARTING = "starting"
    ENDED = "ended"
    CUT_SHORT = "cut_short"
    READ_ONLY = "read_only"
    LOCKED = "locked"
    CONFLICT = "conflict"
    BROKEN = "broken"
    UNKNOWN_NAME = "unknown_name"
    REFUSED = "refused"
    NO_SOCKET = "no_socket"
    FORBIDDEN = "forbidden"
    SILENT = "silent"
    NO_SESSION = "no_session"
    POOLED = "pooled"
    OPTION = "option"
    LOST = "lost"
    FILE_LOCKED = "file_locked"
    FILE_READ_ONLY = "file_read_only"
    FILE_DISK_FULL = "file_disk_full"
    FILE_DAMAGED = "file_damaged"
    FILE_UNOPENED = "file_unopened"
    FILE_BROKEN = "file_broken"


_CAUSES = {
    "28P01": Cause.PASSWORD,
    "28": Cause.LOGIN,
    "3D": Cause.NO_DATABASE,
    "3F": Cause.NO_SCHEMA,
    _MISSING_RIGHT: Cause.RIGHTS,
    "42P01": Cause.CHANGED,
    "42703": Cause.CHANGED,
    "53300": Cause.CONNECTIONS,
    "53100": Cause.DISK_FULL,
    "53400": Cause.CUT_SHORT,
    "53": Cause.RESOURCES,
    "57P03": Cause.STARTING,
    "57014": Cause.CUT_SHORT,
    "57": Cause.ENDED,
    _READ_ONLY: Cause.READ_ONLY,
    "25P03": Cause.ENDED,
    "25P04": Cause.ENDED,
    _LOCK_NOT_AVAILABLE: Cause.LOCKED,
    "40": Cause.CONFLICT,
    "08": Cause.LOST,
    "58": Cause.BROKEN,
    "XX": Cause.BROKEN,
    "F0": Cause.BROKEN,
}
_SQLITE_CAUSES = {
    sqlite3.SQLITE_BUSY: Cause.FILE_LOCKED,
    sqlite3.SQLITE_LOCKED: Cause.FILE_LOCKED,
    sqlite3.SQLITE_READONLY: Cause.FILE_READ_ONLY,
    sqlite3.SQLITE_FULL: Cause.FILE_DISK_FULL,
    sqlite3.SQLITE_CORRUPT: Cause.FILE_DAMAGED,
    sqlite3.SQLITE_NOTADB: Cause.FILE_DAMAGED,
    sqlite3.SQLITE_CANTOPEN: Cause.FILE_UNOPENED,
    sqlite3.SQLITE_PERM: Cause.FILE_UNOPENED,
    sqlite3.SQLITE_IOERR: Cause.FILE_BROKEN,
}
_UNREACHED = {
    Reach.UNKNOWN_NAME: Cause.UNKNOWN_NAME,
    Reach.REFUSED: Cause.REFUSED,
    Reach.NO_SOCKET: Cause.NO_SOCKET,
    Reach.FORBIDDEN: Cause.FORBIDDEN,
    Reach.SILENT: Cause.SILENT,
    Reach.NO_SESSION: Cause.NO_SESSION,
    Reach.NO_PASSWORD: Cause.NO_PASSWORD,
    Reach.UNTRIED: Cause.OPTION,
}


def is_busy(error: BaseException) -> bool:
    """Whether somebody else, who may be our own importing process, held the lock for longer than was waited."""
    driver = getattr(error, "orig", None) or error
    if isinstance(driver, sqlite3.Error):
        return _primary_code(driver) == sqlite3.SQLITE_BUSY
    return getattr(driver, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def is_outage(error: Exception) -> bool:
    """Whether the database or the disk failed us, rather than a statement or one file: then trying again helps."""
    if isinstance(error, DBAPIError):
        if state := sqlstate(error):
            return state not in _CUT_SHORT and not _OUT.isdisjoint({state, state[:2]})
        # Such as a result that is too large for this process.
        is_ours = _is_out_of_memory(error)
        return not is_ours and not isinstance(error, DataError | IntegrityError | ProgrammingError | NotSupportedError)
    if isinstance(error, OSError):
        return error.errno not in _FAULTS_OF_ONE_FILE
    return isinstance(error, TimeoutError)


def is_disk_full(error: Exception) -> bool:
    """Whether a disk of ours had no room left; of a PostgreSQL server's disks, and of quotas, nothing is known."""
    if isinstance(error, DBAPIError):
        return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def is_missing_right(error: DBAPIError) -> bool:
    """Whether the database's user may not do what was asked."""
    return sqlstate(error) == _MISSING_RIGHT


def what_failed(error: SQLAlchemyError) -> str:
    """The kind of error and the driver's words, without the statement and its parameters, which hold users' data.

    PostgreSQL's further words are left out as well: they quote the row.
    """
    driver = getattr(error, "orig", None)
    words = getattr(getattr(driver, "diag", None), "message_primary", None) or driver or ""
    return f"{type(error).__name__}: {words}".strip(": ")


def cause_of(error: SQLAlchemyError) -> Cause | None:
    """The cause of an error, as far as its code tells; None where it does not."""
    driver = getattr(error, "orig", None)
    if isinstance(driver, sqlite3.Error):
        return _SQLITE_CAUSES.get(_primary_code(driver))
    if not isinstance(error, DBAPIError):
        return Cause.CONNECTIONS if isinstance(error, TimeoutError) else None
    if state := sqlstate(error):
        return _CAUSES.get(state) or _CAUSES.get(state[:2])
    reach = getattr(driver, "reach", None)
    return _UNREACHED.get(reach) if reach is not None else Cause.LOST if is_outage(error) else None


def failure_detail(error: SQLAlchemyError) -> Detail | str:
    """What an error is called in an alert: its cause, its code, what to do, and what the driver says."""
    kind, _, words = what_failed(error).partition(": ")
    words = " ".join(words.split())
    if (cause := cause_of(error)) is None:
        return detail("at", where=kind, why=words) if words else kind
    code = code_of(error)
    said = f"{code}: {words}" if code and words else code or words or kind
    return detail("database_failed", what=cause_detail(cause), cure=cure_detail(cause), said=said)


def code_of(error: SQLAlchemyError) -> str:
    """The code that names an error for those who look it up; empty where it has none."""
    driver = getattr(error, "orig", None)
    if isinstance(driver, sqlite3.Error):
        return getattr(driver, "sqlite_errorname", "")
    state = sqlstate(error) if isinstance(error, DBAPIError) else ""
    return f"SQLSTATE {state}" if state else ""


def sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code of an error, empty elsewhere. Source: its appendix of error codes."""
    return getattr(error.orig, "sqlstate", None) or ""


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def _is_out_of_memory(error: DBAPIError) -> bool:
    """Whether this process has met its own bound within libpq, which then says so without a code of the server's.

    A server that has no memory for a new connection says so without a code as well. Source: fe-misc.c, fe-protocol3.c.
    """
    words = str(error.orig)
    return not (sqlstate(error) or words.startswith(_CONNECTING)) and any(each in words for each in _OUT_OF_MEMORY)

"""Sessions of PostgreSQL: how they are made so that nobody's defaults harm them, and why one could not be made.

A server that refuses a session says why in its own language, and libpq passes on these words alone. So the attempt is
made once more while libpq writes down the messages of the protocol, in which the code of the error stands; where no
server has answered, a socket of ours finds out how far it is reachable. Who uses SQLite alone need not load this.
"""

import errno
import os
import re
import select
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from importer.database.failures import Reach

_SET = """
SELECT set_config(theirs.name, ours.value, false) FROM pg_settings AS theirs
JOIN unnest(%s::text[], %s::text[]) AS ours (name, value) ON lower(theirs.name) = lower(ours.name)
"""
_CODE = re.compile(rb'\tErrorResponse\t S "[^"]*" V "[A-Z]*" C "([0-9A-Z]{5})"')
_TRIAL_SECONDS = 5.0
_MOST_ROUNDS = 100
"""More rounds than any login takes."""
_PORT = 5432
_SHORTEST_PIECE = 4
"""The characters of the shortest part of a URL that is kept out of an error; shorter ones are found in any word."""
_OF_THE_DRIVER = {"context", "prepare_threshold"}
_SECRETS = {"password", "sslpassword", "passfile", "options", "service"}
_REACHED = {
    errno.ECONNREFUSED: Reach.REFUSED,
    errno.ENOENT: Reach.NO_SOCKET,
    errno.ENOTDIR: Reach.NO_SOCKET,
    errno.EACCES: Reach.FORBIDDEN,
    errno.EPERM: Reach.FORBIDDEN,
}


class NoSessionError(psycopg.OperationalError):
    """A session could not be made; `sqlstate` says why, or `reach` where no server has answered."""

    def __init__(self, words: str, state: str | None, reach: Reach | None) -> None:
        super().__init__(words)
        self.sqlstate = state
        self.reach = reach


def attend_sessions(engine: Engine, settings: Mapping[str, str], schema: str | None) -> None:
    """Have an engine's sessions made with some settings, and with `schema` as the only one, where it is given."""
    event.listen(engine, "do_connect", partial(_connected, partial(_settled, settings, schema)))


def _settled(settings: Mapping[str, str], schema: str | None, connection: Any) -> Any:  # noqa: ANN401 - the driver's own type
    """A connection whose session is as it should be, before SQLAlchemy asks it for anything."""
    try:
        is_automatic, connection.autocommit = connection.autocommit, True
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")  # first, or it might cut short what follows
            cursor.execute(_SET, [[*settings], [*settings.values()]])
            if schema is not None:
                cursor.execute("SELECT set_config('search_path', quote_ident(%s), false)", [schema])
        connection.autocommit = is_automatic
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(
    settled: Callable[[Any], Any],
    dialect: Dialect,
    record: ConnectionPoolEntry,
    arguments: Iterable[Any],
    parameters: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - the driver's own type
    """Connect, as SQLAlchemy would by itself; an error tells why, and nothing of a password."""
    del record
    try:
        return settled(dialect.connect(*arguments, **parameters))
    except psycopg.Error as error:
        words = masked(str(error), parameters)
        state, reach = _why(error, parameters)
    raise NoSessionError(words, state, reach)


def _why(error: psycopg.Error, parameters: Mapping[str, Any]) -> tuple[str | None, Reach | None]:
    if error.sqlstate is not None:
        return error.sqlstate, None
    unknown = _unknown(parameters)
    if unknown - _OF_THE_DRIVER:
        return None, Reach.UNTRIED
    given = {name: value for name, value in parameters.items() if name not in unknown}
    if error.pgconn is not None and error.pgconn.needs_password:
        return None, Reach.NO_PASSWORD
    has_answered = error.pgconn is not None and not isinstance(error, psycopg.errors.ConnectionTimeout)
    state = _state_at_start(make_conninfo(**given)) if has_answered else None
    return (state, None) if state else (None, _reached(error, given))


def _state_at_start(conninfo: str) -> str | None:
    """The code with which a server refuses a session; None where none answers, or it accepts one now."""
    written = os.memfd_create("messages")  # may hold a proof of the password, so it never has a name
    try:
        connection = pq.PGconn.connect_start(conninfo.encode())
        with suppress(psycopg.Error):  # a libpq that cannot write messages down
            connection.trace(written)
        _poll(connection)
        with suppress(psycopg.Error):
            connection.untrace()  # which writes what is still to be written
        connection.finish()
        codes = _CODE.findall(os.pread(written, os.fstat(written).st_size, 0))
    finally:
        os.close(written)
    return codes[-1].decode() if codes else None


def _poll(connection: pq.abc.PGconn) -> None:
    """Go on with a connection until it is made or refused, or its server is silent."""
    for _ in range(_MOST_ROUNDS):
        match connection.connect_poll():
            case pq.PollingStatus.READING:
                is_ready = bool(select.select([connection.socket], [], [], _TRIAL_SECONDS)[0])
            case pq.PollingStatus.WRITING:
                is_ready = bool(select.select([], [connection.socket], [], _TRIAL_SECONDS)[1])
            case _:
                return
        if not is_ready:
            return


def _reached(error: psycopg.Error, given: Mapping[str, Any]) -> Reach:
    """Find out by a socket of ours how far the server is reachable."""
    tried = (error.pgconn.host, error.pgconn.port) if error.pgconn is not None else (b"", b"")
    host = tried[0].decode(errors="replace") or str(given.get("host", "")).split(",", maxsplit=1)[0]
    port = tried[1].decode(errors="replace") or str(given.get("port", "")).split(",", maxsplit=1)[0]
    number = int(port) if port.isdecimal() else _PORT
    try:
        if host.startswith("/"):
            with socket.socket(socket.AF_UNIX) as trial:
                trial.settimeout(_TRIAL_SECONDS)
                trial.connect(f"{host}/.s.PGSQL.{number}")
        else:
            socket.create_connection((host, number), _TRIAL_SECONDS).close()
    except socket.gaierror:
        return Reach.UNKNOWN_NAME
    except (OSError, ValueError) as failure:
        return _REACHED.get(getattr(failure, "errno", None) or 0, Reach.SILENT)
    return Reach.NO_SESSION


def masked(words: str, parameters: Mapping[str, Any]) -> str:
    """The driver's words without what may be the password, which a mistake in a URL puts into any part of it."""
    for piece in sorted(_pieces(parameters), key=len, reverse=True):
        words = words.replace(piece, "***")
    return words


def _pieces(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name in ("user", "host", "dbname"):
        value = str(parameters.get(name, ""))
        if "@" in value or not (parameters.get("password") or value.startswith("/")):
            yield from _long_enough(value)
    unknown = _unknown(parameters) - _OF_THE_DRIVER
    for name, value in parameters.items():
        if name in unknown or name in _SECRETS:
            yield from _long_enough(value)
    for name in unknown:
        yield from _long_enough(name)


def _unknown(parameters: Mapping[str, Any]) -> set[str]:
    """The options that libpq does not know."""
    return parameters.keys() - {option.keyword.decode() for option in pq.Conninfo.get_defaults()}


def _long_enough(value: object) -> Iterator[str]:
    text = value if isinstance(value, str) else ""
    for piece in (text, *text.split(",")):
        if len(piece) >= _SHORTEST_PIECE:
            yield piece

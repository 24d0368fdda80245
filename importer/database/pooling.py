"""A trial of whether a pooler lies before a PostgreSQL server that hands one session to several connections."""

from sqlalchemy import Connection, make_url, text

from importer.database.engines import make_engine


def is_pooled(url: str) -> bool:
    """Find out whether connections to a PostgreSQL server have a session of their own; False on SQLite.

    Two that are open at the same time are served by two processes, each by the same one for as long as it lasts.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the server cannot be asked.
    """
    if make_url(url).get_backend_name() != "postgresql":
        return False
    engine = make_engine(url)
    try:
        with engine.connect() as first, engine.connect() as second:
            served = [(each, _process(each)) for each in (first, second, first, first, second, second)]
    finally:
        engine.dispose()
    processes = [{process for each, process in served if each is one} for one in (first, second)]
    return max(map(len, processes)) > 1 or processes[0] == processes[1]


def _process(connection: Connection) -> int:
    """The process that serves a transaction on a connection."""
    with connection.begin():
        process: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return process

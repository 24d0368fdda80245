"""A real pgbouncer before a PostgreSQL server, as sites have it."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from tests.servers import processes
from tests.servers.tools import environment, needs, wait_until

_PORT = 6432
_USER = "nobody"


@contextlib.contextmanager
def pgbouncer(url: str, mode: str) -> Iterator[str]:
    """Run a pooler until the block is left; yields the URL of the same database by way of it.

    Args:
        url: a database of a server on a Unix socket that trusts everybody.
        mode: session or transaction.
    """
    given = make_url(url)
    directory = Path(tempfile.mkdtemp(prefix="userdrop-pool-", dir="/tmp"))
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{given.database} = user={given.username} host={given.query['host']}\n"
        f"[pgbouncer]\npool_mode = {mode}\nauth_type = any\nlisten_addr =\nlisten_port = {_PORT}\n"
        f"unix_socket_dir = {directory}\ndefault_pool_size = 5\nlogfile = {directory}/log\n",
        encoding="utf-8",
    )
    command = [needs("pgbouncer"), "--quiet", str(configuration)]
    if os.geteuid() == 0:
        shutil.chown(directory, _USER)
        account = pwd.getpwnam(_USER)
        command = ["setpriv", f"--reuid={_USER}", f"--regid={account.pw_gid}", "--clear-groups", *command]
    process = subprocess.Popen(processes.bound_to_us(command), env=environment(), stdin=subprocess.DEVNULL)
    try:
        wait_until(partial(_listens, directory / f".s.PGSQL.{_PORT}"), "pgbouncer to start")
        query = {"host": str(directory), "port": str(_PORT)}
        yield given.set(query=query).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        return trial.connect_ex(str(path)) == 0

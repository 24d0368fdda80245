"""A real PostgreSQL server on a Unix socket of its own, with a database for each test."""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url, text

from tests.servers import processes
from tests.servers.tools import environment, run, unavailable, wait_until

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "nobody"
_ADMIN = "admin"
_START_SECONDS = 60
_STOP_SECONDS = 10
# A language's order of texts, as most installations have it: the order of bytes would hide who relies on it.
_LOCALE = ("--encoding", "UTF8", "--locale", "C", "--locale-provider", "icu", "--icu-locale", "en")
# A test's database is thrown away, so it need not outlast a power loss; the end of the server it does outlast.
_SETTINGS = {"listen_addresses": "", "fsync": "off", "full_page_writes": "off", "max_connections": "60"}


class PostgresqlServer:
    """A running server; `url` names a new, empty database at each call."""

    def __init__(self, directory: Path, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self.directory = directory
        self._command = command
        self._variables = variables
        self._numbers = itertools.count(1)
        self._process = self._started()

    def start(self) -> None:
        """Run it again, on what it has stored, unless it runs."""
        if self._process.poll() is not None:
            self._process = self._started()

    def stop_at_once(self) -> None:
        """Immediate shutdown, as at a failover: connections are lost and nothing is tidied up."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(_STOP_SECONDS)

    def close(self) -> None:
        """Fast shutdown, without waiting for clients; SIGKILL when that takes too long."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            processes.end_tree(self._process)

    def _started(self) -> subprocess.Popen[bytes]:
        path = self.directory / "log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                processes.bound_to_us([*_unprivileged(), *self._command]),
                env=environment(**self._variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_for(process, self.directory / "data" / "postmaster.pid", path)
        except BaseException:
            processes.end_tree(process)
            raise
        return process

    def url(self) -> str:
        """Make a database and return its URL."""
        name = f"test{next(self._numbers)}"
        self._create(f"DATABASE {name}")
        return self._url(name).render_as_string(hide_password=False)

    def as_stranger(self, url: URL | str) -> str:
        """Make a user without any rights and return the URL of the same database for it; roles are the server's."""
        name = f"stranger{next(self._numbers)}"
        self._create(f"ROLE {name} LOGIN")
        return make_url(url).set(username=name).render_as_string(hide_password=False)

    def _create(self, what: str) -> None:
        admin = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE {what}"))
        admin.dispose()

    @contextlib.contextmanager
    def standby(self, **settings: str) -> Iterator[Path]:
        """Run a copy that follows this server until the block is left; yields the directory of its socket.

        With `hot_standby="off"` it lets nobody in, as a server that starts.
        """
        with _home() as home:
            data = str(home / "data")
            where = ["--host", str(self.directory), "--username", _ADMIN]
            run(
                [*_unprivileged(), _program("pg_basebackup"), *where, "--pgdata", data, "--checkpoint", "fast", "-R"],
                env=environment(),
            )
            options = [part for name, value in {**_SETTINGS, **settings}.items() for part in ("-c", f"{name}={value}")]
            command = [_program("postgres"), "-D", data, "-k", str(home), *options]
            server = PostgresqlServer(home, command, {})
            try:
                yield home
            finally:
                server.close()

    def run_script(self, script: Path) -> None:
        """Have psql run a file as the administrator does.

        Raises:
            RuntimeError: a statement failed.
        """
        where = ["--host", str(self.directory), "--username", _ADMIN, "--dbname", "postgres"]
        command = [_program("psql"), "--no-psqlrc", "--quiet", *where, "--variable=ON_ERROR_STOP=1", "--file"]
        run([*command, str(script)], env=environment())

    def _url(self, database: str) -> URL:
        return URL.create("postgresql+psycopg", username=_ADMIN, database=database, query={"host": str(self.directory)})


@contextlib.contextmanager
def postgresql_server(variables: Mapping[str, str] | None = None, **settings: str) -> Iterator[PostgresqlServer]:
    """Run a server until the block is left; it dies with the thread that started it, however that ends.

    Args:
        variables: of its environment.
        settings: of its configuration.
    """
    with _home() as home:
        data = home / "data"
        initdb = [_program("initdb"), "--pgdata", str(data), "--username", _ADMIN, "--auth", "trust"]
        run([*_unprivileged(), *initdb, "--no-sync", *_LOCALE], env=environment())
        options = [part for name, value in {**_SETTINGS, **settings}.items() for part in ("-c", f"{name}={value}")]
        server = PostgresqlServer(
            home, [_program("postgres"), "-D", str(data), "-k", str(home), *options], variables or {}
        )
        try:
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """A directory below which the server's user may read and write; a socket's path has to be short."""
    home = Path(tempfile.mkdtemp(prefix="userdrop-pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, _USER)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _unprivileged() -> Sequence[str]:
    """How to start a program that refuses to run as root."""
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam(_USER)
    # The kernel forgets the signal at a change of the user.
    return ["setpriv", f"--reuid={_USER}", f"--regid={account.pw_gid}", "--clear-groups", "--pdeathsig", "KILL"]


def _program(name: str) -> str:
    """The newest installed one; Debian keeps them off the PATH."""
    found = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name) or unavailable(f"{name} is not installed")


def _wait_for(process: subprocess.Popen[bytes], pid_file: Path, log: Path) -> None:
    def is_ready() -> bool:
        if process.poll() is not None:
            message = f"PostgreSQL ended with {process.returncode}: {log.read_text(errors='replace')}"
            raise RuntimeError(message)
        # Source: PostgreSQL's miscadmin.h, LOCK_FILE_LINE_PM_STATUS.
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        return len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() in {"ready", "standby"}

    wait_until(is_ready, "PostgreSQL to start", timeout=_START_SECONDS)

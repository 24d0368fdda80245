"""One installation of the service, made for a test: its directories, its settings, its database, its log."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, text

from tests.e2e.files import CANARY
from tests.servers.ftps import FtpsServer
from tests.servers.processes import descendants
from tests.servers.service import RUN, Event, Service, running_service
from tests.servers.smtp import SmtpServer
from watcher.base.log_events import EVENTS
from watcher.uploads.observing import CANARY as CANARY_FILE

CLIENT_ADDRESS = f"failed@{CANARY}.example"
ADMIN_ADDRESS = f"admin@{CANARY}.example"

OWN_NAMES = {"bak", ".importing"}

Record = dict[str, Any]


class House:
    """Directories below `root`; `upload` is the client's, by default below `root` as well."""

    def __init__(self, root: Path, upload: Path | None = None) -> None:
        self.root = root
        self.upload = upload or root / "upload"
        self.state = root / "state"
        self.mail = root / "mail"
        self.database = self.state / "userdrop.db"
        self.engine: Engine | None = None
        self.upload.mkdir(exist_ok=upload is not None)
        self._settings = {
            "USERDROP_UPLOAD_DIR": str(self.upload),
            "USERDROP_STATE_DIR": str(self.state),
            "USERDROP_MAIL_DIR": str(self.mail),
            "USERDROP_INTERVAL_MINUTES": "60",
            "USERDROP_MIN_FREE_MB": "0",
            "USERDROP_QUIET_SECONDS": "0.3",
            "USERDROP_LONG_QUIET_SECONDS": "1.5",
            "USERDROP_FAILED_IMPORT_EMAIL": CLIENT_ADDRESS,
            "USERDROP_REPLY_TO_ADMIN_EMAIL": ADMIN_ADDRESS,
            "USERDROP_DEFAULT_LOGIN_SOURCE": CANARY,
            "USERDROP_LOG_FORMAT": "json",
            "USERDROP_LOG_LEVEL": "debug",
        }

    def change(self, **settings: str) -> None:
        """Change settings: `change(MAX_FILE_MB="1")`."""
        self._settings |= {f"USERDROP_{name}": value for name, value in settings.items()}

    @property
    def environment(self) -> dict[str, str]:
        """The settings, as variables of the environment."""
        return dict(self._settings)

    def mails_through(self, smtp: SmtpServer) -> None:
        """Have mails sent through a server."""
        self._settings |= {
            "USERDROP_SMTP_HOST": smtp.host,
            "USERDROP_SMTP_PORT": str(smtp.port),
            "USERDROP_SMTP_TLS": "starttls",
            "USERDROP_SMTP_CA_FILE": str(smtp.ca_file),
        }

    def reads_log_of(self, server: FtpsServer, root: str = "/") -> None:
        """Have the log of an FTP server read, whose sessions see that directory as /."""
        self.set(VSFTPD_LOG=server.log, VSFTPD_LOG_ROOT=root)

    def set(self, **values: object) -> None:
        """Set more of the service's variables, whose names begin with USERDROP_."""
        self._settings |= {f"USERDROP_{name}": str(value) for name, value in values.items()}

    def tells_systemd(self, address: str, *, watchdog_seconds: float) -> None:
        """Have the service tell how it is, as systemd would."""
        microseconds = str(round(watchdog_seconds * 1e6))
        self._settings |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": microseconds}

    def keeps_users_in(self, url: str) -> None:
        """Have another database used than SQLite in the state directory."""
        self._settings |= {"USERDROP_DATABASE_URL": url}
        self.engine = create_engine(url, poolclass=NullPool)

    def drop(self, name: str, content: bytes) -> None:
        """Put a file into the upload directory at one stroke, for tests that are not about its coming."""
        draft = self.root / name
        draft.write_bytes(content)
        draft.rename(self.upload / name)

    @contextlib.contextmanager
    def service(self, *arguments: str, command: Sequence[str] = RUN, ready: bool = True) -> Iterator[Service]:
        """Run the service, and judge its log at the end; with `ready`, from when it watches and has no work left over.

        Raises:
            AssertionError: a line of the log isn't JSON, isn't in the catalogue, or holds a cell or an address.
        """
        with running_service(*arguments, env=self._settings, cwd=self.root, command=command) as service:
            if ready:
                service.wait_for_event("watch_changed", to="live")
            yield service
        _judge_log(service)

    def once(self) -> Service:
        """Have everything imported and delivered that can be, and return the service, which has ended with 0."""
        with self.service("--once", ready=False) as service:
            assert service.wait() == 0
        return service

    def users(self) -> list[Record]:
        """The users by unique_id; none before there is a database."""
        return self.records("SELECT * FROM users ORDER BY unique_id")

    def ids(self) -> list[str]:
        """The unique_id of every user, sorted."""
        return [user["unique_id"] for user in self.users()]

    def imports(self) -> list[Record]:
        """The ledger, oldest first."""
        return self.records("SELECT * FROM imports ORDER BY claim_id")

    def records(self, query: str) -> list[Record]:
        """What a query finds in the service's database; nothing before there is one."""
        if self.engine is not None:
            with self.engine.connect() as connected:
                return [dict(row) for row in connected.execute(text(query)).mappings()]
        if not self.database.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def execute(self, *statements: str) -> None:
        """Change the service's database, which is PostgreSQL, as its administrator does."""
        assert self.engine is not None
        with self.engine.begin() as connected:
            for statement in statements:
                connected.exec_driver_sql(statement)

    def archived(self) -> dict[str, bytes]:
        """What lies in bak."""
        return {path.name: path.read_bytes() for path in sorted(self.upload.glob("bak/*"))}

    def notices(self) -> list[Record]:
        """The facts of every notice, oldest first."""
        return [
            json.loads(row["facts"])
            for row in self.records("SELECT CAST(facts AS TEXT) AS facts FROM notices ORDER BY id")
        ]

    def mail_files(self) -> list[bytes]:
        """The mails that were written as .eml files."""
        return [path.read_bytes() for path in sorted(self.mail.glob("*.eml"))]

    @contextlib.contextmanager
    def locked_database(self) -> Iterator[None]:
        """Hold SQLite's write lock, for which the service waits up to a minute."""
        connection = sqlite3.connect(self.database, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def waiting(self) -> list[str]:
        """The names in the upload directory that are neither bak nor the service's own."""
        return sorted(
            path.name
            for path in self.upload.iterdir()
            if path.name not in OWN_NAMES and not path.name.startswith(CANARY_FILE)
        )

    def claimed(self) -> list[Path]:
        """What lies in the service's working directories, which may go while they are looked at."""
        pattern = ".importing/*/*"
        found = glob(pattern, root_dir=self.upload, include_hidden=True)  # noqa: PTH207 - Path.glob fails where one goes
        return sorted(self.upload / name for name in found)


def imported_at_next_tick(service: Service, *names: str) -> None:
    """Return when these files, which must not be complete before, lie in bak."""
    for name in names:
        service.wait_for_event("upload_settled", file=name)
    service.tick()
    for name in names:
        service.wait_for_event("file_archived", file=name)


def judge_processes(service: Service, given: Mapping[str, str], canary: str = CANARY) -> int:
    """Judge what the kernel shows of the service's processes; returns how many there are.

    Raises:
        AssertionError: an argument holds the canary, or a variable does which was not given so.
    """
    pids = [service.process.pid, *descendants(service.process.pid)]
    for pid in pids:
        process = Path(f"/proc/{pid}")
        arguments = process.joinpath("cmdline").read_bytes()
        assert canary.encode() not in arguments, f"the canary in the arguments: {arguments!r}"
        variables = {*process.joinpath("environ").read_text(errors="surrogateescape").split("\0")}
        leaked = {each for each in variables if canary in each} - {f"{name}={value}" for name, value in given.items()}
        assert not leaked, f"the canary in the environment: {leaked}"
    return len(pids)


def _judge_log(service: Service) -> None:
    for event in service.events():
        _judge_event(event)
        _judge_line(json.dumps(event, ensure_ascii=False))
    for line in service.tail().splitlines():
        if "strace: " in line:
            continue
        assert line.startswith(("{", "userdrop: ")), f"neither JSON nor a message for the terminal: {line}"
        _judge_line(line)


def _judge_event(event: Event) -> None:
    assert event["event"] in EVENTS, f"not in the catalogue: {event}"
    known = EVENTS[event["event"]]
    is_own = event["event"] != "library_message"
    assert event["level"] == known.level or not is_own, f"the catalogue says {known.level}: {event}"
    assert event.keys() - {"timestamp", "level", "event"} == set(known.fields), f"not those of the catalogue: {event}"


def _judge_line(line: str) -> None:
    assert CANARY not in line.lower(), f"a customer's value in the log: {line}"
    assert "@" not in line, f"an address in the log: {line}"

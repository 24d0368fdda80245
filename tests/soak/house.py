"""The installation that is soaked: the real service under somebody who restarts it, and all that it stands on."""

import contextlib
import ctypes
import errno
import ftplib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from sqlalchemy import Connection, create_engine, text

from tests.e2e.house import ADMIN_ADDRESS, House
from tests.importing import mounted
from tests.servers import clients, processes
from tests.servers.ftps import FtpsServer, vsftpd
from tests.servers.postgresql import PostgresqlServer, postgresql_server
from tests.servers.service import RUN, Service
from tests.servers.smtp import SmtpServer, smtp_server
from tests.servers.tools import environment
from tests.soak.drops import CANARY, TYPES, corrected
from tests.soak.judging import Dropped, Fate
from tests.soak.plan import BY_FTPS, CLIENTS, Correct, Drop
from watcher.base.clock import elapsed

_DISK_MB, _DISK_MB_A_SECOND = 96, 0.05
"""Small enough to be filled at once, with room for what a soak leaves in bak."""
_TICK_SECONDS = 0.7
_PAUSE_SECONDS = 0.05
_STOP_SECONDS = 90
_NOREPLACE, _EXCHANGE = 1, 2
_HERE = -100

_ORDER = {
    "sqlite": (
        "CREATE TABLE soak_order (number INTEGER PRIMARY KEY AUTOINCREMENT, claim_id TEXT NOT NULL)",
        (
            "CREATE TRIGGER soak_order AFTER INSERT ON imports"
            " BEGIN INSERT INTO soak_order (claim_id) VALUES (NEW.claim_id); END"
        ),
    ),
    "postgresql": (
        "CREATE TABLE soak_order (number BIGSERIAL PRIMARY KEY, claim_id TEXT NOT NULL)",
        (
            "CREATE FUNCTION soak_order() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO soak_order (claim_id) VALUES (NEW.claim_id); RETURN NULL; END $$"
        ),
        "CREATE TRIGGER soak_order AFTER INSERT ON imports FOR EACH ROW EXECUTE FUNCTION soak_order()",
    ),
}
"""Notes in which order entries of the ledger are made: their ids have times, which a clock that jumps turns round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run of the service that has ended, by itself where nobody asked for it."""

    code: int
    asked: bool


class Soaked:
    """A house whose service is started again when it ends, as systemd would do it.

    Attributes:
        house: directories, settings and database.
        smtp: its mail server.
        ftps: its FTP server.
        postgresql: its database server, None where it has SQLite.
        dropped: every file that a client has dropped so far.
        log: every line of the runs that have ended.
        ended: how they ended.
        excused: exit codes that what is broken now explains.
        wrong: what was seen to be wrong while it ran.
        clock: the file that tells faketime by how much the clock is wrong; without effect until `fakes_time` is set.
        fakes_time: whether the service runs under faketime from its next start, which makes it ten times as slow.
    """

    def __init__(
        self, house: House, smtp: SmtpServer, ftps: FtpsServer, postgresql: PostgresqlServer | None, clock: Path
    ) -> None:
        self.house = house
        self.smtp = smtp
        self.ftps = ftps
        self.postgresql = postgresql
        self.clock = clock
        self.fakes_time = False
        self.dropped: list[Dropped] = []
        self.log: list[str] = []
        self.ended: list[Ended] = []
        self.excused: set[int] = set()
        self.wrong: list[str] = []
        self._service: Service | None = None
        self._is_wanted = self._has_begun = False
        self._waiting: list[Callable[[], None]] = []
        self._corrected: set[Path] = set()
        self._next_tick = 0.0
        self._pause = threading.Event()

    def start(self) -> None:
        """Start the service, and keep it running from now on."""
        self._is_wanted = True
        self._start()

    @property
    def service(self) -> Service:
        """The service, which may have ended."""
        assert self._service is not None
        return self._service

    def _start(self) -> None:
        process = subprocess.Popen(
            processes.bound_to_us(RUN),
            env=environment(**self.environment),
            cwd=self.house.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._service = Service(process)
        self._has_begun = False

    @property
    def environment(self) -> dict[str, str]:
        """Of the service: its settings, and the clock that it is shown."""
        if not self.fakes_time:
            return self.house.environment
        return self.house.environment | {
            "LD_PRELOAD": str(faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(Path(__file__).with_name("faked")),
            "NO_FAKE_STAT": "1",
        }

    def killed(self, how: Callable[[Service], object]) -> None:
        """End the service, or a part of it, as something from outside would; what ends is started again.

        Children that outlive their parent are a violation.
        """
        try:
            how(self.service)
        except TimeoutError as error:
            self.wrong.append(f"process: {error}")
        if self.service.process.poll() is not None:
            self._note_end(asked=True)
            self._start()

    def stop(self) -> None:
        """Stop the service as systemd does, and leave it stopped; a code other than 0 is wrong.

        One that has just begun does not know the signal yet, and is ended by it.
        """
        self._is_wanted = False
        if self.service.process.poll() is None:
            self.service.process.terminate()
        try:
            code = self.service.wait(_STOP_SECONDS)
        except AssertionError as error:
            self.wrong.append(f"process: {error}")
            self.service.close()
            code = 0
        self._note_end(asked=True)
        if code and (code != -signal.SIGTERM or self.service.events("service_started")):
            self.wrong.append(f"process: a clean stop ended with {code}: {self.service.tail()[-500:]}")

    def _note_end(self, *, asked: bool) -> None:
        ended = self.service
        code = ended.wait()
        ended.close()
        self.ended.append(Ended(code=code, asked=asked))
        self.log += ended.lines()
        if not asked and code not in self.excused:
            self.wrong.append(f"process: the service ended by itself with {code}: {ended.tail()[-500:]}")

    def close(self) -> None:
        """Kill the service, if it still runs."""
        if self._service is not None:
            self._service.close()

    def live(self) -> None:
        """A moment passes: what ended is started again, failed drops are tried again, and there is a tick."""
        if self._is_wanted and self.service.process.poll() is not None:
            self._note_end(asked=False)
            self._start()
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            self._try(act)
        now = elapsed()
        if now >= self._next_tick and self.has_begun():
            self._next_tick = now + _TICK_SECONDS
            self.service.tick()
        self._pause.wait(_PAUSE_SECONDS)

    def has_begun(self) -> bool:
        """Whether the service knows signals; a process that has just begun would be ended by one."""
        self._has_begun = self._is_wanted and (self._has_begun or bool(self.service.events("service_started")))
        return self._has_begun

    def live_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let moments pass until a condition holds; False where it does not within that time."""
        until = elapsed() + seconds
        while not condition():
            if elapsed() >= until:
                return False
            self.live()
        return True

    def run_once(self) -> None:
        """What a run by hand does: everything that waits is imported and delivered."""
        with self.house.service("--once", ready=False) as service:
            code = service.wait(120)
            self.log += service.lines()
        if code:
            self.wrong.append(f"process: run --once ended with {code}: {service.tail()[-500:]}")

    def spoil(self) -> None:
        """Change a user, which nobody may do."""
        with _changing(self.house) as connection:
            connection.execute(text("UPDATE users SET last_name = 'spoiled' WHERE id = (SELECT min(id) FROM users)"))

    def drop(self, drop: Drop) -> None:
        """Have a client drop a file; where that fails it is tried again and again, as a client would."""
        self._try(lambda: self._drop(drop))

    def correct(self, correct: Correct) -> None:
        """Have a client correct a report of its bak that was not corrected yet, if there is one, and drop it again."""
        self._try(lambda: self._correct(correct))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left that could not be dropped yet."""
        return not self._waiting

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (OSError, EOFError, ftplib.Error):
            self._waiting.append(act)

    def _drop(self, drop: Drop) -> None:
        if drop.client == BY_FTPS:
            self._upload(drop)
            self._note(drop, "whole" if drop.sent is None else "cut")
        else:
            self._place(drop)

    def _note(self, drop: Drop, fate: Fate) -> None:
        self.dropped.append(Dropped(client=drop.client, name=drop.name, content=drop.content, fate=fate))

    def _correct(self, correct: Correct) -> None:
        reports = {*(self.house.upload / correct.client / "bak").glob("*.failed.csv")} - self._corrected
        if not reports:
            return
        report = sorted(reports)[int(correct.choice * len(reports))]
        random = Random(correct.number)  # noqa: S311 - it has to be repeatable
        content = corrected(random, correct.number, report.read_bytes())
        self._drop(Drop(client=correct.client, name=f"{correct.number:05}-corrected.csv", content=content))
        self._corrected.add(report)

    def _upload(self, drop: Drop) -> None:
        name = f"{BY_FTPS}/{drop.name}"
        if drop.sent is not None:
            with clients.slow_upload(self.ftps, drop.content, name, hold_after=drop.sent) as slow:
                slow.kill()
            return
        with clients.ftplib_session(self.ftps) as ftp:
            is_renamed = len(drop.content) % 2 == 0
            sent_as = f"{BY_FTPS}/.in.{drop.name}" if is_renamed else name
            clients.store(ftp, drop.content, sent_as)
            if is_renamed:
                ftp.rename(sent_as, name)

    def _place(self, drop: Drop) -> None:
        """At one stroke; a file of the same name that still waits is replaced, and known to be."""
        folder = self.house.upload / drop.client
        draft = folder / ".draft"
        try:
            draft.write_bytes(drop.content)
            if _exchanged(draft, folder / drop.name):
                self._replaced(drop.client, draft.read_bytes())
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        self._note(drop, "whole")

    def _replaced(self, client: str, content: bytes) -> None:
        place = next(
            place
            for place, each in reversed([*enumerate(self.dropped)])
            if (each.client, each.content, each.fate) == (client, content, "whole")
        )
        self.dropped[place] = replace(self.dropped[place], fate="replaced")


def _exchanged(draft: Path, target: Path) -> bool:
    """Give a file its name; whether it changed places with another one."""
    while True:
        if (error := _renamed(draft, target, _EXCHANGE)) == 0:
            return True
        if error == errno.ENOENT and (error := _renamed(draft, target, _NOREPLACE)) == 0:
            return False
        if error != errno.EEXIST:
            raise OSError(error, os.strerror(error), str(target))


def _renamed(source: Path, target: Path, flags: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flags)
    return ctypes.get_errno() if done else 0


def faketime() -> Path | None:
    """The library of Debian's package libfaketime, where it is installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@contextlib.contextmanager
def soaked(root: Path, database: str, seconds: float, *, mounts: bool) -> Iterator[Soaked]:
    """A house with its servers, whose service does not run yet; what still runs at the end of the block is killed.

    Args:
        root: an empty directory.
        database: sqlite or postgresql.
        seconds: how long files are going to be dropped.
        mounts: whether uploads and state get small disks of their own; the caller has a mount namespace for them.
    """
    disk, state = root / "disk", root / "state"
    for directory in (disk, state):
        directory.mkdir()
    with contextlib.ExitStack() as stack:
        if mounts:
            megabytes = round(_DISK_MB + _DISK_MB_A_SECOND * seconds)
            for directory in (disk, state):
                stack.enter_context(mounted(directory, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"))
        (disk / "upload").mkdir()
        house = House(root, upload=disk / "upload")
        server = stack.enter_context(postgresql_server()) if database == "postgresql" else None
        if server is not None:
            house.keeps_users_in(server.url())
        smtp = stack.enter_context(smtp_server(root))
        ftps = stack.enter_context(vsftpd(root, house.upload))
        made = Soaked(house, smtp, ftps, server, root / "clock")
        stack.callback(made.close)
        _furnish(made)
        yield made


def address_of(client: str) -> str:
    """Who gets a client's mails."""
    return f"{client.replace(' ', '-')}@{CANARY}.example"


def _furnish(soaked_: Soaked) -> None:
    house = soaked_.house
    house.set(CLIENT_FOLDERS="true", MIN_FREE_MB="0")
    house.set(**{f"CLIENTS__{_key(client)}__FAILED_IMPORT_EMAIL": address_of(client) for client in CLIENTS})
    house.mails_through(soaked_.smtp)
    house.reads_log_of(soaked_.ftps)
    for client in CLIENTS:
        (house.upload / client).mkdir()
    soaked_.clock.write_text("+0\n")
    with clients.ftplib_session(soaked_.ftps) as ftp:
        clients.store(ftp, b"unique_id", f"{BY_FTPS}/first.csv")
        ftp.delete(f"{BY_FTPS}/first.csv")
    house.once()
    with _changing(house) as connection:
        for statement in _ORDER[connection.dialect.name]:
            connection.execute(text(statement))
        for id_, name in TYPES.items():
            connection.execute(text("INSERT INTO user_types (id, name) VALUES (:id, :name)"), {"id": id_, "name": name})


@contextlib.contextmanager
def _changing(house: House) -> Iterator[Connection]:
    engine = house.engine or create_engine(f"sqlite:///{house.database}")
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _key(client: str) -> str:
    return client.upper().replace(" ", "_")


RECIPIENTS = {address_of(client): client for client in CLIENTS} | {ADMIN_ADDRESS: "the administrator"}

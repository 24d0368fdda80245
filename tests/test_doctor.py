"""`userdrop doctor`: each fault that was put there is named together with its cure, and nothing is left behind."""

import contextlib
import datetime as dt
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from importer.database import migrate
from importer.engines import make_engine
from importer.format_file import load_format
from tests.importing import mounted
from tests.rights import mode, obeying_file_modes
from tests.servers.ports import LOOPBACK
from tests.servers.postgresql import PostgresqlServer
from tests.servers.smtp import Faults, SmtpServer, smtp_server
from tests.servers.tools import environment, needs
from watcher.app import transport
from watcher.cli import main
from watcher.clock import utc_now
from watcher.doctor import database
from watcher.doctor.directory import EVENTS, FILE_SYSTEM, NEWEST, ROOM, Surroundings, heard, rights
from watcher.doctor.examining import SETTINGS, examined
from watcher.doctor.findings import Finding, State, worst
from watcher.doctor.mail import SENDING
from watcher.doctor.service import ACCOUNT
from watcher.instance import InstanceLocks
from watcher.settings import PREFIX, Settings
from watcher.watching import MOUNTINFO

ROOT = Path(__file__).parents[1]
ADMIN = "admin@example.org"
SECRET = "hunter2-canary"
DAEMON = 1

Doctor = Callable[..., tuple[int, str]]


@dataclass
class House:
    """An installation to be examined."""

    root: Path
    settings: dict[str, object] = field(default_factory=dict)
    around: Surroundings = field(default_factory=Surroundings)

    def __post_init__(self) -> None:
        self.upload.mkdir()
        self.upload.chmod(0o3770)
        self.state.mkdir(mode=0o700)
        self.settings |= {
            "upload_dir": self.upload,
            "state_dir": self.state,
            "mail_dir": self.root / "mail",
            "vsftpd_conf": ROOT / "tests" / "nowhere.conf",
            "failed_import_email": (ADMIN,),
            "reply_to_admin_email": ADMIN,
        }

    @property
    def upload(self) -> Path:
        return self.root / "upload"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def mails_through(self, server: SmtpServer, **settings: object) -> None:
        self.settings |= {
            "smtp_host": server.host,
            "smtp_port": server.port,
            "smtp_ca_file": server.ca_file,
            **settings,
        }

    def findings(self, *, send: bool = False) -> list[Finding]:
        settings = Settings.model_validate(self.settings)
        before = sorted(self.upload.rglob("*"))
        found = [
            *examined(
                settings,
                load_format(None),
                make_transport=lambda: transport(settings),
                send=send,
                around=self.around,
            )
        ]
        assert sorted(self.upload.rglob("*")) == before
        assert not any(SECRET in finding.what + finding.cure for finding in found)
        return found

    def fault(self, name: str, *, send: bool = False) -> Finding:
        """The one finding about a thing that is not ok."""
        (found,) = (each for each in self.findings(send=send) if each.name == name and each.state is not State.OK)
        assert found.cure
        return found


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:  # noqa: TID251 - what settings read
        monkeypatch.delenv(name)
    return House(tmp_path)


def is_broken(finding: Finding, what: str, cure: str) -> bool:
    assert what in finding.what, finding
    assert cure in finding.cure, finding
    return finding.state is State.BROKEN


def is_warning(finding: Finding, what: str, cure: str) -> bool:
    is_broken(finding, what, cure)
    return finding.state is State.WARNING


# A house that is in order


def test_in_a_house_that_is_in_order_all_is_well(house: House, smtp: SmtpServer, database_url: str) -> None:
    engine = make_engine(database_url)
    migrate(engine, load_format(None))
    engine.dispose()
    house.mails_through(smtp)
    house.settings["database_url"] = database_url
    (house.upload / "students.csv").write_text("unique_id\n")
    log, configuration = house.root / "vsftpd.log", house.root / "vsftpd.conf"
    log.touch()
    configuration.write_text((ROOT / "deploy" / "vsftpd.conf").read_text() + f"vsftpd_log_file={log}\n")
    house.settings |= {"vsftpd_conf": configuration, "vsftpd_log": log}
    locks = InstanceLocks(house.state, f"sqlite:///{house.state}/other.db")
    found = [each for each in house.findings() if each.name != ACCOUNT]
    locks.release()
    assert [each for each in found if each.state is not State.OK] == []
    assert f"it runs as process {os.getpid()}; a second `userdrop run` is refused" in told(found, "service")
    assert "rolled back" in told(found, "database writing")
    assert smtp.received == []


def told(found: list[Finding], name: str) -> str:
    return " ".join(each.what for each in found if each.name == name)


def test_before_the_first_start_nothing_is_broken_and_no_database_is_made(house: House) -> None:
    found = house.findings()
    assert worst(found) is State.WARNING
    assert list(house.state.iterdir()) == []


# Faults of the upload directory


def test_an_upload_of_vsftpds_own_umask_is_told_with_the_line_that_mends_it(house: House) -> None:
    upload = house.upload / "students.csv"
    upload.write_text("unique_id\n")
    os.chown(upload, DAEMON, DAEMON)
    upload.chmod(0o600)
    with obeying_file_modes():
        found = house.fault(NEWEST)
    assert is_broken(
        found, "cannot be read; the newest of them belongs to daemon:daemon with mode 0600", "local_umask=027"
    )
    assert "usermod -aG daemon root" in found.cure


def test_an_upload_that_is_still_coming_is_not_called_unreadable(house: House, tmp_path: Path) -> None:
    upload = house.upload / "students.csv"
    upload.write_text("unique_id\n")
    os.chown(upload, DAEMON, DAEMON)
    upload.chmod(0o600)
    status = upload.stat()
    locks = tmp_path / "locks"
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    locks.write_text(f"1: POSIX  ADVISORY  WRITE 4711 {device}:{status.st_ino} 0 EOF\n")
    house.around = Surroundings(locks=locks)
    with obeying_file_modes():
        assert all(each.state is State.OK for each in house.findings() if each.name == NEWEST)


def test_a_missing_upload_directory_is_told_how_to_be_made(house: House) -> None:
    house.settings["upload_dir"] = house.root / "elsewhere"
    assert is_broken(house.fault("upload directory"), "No such file or directory", "install -d")


def test_of_client_folders_each_is_examined(house: House) -> None:
    house.settings["client_folders"] = True
    house.upload.chmod(0o755)
    for name, mode_ in (("acme", 0o3770), ("bolt", 0o770)):
        (house.upload / name).mkdir()
        (house.upload / name).chmod(mode_)
    assert is_warning(house.fault("upload directory"), f"{house.upload / 'bolt'} belongs to root", "chmod 3770")


def test_an_upload_directory_of_somebody_else_is_told_whose_it_should_be(house: House) -> None:
    os.chown(house.upload, DAEMON, -1)
    found = rights(house.upload, 65534)
    assert is_broken(found, "belongs to daemon:root with mode 3770; the service is nobody", "chown nobody")


def test_an_unwritable_upload_directory_is_told_how_to_be_writable(house: House) -> None:
    with mode(house.upload, 0o3550), obeying_file_modes():
        assert is_broken(house.fault("upload directory"), "Permission denied", f"chmod 3770 {house.upload}")


@pytest.mark.parametrize(
    ("mode_", "what"),
    [(0o2770, "clients can remove or rename bak"), (0o1770, "files do not get its group"), (0o3777, "everybody")],
)
def test_a_mode_that_lets_others_in_is_told_with_the_right_one(house: House, mode_: int, what: str) -> None:
    house.upload.chmod(mode_)
    assert is_warning(house.fault("upload directory"), what, "chmod 3770")


def test_a_bak_that_may_not_be_written_is_told(house: House) -> None:
    bak = house.upload / "bak"
    bak.mkdir(mode=0o550)
    with obeying_file_modes():
        assert is_broken(house.fault("bak"), "Permission denied", "bak in it: chmod 2750")


def test_a_read_only_bak_is_told_to_be_mounted_otherwise(house: House) -> None:
    (house.upload / "bak").mkdir()
    with mounted(house.upload / "bak", "-t", "tmpfs", "-o", "ro", "tmpfs"):
        assert is_broken(house.fault("bak"), "Read-only file system", "mount the file system read-write")


def test_a_bak_on_another_device_costs_a_copy(house: House) -> None:
    (house.upload / "bak").mkdir()
    with mounted(house.upload / "bak", "-t", "tmpfs", "tmpfs"):
        assert is_warning(house.fault("bak"), "each file is copied", "on the device of")


@pytest.mark.parametrize("name", ["bak", ".importing"])
def test_a_bak_or_work_directory_of_somebody_else_is_told(house: House, name: str) -> None:
    (house.upload / name).mkdir()
    os.chown(house.upload / name, DAEMON, DAEMON)
    assert is_broken(house.fault(name), "is a directory of daemon", "rename or remove")


def test_a_full_disk_is_told_to_be_cleared(house: House) -> None:
    with mounted(house.upload, "-t", "tmpfs", "-o", "size=128k,mode=3770", "tmpfs"):
        with contextlib.suppress(OSError):
            (house.upload / "big.bin").write_bytes(bytes(1 << 20))
        assert is_broken(
            house.fault("upload directory"),
            "No space left on device",
            f"make room on the file system of {house.upload}",
        )
        assert is_warning(house.fault(ROOM), "0 MB are free", "USERDROP_MAX_FILE_MB")


def test_a_network_file_system_is_told_with_what_it_costs(house: House) -> None:
    mountinfo = house.root / "mountinfo"
    mountinfo.write_text("30 22 0:26 / / rw - nfs4 server:/export rw\n")
    house.around = Surroundings(mountinfo=mountinfo)
    assert is_warning(house.fault(FILE_SYSTEM), "lies on nfs4", "USERDROP_VSFTPD_LOG")
    assert is_broken(house.fault("database"), "lies on nfs4", "or use PostgreSQL")


def test_a_directory_of_which_nothing_is_heard_is_told(house: House) -> None:
    link = house.root / "link"
    link.symlink_to(house.upload)  # on which watchdog is deaf; the examination resolves it
    assert is_warning(heard(link, seconds=0.2), "was not heard for 0.2 s", "check the file system")


def test_used_up_limits_of_inotify_are_told_with_the_sysctl(house: House) -> None:
    limited = 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"'
    found = in_a_process(house, needs("unshare"), "--user", "--map-root-user", "sh", "-c", limited, "sh")
    (fault,) = (each for each in found if each.name == EVENTS and each.state is not State.OK)
    assert is_broken(fault, "inotify instance limit reached", "raise the sysctl fs.inotify.max_user_instances")


def in_a_process(house: House, *launcher: str) -> list[Finding]:
    variables = {
        "UPLOAD_DIR": house.upload,
        "STATE_DIR": house.state,
        "MAIL_DIR": house.root / "mail",
        "VSFTPD_CONF": "/dev/null",
    }
    done = subprocess.run(
        [*launcher, sys.executable, "-m", "watcher", "doctor", "--json"],
        env=environment(PYTHONPATH=str(ROOT), **{PREFIX + name: str(value) for name, value in variables.items()}),
        capture_output=True,
        timeout=60,
        check=False,
        cwd=house.root,
    )
    assert done.stderr == b""
    found = [Finding(**{**each, "state": State(each["state"])}) for each in map(json.loads, done.stdout.splitlines())]
    assert done.returncode == list(State).index(worst(found))
    return found


# Faults of the database


def test_a_database_that_is_down_is_told_to_be_started(house: House) -> None:
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    house.settings["database_url"] = f"postgresql+psycopg://me:{SECRET}@{LOOPBACK}:{port}/users"
    assert is_broken(house.fault("database"), "onnection refused", "systemctl start postgresql")


def test_a_database_whose_user_may_not_do_enough_is_told_with_the_script_that_mends_it(
    house: House, postgresql: PostgresqlServer
) -> None:
    url = postgresql.url()
    house.settings["database_url"] = postgresql.as_stranger(url)
    assert is_broken(house.fault("database writing"), "permission denied", "deploy/postgresql.sql")
    engine = make_engine(url)
    migrate(engine, load_format(None))
    engine.dispose()
    assert is_broken(house.fault("database"), "permission denied", "deploy/postgresql.sql")


def test_a_file_that_is_no_database_is_told_to_be_restored(house: House) -> None:
    (house.state / "userdrop.db").write_bytes(b"no database" * 1000)
    assert is_broken(house.fault("database"), "not a database", "restore")


def test_a_database_of_a_newer_version_is_told(house: House) -> None:
    made_by_the_service(house)
    with contextlib.closing(sqlite3.connect(house.state / "userdrop.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert is_broken(house.fault("database tables"), "newer userdrop", "install that version")


def test_a_database_that_somebody_else_writes_to_is_waited_for_and_told(house: House) -> None:
    made_by_the_service(house)
    path = house.state / "userdrop.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        found = database.examined(
            f"sqlite:///{path}", load_format(None), now=utc_now(), mountinfo=MOUNTINFO, busy_seconds=0.1
        )
        *_, last = found
    assert is_warning(last, "somebody else writes, and was waited for 0.1 s", "ask again")


def test_a_clock_that_was_set_back_is_told(house: House) -> None:
    made_by_the_service(house)
    with contextlib.closing(sqlite3.connect(house.state / "userdrop.db")) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(imports)")]
        values = ["2999-01-01 00:00:00.000000" if name == "committed_at" else "0" for name in names]
        connection.execute(f"INSERT INTO imports VALUES ({', '.join('?' * len(names))})", values)  # noqa: S608 - just marks
    assert is_warning(house.fault("clock"), "2999-01-01 00:00:00 UTC", "timedatectl")


def made_by_the_service(house: House) -> None:
    engine = make_engine(f"sqlite:///{house.state / 'userdrop.db'}")
    migrate(engine, load_format(None))
    engine.dispose()


# Faults of mail


def test_a_wrong_password_is_told_with_the_settings_to_check(house: House) -> None:
    with smtp_server(house.root, login=("me", "right")) as server:
        house.mails_through(server, smtp_user="me", smtp_password=SECRET)
        assert is_broken(house.fault("mail"), "logging in: 535", "USERDROP_SMTP_PASSWORD")
        house.mails_through(server, smtp_user="me", smtp_password="right")
        assert "logged in, starttls, takes mails of up to 33.6 MB" in told(house.findings(), "mail")


def test_an_expired_certificate_is_told_to_be_renewed(house: House) -> None:
    yesterday = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    with smtp_server(house.root, certificate_until=yesterday) as server:
        house.mails_through(server)
        assert is_broken(house.fault("mail"), "expired", "renew the certificate")


def test_a_certificate_that_ends_soon_is_told(house: House) -> None:
    soon = utc_now() + dt.timedelta(days=3)
    with smtp_server(house.root, certificate_until=soon) as server:
        house.mails_through(server)
        assert is_warning(house.fault("mail"), "ends in 2 days", "renew it")


def test_an_authority_that_nobody_knows_is_told_how_to_be_known(house: House) -> None:
    with smtp_server(house.root) as server:
        house.mails_through(server)
        house.settings["smtp_ca_file"] = None
        assert is_broken(house.fault("mail"), "encrypting", "USERDROP_SMTP_CA_FILE")
        house.settings["smtp_ca_file"] = house.root / "missing.pem"
        assert is_broken(house.fault("mail"), "No such file", "PEM file")


def test_a_mail_server_that_does_not_answer_is_told_with_host_and_port(house: House) -> None:
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    house.settings |= {"smtp_host": LOOPBACK, "smtp_port": port}
    assert is_broken(house.fault("mail"), f"{LOOPBACK}:{port}, connecting", "USERDROP_SMTP_HOST")


def test_a_server_without_encryption_is_told_which_modes_there_are(house: House) -> None:
    with smtp_server(house.root, security="none") as server:
        house.mails_through(server)
        assert is_broken(house.fault("mail"), "encrypting", "USERDROP_SMTP_TLS")


def test_a_server_for_small_mails_is_told(house: House) -> None:
    with smtp_server(house.root, size_limit=1_000_000) as server:
        house.mails_through(server)
        assert is_warning(house.fault("mail"), "up to 1.0 MB", "message_size_limit")


def test_a_test_mail_is_sent_where_it_is_asked_for(house: House, smtp: SmtpServer) -> None:
    house.mails_through(smtp)
    house.findings(send=True)
    (mail,) = smtp.received
    assert mail.recipients == (ADMIN,)
    assert b"Auto-Submitted: auto-generated" in mail.data
    smtp.faults = Faults(recipients={"*": "550 5.7.1 relaying denied"})
    assert is_broken(house.fault(SENDING, send=True), "relaying denied", "relays for this login")


# The command


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], house: House) -> Doctor:
    """Run the command in this process: `doctor("--json", INTERVAL_MINUTES="x")` → exit code, output."""

    def run_command(*arguments: str, **settings: object) -> tuple[int, str]:
        monkeypatch.chdir(house.root)
        monkeypatch.setattr(sys, "argv", ["userdrop", "doctor", *arguments])
        given = {"UPLOAD_DIR": house.upload, "STATE_DIR": house.state, "MAIL_DIR": house.root / "mail", **settings}
        for name, value in given.items():
            monkeypatch.setenv(PREFIX + name, str(value))
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert err == ""
        assert isinstance(end.value.code, int)
        return end.value.code, out

    return run_command


def test_mistaken_settings_are_findings_too(doctor: Doctor) -> None:
    code, out = doctor("--json", INTERVAL_MINUTES="0", UPLOADS_DIR="x")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 2
    assert {each["name"] for each in found} == {SETTINGS}
    assert [each["what"].split(":")[0] for each in found] == ["USERDROP_UPLOADS_DIR", "USERDROP_INTERVAL_MINUTES"]
    assert "did you mean USERDROP_UPLOAD_DIR?" in found[0]["what"]
    assert all("userdrop.env" in each["cure"] for each in found)


def test_people_get_a_table_with_cures(doctor: Doctor) -> None:
    code, out = doctor(VSFTPD_CONF="/nowhere.conf")
    assert code == 1
    assert "→ set USERDROP_VSFTPD_CONF" in " ".join(out.split())
    assert "broken" not in out


def test_a_bug_in_an_examination_is_a_finding_without_its_text(house: House) -> None:
    def fail() -> NoReturn:
        raise RuntimeError(SECRET)

    settings = Settings.model_validate(house.settings)
    *_, last = examined(settings, load_format(None), make_transport=fail, send=False)
    assert is_broken(last, "a bug has ended this examination (RuntimeError in", "report")
    assert SECRET not in last.what

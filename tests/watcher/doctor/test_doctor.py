"""`userdrop doctor`: each fault that was put there is named together with its cure, and nothing is left behind."""

import asyncio
import contextlib
import datetime as dt
import json
import os
import pwd
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchdog.observers.inotify_c import InotifyConstants

from importer.database.engines import make_engine, sqlite_file
from importer.database.tables import migrate
from importer.formats.format_file import load_format
from tests.importing import mounted
from tests.rights import obeying_file_modes
from tests.servers.ftps import vsftpd_as_written
from tests.servers.ports import LOOPBACK
from tests.servers.postgresql import PostgresqlServer
from tests.servers.smtp import Faults, SmtpServer, smtp_server
from tests.servers.tools import environment, needs
from watcher.base.clock import utc_now
from watcher.base.control import answering
from watcher.base.instance import InstanceLocks
from watcher.commands.cli import main
from watcher.doctor import database
from watcher.doctor.directory import FILE_SYSTEM, NEWEST, ROOM, Surroundings, Trial, heard, rights
from watcher.doctor.directory import NAME as UPLOAD
from watcher.doctor.directory import examined as examined_directory
from watcher.doctor.examining import SETTINGS, examined
from watcher.doctor.findings import Finding, State, ok, warning, worst
from watcher.doctor.mail import SENDING
from watcher.doctor.reach import EVENTS, TASKS, InotifyLimits, judged, threads
from watcher.doctor.service import ACCOUNT, PRIVACY, running
from watcher.doctor.showing import findings_table, summary, told_once
from watcher.settings.naming import PREFIX
from watcher.settings.variables import Settings
from watcher.uploads.watching import MOUNTINFO
from watcher.wiring import transport

ROOT = Path(__file__).parents[3]
ADMIN = "admin@example.org"
CLIENTS = "clients@client.example"
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
    if file := sqlite_file(database_url):
        file.chmod(0o600)
    house.mails_through(smtp)
    house.settings["database_url"] = database_url
    (house.upload / "students.csv").write_text("unique_id\n")
    text = (ROOT / "deploy" / "vsftpd.conf").read_text()
    locks = InstanceLocks(house.state, f"sqlite:///{house.state}/other.db")
    with vsftpd_as_written(house.root, text, house.upload, user="daemon") as server:
        server.log.touch()
        house.settings |= {"vsftpd_conf": server.home / "vsftpd.conf", "vsftpd_log": server.log}
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
    assert is_warning(house.fault("upload directory"), f"{house.upload / 'bolt'} belongs to root", "chmod +t")


WORKS = Trial(finding=ok(UPLOAD, "a file was made"), gets_group=True)


def test_a_sticky_upload_directory_of_somebody_else_is_told_whose_it_should_be(house: House) -> None:
    os.chown(house.upload, DAEMON, -1)
    (found,) = rights(house.upload, 65534, WORKS)
    assert is_broken(found, "belongs to daemon:root with mode 3770; the service, which is nobody", "chown nobody")


def test_what_was_tried_outweighs_owner_and_mode(house: House) -> None:
    os.chown(house.upload, DAEMON, -1)
    house.upload.chmod(0o2700)
    (found,) = rights(house.upload, 65534, WORKS)
    assert found.state is State.OK


def test_a_home_is_never_to_be_taken_from_its_owner() -> None:
    home, name = next((Path(each.pw_dir), each.pw_name) for each in pwd.getpwall() if each.pw_dir == "/usr/games")
    (found,) = rights_of_home(home, pwd.getpwnam(name).pw_uid, 0o3770)
    assert is_broken(found, f"is the home of {name}", "mount --bind /srv/userdrop/upload/CLIENT")
    assert "chown" not in found.cure
    assert "install" not in found.cure


def rights_of_home(home: Path, owner: int, mode_: int) -> list[Finding]:
    """The findings about an account's home, while something else is mounted there."""
    with mounted(home, "-t", "tmpfs", "-o", f"uid={owner},mode={mode_:o}", "tmpfs"):
        return [*rights(home, 65534, WORKS)]


@pytest.mark.parametrize("mode_", [0o3550, 0o3070])
def test_an_unwritable_upload_directory_is_told_how_to_be_writable(house: House, mode_: int) -> None:
    with obeying_file_modes():
        house.upload.chmod(mode_)
        cured(house, "Permission denied", "chmod u+rwx")


@pytest.mark.parametrize("mode_", [0o2770, 0o2700, 0o700])
def test_a_directory_of_somebody_else_is_opened_by_a_list_and_stays_theirs(house: House, mode_: int) -> None:
    house.upload.chmod(mode_)
    os.chown(house.upload, DAEMON, DAEMON)
    with obeying_file_modes():
        cured(house, "Permission denied", f"setfacl --modify user:root:rwx,default:user:root:rwx {house.upload}")
        assert (house.upload.stat().st_uid, house.upload.stat().st_gid) == (DAEMON, DAEMON)


def test_a_closed_directory_on_the_way_is_opened_for_the_service_alone(house: House) -> None:
    outer = house.root / "theirs"
    (outer / "upload").mkdir(parents=True)
    (outer / "upload").chmod(0o3770)
    os.chown(outer, DAEMON, DAEMON)
    outer.chmod(0o700)
    house.settings["upload_dir"] = outer / "upload"
    with obeying_file_modes():
        cured(house, "Permission denied", f"setfacl --modify user:root:x {outer}")
    assert outer.stat().st_mode & 0o7 == 0


def cured(house: House, what: str, cure: str) -> None:
    """The one fault of the upload directory is told, and its cure, done as it is told, cures it."""
    (found,) = (each for each in house.findings() if each.name == UPLOAD and each.state is State.BROKEN)
    assert is_broken(found, what, cure)
    command = found.cure.partition("; or ")[0].rpartition(": ")[2]
    subprocess.run(["sh", "-ec", command], check=True)
    assert [each for each in house.findings() if each.name == UPLOAD and each.state is State.BROKEN] == []


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_in_the_place_of_the_upload_directory_stays(house: House, kind: str) -> None:
    house.upload.rmdir()
    if kind == "file":
        house.upload.write_text("unique_id\n")
    else:
        house.upload.symlink_to(house.root / "nowhere")
    settings = Settings.model_validate(house.settings)
    (found, *_) = examined_directory(settings.upload_dir, max_bytes=1, around=house.around)
    assert is_broken(found, f"{house.upload}: ", f"namei -l {house.upload}")
    assert "install -d" not in found.cure


def test_below_a_home_that_the_unit_hides_another_place_is_told(house: House) -> None:
    house.settings["upload_dir"] = Path("/home/nobody-of-this-name/incoming")
    assert is_broken(house.fault(UPLOAD), "No such file", "mount --bind /srv/userdrop/upload/CLIENT /home/nobody-of")


@pytest.mark.parametrize(
    ("mode_", "what"),
    [(0o2770, "clients can remove or rename bak"), (0o1770, "files do not get its group"), (0o3777, "everybody")],
)
def test_a_mode_that_lets_others_in_is_told_with_what_changes_nothing_else(house: House, mode_: int, what: str) -> None:
    os.chown(house.upload, -1, DAEMON)
    (house.upload / "bak").mkdir()
    house.upload.chmod(mode_)
    found = house.fault(UPLOAD)
    assert is_warning(found, what, "chmod ")
    subprocess.run(["sh", "-ec", found.cure], check=True)
    assert house.upload.stat().st_mode & 0o7777 == (mode_ | 0o3000) & ~0o002
    assert [each for each in house.findings() if each.name == UPLOAD and each.state is not State.OK] == []


def test_a_mode_of_bak_that_the_service_mends_is_no_fault(house: House) -> None:
    bak = house.upload / "bak"
    bak.mkdir(mode=0o550)
    with obeying_file_modes():
        assert [each for each in house.findings() if each.name in {UPLOAD, "bak"} and each.state is not State.OK] == []


def test_a_read_only_bak_is_told_to_be_mounted_otherwise(house: House) -> None:
    (house.upload / "bak").mkdir()
    with mounted(house.upload / "bak", "-t", "tmpfs", "-o", "ro", "tmpfs"):
        found = house.fault("bak")
        assert is_broken(found, "Read-only file system", f"mount -o remount,rw {house.upload / 'bak'}")
        subprocess.run(["sh", "-ec", found.cure.rpartition(": ")[2]], check=True)
        assert all(each.state is not State.BROKEN for each in house.findings() if each.name == "bak")


def test_a_directory_that_the_unit_keeps_read_only_is_told_by_which_setting(house: House) -> None:
    with mounted(house.upload, "--bind", "-o", "ro", str(house.upload)):
        (found,) = (each for each in house.findings() if each.name == UPLOAD and each.state is State.BROKEN)
        assert is_broken(found, "Read-only file system", f"deploy/install --upload-dir {house.upload}")
        assert "ReadWritePaths=" in found.cure


def test_a_bak_on_another_device_costs_a_copy(house: House) -> None:
    (house.upload / "bak").mkdir()
    with mounted(house.upload / "bak", "-t", "tmpfs", "tmpfs"):
        assert is_warning(house.fault("bak"), "each file is copied", "on the device of")


@pytest.mark.parametrize("name", ["bak", ".importing", ".quarantine"])
def test_a_bak_or_work_directory_of_somebody_else_is_told(house: House, name: str) -> None:
    (house.upload / name).mkdir()
    os.chown(house.upload / name, DAEMON, DAEMON)
    found = house.fault(name)
    assert is_broken(found, "is a directory of daemon", f"chown -R root {house.upload / name}; else")
    for cure in (f"chown -R root {house.upload / name}", f"mv {house.upload / name} {house.upload / name}.old"):
        assert cure in found.cure
        os.chown(house.upload / name, DAEMON, DAEMON)
        subprocess.run(["sh", "-ec", cure], check=True)
        assert [each for each in house.findings() if each.name == name] == []


def test_what_others_have_put_among_the_claims_is_told(house: House) -> None:
    work = house.upload / ".importing"
    work.mkdir(mode=0o700)
    work.chmod(0o770)
    assert [each for each in house.findings() if each.name == ".importing"] == [], "the service mends the mode"
    (work / "students.csv").touch()
    assert is_broken(house.fault(".importing"), "has in it what the service has not put there", f"mv {work} {work}.old")


def test_a_link_in_the_place_of_bak_is_to_be_renamed(house: House) -> None:
    (house.upload / "bak").symlink_to(house.root)
    found = house.fault("bak")
    assert is_broken(found, "is a link of root", f"mv {house.upload / 'bak'} {house.upload / 'bak'}.old")
    assert "chown" not in found.cure


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


def test_a_directory_of_which_nothing_is_heard_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.uploads.observing._EVENTS", InotifyConstants.IN_MOVE_SELF)
    assert is_warning(heard(house.upload, seconds=0.2), "was not heard for 0.2 s", "check the file system")


def test_used_up_limits_of_inotify_are_told_with_the_sysctl(house: House) -> None:
    limited = 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"'
    found = in_a_process(house, needs("unshare"), "--user", "--map-root-user", "sh", "-c", limited, "sh")
    (fault,) = (each for each in found if each.name == EVENTS and each.state is not State.OK)
    assert is_broken(fault, "inotify instance limit reached", "raise the sysctl fs.inotify.max_user_instances")


def with_limits(house: House, **limits: int) -> None:
    directory = house.root / "inotify"
    directory.mkdir()
    for name, value in {"instances": 128, "watches": 65_536, "queued": 16_384, **limits}.items():
        file = "max_queued_events" if name == "queued" else f"max_user_{name}"
        (directory / file).write_text(f"{value}\n")
    house.around = Surroundings(inotify=directory)


def test_the_limits_of_inotify_are_told_once_with_how_many_folders_they_reach_for(house: House) -> None:
    house.settings["client_folders"] = True
    for number in range(3):
        (house.upload / f"client{number}").mkdir(mode=0o3770)
    with_limits(house)
    (found,) = (each for each in house.findings() if "max_user_watches" in each.what)
    assert found.state is State.OK
    assert "3 folders are watched by one instance" in found.what
    assert "enough for 2,048 folders" in found.what


def test_limits_that_do_not_reach_for_every_folder_are_told_with_the_sysctl(house: House) -> None:
    house.settings["client_folders"] = True
    for number in range(3):
        (house.upload / f"client{number}").mkdir(mode=0o3770)
    with_limits(house, watches=2)
    (found,) = (each for each in house.findings() if "max_user_watches" in each.what)
    assert is_broken(found, "1 folders are scanned every few seconds", "sysctl -w fs.inotify.max_user_watches=6")


@pytest.mark.parametrize(
    ("limits", "cure"),
    [
        (InotifyLimits(instances=128, watches=1_500, queued=16_384), "fs.inotify.max_user_watches=4000"),
        (InotifyLimits(instances=128, watches=65_536, queued=4_096), "fs.inotify.max_queued_events=16384"),
    ],
)
def test_limits_that_reach_just_so_are_a_warning(limits: InotifyLimits, cure: str) -> None:
    assert is_warning(judged(limits, 1_000), "1,000 folders are watched", cure)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_number_of_folders_that_limits_are_enough_for_is_true(watches: int, queued: int, folders: int) -> None:
    found = judged(InotifyLimits(instances=128, watches=watches, queued=queued), folders)
    if found.state is State.OK:
        reach = int(found.what.rpartition("enough for ")[2].partition(" ")[0].replace(",", ""))
        assert folders <= reach
        assert judged(InotifyLimits(instances=128, watches=watches, queued=queued), reach).state is State.OK
    else:
        limit, _, value = found.cure.removeprefix("sysctl -w fs.inotify.").partition(",")[0].partition("=")
        raised = {"max_user_watches": watches, "max_queued_events": queued} | {limit: int(value)}
        cured = InotifyLimits(
            instances=128, watches=raised["max_user_watches"], queued=max(raised["max_queued_events"], 8 * folders)
        )
        assert limit not in judged(cured, folders).cure, "the cure cures"


def test_a_unit_with_too_few_threads_is_told_with_the_line_that_mends_it(tmp_path: Path) -> None:
    group = tmp_path / "system.slice" / "userdrop.service"
    group.mkdir(parents=True)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("0::/system.slice/userdrop.service\n")
    (group / "pids.current").write_text("31\n")
    (group / "pids.max").write_text("256\n")
    few = threads(7, processors=128, cgroups=tmp_path, proc=tmp_path)
    assert few is not None
    assert few.name == TASKS
    assert is_broken(few, "the service has 31 of 256 threads; with 128 processors it needs up to 352", "TasksMax=704")
    enough = threads(7, processors=2, cgroups=tmp_path, proc=tmp_path)
    assert enough is not None
    assert enough.state is State.OK
    (group / "pids.max").write_text("max\n")
    assert threads(7, processors=128, cgroups=tmp_path, proc=tmp_path) is None
    assert threads(8, processors=2, cgroups=tmp_path, proc=tmp_path) is None, "it has ended"


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


# Faults of what is the service's own


def test_what_others_may_read_of_the_services_own_is_told_with_the_cure(house: House) -> None:
    made_by_the_service(house)
    mail = house.root / "mail"
    mail.mkdir(mode=0o700)
    (mail / "one.eml").write_text("Subject: canary\n")
    (mail / "one.eml").chmod(0o644)
    database_ = house.state / "userdrop.db"
    database_.chmod(0o640)
    assert privacy(house) == []  # what lies in a closed directory is closed
    mail.chmod(0o755)
    house.state.chmod(0o750)
    told_ = privacy(house)
    assert [each.cure.partition(";")[0] for each in told_] == [
        f"chmod 700 {house.state}",
        f"chmod 700 {mail}",
        f"chmod 600 {database_}",
        f"chmod 600 {mail / 'one.eml'}",
    ]
    for each in told_:
        assert is_warning(each, "others may", "chmod")
        subprocess.run(["sh", "-c", each.cure.partition(";")[0]], check=True)
    assert privacy(house) == []


async def test_a_service_whose_lock_the_kernel_lists_under_another_device_is_known_by_its_answer(house: House) -> None:
    async def status() -> dict[str, str]:
        return {"version": "0"}

    assert running(house.state, Path("/dev/null")).state is State.WARNING
    async with answering(house.state, {"status": status}):
        found = await asyncio.to_thread(running, house.state, Path("/dev/null"))
    assert (found.state, found.what.partition(" in ")[0]) == (State.OK, "it answers at its socket")


def privacy(house: House) -> list[Finding]:
    return [each for each in house.findings() if each.name == PRIVACY]


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
            f"sqlite:///{path}",
            load_format(None),
            now=utc_now(),
            mountinfo=MOUNTINFO,
            state_dir=house.state,
            busy_seconds=0.1,
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


MICROSOFT = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
    " Visit https://aka.ms/smtp_auth_disabled for more information."
)
GMAIL = (
    "534-5.7.9 Application-specific password required. For more information, go to\r\n"
    "534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor 5b1f17b1804b1 - gsmtp"
)


@pytest.mark.parametrize(
    ("reply", "link"),
    [
        (MICROSOFT, "https://aka.ms/smtp_auth_disabled"),
        (GMAIL, "https://support.google.com/mail/?p=InvalidSecondFactor"),
    ],
    ids=["Microsoft 365", "Gmail"],
)
def test_a_login_that_is_not_allowed_is_told_with_the_servers_own_link(house: House, reply: str, link: str) -> None:
    with smtp_server(house.root, login=("me", "right"), faults=Faults(login=reply)) as server:
        house.mails_through(server, smtp_user="me", smtp_password="right")
        found = house.fault("mail")
    assert is_broken(
        found,
        "logging in",
        f"allow this kind of login for the account, as its answer says; the server explains it at {link}",
    )
    assert "USERDROP_SMTP_PASSWORD" not in found.cure


def test_a_server_that_wants_another_kind_of_encryption_is_told_after_it_was_tried(house: House) -> None:
    with smtp_server(house.root, security="implicit") as server:
        house.mails_through(server)
        house.settings["smtp_host"] = "localhost"
        assert is_broken(house.fault("mail"), "connecting", "set USERDROP_SMTP_TLS=implicit: so this server answers")
    with smtp_server(house.root, security="starttls") as server:
        house.mails_through(server, smtp_tls="implicit")
        assert is_broken(house.fault("mail"), "encrypting", "set USERDROP_SMTP_TLS=starttls: so this server answers")


@pytest.mark.parametrize(
    ("faults", "what", "cure"),
    [
        ({"sender": "553 5.7.1 not owned by user"}, "naming the sender: 553", "from which this login may send"),
        ({"recipients": {CLIENTS: "554 5.7.1 relay denied"}}, "554: 5.7.1 relay denied", "relays for this login"),
        ({"recipients": {CLIENTS: "550 5.1.1 unknown"}}, "550: 5.1.1 unknown", "no such mailbox"),
        ({"recipients": {CLIENTS: "504 5.5.2 bad name"}}, "504: 5.5.2 bad name", "USERDROP_SMTP_HELO"),
    ],
)
def test_a_sender_or_recipient_that_is_refused_is_told_without_a_mail(
    house: House, smtp: SmtpServer, faults: dict[str, Any], what: str, cure: str
) -> None:
    house.mails_through(smtp, failed_import_email=(ADMIN, CLIENTS))
    smtp.faults = Faults(**faults)
    found = next(each for each in house.findings() if "USERDROP_FAILED_IMPORT_EMAIL, address 2" in each.what)
    assert is_broken(found, what, cure)
    assert CLIENTS not in found.what
    assert smtp.received == []


def test_a_recipient_that_is_put_off_is_a_warning(house: House, smtp: SmtpServer) -> None:
    house.mails_through(smtp, failed_import_email=(CLIENTS,))
    smtp.faults = Faults(recipients={CLIENTS: "450 4.7.1 greylisted"})
    assert is_warning(house.fault("mail"), "450", "tried again")


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
    smtp.faults = Faults(data="550 5.7.1 sender not verified; see https://example.org/verify.")
    cure = "do what the server's answer asks for; its own log may say more of this time; the server explains it at"
    assert is_broken(house.fault(SENDING, send=True), "not verified", f"{cure} https://example.org/verify")


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


def test_of_hundreds_of_folders_the_table_shows_what_is_wrong_and_only_a_few_that_are_ok() -> None:
    folders = [f"/srv/upload/c{number}" for number in range(300)]
    found = [Finding("file system", State.OK, f"{each} lies on ext4", folder=each) for each in folders]
    found.insert(150, warning("file system", "client lies on nfs", "mount it otherwise"))
    shown = [str(cell) for cell in findings_table(found).columns[2].cells]
    assert shown == [
        "/srv/upload/c0 lies on ext4 (alike for 299 more: c1, c2, c3, …)",
        "client lies on nfs\n→ mount it otherwise",
    ]


def test_what_is_wrong_with_many_folders_alike_is_told_once_with_its_cure() -> None:
    def finding(folder: str, mode: str) -> Finding:
        return Finding("upload directory", State.WARNING, f"{folder} has mode {mode}", f"chmod 3770 {folder}", folder)

    found = [finding("/up/a", "0755"), finding("/up/b", "0777"), finding("/up/c", "0755")]
    assert [(each.what, each.cure) for each in told_once(found)] == [
        ("/up/a has mode 0755 (alike for 1 more: c)", "chmod 3770 /up/a"),
        ("/up/b has mode 0777", "chmod 3770 /up/b"),
    ]


def test_the_summary_counts_the_worst_first_and_problems_shows_nothing_else(doctor: Doctor) -> None:
    _, out = doctor(VSFTPD_CONF="/nowhere.conf")
    *_, last = out.splitlines()
    assert re.fullmatch(r"(\d+ broken, )?\d+ warning, \d+ ok: the cures are above", last)
    _, problems = doctor("--problems", VSFTPD_CONF="/nowhere.conf")
    assert problems.splitlines()[-1] == last
    assert not re.search("^ok ", problems, re.MULTILINE)
    assert summary([ok("settings", "fine")]) == "1 ok: nothing has to be done"


def test_a_bug_in_an_examination_is_a_finding_without_its_text(house: House) -> None:
    def fail() -> NoReturn:
        raise RuntimeError(SECRET)

    settings = Settings.model_validate(house.settings)
    *_, last = examined(settings, load_format(None), make_transport=fail, send=False)
    assert is_broken(last, "a bug has ended this examination (RuntimeError in", "report")
    assert SECRET not in last.what

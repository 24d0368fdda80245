"""What lies in deploy/: the unit under which the service lives, and its installation."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from grp import getgrnam
from pathlib import Path
from pwd import getpwnam

import pytest

from tests.servers.ftps import reachable_directory
from tests.servers.sandbox import settings_of
from tests.servers.tools import environment, needs, run, unavailable
from watcher.base.exit_codes import ExitCode
from watcher.settings.secret_files import SECRETS
from watcher.settings.variables import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "userdrop.service"
SERVICE, FTP_USERS, FTP_USER = "games", "daemon", 1
CSV = "unique_id,login_source,email\nA1001,OPSCOM,\nA1002,OPSCOM,no address\n"


def ended(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        env=environment(**variables),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# The unit


def test_the_units_exposure_is_1_of_10_at_most() -> None:
    told = ended(needs("systemd-analyze"), "security", "--offline=true", "--threshold=10", "--no-pager", UNIT)
    assert told.returncode == 0, told.stdout
    assert "SAFE" in told.stdout


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    (command,) = settings_of(text, "ExecStart")
    unit.write_text(text.replace(command, "/bin/true"), encoding="utf-8")
    told = ended(needs("systemd-analyze"), "verify", unit)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize(
    ("written", "password"),
    [
        (r"a\b\\c", r"ab\c"),
        (r"'a\b\\c'", r"a\b\\c"),
        ("'a\"b#c;d e'", 'a"b#c;d e'),
        (r'"a\\b"', r"a\b"),
    ],
)
def test_systemd_takes_backslashes_out_unless_a_value_stands_within_single_quotes(
    tmp_path: Path, written: str, password: str
) -> None:
    """The generator of users' environments reads files with the parser that EnvironmentFile= has."""
    generator = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
    file = tmp_path / "environment.d" / "userdrop.conf"
    file.parent.mkdir()
    file.write_text(f"USERDROP_SMTP_PASSWORD={written}\n", encoding="utf-8")
    told = run([needs(generator)], env=environment(XDG_CONFIG_HOME=str(tmp_path), HOME=str(tmp_path))).decode()
    (line,) = (line for line in told.splitlines() if line.startswith("USERDROP_"))
    assert shlex.split(line) == [f"USERDROP_SMTP_PASSWORD={password}"]


def test_the_drop_in_for_containers_changes_settings_of_the_unit_and_systemd_understands_it(tmp_path: Path) -> None:
    guide = (DEPLOY / "guides" / "operator.md").read_text(encoding="utf-8")
    (drop_in,) = re.findall(r"^```ini\n(\[Service\]\n.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    named = [line.partition("=")[0] for line in drop_in.splitlines()[1:]]
    assert all(settings_of(UNIT.read_text(encoding="utf-8"), name) for name in named)
    unit = tmp_path / "x.service"
    unit.write_text(f"{drop_in}ExecStart=/bin/true\n", encoding="utf-8")
    told = ended(needs("systemd-analyze"), "verify", unit)
    assert (told.returncode, told.stderr) == (0, "")


def test_the_unit_does_not_start_again_what_would_end_again() -> None:
    (codes,) = settings_of(UNIT.read_text(encoding="utf-8"), "RestartPreventExitStatus")
    assert codes.split() == [str(ExitCode.USAGE), str(ExitCode.ALREADY_RUNNING)]


def test_the_units_memory_is_that_of_a_file_and_1_gb() -> None:
    (most,) = settings_of(UNIT.read_text(encoding="utf-8"), "MemoryMax")
    assert most == f"{Settings.model_fields['file_memory_mb'].default // 1024 + 1}G"


@pytest.fixture
def sandbox() -> Iterator[Path]:
    """A directory with an upload directory as it should be, for a service that is not root."""
    needs("systemd-analyze")
    if os.geteuid() != 0:
        unavailable("only root can become the service's user")
    with reachable_directory() as directory:
        (directory / "state").mkdir(mode=0o700)
        (directory / "upload").mkdir()
        subprocess.run(["chown", f"{SERVICE}:{FTP_USERS}", directory / "upload"], check=True)
        subprocess.run(["chown", SERVICE, directory / "state"], check=True)
        (directory / "upload").chmod(0o3770)
        yield directory


def confined(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {
        "UPLOAD_DIR": directory / "upload",
        "STATE_DIR": directory / "state",
        "MAIL_DIR": directory / "state" / "mail",
        "QUIET_SECONDS": "0.3",
        "LOG_FORMAT": "json",
        "VSFTPD_CONF": "/dev/null",
    }
    command = [sys.executable, "-m", "tests.servers.sandbox", SERVICE, FTP_USERS]
    given = {f"USERDROP_{name}": str(value) for name, value in variables.items()}
    return ended(*command, sys.executable, "-m", "watcher", *arguments, PYTHONPATH=str(ROOT), **given)


def imported_confined(directory: Path, name: str) -> dict[str, object]:
    """What the log says of the import of an uploaded file."""
    upload = directory / "upload" / name
    upload.write_text(CSV, encoding="utf-8")
    os.chown(upload, FTP_USER, getgrnam(FTP_USERS).gr_gid)
    upload.chmod(0o640)
    done = confined(directory, "run", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (imported,) = (event for event in events if event["event"] == "import_finished")
    return dict(imported)


def test_under_the_units_limits_a_file_is_imported_and_the_doctor_finds_nothing_wrong_with_them(
    sandbox: Path,
) -> None:
    imported = imported_confined(sandbox, "students.csv")
    assert (imported["accepted"], imported["failed"]) == (1, 1)
    bak = sandbox / "upload" / "bak"
    assert bak.stat().st_mode & 0o777 == 0o750
    assert {(path.stat().st_mode & 0o777, path.group()) for path in bak.iterdir()} == {(0o640, FTP_USERS)}
    assert len(list(bak.iterdir())) == 2

    told = confined(sandbox, "doctor", "--json")
    found = [json.loads(line) for line in told.stdout.splitlines()]
    faults = {each["name"] for each in found if each["state"] != "ok" and not each["name"].startswith("vsftpd")}
    assert faults == {"service", "mail"}, told.stdout + told.stderr


def test_under_the_units_limits_a_chmod_of_the_whole_upload_directory_is_put_right_and_groups_stay(
    sandbox: Path,
) -> None:
    upload, group = sandbox / "upload", getgrnam(FTP_USERS).gr_gid
    imported_confined(sandbox, "a.csv")
    subprocess.run(["chmod", "-R", "g+rwX", upload], check=True)
    imported_confined(sandbox, "b.csv")
    modes = {name: (upload / name).stat().st_mode & 0o7777 for name in ("bak", ".importing")}
    assert modes == {"bak": 0o2750, ".importing": 0o2700}
    assert {path.stat().st_gid for path in (upload / "bak").iterdir()} == {group}
    assert len([*(upload / "bak").iterdir()]) == 4

    subprocess.run([needs("setfacl"), "--modify", "user:bin:rx", upload / "bak"], check=True)
    subprocess.run(["chmod", "-R", "g+rwX", upload], check=True)
    imported_confined(sandbox, "c.csv")
    assert (upload / "bak").stat().st_mode & 0o777 == 0o750
    assert (
        "user:bin:r-x\n"
        in subprocess.run(["getfacl", upload / "bak"], check=True, capture_output=True, text=True).stdout
    )


def test_under_the_units_limits_a_directory_without_the_setgid_bit_keeps_no_file_in_work(sandbox: Path) -> None:
    upload, group = sandbox / "upload", getgrnam(FTP_USERS).gr_gid
    upload.chmod(0o770)
    imported_confined(sandbox, "a.csv")
    assert len([*(upload / "bak").iterdir()]) == 2
    told = [json.loads(line) for line in confined(sandbox, "doctor", "--json").stdout.splitlines()]
    (cure,) = (each["cure"] for each in told if "setgid" in each["what"])
    subprocess.run(["sh", "-ec", cure], check=True)
    imported_confined(sandbox, "b.csv")
    of_b = [path for path in (upload / "bak").iterdir() if path.name.startswith("b.")]
    assert [(path.stat().st_gid, path.stat().st_mode & 0o777) for path in of_b] == [(group, 0o640)] * 2


def test_the_limits_hold(sandbox: Path) -> None:
    tries = (
        "import mmap, os\n"
        "def told(act):\n"
        "    try: act()\n"
        "    except OSError as error: return error.errno\n"
        "    return 0\n"
        f"print(told(lambda: mmap.mmap(-1, 4096, prot=7)), told(lambda: os.chmod({str(sandbox / 'state')!r}, 0o2700)),"
        f" told(lambda: os.chown({str(sandbox / 'state')!r}, -1, 65534)), told(lambda: os.sched_setaffinity(0, {{0}})),"
        " os.getuid(), os.umask(0))\n"
    )
    command = [sys.executable, "-m", "tests.servers.sandbox", SERVICE, FTP_USERS]
    done = ended(*command, sys.executable, "-c", tries, PYTHONPATH=str(ROOT))
    assert done.stdout.split() == ["1", "1", "1", "1", str(getpwnam(SERVICE).pw_uid), str(0o077)], done.stderr


# The installation


def test_a_dry_run_prints_each_step_and_changes_nothing(tmp_path: Path) -> None:
    done = ended(DEPLOY / "install", "--dry-run", "--root", tmp_path, "--allow", "192.0.2.25")
    assert done.returncode == 0, done.stderr
    for step in (
        "systemd-sysusers",
        "systemd-tmpfiles",
        "/etc/userdrop/userdrop.env",
        "/usr/local/bin/userdrop",
        "userdrop.service.d/network.conf",
    ):
        assert step in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = ended(DEPLOY / "install", "--dry-run")
    assert "systemctl restart userdrop.service" in done.stdout


@pytest.mark.parametrize("script", ["install", "uninstall"])
def test_an_unknown_option_is_wrong_usage(script: str) -> None:
    done = ended(DEPLOY / script, "--purge")
    assert done.returncode == 3
    assert "--dry-run" in done.stderr


def test_an_installation_is_made_once_and_taken_away_without_settings_and_data(tmp_path: Path) -> None:
    needs("systemd-sysusers")
    if os.geteuid() != 0:
        unavailable("only root can make accounts")
    install = (DEPLOY / "install", "--root", tmp_path, "--allow", "192.0.2.25")
    first = ended(*install)
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "srv/userdrop/upload").stat().st_mode & 0o7777 == 0o3770
    assert "userdrop-ftp:x:" in (tmp_path / "etc/group").read_text(encoding="utf-8")
    assert (tmp_path / "usr/local/bin/userdrop").readlink() == Path("/opt/userdrop/deploy/userdrop")
    assert (tmp_path / "opt/userdrop/deploy/userdrop").stat().st_mode & 0o777 == 0o755
    network = tmp_path / "etc/systemd/system/userdrop.service.d/network.conf"
    assert "IPAddressAllow=192.0.2.25" in network.read_text(encoding="utf-8")
    settings = tmp_path / "etc/userdrop/userdrop.env"
    settings.write_text("USERDROP_INTERVAL_MINUTES=1\n", encoding="utf-8")
    (tmp_path / "srv/userdrop/upload").chmod(0o711)  # as `userdrop client add` has it
    (tmp_path / "srv/userdrop/upload/students.csv").write_text(CSV, encoding="utf-8")

    second = ended(*install)
    assert second.returncode == 0, second.stderr
    assert "userdrop.service is there" in second.stdout
    assert "Creating user" not in second.stdout + second.stderr
    assert settings.read_text(encoding="utf-8") == "USERDROP_INTERVAL_MINUTES=1\n"
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", "userdrop.conf"], check=True)
    assert (tmp_path / "srv/userdrop/upload").stat().st_mode & 0o7777 == 0o711

    for _ in range(2):
        gone = ended(DEPLOY / "uninstall", "--root", tmp_path)
        assert gone.returncode == 0, gone.stderr
    assert not (tmp_path / "opt/userdrop").exists()
    assert not (tmp_path / "usr/local/bin/userdrop").is_symlink()
    assert not (tmp_path / "etc/systemd/system/userdrop.service").exists()
    assert settings.exists()
    assert (tmp_path / "srv/userdrop/upload/students.csv").read_text(encoding="utf-8") == CSV


@pytest.mark.parametrize(("version", "is_pinned"), [("3.0.3", True), ("3.0.5", False)])
def test_a_vsftpd_that_cuts_uploads_under_tls_1_3_is_kept_to_1_2(
    tmp_path: Path, version: str, *, is_pinned: bool
) -> None:
    if os.geteuid() != 0:
        unavailable("only root can install")
    needs("systemd-sysusers")
    program, unit = tmp_path / "usr/sbin/vsftpd", tmp_path / "lib/systemd/system/vsftpd.service"
    for path, text in ((program, f"#!/bin/sh\necho vsftpd: version {version} >&0\n"), (unit, "[Service]\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    done = ended(DEPLOY / "install", "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    drop_in = tmp_path / "etc/systemd/system/vsftpd.service.d/userdrop.conf"
    assert drop_in.exists() == is_pinned == ("systemctl restart vsftpd" in done.stdout)
    if is_pinned:
        (named,) = settings_of(drop_in.read_text(encoding="utf-8"), "Environment")
        assert (tmp_path / named.removeprefix("OPENSSL_CONF=/")).read_bytes() == (
            DEPLOY / "vsftpd-openssl.cnf"
        ).read_bytes()
        unit.write_text("[Service]\nEnvironment=OPENSSL_CONF=/mine\n", encoding="utf-8")
        drop_in.unlink()
        assert "which stays" in ended(DEPLOY / "install", "--root", tmp_path).stdout
        assert not drop_in.exists()


def test_an_upload_directory_that_is_made_anew_for_clients_folders_is_closed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("only root can install")
    needs("systemd-sysusers")
    settings = tmp_path / "etc/userdrop/userdrop.env"
    settings.parent.mkdir(parents=True)
    settings.write_text("USERDROP_CLIENT_FOLDERS=true\n", encoding="utf-8")
    assert ended(DEPLOY / "install", "--root", tmp_path).returncode == 0
    assert (tmp_path / "srv/userdrop/upload").stat().st_mode & 0o7777 == 0o711


def test_logs_are_rotated_by_one_rule_only(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("only root can install")
    needs("systemd-sysusers")
    theirs = tmp_path / "etc/logrotate.d/vsftpd"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("/var/log/vsftpd.log { weekly }\n", encoding="utf-8")
    assert "rotated already" in ended(DEPLOY / "install", "--root", tmp_path).stdout
    assert not (theirs.parent / "userdrop").exists()


def test_logrotate_understands_the_rule(tmp_path: Path) -> None:
    rule = tmp_path / "userdrop"
    rule.write_bytes((DEPLOY / "logrotate.conf").read_bytes())
    rule.chmod(0o644)
    done = ended(needs("logrotate"), "--debug", "--state", tmp_path / "state", rule)
    assert done.returncode == 0
    assert "error" not in done.stderr
    assert "/var/log/vsftpd.log" in done.stderr


def installed(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0:
        unavailable("only root can install")
    needs("systemd-sysusers")
    return ended(DEPLOY / "install", "--root", root, *arguments)


def test_what_a_site_has_changed_in_the_unit_is_kept_in_a_drop_in_by_an_upgrade(tmp_path: Path) -> None:
    installed(tmp_path)
    unit = tmp_path / "etc/systemd/system/userdrop.service"
    site = tmp_path / "etc/systemd/system/userdrop.service.d/site.conf"
    theirs = unit.read_text(encoding="utf-8")
    for before, now in (
        ("#LoadCredential=database_url", "LoadCredential=database_url"),
        ("MemoryMax=3G", "MemoryMax = 6G"),
        ("PrivateUsers=yes\n", ""),
        ("TasksMax=512\n", ""),
        ("After=network-online.target ", "After=network-online.target nfs.mount "),
    ):
        theirs = theirs.replace(before, now)
    unit.write_text(theirs, encoding="utf-8")
    for _ in range(2):
        done = installed(tmp_path)
        assert done.returncode == 0, done.stderr
        assert unit.read_bytes() == UNIT.read_bytes()
        assert site.read_text(encoding="utf-8").splitlines()[1:] == [
            "[Service]",
            "LoadCredential=database_url:/etc/userdrop/database_url",
            "MemoryMax=6G",
            "PrivateUsers=no",
        ]
        unit.write_text(theirs, encoding="utf-8")
        assert "a line that is not kept: After=network-online.target nfs.mount" in done.stdout
        assert "does not have a line that comes back: TasksMax=512" in done.stdout
    kept = [path.read_text(encoding="utf-8") for path in (tmp_path / "etc/userdrop").glob("userdrop.service.*")]
    assert kept == [theirs] * len(kept) != []
    site.write_text("[Service]\nTasksMax=64\n", encoding="utf-8")
    unit.write_bytes(UNIT.read_bytes())
    installed(tmp_path)
    assert site.read_text(encoding="utf-8") == "[Service]\nTasksMax=64\n"


def test_a_unit_of_an_earlier_version_is_no_change_of_the_site(tmp_path: Path) -> None:
    installed(tmp_path)
    for place in ("etc/systemd/system/userdrop.service", "opt/userdrop/deploy/userdrop.service"):
        path = tmp_path / place
        path.write_text(path.read_text(encoding="utf-8").replace("TasksMax=512", "TasksMax=256"), encoding="utf-8")
    done = installed(tmp_path)
    assert not (tmp_path / "etc/systemd/system/userdrop.service.d").exists()
    assert "TasksMax" not in done.stdout


def test_a_changed_unit_outlasts_an_uninstallation(tmp_path: Path) -> None:
    installed(tmp_path)
    unit = tmp_path / "etc/systemd/system/userdrop.service"
    unit.write_text("[Service]\n", encoding="utf-8")
    assert "was changed by somebody" in ended(DEPLOY / "uninstall", "--root", tmp_path).stdout
    assert (tmp_path / "etc/userdrop/userdrop.service.changed").read_text(encoding="utf-8") == "[Service]\n"


def test_an_upload_directory_elsewhere_is_made_set_and_let_be_written(tmp_path: Path) -> None:
    for _ in range(2):
        done = installed(tmp_path, "--upload-dir", "/data/ftp/upload")
        assert done.returncode == 0, done.stderr
    site = tmp_path / "etc/systemd/system/userdrop.service.d/site.conf"
    assert settings_of(site.read_text(encoding="utf-8"), "ReadWritePaths") == ["/data/ftp/upload"]
    assert (tmp_path / "data/ftp/upload").stat().st_mode & 0o7777 == 0o3770
    settings = (tmp_path / "etc/userdrop/userdrop.env").read_text(encoding="utf-8")
    assert "\nUSERDROP_UPLOAD_DIR=/data/ftp/upload\n" in settings
    done = installed(tmp_path, "--upload-dir", "/data/other")
    assert settings_of(site.read_text(encoding="utf-8"), "ReadWritePaths") == ["/data/ftp/upload", "/data/other"]
    assert "still to be done" in done.stdout, "settings are never changed"


@pytest.mark.parametrize("directory", ["/home/ana/incoming", "/root/x", "/home", "incoming", "/srv/a b"])
def test_an_upload_directory_that_the_unit_hides_or_cannot_name_is_refused(tmp_path: Path, directory: str) -> None:
    done = ended(DEPLOY / "install", "--dry-run", "--root", tmp_path, "--upload-dir", directory)
    assert done.returncode == 3
    assert directory in done.stderr
    if directory.startswith(("/home", "/root")):
        assert f"mount --bind /srv/userdrop/upload {directory}" in done.stderr
        drop_in = tmp_path / "etc/systemd/system/userdrop.service.d/home.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text("[Service]\nProtectHome=no\n", encoding="utf-8")
        done = ended(DEPLOY / "install", "--dry-run", "--root", tmp_path, "--upload-dir", directory)
        assert done.returncode == 0, "as told"


@pytest.mark.parametrize(
    "address", ["192.0.2.25", "192.0.2.0/24", "2001:db8::25", "2001:db8::/32", "any", "localhost", "0.0.0.0/0"]
)
def test_an_address_that_systemd_understands_is_let_through(tmp_path: Path, address: str) -> None:
    done = ended(DEPLOY / "install", "--dry-run", "--root", tmp_path, "--allow", address)
    assert done.returncode == 0, done.stderr
    assert ("no IPv6" in done.stdout) == (address == "0.0.0.0/0")
    unit = tmp_path / "x.service"
    unit.write_text(f"[Service]\nExecStart=/bin/true\nIPAddressAllow={address}\n", encoding="utf-8")
    assert ended(needs("systemd-analyze"), "verify", unit).stderr == ""


@pytest.mark.parametrize(
    "address", ["smtp.office365.com", "192.0.2.256", "192.0.2.0/33", "192.0.2", "::/129", "beef", ":::", "2001:db8::x"]
)
def test_what_is_no_address_is_refused_with_what_to_do(tmp_path: Path, address: str) -> None:
    done = ended(DEPLOY / "install", "--dry-run", "--root", tmp_path, "--allow", address)
    assert done.returncode == 3
    assert f"--allow {address}: the unit's firewall knows addresses" in done.stderr
    assert "--allow any" in done.stderr


def test_a_dry_run_where_no_systemd_runs_says_that_the_real_one_refuses() -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs here")
    dry, real = ended(DEPLOY / "install", "--dry-run"), ended(DEPLOY / "install")
    assert (dry.returncode, real.returncode) == (3, 3)
    assert "systemd does not run here" in real.stderr
    assert real.stderr.partition(": ")[2].strip() in dry.stderr
    assert "done. What is left to do" not in dry.stdout


# Commands of the installed service

SYSTEMD_RUN = """#!/bin/bash
if [[ $0 == *systemctl ]]; then
  case "$*" in
    cat*) cat "$UNITS"/userdrop.service "$UNITS"/userdrop.service.d/*.conf ;;
    *NeedDaemonReload*) echo "$RELOAD" ;;
    *ExecMainStartTimestamp*) echo "$STARTED" ;;
    *) echo "$UNITS/userdrop.service" ;;
  esac
  exit
fi
printf '%s\\n' "$@"
"""
STARTED = "Thu 2099-01-01 00:00:00 UTC"
NEVER_BEFORE = "Thu 1998-01-01 00:00:00 UTC"


@pytest.fixture
def commanded(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`deploy/userdrop` with a systemd that prints the properties under which a command would run."""
    if os.geteuid() != 0:
        unavailable("only root can become the service's user")
    units = tmp_path / "units"
    (units / "userdrop.service.d").mkdir(parents=True)
    (units / "userdrop.service").write_bytes(UNIT.read_bytes())
    (units / "userdrop.service.d/site.conf").write_text("[Service]\n", encoding="utf-8")
    codes = '[[ " $* " == *" --accounts "* ]] && exit "${AS_ROOT:-0}"; exit "${AS_SERVICE:-0}"\n'
    for name in ("systemd-run", "systemctl"):
        (tmp_path / name).write_text(SYSTEMD_RUN + codes, encoding="utf-8")
        (tmp_path / name).chmod(0o755)

    def command(
        *arguments: str, script: str = "userdrop", site: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        (units / "userdrop.service.d/site.conf").write_text(f"[Service]\n{site}\n", encoding="utf-8")
        given = {"RELOAD": "no", "STARTED": STARTED, "UNITS": str(units), **variables}
        return ended(DEPLOY / script, *arguments, PATH=f"{tmp_path}:{os.defpath}", **given)

    return command


Commanded = Callable[..., subprocess.CompletedProcess[str]]


def properties(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [each.removeprefix("--property=") for each in done.stdout.splitlines() if each.startswith("--property=")]


def test_commands_run_under_all_that_the_unit_says_of_what_the_service_may(commanded: Commanded) -> None:
    done = commanded("status", "--json")
    assert done.stdout.splitlines()[-3:] == ["/opt/userdrop/.venv/bin/userdrop", "status", "--json"], done.stderr
    assert done.stderr == ""
    wanted = {line for line in UNIT.read_text(encoding="utf-8").splitlines() if re.match(r"[A-Z]\w+=", line)}
    unit = wanted - {line for line in wanted if re.match(r"(?:Description|After|Wants|WantedBy)=", line)}
    left_out = {line.partition("=")[0] for line in unit - {*properties(done)}}
    assert left_out == {
        *("Type", "TimeoutStartSec", "WatchdogSec", "ExecStart", "Restart", "RestartSec", "RestartPreventExitStatus"),
        *("KillMode", "TimeoutStopSec", "OOMPolicy"),
    }
    assert [each for each in properties(done) if each not in unit] == [f"WorkingDirectory=-{ROOT}"]


def test_a_drop_in_counts_as_it_does_for_the_service(commanded: Commanded) -> None:
    secret = "LoadCredential=database_url:/etc/userdrop/database_url"
    site = f"ReadWritePaths=\nReadWritePaths=/data\nProtectHome=no\n{secret}\nUser=other\nIPAddressAllow=any"
    found = properties(commanded("status", site=site))
    assert [each for each in found if each.startswith("ReadWritePaths=")] == ["ReadWritePaths=/data"]
    assert secret in found
    assert [each for each in found if each.startswith("User=")][-1] == "User=other"
    assert [each for each in found if each.startswith("ProtectHome=")][-1] == "ProtectHome=no"
    assert [each for each in found if each.startswith("IPAddressAllow=")] == [
        "IPAddressAllow=localhost",
        "IPAddressAllow=any",
    ]


def test_what_differs_from_the_running_service_is_said(commanded: Commanded) -> None:
    assert "systemctl daemon-reload" in commanded("status", RELOAD="yes").stderr
    told = commanded("status", STARTED=NEVER_BEFORE).stderr
    assert re.search(r"changed since the service was started.*/userdrop\.service; systemctl restart userdrop", told)
    assert commanded("status").stderr == ""


def test_without_a_unit_a_command_is_refused(commanded: Commanded) -> None:
    done = commanded("status", UNITS="/nowhere")
    assert (done.returncode, done.stdout) == (3, "")
    assert "run deploy/install" in done.stderr


def test_a_check_sees_the_files_of_who_asks(commanded: Commanded) -> None:
    assert {*properties(commanded("check", "/root/a.csv"))} >= {"PrivateTmp=no", "ProtectHome=no", "ProtectSystem=full"}


def test_the_doctor_tries_as_root_what_accounts_get_at_and_then_as_the_service_and_the_worse_counts(
    commanded: Commanded,
) -> None:
    for as_root, as_service in ((2, 1), (0, 3)):
        done = commanded("--json", "--send", script="doctor", AS_ROOT=str(as_root), AS_SERVICE=str(as_service))
        said = done.stdout.splitlines()
        first = said.index("--accounts")
        assert said[first - 1 : first + 2] == ["doctor", "--accounts", "--json"]
        assert "--property=User=userdrop" not in said[:first]
        assert "--property=PrivateUsers=yes" not in said[:first]
        assert said[-3:] == ["doctor", "--json", "--send"]
        assert "--property=User=userdrop" in said[first:]
        assert "--property=PrivateUsers=yes" in said[first:]
        assert done.returncode == max(as_root, as_service)


def test_clients_are_added_by_root_who_alone_may_make_accounts(commanded: Commanded) -> None:
    said = commanded("client", "add", "acme").stdout.splitlines()
    assert said[-4:] == ["/opt/userdrop/.venv/bin/userdrop", "client", "add", "acme"]
    assert "--property=EnvironmentFile=/etc/userdrop/userdrop.env" in said
    assert f"--property=WorkingDirectory=-{ROOT}" in said  # a key's file may be named from there
    assert "--property=User=userdrop" not in said
    said = commanded("--dry-run", "acme", "ana", "bo", script="client").stdout.splitlines()
    given = ["client", "add", "--dry-run", "--account", "ana", "--account", "bo", "--", "acme"]
    assert said[-len(given) :] == given
    assert commanded("acme", script="client").returncode == 3


@pytest.mark.parametrize("name", ["userdrop", "userdrop.service"])
def test_every_secret_may_be_a_credential(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert [secret for secret in SECRETS if not re.search(rf"\b{secret}\b", text)] == []


def test_every_script_is_understood_by_bash() -> None:
    for name in (
        "client",
        "doctor",
        "install",
        "uninstall",
        "packages",
        "run",
        "test",
        "userdrop",
        "venv",
        "vsftpd-start",
    ):
        assert ended("bash", "-n", DEPLOY / name).returncode == 0, name

"""What lies in deploy/: the unit under which the service lives, and its installation."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.ftps import reachable_directory
from tests.servers.sandbox import settings_of
from tests.servers.tools import environment, needs, unavailable
from watcher.running import ALREADY_RUNNING, USAGE
from watcher.settings import SECRETS, Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "userdrop.service"
SERVICE, FTP_USERS, FTP_USER = "nobody", "daemon", 1
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


def test_the_unit_does_not_start_again_what_would_end_again() -> None:
    (codes,) = settings_of(UNIT.read_text(encoding="utf-8"), "RestartPreventExitStatus")
    assert codes.split() == [str(USAGE), str(ALREADY_RUNNING)]


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


def test_under_the_units_limits_a_file_is_imported_and_the_doctor_finds_nothing_wrong_with_them(
    sandbox: Path,
) -> None:
    upload = sandbox / "upload" / "students.csv"
    upload.write_text(CSV, encoding="utf-8")
    os.chown(upload, FTP_USER, -1)
    upload.chmod(0o640)
    done = confined(sandbox, "run", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (imported,) = (event for event in events if event["event"] == "import_finished")
    assert (imported["accepted"], imported["failed"]) == (1, 1)
    bak = sandbox / "upload" / "bak"
    assert bak.stat().st_mode & 0o777 == 0o750
    assert {(path.stat().st_mode & 0o777, path.group()) for path in bak.iterdir()} == {(0o640, FTP_USERS)}
    assert len(list(bak.iterdir())) == 2

    told = confined(sandbox, "doctor", "--json")
    found = [json.loads(line) for line in told.stdout.splitlines()]
    faults = {each["name"] for each in found if each["state"] != "ok" and not each["name"].startswith("vsftpd")}
    assert faults == {"service", "mail"}, told.stdout + told.stderr


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
    assert done.stdout.split() == ["1", "1", "1", "1", "65534", str(0o077)], done.stderr


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
    (tmp_path / "srv/userdrop/upload/students.csv").write_text(CSV, encoding="utf-8")

    second = ended(*install)
    assert second.returncode == 0, second.stderr
    assert "userdrop.service is there" in second.stdout
    assert "Creating user" not in second.stdout + second.stderr
    assert settings.read_text(encoding="utf-8") == "USERDROP_INTERVAL_MINUTES=1\n"

    for _ in range(2):
        gone = ended(DEPLOY / "uninstall", "--root", tmp_path)
        assert gone.returncode == 0, gone.stderr
    assert not (tmp_path / "opt/userdrop").exists()
    assert not (tmp_path / "usr/local/bin/userdrop").is_symlink()
    assert not (tmp_path / "etc/systemd/system/userdrop.service").exists()
    assert settings.exists()
    assert (tmp_path / "srv/userdrop/upload/students.csv").read_text(encoding="utf-8") == CSV


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


SYSTEMD_RUN = """#!/bin/bash
[[ $0 == *systemctl ]] && { echo 127.0.0.0/8 192.0.2.25; exit; }
printf '%s\\n' "$@"
"""


def test_commands_run_with_the_services_user_settings_secrets_and_firewall(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("only root can become the service's user")
    for name in ("systemd-run", "systemctl"):
        (tmp_path / name).write_text(SYSTEMD_RUN, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.defpath}"
    done = ended(DEPLOY / "userdrop", "status", "--json", PATH=path)
    assert done.stdout.splitlines()[-3:] == ["/opt/userdrop/.venv/bin/userdrop", "status", "--json"], done.stderr
    for wanted in ("User=userdrop", "EnvironmentFile=/etc/userdrop/userdrop.env", "IPAddressAllow=192.0.2.25"):
        assert f"--property={wanted}" in done.stdout.splitlines()
    assert ended(DEPLOY / "doctor", "--json", PATH=path).stdout.splitlines()[-2:] == ["doctor", "--json"]


@pytest.mark.parametrize("name", ["userdrop", "userdrop.service"])
def test_every_secret_may_be_a_credential(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert [secret for secret in SECRETS if not re.search(rf"\b{secret}\b", text)] == []


def test_every_script_is_understood_by_bash() -> None:
    for name in ("doctor", "install", "uninstall", "packages", "run", "test", "userdrop", "venv", "vsftpd-start"):
        assert ended("bash", "-n", DEPLOY / name).returncode == 0, name

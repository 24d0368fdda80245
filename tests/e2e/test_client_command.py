"""`userdrop client` on a machine of its own: whom it lets in by real servers, and what it leaves alone."""

import ftplib
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.servers import clients
from tests.servers.ftps import FtpsServer, vsftpd_as_written
from tests.servers.machine import Machine, private_machine, vsftpd_conf
from tests.servers.sftp import key_made, sftp, ssh, sshd_as_installed

UPLOAD = Path("/srv/userdrop/upload")
CSV = b"unique_id\nA1001\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with private_machine(tmp_path) as made:
        yield made


def added(machine: Machine, name: str) -> str:
    """Add a client on a terminal; the password that is shown."""
    said = machine.on_terminal(f"userdrop client add {name}")
    assert said.rstrip().endswith("ended with 0"), said
    (password,) = re.findall(r"  password  (\w+) ", said)
    assert len(password) == 20
    return str(password)


def by_ftps(tmp: Path, machine: Machine, user: str, password: str) -> AbstractContextManager[FtpsServer]:
    return vsftpd_as_written(
        tmp, vsftpd_conf("vsftpd-several"), UPLOAD, user=user, password=password, within=machine.within
    )


def test_a_client_that_was_added_uploads_by_ftps_at_once_and_reads_its_bak(machine: Machine, tmp_path: Path) -> None:
    password = added(machine, "zeta")
    with by_ftps(tmp_path, machine, "zeta", password) as server:
        assert clients.upload_with_ftplib(server, CSV, "users.csv").startswith("226")
        assert machine.may("userdrop", "cat zeta/users.csv; mkdir -m 2750 zeta/bak; echo old >zeta/bak/old.csv")
        assert machine.may("userdrop", "chmod 640 zeta/bak/old.csv")
        assert clients.download(server, "bak/old.csv") == b"old\n"
        with clients.ftplib_session(server) as ftp:
            assert ftp.pwd() == "/"
            ftp.rename("users.csv", "renamed.csv")
    assert machine.mode("zeta") == "userdrop userdrop 3770"
    assert json.loads(machine.run("userdrop client list --json")) == {
        "client": "zeta",
        "account": "zeta",
        "login": "password",
    }


def test_a_client_with_a_key_uploads_by_sftp_in_its_jail_and_gets_no_shell(machine: Machine, tmp_path: Path) -> None:
    key = key_made(tmp_path)
    assert "a key is for SFTP: set USERDROP_SFTP=true first" in machine.run(f"userdrop client add zeta --key {key}")
    machine.run("echo USERDROP_SFTP=true >>/etc/userdrop/userdrop.env")
    assert "is not one public key" in machine.run(f"userdrop client add zeta --key {key.with_suffix('')}")
    said = machine.run(f"userdrop client add zeta --key {key}; echo ended with $?")
    assert "ended with 0" in said, said
    assert "  password  " not in said
    (tmp_path / "users.csv").write_bytes(CSV)
    with sshd_as_installed(tmp_path, machine.within, "zeta") as server:
        sftp(server, f"put {tmp_path}/users.csv .users.csv", "rename .users.csv users.csv", "ls /")
        assert machine.may("userdrop", "cat zeta/users.csv")
        for wrong in ("get /etc/passwd", "get /../etc/passwd", "ls /upload", "mkdir /upload/new", "mkdir /new"):
            with pytest.raises(RuntimeError):
                sftp(server, f"{wrong} {tmp_path}/got" if wrong.startswith("get") else wrong)
        assert "This service allows sftp connections only" in ssh(server, command=["id"])
        assert "forwarding failed" in ssh(server, "-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:9")
        machine.run("userdrop client remove zeta")
        with pytest.raises(RuntimeError):
            sftp(server, "ls")


def test_a_client_that_was_removed_gets_in_no_more_and_its_files_stay(machine: Machine, tmp_path: Path) -> None:
    password = added(machine, "zeta")
    with by_ftps(tmp_path, machine, "zeta", password) as server:
        clients.upload_with_ftplib(server, CSV, "users.csv")
        said = machine.run("userdrop client remove zeta; echo ended with $?")
        assert "ended with 0" in said, said
        with pytest.raises(ftplib.error_perm, match="530"), clients.ftplib_session(server):
            pass
        assert machine.run(f"cat {UPLOAD}/zeta/users.csv") == CSV.decode()
        assert '"removed"' in machine.run("userdrop client list --json")
        assert "is removed already" in machine.run("userdrop client remove zeta")
        said = machine.on_terminal("userdrop client add zeta")
        (cure,) = re.findall(r"open its account again: (.*)", said)
        assert machine.run(cure) == ""
        assert clients.upload_with_ftplib(server, CSV, "again.csv").startswith("226")


def test_what_a_dry_run_prints_is_what_is_done(machine: Machine) -> None:
    before = machine.run("cat /etc/passwd /etc/shadow /etc/group /etc/shells; getfacl -R /srv")
    planned = machine.on_terminal("userdrop client add zeta --dry-run")
    assert machine.run("cat /etc/passwd /etc/shadow /etc/group /etc/shells; getfacl -R /srv") == before
    done = machine.on_terminal("userdrop client add zeta")
    steps = [line for line in planned.splitlines() if line.startswith("userdrop: ")]
    assert len(steps) > 8
    assert [line for line in done.splitlines() if line.startswith("userdrop: ")] == steps
    assert "chpasswd <<< '***'" in steps[-1]


def test_the_password_is_shown_on_a_terminal_only_and_is_nowhere_else(machine: Machine) -> None:
    said = machine.run("userdrop client add zeta; echo ended with $?")
    assert "on a terminal only" in said
    assert "ended with 3" in said
    assert "zeta" not in machine.run("cat /etc/passwd")
    password = added(machine, "zeta")
    assert password not in machine.run("cat /etc/passwd /etc/shadow /etc/group; grep -r . /srv /etc/userdrop")


def test_a_client_that_was_begun_is_gone_on_with(machine: Machine) -> None:
    machine.run("mount --bind /bin/false $(command -v chpasswd)")
    said = machine.on_terminal("userdrop client add zeta")
    assert "chpasswd has failed; what was done before stays, and may be gone on with" in said
    assert "ended with 1" in said
    assert "goes on" in machine.run("userdrop client list")
    machine.run("umount $(command -v chpasswd)")
    added(machine, "zeta")


def test_accounts_groups_and_homes_that_were_there_are_never_touched(machine: Machine) -> None:
    machine.run("groupadd theirs; useradd --create-home --base-dir /srv --shell /bin/sh eve; echo mine >/srv/eve/file")
    before = machine.run("getent passwd; cat /etc/shadow /etc/group; getfacl -R /srv")
    for name, why in (
        ("eve", "there is an account eve already"),
        ("theirs", "there is a group theirs already"),
        ("root", "there is an account root already"),
        ("Zeta", "cannot be a client's name"),
        ("-x", "No such option"),
        ("a/b", "cannot be a client's name"),
        ("..", "cannot be a client's name"),
        ("z$(id)", "cannot be a client's name"),
        ("bak", "cannot be a client's name"),
    ):
        said = machine.on_terminal(f"userdrop client add '{name}'")
        assert why in said
        assert "ended with 3" in said
    assert machine.run("getent passwd; cat /etc/shadow /etc/group; getfacl -R /srv") == before
    said = machine.run("userdrop client remove eve; echo ended with $?")
    assert "no account gets in as the client 'eve'" in said
    assert "ended with 1" in said


def test_rules_for_sshd_that_somebody_wrote_are_left_alone(machine: Machine) -> None:
    machine.run("echo '# mine' >/etc/ssh/sshd_config.d/userdrop.conf")
    said = machine.on_terminal("userdrop client add zeta")
    assert "says something else than this version would write, and is left alone" in said
    assert machine.run("cat /etc/ssh/sshd_config.d/userdrop.conf") == "# mine\n"
    assert "zeta" not in machine.run("cat /etc/passwd")


def test_where_sshd_does_not_read_the_rules_nobody_can_log_in(machine: Machine) -> None:
    machine.run("sed -i /^Include/d /etc/ssh/sshd_config")
    said = machine.on_terminal("userdrop client add zeta")
    assert "Include /etc/ssh/sshd_config.d/*.conf at the top of sshd_config" in said
    assert "zeta:*:" in machine.run("cat /etc/shadow")
    machine.run("sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config")
    added(machine, "zeta")


def test_nobody_but_root_may_add_clients(machine: Machine) -> None:
    said = machine.run("unshare --user userdrop client add zeta; echo ended with $?")
    assert said == "userdrop: nobody but root may make accounts and folders: run this as root\nended with 3\n"

"""The recipes for FTPS and SFTP, run as they stand there, on a machine of their own with real servers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import clients
from tests.servers.ftps import FtpsServer, vsftpd_as_written
from tests.servers.machine import Machine, private_machine, recipe, vsftpd_conf
from tests.servers.sftp import key_made, sftp, ssh, sshd_as_installed

UPLOAD = Path("/srv/userdrop/upload")
CSV = b"unique_id\nA1001\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with private_machine(tmp_path) as made:
        yield made


def faults(machine: Machine, server: FtpsServer, log_root: str) -> list[str]:
    """What the doctor finds wrong with vsftpd, but for a certificate that a test has signed."""
    settings = f"VSFTPD_CONF={server.home}/vsftpd.conf USERDROP_VSFTPD_LOG={server.log}"
    said = machine.run(
        f"(set -a; . /etc/userdrop/userdrop.env; env USERDROP_{settings} 'USERDROP_VSFTPD_LOG_ROOT={log_root}'"
        ' "$PYTHON" -m watcher doctor --json)'
    )
    found = [each for each in map(json.loads, said.splitlines()) if each["name"].startswith("vsftpd")]
    assert {"vsftpd", "vsftpd logins", "vsftpd log"} <= {each["name"] for each in found if each["state"] == "ok"}, found
    return [each["what"] for each in found if each["state"] != "ok"]


def uploaded(server: FtpsServer) -> None:
    with clients.ftplib_session(server) as ftp:
        clients.store(ftp, CSV, "users.csv.part")
        ftp.rename("users.csv.part", "users.csv")


def test_one_client_by_ftps_and_by_sftp(machine: Machine, tmp_path: Path) -> None:
    machine.run("sed -i /CLIENT_FOLDERS/d /etc/userdrop/userdrop.env; userdel acme; userdel bolt")
    assert machine.run(f"{recipe('one-client')} chpasswd <<<ana:secret") == ""
    text = vsftpd_conf()
    with vsftpd_as_written(tmp_path, text, UPLOAD, user="ana", password="secret", within=machine.within) as server:
        uploaded(server)
        assert machine.may("userdrop", "cat users.csv")
        assert faults(machine, server, str(UPLOAD)) == []

    key = key_made(tmp_path)
    machine.run(f"cp {key} /etc/ssh/keys; cat >/etc/ssh/sshd_config.d/one-client.conf <<'END'\n{recipe('one-sftp')}END")
    (tmp_path / "by_sftp.csv").write_bytes(CSV)
    with sshd_as_installed(tmp_path, machine.within, "ana", "-oAuthorizedKeysFile=/etc/ssh/keys") as server_:
        sftp(server_, f"put {tmp_path}/by_sftp.csv .part", "rename .part by_sftp.csv")
        assert machine.may("userdrop", "cat by_sftp.csv")
        for wrong in (f"get /etc/passwd {tmp_path}/got", "mkdir /new", "rename /upload /mine"):
            with pytest.raises(RuntimeError):
                sftp(server_, wrong)
        assert "sftp connections only" in ssh(server_, command=["id"])


def test_several_clients(machine: Machine, tmp_path: Path) -> None:
    password = passwords(machine, "zeta")["zeta"]
    with vsftpd_as_written(
        tmp_path, vsftpd_conf("vsftpd-several"), UPLOAD, user="zeta", password=password, within=machine.within
    ) as server:
        uploaded(server)
        assert machine.may("userdrop", "cat zeta/users.csv")
        assert faults(machine, server, f"{UPLOAD}/$USER") == []
        named = f"s#VSFTPD_CONF=.*#VSFTPD_CONF={server.home}/vsftpd.conf#"
        told = machine.run(f"sed -i '{named}' /etc/userdrop/userdrop.env; userdrop doctor")
        assert "zeta: nothing is seen that keeps them from logging in" in told  # by root alone, as on an installation


def test_virtual_users_have_the_rights_of_their_clients_account(machine: Machine, tmp_path: Path) -> None:
    passwords(machine, "zeta", "yota")
    permit = "".join(f"{kind} required pam_permit.so\\n" for kind in ("auth", "account", "session"))
    machine.run(f"printf '{permit}' >/etc/pam.d/vsftpd-virtual; mkdir /etc/vsftpd-users")
    for user, client in {"ana": "zeta", "ben": "yota"}.items():
        own = recipe("vsftpd-virtual-user").replace("acme", client)
        machine.run(f"cat >/etc/vsftpd-users/{user} <<'END'\n{own}END")
    text = vsftpd_conf("vsftpd-virtual")
    with vsftpd_as_written(tmp_path, text, UPLOAD, user="ana", within=machine.within) as server:
        uploaded(server)
    assert machine.run(f"stat --format=%U {UPLOAD}/zeta/users.csv").strip() == "zeta"
    assert machine.may("userdrop", "cat zeta/users.csv")
    assert not machine.may("yota", "cat zeta/users.csv")


def passwords(machine: Machine, *names: str) -> dict[str, str]:
    """Clients that were added → their passwords."""
    said = {name: machine.on_terminal(f"userdrop client add {name}") for name in names}
    return {name: re.findall(r"  password  (\w+) ", each)[0] for name, each in said.items()}

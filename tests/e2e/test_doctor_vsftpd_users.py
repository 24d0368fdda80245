"""What the doctor says of a configuration of vsftpd is what a client's upload and rename then show."""

import contextlib
import ftplib
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import clients
from tests.servers.ftps import TLS_1_2, ServerDidNotStartError, vsftpd_as_written
from tests.servers.machine import Machine, private_machine, vsftpd_conf

UPLOAD = Path("/srv/userdrop/upload")
VIRTUAL = "guest_enable=YES\nguest_username=zeta\npam_service_name=vsftpd-virtual\nuser_config_dir=/etc/vsftpd-users\n"
RIGHTS = "anon_upload_enable=YES\nanon_other_write_enable=YES\nanon_world_readable_only=NO\n"
OWN = "user_config_dir=/etc/vsftpd-users\n"

CASES = {
    "as the guide has it": ("", "", ""),
    "nobody may write": ("write_enable=NO\n", "", "vsftpd write_enable"),
    "nobody may log in": ("local_enable=NO\n", "", "vsftpd local_enable"),
    "the last of two values": ("write_enable=NO\nwrite_enable=YES\n", "", ""),
    "the owner's umask, where the folder's list decides": ("local_umask=077\n", "", ""),
    "no renaming": ("cmds_denied=DELE,RNFR\n", "", "vsftpd cmds_denied"),
    "no renaming, but for a blank": ("cmds_denied=DELE, RNFR\n", "", ""),
    "no uploading": ("cmds_denied=STOR\n", "", "vsftpd cmds_denied"),
    "a list without rename": ("cmds_allowed=PBSZ,PROT,PASV,TYPE,STOR,QUIT\n", "", "vsftpd cmds_allowed"),
    "a writable root": ("allow_writeable_chroot=NO\n", "", "vsftpd allow_writeable_chroot"),
    "a blank behind YES": ("write_enable=YES \n", "", "vsftpd configuration"),
    "blanks around =": ("chmod_enable = NO\n", "", "vsftpd configuration"),
    "an unknown name": ("allow_writable_chroot=YES\n", "", "vsftpd configuration"),
    "a blank behind a directory": ("local_root=/srv/userdrop/upload/$USER \n", "", ""),
    "a list with a blank at its end": ("cmds_denied=STOR \n", "", "vsftpd cmds_denied"),
    "a value of blanks": ("banner_file= \n", "", "vsftpd configuration"),
    "a directory that is not there": ("local_root=/nowhere\n", "", "vsftpd logins"),
    "a directory that is not there, without a jail": ("local_root=/nowhere\nchroot_local_user=NO\n", "", "vsftpd log"),
    "a token that is not replaced": ("user_sub_token=%USER\n", "", "vsftpd logins"),
    "a list of those who may not": ("userlist_enable=YES\nuserlist_file=/etc/vsftpd-list\n", "", "vsftpd logins"),
    "a user's file that opens": (f"{OWN}write_enable=NO\n", "write_enable=YES\n", ""),
    "a user's file that closes": (OWN, "cmds_denied=STOR\n", "vsftpd cmds_denied"),
    "a user's file that is wrong": (OWN, "local_umask = 027\n", "vsftpd configuration"),
    "a user's file about the jail, which has no effect": (
        f"{OWN}allow_writeable_chroot=NO\n",
        "chroot_local_user=NO\n",
        "vsftpd allow_writeable_chroot",
    ),
    "virtual users with local rights": (f"{VIRTUAL}virtual_use_local_privs=YES\n", "", ""),
    "virtual users with all rights": (f"{VIRTUAL}{RIGHTS}", "", ""),
    "virtual users who may not rename": (f"{VIRTUAL}anon_upload_enable=YES\n", "", "vsftpd anon_other_write_enable"),
    "virtual users who may not upload": (f"{VIRTUAL}anon_other_write_enable=YES\n", "", "vsftpd anon_upload_enable"),
    "virtual users whose uploads become root's": (
        f"{VIRTUAL}{RIGHTS}chown_uploads=YES\n",
        "",
        "vsftpd chown_uploads",
    ),
    "virtual users of an account that is not there": (
        f"{VIRTUAL}virtual_use_local_privs=YES\nguest_username=nobody-at-all\n",
        "",
        "vsftpd logins",
    ),
}
"""Name → lines of the main file, lines of the user's own, and the thing of which the doctor says that it is broken."""


@dataclass(frozen=True)
class Clients:
    """A machine with one client."""

    machine: Machine
    password: str

    def doctor(self, path: Path, log: Path) -> dict[str, list[str]]:
        """What is broken of vsftpd, by name."""
        settings = f"VSFTPD_CONF={path} USERDROP_VSFTPD_LOG={log} 'USERDROP_VSFTPD_LOG_ROOT={UPLOAD}/$USER'"
        said = self.machine.run(
            f'(set -a; . /etc/userdrop/userdrop.env; env USERDROP_{settings} "$PYTHON" -m watcher doctor --json)'
        )
        found: dict[str, list[str]] = {}
        for each in map(json.loads, said.splitlines()):
            if each["state"] == "broken" and each["name"].startswith("vsftpd"):
                found.setdefault(each["name"], []).append(each["what"])
            assert each["name"] != "vsftpd configuration" or "bug" not in each["what"], each
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with private_machine(tmp_path_factory.mktemp("machine")) as machine:
        said = machine.on_terminal("userdrop client add zeta")
        (password,) = re.findall(r"  password  (\w+) ", said)
        permit = "auth required pam_permit.so\\naccount required pam_permit.so\\nsession required pam_permit.so\\n"
        machine.run(
            f"printf '{permit}' >/etc/pam.d/vsftpd-virtual; mkdir /etc/vsftpd-users; echo zeta >/etc/vsftpd-list"
        )
        yield Clients(machine, password)


def works(site: Clients, tmp: Path, text: str) -> bool:
    """Whether an upload under a temporary name and its rename succeed, and the service may read the file.

    What vsftpd says when it gives up is in clear text, and so an error of TLS.
    """
    machine = site.machine
    with (
        contextlib.suppress(ftplib.Error, EOFError, ssl.SSLError, ServerDidNotStartError),
        vsftpd_as_written(tmp, text, UPLOAD, user="zeta", password=site.password, within=machine.within) as server,
        clients.ftplib_session(server) as ftp,
    ):
        clients.store(ftp, b"unique_id\nA1\n", "users.csv.part")
        ftp.rename("users.csv.part", "users.csv")
        return machine.may("userdrop", "cat zeta/users.csv")
    return False


@pytest.mark.parametrize(
    "name", [*[*CASES][::2], *(pytest.param(name, marks=pytest.mark.full) for name in [*CASES][1::2])]
)
def test_the_doctor_says_what_an_upload_then_shows(site: Clients, tmp_path: Path, name: str) -> None:
    lines, own, broken = CASES[name]
    site.machine.run(f"rm -f {UPLOAD}/zeta/*; cat >/etc/vsftpd-users/zeta <<'END'\n{own}END")
    text = vsftpd_conf("vsftpd-several") + lines
    done = works(site, tmp_path, text)
    (path,) = tmp_path.glob("vsftpd-*/vsftpd.conf")
    found = site.doctor(path, path.with_name("vsftpd.log"))
    found.pop("vsftpd", None)  # it has ended meanwhile
    assert [*found] == [broken] * bool(broken), found
    assert done == (broken in {"", "vsftpd log"})


def test_a_configuration_that_is_not_roots_is_told(site: Clients, tmp_path: Path) -> None:
    path = tmp_path / "vsftpd.conf"
    path.write_text(vsftpd_conf("vsftpd-several"))
    site.machine.run(f"chown daemon {path}")
    assert "not a file of root's" in site.doctor(path, tmp_path / "log")["vsftpd configuration"][0]


def test_a_users_own_file_that_is_not_roots_keeps_it_out(site: Clients, tmp_path: Path) -> None:
    site.machine.run(f"rm -f {UPLOAD}/zeta/*; rm -f /etc/vsftpd-users/zeta; mkdir /etc/vsftpd-users/zeta")
    try:
        text = vsftpd_conf("vsftpd-several") + OWN
        assert not works(site, tmp_path, text)
        (path,) = tmp_path.glob("vsftpd-*/vsftpd.conf")
        (what,) = site.doctor(path, path.with_name("vsftpd.log"))["vsftpd logins"]
        assert "500 OOPS, as /etc/vsftpd-users/zeta is not a file of root's" in what
    finally:
        site.machine.run("rmdir /etc/vsftpd-users/zeta")


def test_an_account_whose_shell_is_not_listed_is_not_let_in(site: Clients, tmp_path: Path) -> None:
    site.machine.run(f"rm -f {UPLOAD}/zeta/*; usermod --shell /usr/sbin/nologin zeta")
    try:
        assert not works(site, tmp_path, vsftpd_conf("vsftpd-several"))
        (path,) = tmp_path.glob("vsftpd-*/vsftpd.conf")
        (what,) = site.doctor(path, path.with_name("vsftpd.log"))["vsftpd logins"]
        assert "530, as its shell /usr/sbin/nologin is not in /etc/shells" in what
    finally:
        site.machine.run("usermod --shell /usr/local/bin/userdrop-nologin zeta")


@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_server_that_runs_is_asked_for_its_certificate_and_tls(
    site: Clients, tmp_path: Path, *, is_pinned: bool
) -> None:
    openssl = TLS_1_2 if is_pinned else Path("/dev/null")
    text = vsftpd_conf("vsftpd-several")
    with vsftpd_as_written(tmp_path, text, UPLOAD, user="zeta", within=site.machine.within, openssl=openssl) as server:
        found = site.doctor(server.home / "vsftpd.conf", server.log)
    assert [*found] == ([] if is_pinned else ["vsftpd TLS version"]), found

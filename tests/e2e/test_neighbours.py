"""Two clients on servers that keep no session in its folder: what the folders themselves keep from neighbours."""

import contextlib
import dataclasses
import ftplib
import io
import pwd
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tests.e2e import files
from tests.e2e.house import House
from tests.servers import client_folders, clients, sftp
from tests.servers.client_folders import OF_ONE_GROUP, OF_OWN_GROUPS, SERVICE
from tests.servers.ftps import FtpsServer, reachable_directory, vsftpd_as_written
from tests.servers.machine import private_machine, vsftpd_conf
from tests.servers.sandbox import ROOT
from tests.servers.sftp import SftpServer

Ftps = Callable[..., FtpsServer]

UPLOAD = Path("/srv/userdrop/upload")

SERVICE_COMMAND = (
    *("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.servers.sandbox", SERVICE, SERVICE),
    *(sys.executable, "-m", "watcher", "run"),
)
"""The service as its unit has it: in no group of a client."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Servers for both clients, whose folders are called as their accounts; the first attacks the other one."""

    root: Path
    upload: Path
    accounts: tuple[str, str]
    by_ftps: FtpsServer
    by_sftp: SftpServer
    seen_by_sftp: Path
    passwords: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def ftps(self, account: str) -> FtpsServer:
        password = self.passwords.get(account, self.by_ftps.password)
        return dataclasses.replace(self.by_ftps, user=account, password=password)

    def sftp(self, account: str, *commands: str) -> None:
        sftp.sftp(dataclasses.replace(self.by_sftp, user=account), f"cd {self.seen_by_sftp}/{account}", *commands)


@contextlib.contextmanager
def place(tmp_path: Path, ftps: Ftps, accounts: tuple[str, str]) -> Iterator[Place]:
    with reachable_directory() as root:
        upload = root / "upload"
        upload.mkdir()
        settings = {
            "chroot_local_user": "NO",
            "chmod_enable": "YES",
            "user_sub_token": "$USER",
            "local_root": f"{upload}/$USER",
        }
        server = ftps(upload=upload, local_user=accounts[0], settings=settings)
        upload.chmod(0o755)
        with sftp.sshd(tmp_path, users=accounts, unjailed_in=upload) as by_sftp:
            yield Place(
                root=root,
                upload=upload,
                accounts=accounts,
                by_ftps=server,
                by_sftp=by_sftp,
                seen_by_sftp=upload,
            )


# What a client tries with its neighbour. V is the neighbour's folder by its whole path, OLD a file in the neighbour's
# bak and NEW one that waits, whose names were guessed; `named` puts in what these are.

Named = Callable[[str], str]
Act = Callable[[ftplib.FTP_TLS, Named], object]


def listed(what: str) -> Act:
    """vsftpd gives an empty list of what may not be read."""
    return lambda ftp, named: ftp.nlst(named(what))


def entered(what: str) -> Act:
    return lambda ftp, named: ftp.cwd(named(what))


def fetched(what: str) -> Act:
    return lambda ftp, named: ftp.retrbinary(named(f"RETR {what}"), lambda _: None)


def stored(command: str) -> Act:
    return lambda ftp, named: ftp.storbinary(named(command), io.BytesIO(b"unique_id\nmallory\n"))


def told(command: str) -> Act:
    return lambda ftp, named: ftp.voidcmd(named(command))


def renamed(old: str, new: str) -> Act:
    return lambda ftp, named: ftp.rename(named(old), named(new))


BY_FTPS: dict[str, Act] = {
    "list the clients": listed("UPLOAD"),
    "list the folder": listed("V"),
    "list the folder by ..": listed("../NAME"),
    "list bak": listed("V/bak"),
    "list the work directory": listed("V/.importing"),
    "enter the folder": entered("V"),
    "enter bak by ..": entered("../NAME/bak"),
    "read an archived file": fetched("V/bak/OLD"),
    "read an archived file by ..": fetched("../NAME/bak/OLD"),
    "read a file that waits": fetched("V/NEW"),
    "see the size of a file that waits": told("SIZE V/NEW"),
    "drop a file": stored("STOR V/mallory.csv"),
    "write on in a file that waits": stored("APPE V/NEW"),
    "write into bak": stored("STOR V/bak/mallory.csv"),
    "write into the work directory": stored("STOR V/.importing/mallory.csv"),
    "drop a file by renaming": renamed("own.csv", "V/own.csv"),
    "take a file that waits": renamed("V/NEW", "taken.csv"),
    "take bak": renamed("V/bak", "taken"),
    "remove a file that waits": told("DELE V/NEW"),
    "remove an archived file": told("DELE V/bak/OLD"),
    "make a folder in the folder": told("MKD V/mallory"),
    "make a client": told("MKD UPLOAD/mallory"),
    "open the folder": told("SITE CHMOD 777 V"),
    "open bak": told("SITE CHMOD 777 V/bak"),
}
BY_SFTP = {
    "list the clients": ["ls UPLOAD"],
    "list the folder": ["ls V"],
    "list bak": ["ls V/bak"],
    "list the quarantine": ["ls V/.quarantine"],
    "read an archived file": ["get V/bak/OLD SCRATCH"],
    "read a file that waits by ..": ["get ../NAME/NEW SCRATCH"],
    "drop a file": ["put OWN V/mallory.csv"],
    "write into bak": ["put OWN V/bak/mallory.csv"],
    "link an archived file": ["ln V/bak/OLD linked.csv"],
    "link an own file into the folder": ["ln own.csv V/linked.csv"],
    "read by a symlink": ["ln -s V/bak/OLD symlinked.csv", "get symlinked.csv SCRATCH"],
    "write by a symlink": ["ln -s V symlinked", "put OWN symlinked/mallory.csv"],
    "put a symlink into the folder": ["ln -s UPLOAD/OTHER/own.csv V/symlink.csv"],
    "drop a file by renaming": ["rename own.csv V/renamed.csv"],
    "take a file that waits": ["rename V/NEW taken.csv"],
    "remove a file that waits": ["rm V/NEW"],
    "make a client": ["mkdir UPLOAD/mallory"],
    "open the folder": ["chmod 777 V"],
    "open an archived file": ["chmod 666 V/bak/OLD"],
}


def succeeded(there: Place, scratch: Path, old: str, new: str) -> tuple[list[str], int]:
    """Which attempts of the first client succeeded, and how many there were."""
    attacker, victim = there.accounts
    (scratch / "own.csv").write_bytes(b"unique_id\nmallory\n")
    words = {
        "SCRATCH": str(scratch / "fetched"),
        "UPLOAD": str(there.upload),
        "OTHER": attacker,
        "NAME": victim,
        "OWN": str(scratch / "own.csv"),
        "OLD": old,
        "NEW": new,
        "V": f"{there.upload}/{victim}",
    }
    named = partial(in_words, words)
    seen = {**words, "UPLOAD": str(there.seen_by_sftp), "V": f"{there.seen_by_sftp}/{victim}"}
    there.sftp(attacker, f"put {words['OWN']} own.csv")
    done = [f"ftps: {name}" for name, act in BY_FTPS.items() if by_ftps_succeeds(there.ftps(attacker), act, named)]
    for name, commands in BY_SFTP.items():
        with contextlib.suppress(RuntimeError):
            there.sftp(attacker, *map(partial(in_words, seen), commands))
            done.append(f"sftp: {name}")
    return done, len(BY_FTPS) + len(BY_SFTP)


def by_ftps_succeeds(server: FtpsServer, act: Act, named: Named) -> bool:
    with clients.ftplib_session(server) as ftp:
        try:
            return act(ftp, named) != []
        except ftplib.Error:
            return False


def in_words(words: dict[str, str], line: str) -> str:
    """The line with the names in paths replaced that stand for something."""
    return re.sub(r"(?<=[ /])[A-Z]+(?=[ /]|$)|^[A-Z]+(?=/|$)", lambda found: words.get(found[0], found[0]), line)


def test_folders_of_one_group_are_open_to_neighbours_so_that_the_attempts_are_worth_something(
    tmp_path: Path, ftps: Ftps
) -> None:
    with place(tmp_path, ftps, OF_ONE_GROUP) as there:
        client_folders.of_their_groups(there.upload, {account: account for account in OF_ONE_GROUP})
        done, _ = succeeded(there, tmp_path, "old.csv", "new.csv")
    assert len(done) > 10, done
    assert {"ftps: read an archived file", "ftps: drop a file", "sftp: read an archived file"} <= {*done}


def test_clients_get_at_nothing_of_a_neighbour_and_at_all_of_their_own(tmp_path: Path, ftps: Ftps) -> None:
    with place(tmp_path, ftps, OF_OWN_GROUPS) as there:
        for account in OF_OWN_GROUPS:
            client_folders.by_command(there.upload, account, account)
        for name in ("state", "mail"):
            client_folders.made(there.root / name, SERVICE, 0, 0o755)
        house = House(there.root, there.upload)
        house.set(CLIENT_FOLDERS="true", SFTP="true")
        attacker, victim = OF_OWN_GROUPS
        sent = tmp_path / "sent.csv"
        sent.write_bytes(files.csv_of(files.good(2), files.bad(3)))
        with house.service(command=SERVICE_COMMAND) as service:
            service.wait_for_event("watch_changed", client=victim, to="live")
            clients.upload_with_ftplib(there.ftps(attacker), files.csv_of(files.good(1), files.bad(3)), "users.csv")
            there.sftp(victim, f"put {sent} .users.csv", "rename .users.csv users.csv")
            for account in OF_OWN_GROUPS:
                service.wait_for_event("upload_settled", client=account)
            service.tick()
            for account in OF_OWN_GROUPS:
                service.wait_for_event("file_archived", client=account)

            names = {
                account: sorted(path.name for path in (there.upload / account / "bak").iterdir())
                for account in OF_OWN_GROUPS
            }
            for account, in_bak in names.items():
                assert clients.listing(there.ftps(account), "bak") == in_bak
                for name in in_bak:
                    there.sftp(account, f"get bak/{name} {tmp_path}/{name}")
                    assert (tmp_path / name).read_bytes() == clients.download(there.ftps(account), f"bak/{name}")
            assert (tmp_path / names[victim][0]).read_bytes() == sent.read_bytes()

            clients.upload_with_ftplib(there.ftps(victim), sent.read_bytes(), "new.csv")
            service.wait_for_event("upload_settled", file="new.csv")
            before = everything(there.upload / victim)
            done, number = succeeded(there, tmp_path, names[victim][0], "new.csv")
            assert done == []
            assert number > 40
            assert everything(there.upload / victim) == before
            assert sorted(path.name for path in there.upload.iterdir()) == sorted(OF_OWN_GROUPS)
            service.wait_for_event("upload_settled", file="own.csv")
            service.tick()
            service.wait_for_event("file_archived", file="new.csv")
            assert service.terminate() == 0
        kept = house.records("SELECT client, unique_id FROM users")
        assert {user["unique_id"] for user in kept if user["client"] == victim} == {f"{files.CANARY}-002"}
        assert {path.stat().st_uid for path in (there.root / "state").iterdir()} == {pwd.getpwnam(SERVICE).pw_uid}


def test_clients_whom_the_command_has_added_get_at_nothing_of_a_neighbour_through_their_jails(tmp_path: Path) -> None:
    attacker, victim = accounts = ("aster", "birch")
    with private_machine(tmp_path) as machine:
        passwords = {}
        for account in accounts:
            said = machine.on_terminal(f"userdrop client add {account}")
            (passwords[account],) = re.findall(r"  password  (\w+) ", said)
        key = sftp.key_made(tmp_path)
        machine.run(f"for name in {attacker} {victim}; do cp {key} /etc/ssh/userdrop-keys/$name; done")
        machine.run(f"as userdrop 'cd {UPLOAD}/{victim}; mkdir .importing; mkdir -m 2750 bak; echo old >bak/old.csv'")
        machine.run(f"as {victim} 'cd {UPLOAD}/{victim}; umask 027; echo new >new.csv'")
        assert machine.may(victim, f"cat {victim}/bak/old.csv {victim}/new.csv")
        text = vsftpd_conf("vsftpd-several").replace("chmod_enable=NO", "chmod_enable=YES")
        with (
            vsftpd_as_written(tmp_path, text, UPLOAD, user=attacker, within=machine.within) as by_ftps,
            sftp.sshd_as_installed(tmp_path, machine.within, attacker) as by_sftp,
        ):
            there = Place(
                root=tmp_path,
                upload=UPLOAD,
                accounts=accounts,
                by_ftps=by_ftps,
                by_sftp=by_sftp,
                seen_by_sftp=Path("/") / UPLOAD.name,
                passwords=passwords,
            )
            before = machine.run(f"ls -lARn {UPLOAD}/{victim}; cat {UPLOAD}/{victim}/new.csv; ls {UPLOAD}")
            done, number = succeeded(there, tmp_path, "old.csv", "new.csv")
            assert done == []
            assert number > 40
            assert machine.run(f"ls -lARn {UPLOAD}/{victim}; cat {UPLOAD}/{victim}/new.csv; ls {UPLOAD}") == before
            assert clients.download(there.ftps(victim), "bak/old.csv") == b"old\n"
            there.sftp(victim, f"get bak/old.csv {tmp_path}/got.csv")


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """What lies in a folder, but for the service's canaries."""
    return {
        path.name: (status.st_uid, status.st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
        if ".userdrop-canary" not in path.name
        for status in (path.lstat(),)
    }

"""The doctor finds out what each client's account gets at: by trying it as root, and else by the rights."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers import client_folders
from tests.servers.client_folders import SERVICE, by_command, made, of_their_groups
from tests.servers.ftps import reachable_directory
from tests.servers.tools import environment, needs, unavailable
from watcher.doctor.accounts import accounts
from watcher.doctor.acls import Account, Rights, rights_of
from watcher.doctor.findings import Finding, State
from watcher.doctor.grounds import ClientPlace, Grounds, grounds_of, worked_out
from watcher.doctor.neighbours import Access, Deed, Reach, Survey, judged
from watcher.doctor.trying import tried
from watcher.settings.naming import PREFIX

ROOT = Path(__file__).parents[3]
CLIENTS = ("acme", "bolt")
OF_ONE_GROUP = dict(zip(CLIENTS, client_folders.OF_ONE_GROUP, strict=True))
OF_THEIR_OWN_GROUPS = dict(zip(CLIENTS, client_folders.OF_OWN_GROUPS, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An upload directory with the folders of two clients, to each of which a file was uploaded and archived."""

    root: Path

    @property
    def upload(self) -> Path:
        return self.root / "upload"

    def doctor(self, *launcher: str) -> list[Finding]:
        """What it finds of the folders, as root."""
        given_ = {"UPLOAD_DIR": self.upload, "STATE_DIR": self.root / "state", "CLIENT_FOLDERS": "true"}
        given_["VSFTPD_CONF"] = Path("/nowhere.conf")
        done = subprocess.run(
            [*launcher, sys.executable, "-m", "watcher", "doctor", "--accounts", "--json"],
            env=environment(PYTHONPATH=str(ROOT), **{PREFIX + name: str(value) for name, value in given_.items()}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.root,
        )
        assert done.stderr == ""
        return [
            Finding(**{**each, "state": State(each["state"])}) for each in map(json.loads, done.stdout.splitlines())
        ]


@pytest.fixture
def site() -> Iterator[Site]:
    if os.geteuid() != 0:
        unavailable("only root can become other accounts")
    with reachable_directory() as root:
        made(root / "upload", "root", 0, 0o755)
        made(root / "state", SERVICE, 0, 0o700)
        yield Site(root=root)


# What root finds by trying


def test_folders_of_one_group_are_broken_and_the_cure_mends_them_without_harm(site: Site) -> None:
    of_their_groups(site.upload, OF_ONE_GROUP)
    faults = [each for each in site.doctor() if each.state is State.BROKEN]
    assert faults[0].what.startswith(
        "the account _apt gets at the folders of 2 clients: acme (list, enter, write, read)"
    )
    assert "acme/bak (list, enter, read)" in faults[0].what
    assert "userdrop client add CLIENT --account ACCOUNT for acme, bolt" in faults[0].cure
    assert "may list the names of all clients" in " ".join(each.what for each in site.doctor())
    before = {path: path.read_bytes() for path in site.upload.rglob("*.csv")}

    for client, account in OF_ONE_GROUP.items():
        by_command(site.upload, client, account)
    (found,) = site.doctor()
    assert (found.state, found.what) == (
        State.OK,
        "tried as each of them, none of 2 accounts gets at more than one of 2 folders",
    )
    assert {path: path.read_bytes() for path in site.upload.rglob("*.csv")} == before


@pytest.mark.parametrize("layout", ["groups", "lists"])
def test_folders_that_keep_clients_apart_are_in_order(site: Site, layout: str) -> None:
    if layout == "groups":
        of_their_groups(site.upload, OF_THEIR_OWN_GROUPS, mode=0o711)
    else:
        for client, account in OF_THEIR_OWN_GROUPS.items():
            by_command(site.upload, client, account)
    (found,) = site.doctor()
    assert found.state is State.OK, found
    assert "none of 2 accounts" in found.what


def test_an_upload_directory_in_which_clients_may_make_folders_is_broken(site: Site) -> None:
    of_their_groups(site.upload, OF_THEIR_OWN_GROUPS, mode=0o1777)
    what = [(each.state, each.what, each.cure) for each in site.doctor()]
    close = f"chmod 0711 {site.upload}"
    assert what == [
        (State.BROKEN, f"bin, sys may make folders in {site.upload}, each of which would be a client", close),
        (State.WARNING, f"bin, sys may list the names of all clients in {site.upload}", close),
    ]
    site.upload.chmod(0o711)
    assert [each.state for each in site.doctor()] == [State.OK]


def test_what_lies_beside_the_folders_and_may_be_read_is_broken(site: Site) -> None:
    of_their_groups(site.upload, OF_THEIR_OWN_GROUPS, mode=0o711)
    (site.upload / "bak").mkdir()
    (site.upload / "bak").chmod(0o755)
    (found,) = site.doctor()
    assert found.state is State.BROKEN
    assert "beside the clients' folders" in found.what
    (site.upload / "bak").chmod(0o700)
    assert [each.state for each in site.doctor()] == [State.OK]


def test_one_account_for_all_clients_is_a_warning(site: Site) -> None:
    of_their_groups(site.upload, {"acme": "bin", "bolt": "bin"}, mode=0o711)
    (found,) = site.doctor()
    assert (found.state, "nothing but the server keeps its sessions apart" in found.what) == (State.WARNING, True)
    assert "guest_enable=YES" in found.cure


def test_in_a_sandbox_that_hides_groups_the_doubt_is_told(site: Site) -> None:
    of_their_groups(site.upload, OF_ONE_GROUP)
    site.upload.chmod(0o777)
    for path in (site.upload, *site.upload.iterdir()):
        path.chmod(0o3777)
    (found,) = site.doctor(needs("unshare"), "--user", "--map-root-user")
    assert found.state is State.WARNING
    assert "who is in the groups of acme, bolt cannot be seen from within the service's sandbox" in found.what
    assert "`userdrop doctor` as root" in found.cure


# What is worked out is what the kernel does

GRANT = st.integers(0, 7)
NUMBERS = [pwd.getpwnam(name).pw_uid for name in ("daemon", "bin", "sys")]
GRANTS = st.dictionaries(st.sampled_from(NUMBERS), GRANT, max_size=3)


@st.composite
def lists(draw: st.DrawFn) -> str:
    """What setfacl takes, with a mask or without."""
    entries = [f"{kind}::{draw(GRANT)}" for kind in "ugo"]
    named = [f"{kind}:{number}:{grant}" for kind in "ug" for number, grant in draw(GRANTS).items()]
    return ",".join([*entries, *named, *([f"m::{draw(GRANT)}"] if named else [])])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.tuples(lists(), lists(), lists(), lists()), owner=st.sampled_from([0, *NUMBERS]), data=st.data())
def test_what_is_worked_out_is_what_an_account_that_tries_gets_at(
    site: Site, lists: tuple[str, ...], owner: int, data: st.DataObject
) -> None:
    needs("setfacl")
    folder = site.upload / "acme"
    paths = [site.upload, folder, folder / "bak", folder / "bak" / "old.csv"]
    (folder / "bak").mkdir(parents=True, exist_ok=True)
    paths[-1].touch()
    for path, given_ in zip(paths, lists, strict=True):
        os.chown(path, owner, data.draw(st.sampled_from([0, *NUMBERS])))
        subprocess.run(["setfacl", "--set", given_, path], check=True)
    grounds = grounds_of(site.upload, {"acme": folder})
    rights = {path: rights_of(path) for path in grounds.paths}
    for number in NUMBERS:
        account = Account(
            name="one",
            number=number,
            group=number,
            groups=frozenset({number, *data.draw(st.sets(st.sampled_from(NUMBERS)))}),
        )
        assert worked_out(account, grounds, rights) == tried(account, grounds)


# Judging


def survey(reaches: list[Reach]) -> Survey:
    return Survey(directory=Path("/srv/upload"), folders=400, reaches=reaches, is_tried=True)


def test_many_accounts_that_get_at_many_folders_are_told_shortly() -> None:
    everything = tuple(Access(client=f"c{n}", place=f"c{n}", deeds=(Deed.LIST,)) for n in range(400))
    found = [*judged(survey([Reach(account=f"a{n}", places=everything) for n in range(400)]))]
    assert len(found) == 4
    assert "c0 (list), c1 (list), c2 (list) and 397 places" in found[0].what
    assert found[-1].what == "further accounts that do so: 397"
    assert max(len(each.what + each.cure) for each in found) < 400


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["acme", "bolt"])), max_size=6))
def test_a_fault_is_found_where_an_account_gets_at_two_clients_and_nowhere_else(pairs: list[tuple[str, str]]) -> None:
    names = sorted({account for account, _ in pairs})
    reaches = [
        Reach(
            account=name,
            places=tuple(
                Access(client=client, place=client, deeds=(Deed.ENTER,)) for account, client in pairs if account == name
            ),
        )
        for name in names
    ]
    is_fault = any(len({client for account, client in pairs if account == name}) > 1 for name in names)
    assert any(each.state is not State.OK for each in judged(survey(reaches))) == is_fault


# Whose accounts they are


def grounds(rights: Rights) -> tuple[Grounds, dict[Path, Rights]]:
    path = Path("/upload/acme")
    place = ClientPlace(client="acme", name="acme", path=path, sample=None)
    return Grounds(directory=Path("/upload"), folders={"acme": [place]}, beside=()), {path: rights}


def test_accounts_are_those_of_the_folders_group_and_those_that_are_named() -> None:
    daemon, service = pwd.getpwnam("daemon"), 12345
    by_group = accounts(*grounds(Rights(owner=service, group=daemon.pw_gid, mode=0o770, of_group=7)), service)
    assert "daemon" in [each.name for each in by_group]
    named = Rights(owner=service, group=service, mode=0o770, of_group=7, users={daemon.pw_uid: 7, 54321: 7})
    assert [each.name for each in accounts(*grounds(named), service)] == ["54321", "daemon"]


def test_who_is_in_the_services_own_group_is_trusted_where_clients_come_in_by_name() -> None:
    daemon, bin_ = pwd.getpwnam("daemon"), pwd.getpwnam("bin")
    named = Rights(owner=0, group=daemon.pw_gid, mode=0o770, of_group=7, users={bin_.pw_uid: 7})
    assert [each.name for each in accounts(*grounds(named), daemon.pw_uid)] == ["bin"]

"""The administrator's lines for folders of several clients, run as they stand there, on a machine of their own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.machine import Machine, private_machine

OLD_FOLDERS = """
as userdrop 'umask 077; cd /srv/userdrop/upload; mkdir -p acme/.importing/1 bolt; chmod 3770 acme bolt'
as userdrop 'cd /srv/userdrop/upload/acme; mkdir bak; chmod 2750 bak; echo old >bak/old.csv; chmod 640 bak/old.csv'
as userdrop 'umask 077; echo in hand >/srv/userdrop/upload/acme/.importing/1/copy'
as acme 'umask 027; echo waits >/srv/userdrop/upload/acme/waits.csv'
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with private_machine(tmp_path) as made:
        yield made


def states(said: str) -> set[str]:
    return {json.loads(line)["state"] for line in said.splitlines() if line.startswith("{")}


def test_a_new_clients_folder_is_its_own_and_the_service_reads_what_comes_whatever_the_umask(machine: Machine) -> None:
    said = machine.guide("client")
    assert states(said) == {"ok"}
    assert "No such file" not in said
    assert machine.mode("acme") == "userdrop userdrop 3770"
    assert machine.mode("") == "userdrop userdrop 711"
    assert machine.may("acme", "umask 077; echo new >acme/users.csv")
    assert machine.may("userdrop", "cat acme/users.csv; mkdir -m 700 acme/bak; echo old >acme/bak/old.csv")
    assert machine.may("userdrop", "chmod 2750 acme/bak; chmod 640 acme/bak/old.csv")
    assert machine.may("acme", "ls acme/bak; cat acme/bak/old.csv")
    assert not machine.may("acme", "echo mine >acme/bak/mine.csv")
    assert not machine.may("acme", "mv acme/bak acme/mine")
    for command in ("ls", "mkdir new", "ls acme", "cat acme/users.csv", "cat acme/bak/old.csv", "echo >acme/mine.csv"):
        assert not machine.may("bolt", command), command
    before = machine.run("getfacl -R /srv/userdrop/upload")
    assert states(machine.guide("client")) == {"ok"}
    assert machine.run("getfacl -R /srv/userdrop/upload") == before


def test_folders_of_one_group_are_brought_to_the_layout_with_all_that_lies_in_them(machine: Machine) -> None:
    assert machine.run(OLD_FOLDERS) == ""
    assert machine.may("bolt", "cat acme/bak/old.csv; echo >acme/mallory.csv; rm acme/mallory.csv")
    assert "broken" in states(machine.run("userdrop doctor"))
    said = machine.guide("migrate")
    assert states(said) == {"ok"}, said
    for command in ("cat acme/bak/old.csv", "cat acme/waits.csv", "ls acme", "echo >acme/mallory.csv"):
        assert not machine.may("bolt", command), command
    assert machine.may("acme", "cat acme/bak/old.csv; echo more >>acme/waits.csv; ls acme acme/bak")
    assert machine.may("userdrop", "cat acme/waits.csv acme/bak/old.csv acme/.importing/1/copy")
    assert not machine.may("acme", "ls acme/.importing")
    assert machine.mode("acme/.importing") == "userdrop userdrop 2700"
    assert machine.mode("acme/bak") == "userdrop userdrop 2750"
    # What was in hand then goes to bak, where its client reads it.
    assert machine.may("userdrop", "chmod 640 acme/.importing/1/copy; mv acme/.importing/1/copy acme/bak/late.csv")
    assert machine.may("acme", "cat acme/bak/late.csv")
    assert machine.mode("acme/bak/late.csv") == "userdrop userdrop 640"


def test_an_account_that_leaves_has_no_access_any_more(machine: Machine) -> None:
    machine.guide("client")
    assert machine.may("userdrop", "mkdir -m 700 acme/bak; chmod 2750 acme/bak; echo old >acme/bak/old.csv")
    assert machine.may("acme", "cat acme/bak/old.csv")
    assert machine.guide("leave") == ""
    assert not machine.may("acme", "ls acme")
    assert "acme" not in machine.run("getfacl --omit-header -R /srv/userdrop/upload | grep user:")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("acme", "there is an account acme already, which is left alone"),
        ("../acme --account acme", "'../acme' cannot be a client's name"),
        ("bak --account acme", "cannot be a client's name"),
        ("'' --account bolt", "cannot be a client's name"),
        ("$'two\\nlines' --account bolt", "cannot be a client's name"),
        ("acme --account nobody-at-all", "there is no account nobody-at-all"),
        ("acme --account root", "root cannot be a client's account"),
        ("acme --account userdrop", "userdrop cannot be a client's account"),
        ("other --account acme", "acme is an account of acme already"),
        ("theirs --account bolt", "belongs to bolt and is left alone"),
        ("link --account bolt", "is there, and is no folder"),
    ],
)
def test_what_would_do_harm_is_refused_and_changes_nothing(machine: Machine, arguments: str, why: str) -> None:
    machine.guide("client")
    machine.run(
        "cd /srv/userdrop/upload; install -d -o bolt -g userdrop-ftp -m 700 theirs; ln -s /etc link; cd - >/dev/null"
    )
    before = machine.run("getfacl -R -P /srv/userdrop/upload; ls -laR /srv/userdrop/upload")
    said = machine.run(f"userdrop client add {arguments}; echo ended with $?")
    assert why in said
    assert "ended with 3" in said
    assert machine.run("getfacl -R -P /srv/userdrop/upload; ls -laR /srv/userdrop/upload") == before


def test_where_there_is_one_client_its_directory_is_not_closed_to_it(machine: Machine) -> None:
    machine.run("sed -i /CLIENT_FOLDERS/d /etc/userdrop/userdrop.env")
    said = machine.run("userdrop client add acme --account acme")
    assert "set USERDROP_CLIENT_FOLDERS=true" in said
    assert machine.mode("") == "userdrop userdrop-ftp 3770"


def test_a_dry_run_prints_each_step_and_changes_nothing(machine: Machine) -> None:
    before = machine.run("getfacl -R /srv/userdrop")
    said = machine.run("userdrop client add --dry-run acme --account acme")
    assert "setfacl --modify u:acme:rwx" in said
    assert machine.run("getfacl -R /srv/userdrop") == before

"""The steps by which a client is added and removed: what they may touch, in which order, and what is shown of them."""

import re
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.commands.client_model import ClientAccount, Directory, Machine, Order, Site, public_key
from watcher.commands.client_objections import objections
from watcher.commands.client_plan import closing, opening, removing

ROOTS = Directory(owned_by="root", group_name="root", mode=0o755)
SITE = Site(
    upload=Path("/srv/userdrop/upload"),
    rights=Directory(owned_by="userdrop", group_name="userdrop", mode=0o711),
    above={Path("/srv/userdrop"): ROOTS, Path("/srv"): ROOTS, Path("/"): ROOTS},
    service="userdrop",
    group_name="userdrop",
    folders={},
    own={},
    machine=Machine(has_sshd=True, sshd_unit="ssh.service"),
)
KEY = "ssh-ed25519 " + b64encode(b"\x00\x00\x00\x0bssh-ed25519" + b"k" * 36).decode()
ORDER = Order(client="acme", password="secret word")
OURS = ClientAccount(name="acme", client="acme", groups=frozenset({"userdrop-clients"}))


def told(order: Order, *accounts: ClientAccount, site: Site = SITE) -> str:
    return "\n".join(objections(site, order, accounts, is_group=False))


def test_nobody_can_log_in_before_folder_rights_and_jail_are_there() -> None:
    for order in (ORDER, replace(ORDER, key=KEY)):
        programs = [step.command[0] for step in opening(SITE, order, [])]
        lasts = {"chpasswd"} if not order.key else {"install"}
        assert programs[-1] in lasts
        assert {"useradd", "setfacl", "sshd"} <= {*programs[:-1]}
    made = next(step for step in opening(SITE, ORDER, []) if step.command[0] == "useradd")
    assert "--password=*" in made.command


def test_the_jail_is_proven_and_not_only_written() -> None:
    (proof,) = (step for step in opening(SITE, ORDER, []) if step.expected)
    assert proof.command == ("sshd", "-T", "-C", "user=acme,host=localhost,addr=127.0.0.1")
    assert proof.expected == (
        "chrootdirectory /srv/userdrop",
        "forcecommand internal-sftp -u 0027 -d /upload/%u",
        "disableforwarding yes",
    )


def test_no_step_shows_the_password_or_has_it_among_its_arguments() -> None:
    for step in opening(SITE, ORDER, []):
        assert "secret" not in str(step)
        assert not any("secret" in word for word in step.command)
    assert sum("secret word" in step.given for step in opening(SITE, ORDER, [])) == 1


def test_what_is_there_already_is_not_made_again() -> None:
    machine = Machine(
        groups=frozenset({"userdrop-clients"}), has_shell=True, is_shell_listed=True, has_sshd=False, sshd_rules=None
    )
    site = replace(SITE, machine=machine, folders={"acme": SITE.rights})
    programs = [step.command[0] for step in opening(site, ORDER, [OURS])]
    assert programs == ["setfacl", "chown", "chmod", "chpasswd"]
    assert closing(site) == []


@given(name=st.text(max_size=40))
def test_a_name_of_other_letters_is_refused(name: str) -> None:
    is_name = re.fullmatch(r"[a-z][a-z0-9-]{0,29}[a-z0-9]", name) is not None and name != "bak"
    assert (told(Order(client=name, password="x")) == "") == is_name


@pytest.mark.parametrize(
    ("account", "why"),
    [
        (ClientAccount(name="acme"), "there is an account acme already, which is left alone"),
        (replace(OURS, client="other"), "there is an account acme already, which is left alone"),
        (replace(OURS, is_open=True), "the client acme is there already"),
        (replace(OURS, is_open=True, is_removed=True), "usermod --unlock --expiredate '' acme"),
    ],
)
def test_an_account_that_is_there_is_not_made_a_clients(account: ClientAccount, why: str) -> None:
    assert why in told(ORDER, account)


@pytest.mark.parametrize(
    "above", [Directory(owned_by="eve", group_name="eve", mode=0o755), replace(ROOTS, mode=0o1777)]
)
def test_there_is_no_jail_where_others_may_write(above: Directory) -> None:
    assert "sshd makes no jail of it" in told(ORDER, site=replace(SITE, above={Path("/srv"): above}))


def test_only_an_account_that_was_made_for_the_client_is_locked() -> None:
    theirs = ClientAccount(name="ana", folders=("acme",))
    commands = [step.command for step in removing(SITE, "acme", [OURS, theirs])]
    assert commands[0] == ("usermod", "--lock", "--expiredate", "1", "acme")
    assert commands[1][0] == "setfacl"
    assert not any("ana" in word for word in commands[0])
    assert removing(SITE, "acme", [replace(OURS, is_removed=True)]) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        f'command="sh" {KEY}',
        f"{KEY}\n{KEY}",
        KEY.replace("ssh-ed25519", "ssh-rsa", 1),
        "ssh-ed25519 AAAA====",
        "ssh-ed25519 not/base64!",
    ],
)
def test_a_text_that_is_not_one_public_key_is_none(text: str) -> None:
    assert public_key(text) is None


def test_a_public_key_is_kept_without_its_comment() -> None:
    assert public_key(f"{KEY} ana@example.org\n") == KEY

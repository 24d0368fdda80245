"""The steps by which a client is added and removed. Pure.

A dry run prints the same steps that a real run carries out, as both are made here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from watcher.commands.client_model import (
    GROUP,
    KEYS,
    PRIVILEGE_SEPARATION,
    SHELL,
    SHELLS,
    SSHD_RULES,
    ClientAccount,
    Order,
    Site,
    Step,
    comment_of,
    sftp_only,
    sshd_rules,
)

_CLOSED = 0o711


def closing(site: Site) -> list[Step]:
    """The steps that close the upload directory: clients pass through it, and neither list nor write it.

    What is left there of the time before there were client folders belongs to one client.
    """
    steps = []
    if (site.rights.owned_by, site.rights.group_name, site.rights.mode) != (site.service, site.group_name, _CLOSED):
        steps += [
            _step("chown", "--no-dereference", f"{site.service}:{site.group_name}", site.upload),
            _step("chmod", "00711", site.upload),
        ]
    steps += [
        _step("chmod", "go=", path)
        for path, each in site.own.items()
        if path.parent == site.upload and each.mode & 0o077
    ]
    return steps


def opening(site: Site, order: Order, accounts: Sequence[ClientAccount]) -> list[Step]:
    """The steps that make the folder, account and jail, in this order: nobody can log in until all of it is there.

    Args:
        site: the upload directory, after it was closed.
        order: what is asked for.
        accounts: those of the order's accounts that are there.
    """
    folder = site.upload / order.client
    steps = []
    if order.client not in site.folders:
        steps.append(
            _step("install", "-d", f"--owner={site.service}", f"--group={site.group_name}", "--mode=3770", folder)
        )
    if order.is_new:
        steps += _made(site, order, is_there=bool(accounts))
    steps += _let_in(site, folder, order.let_in)
    if order.is_new:
        steps += _opened(order)
    return steps


def _made(site: Site, order: Order, *, is_there: bool) -> Iterator[Step]:
    machine, name = site.machine, order.client
    if GROUP not in machine.groups:
        yield _step("groupadd", "--system", GROUP)
    if not machine.has_shell:
        yield _step("ln", "-s", "/usr/sbin/nologin", SHELL)
    if not machine.is_shell_listed:
        yield Step(command=("tee", "--append", str(SHELLS)), given=f"{SHELL}\n")
    if not is_there:
        options = {"home-dir": site.upload / name, "shell": SHELL, "groups": GROUP, "comment": comment_of(name)}
        given = (f"--{option}={value}" for option, value in options.items())
        yield _step("useradd", "--user-group", "--no-create-home", "--password=*", *given, name)
    if machine.has_sshd:
        yield from _jailed(site, name)


def _jailed(site: Site, name: str) -> Iterator[Step]:
    if not site.machine.has_privilege_separation:
        yield _step("install", "-d", "--mode=0755", PRIVILEGE_SEPARATION)
    if site.machine.sshd_rules is None:
        text, draft = sshd_rules(site.jail, site.upload.name), SSHD_RULES.with_suffix(".new")
        yield _step("install", "-d", "--mode=0755", SSHD_RULES.parent, KEYS)
        yield Step(command=("install", "--mode=0644", "/dev/stdin", str(draft)), given=text)
        yield _step("sshd", "-t", "-f", draft)
        yield _step("mv", draft, SSHD_RULES)
    whose = f"user={name},host=localhost,addr=127.0.0.1"
    kept = (f"chrootdirectory {site.jail}", f"forcecommand {sftp_only(site.upload.name)}", "disableforwarding yes")
    yield Step(command=("sshd", "-T", "-C", whose), expected=kept)
    if site.machine.sshd_rules is None and site.machine.sshd_unit:
        yield _step("systemctl", "try-reload-or-restart", site.machine.sshd_unit)


def _let_in(site: Site, folder: Path, accounts: Sequence[str]) -> Iterator[Step]:
    """The group is the service's, so that it reads what is uploaded; clients come in by name."""
    owner = f"{site.service}:{site.group_name}"
    inherited = _inherited(accounts)
    yield _step("setfacl", "--modify", f"{_entries(accounts, 'rwx', 'rwx')},{inherited}", folder)
    yield _step("chown", "--no-dereference", owner, folder)
    yield _step("chmod", "03770", folder)
    bak = folder / "bak"
    for path in (each for each in site.own if each.parent == folder):
        yield _step("chgrp", "--recursive", "--no-dereference", site.group_name, path)
        if path == bak:
            yield _each(path, "-type", "d", entries=f"{_entries(accounts, 'rx', 'rx')},{inherited}")
            yield _each(path, "-type", "f", entries=_entries(accounts, "rx", "r"))
        else:  # it stays closed; what is made there moves to bak later
            yield _each(path, "-type", "d", entries=inherited)
            files = ("-mindepth", "2", "-type", "f", "-user", site.service)
            yield _each(path, *files, entries=_entries(accounts, "rx", "r"))


def _each(path: Path, *chosen: str, entries: str) -> Step:
    return _step("find", path, *chosen, "-exec", "setfacl", "--modify", entries, "--", "{}", "+")


def _entries(accounts: Sequence[str], granted: str, most: str) -> str:
    """What the accounts may do, and the most that anybody but the owner may, which setfacl would work out otherwise."""
    return "".join(f"u:{name}:{granted}," for name in accounts) + f"m::{most}"


def _inherited(accounts: Sequence[str]) -> str:
    """What is made in the directory takes over."""
    return "d:u::rwx,d:g::r-x,d:o::---" + "".join(f",d:u:{name}:r-x" for name in accounts)


def _opened(order: Order) -> Iterator[Step]:
    if order.key:
        yield _step("install", "-d", "--mode=0755", KEYS)
        yield Step(command=("install", "--mode=0644", "/dev/stdin", str(KEYS / order.client)), given=f"{order.key}\n")
    else:
        yield Step(command=("chpasswd",), given=f"{order.client}:{order.password}\n", is_secret=True)


def removing(site: Site, client: str, accounts: Sequence[ClientAccount]) -> list[Step]:
    """The steps that keep a client out: its account is locked, one that was there before loses its access."""
    folder = site.upload / client
    return [
        _step("usermod", "--lock", "--expiredate", "1", each.name)
        if each.client == client
        else _step("setfacl", "--recursive", "--physical", "--remove", f"u:{each.name},d:u:{each.name}", folder)
        for each in accounts
        if not (each.client == client and each.is_removed)
    ]


def _step(*words: str | Path) -> Step:
    return Step(command=tuple(map(str, words)))

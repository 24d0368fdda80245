"""`userdrop client`: clients are added, listed and removed, with account, folder, jail and rights."""

import json
import os
import pwd
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import click
from rich.console import Console
from rich.table import Table

from watcher.base.clock import utc_now
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.client_facts import accounts_of, group_exists, has_key, let_in, names_of, site_of
from watcher.commands.client_model import SSHD_RULES, ClientAccount, Order, Site, Step, public_key
from watcher.commands.client_objections import objections
from watcher.commands.client_plan import closing, opening, removing
from watcher.commands.loading import loaded
from watcher.commands.options import JSON_OPTION, utf8
from watcher.commands.terminal import fail, tell
from watcher.doctor import service
from watcher.doctor.vsftpd_conf import understood
from watcher.settings.naming import variable
from watcher.settings.variables import Settings
from watcher.uploads.folders import key_of

_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Letters and digits of a password that are not taken for one another when they are read out."""
_PASSWORD_CHARACTERS = 20
_ENVIRONMENT = MappingProxyType({"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = click.argument("name", callback=utf8)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print each step, and change nothing.")


@click.group()
@exit_codes(amiss="a step failed, or there is no such client", usage="wrong usage or settings, or it would do harm")
def client() -> None:
    """Add, list or remove clients: account, folder, jail and rights.

    Nobody but root may. What was there before, such as an account, is never changed.
    """


@client.command("add")
@_NAME
@click.option("--key", type=click.Path(path_type=Path), help="File with the client's public SSH key; no password then.")
@click.option("--account", "accounts", multiple=True, help="Let in this account, which is there, and make none.")
@_DRY_RUN
def add_client(*, name: str, key: Path | None, accounts: tuple[str, ...], dry_run: bool) -> None:
    """Add the client NAME, or go on where that has failed before.

    Its account is called NAME, and gets at the folder NAME of the upload directory and at no other one, by FTPS and by
    SFTP. What to hand over to the client is said at the end; the password is shown this once.
    """
    settings = _settings()
    order = _order(settings, name, key, accounts)
    site = _unobjected(settings, order)
    if order.password and not dry_run and not sys.stdout.isatty():
        fail("the password is shown on a terminal only: run it there, or have a --key", ExitCode.USAGE)
    _carry_out(closing(site), dry_run=dry_run)
    site = _unobjected(settings, order)  # nobody but the service and root can change any more what is found now
    _carry_out(opening(site, order, _accounts(site, order.let_in)), dry_run=dry_run)
    tell(f"{path} is no directory of the service's own and is left alone; rename it" for path in site.strange)
    if not dry_run:
        for line in _handed_over(settings, site, order):
            click.echo(line)


@client.command("list")
@JSON_OPTION
def list_clients(*, as_json: bool) -> None:
    """List the clients with the accounts that get into their folders, and how these log in."""
    settings = _settings()
    site = _site(settings)
    rows = [row for name, numbers in let_in(site).items() for row in _rows(site, name, names_of(numbers))]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    table = Table(*rows[0]) if rows else None
    for row in rows:
        table.add_row(*row.values()) if table is not None else None
    Console().print(table if table is not None else "no client has a folder yet")


@client.command("remove")
@_NAME
@_DRY_RUN
def remove_client(*, name: str, dry_run: bool) -> None:
    """Keep the client NAME out: its account is locked; its folder, files and users stay.

    An account that was there before is not locked, but gets into the folder no more.
    """
    settings = _settings()
    site = _site(settings, name if name in _site(settings).folders else "")
    numbers = let_in(site).get(name, [])
    known = [
        each for each in _accounts(site, {*names_of(numbers), name}) if each.client == name or name in each.folders
    ]
    if not known:
        fail(f"no account gets in as the client {name!r}", ExitCode.AMISS)
    steps = removing(site, name, known)
    _carry_out(steps, dry_run=dry_run)
    if not steps:
        click.echo(f"the client {name} is removed already")
    elif not dry_run:
        click.echo(f"the client {name} cannot log in any more; sessions that are open go on until they end")
        click.echo(f"{site.upload / name} and what it holds stay, and what waits there is still imported")


def _settings() -> Settings:
    if os.geteuid() != 0:
        fail("nobody but root may make accounts and folders: run this as root", ExitCode.USAGE)
    settings, _ = loaded()
    if not settings.client_folders:
        wanted = f"{variable('client_folders')}=true"
        fail(f"the upload directory is one client's: set {wanted} first, and restart the service", ExitCode.USAGE)
    return settings


def _order(settings: Settings, name: str, key: Path | None, accounts: tuple[str, ...]) -> Order:
    if key is not None:
        if accounts:
            fail("--key is for an account that is made, and --account names one that is there", ExitCode.USAGE)
        if not _takes_sftp(settings, name):
            wanted = f"{variable('sftp')}=true"
            fail(f"a key is for SFTP: set {wanted} first, and restart the service", ExitCode.USAGE)
        return Order(client=name, key=_public_key(key))
    if accounts:
        return Order(client=name, accounts=tuple(dict.fromkeys(accounts)))
    return Order(client=name, password="".join(secrets.choice(_LETTERS) for _ in range(_PASSWORD_CHARACTERS)))


def _takes_sftp(settings: Settings, name: str) -> bool:
    """Whether the service knows that uploads of the client come by SFTP, too."""
    own = settings.clients.get(key_of(name))
    return settings.sftp if own is None or own.sftp is None else own.sftp


def _public_key(path: Path) -> str:
    found = public_key(path.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        fail(f"{path} is not one public key, such as the one line of id_ed25519.pub", ExitCode.USAGE)
    return found


def _site(settings: Settings, name: str = "") -> Site:
    number = service.number(settings.state_dir, settings.upload_dir)
    if number == 0:
        fail(f"{settings.state_dir} is root's, so that the service's user is not known; start it once", ExitCode.USAGE)
    try:
        account = pwd.getpwuid(number)
    except KeyError:
        fail(f"{settings.state_dir} belongs to the user {number}, who has no account", ExitCode.USAGE)
    return site_of(settings.upload_dir, account, name)


def _unobjected(settings: Settings, order: Order) -> Site:
    """What there is; the command ends where something speaks against the order."""
    site = _site(settings)
    is_name = order.client in site.folders or "/" not in order.client
    site = _site(settings, order.client if is_name else "")
    same = [each for each in site.folders if each != order.client and key_of(each) == key_of(order.client)]
    found = objections(site, order, _accounts(site, order.let_in), is_group=group_exists(order.client))
    found += [f"{each} and {order.client} would have the same settings of their own" for each in same]
    if found:
        fail("\n".join(found), ExitCode.USAGE)
    return site


def _accounts(site: Site, names: Iterable[str]) -> list[ClientAccount]:
    return accounts_of(site, names, today=(utc_now() - _FIRST_DAY).days)


def _carry_out(steps: Iterable[Step], *, dry_run: bool) -> None:
    """Print each step and, unless this is a dry run, do it; the command ends with the first that fails."""
    for step in steps:
        click.echo(f"userdrop: {step}")
        if not dry_run:
            _do(step)


def _do(step: Step) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the words are a plan's, and no shell sees them
            step.command, input=step.given, env=dict(_ENVIRONMENT), capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        fail(f"{step.command[0]} is missing; what was done before stays, and may be gone on with", ExitCode.AMISS)
    if done.returncode != 0:
        tell(done.stderr.splitlines())
        fail(f"{step.command[0]} has failed; what was done before stays, and may be gone on with", ExitCode.AMISS)
    missing = [line for line in step.expected if line not in done.stdout.splitlines()]
    if missing:
        fail(
            f"sshd does not keep to {SSHD_RULES}: {missing[0]!r} is not in force. Have the line"
            f" Include {SSHD_RULES.parent}/*.conf at the top of sshd_config. Nobody can log in as yet",
            ExitCode.AMISS,
        )


def _handed_over(settings: Settings, site: Site, order: Order) -> Iterator[str]:
    if not order.is_new:
        yield f"{site.upload / order.client} is open to {', '.join(order.accounts)}; `userdrop doctor` tries it"
        return
    yield f"The client {order.client} may log in now. To be handed over:"
    yield f"  host      {socket.gethostname()} (so this machine calls itself)"
    if not order.key:
        yield f"  FTPS      port {_ftp_port(settings.vsftpd_conf)}, with TLS (explicit)"
    if site.machine.has_sshd:
        first = "" if _takes_sftp(settings, order.client) else f"; set {variable('sftp')}=true before it is used"
        yield f"  SFTP      port {_ssh_port()}{first}"
    yield f"  user      {order.client}"
    yield "  key       the one that was given" if order.key else f"  password  {order.password} (shown this once)"
    yield "Then: userdrop doctor"


def _ftp_port(path: Path) -> str:
    try:
        given = understood(path, path.read_text(encoding="utf-8", errors="replace")).given
    except OSError:
        return f"unknown, as {path} cannot be read"
    return given.get("listen_port", "21")


def _ssh_port() -> str:
    done = subprocess.run(
        ["sshd", "-T"],  # noqa: S607 - found on the path below
        env=dict(_ENVIRONMENT),
        capture_output=True,
        text=True,
        check=False,
    )
    ports = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("port ")]
    return " or ".join(ports) or "unknown"


def _rows(site: Site, name: str, names: list[str]) -> Iterator[dict[str, str]]:
    for each in _accounts(site, names):
        yield {"client": name, "account": each.name, "login": _login(each)}
    if not names:
        yield {"client": name, "account": "", "login": "no account gets in by name"}


def _login(account: ClientAccount) -> str:
    if not account.client:
        return "an account that was there before"
    if account.is_removed:
        return "removed"
    if has_key(account.name):
        return "key"
    return "password" if account.is_open else "none yet; `userdrop client add` goes on"

"""The nouns of adding and removing clients: what is there, what is asked for, and a step. Pure."""

import re
import shlex
from base64 import b64decode
from binascii import Error
from dataclasses import dataclass
from pathlib import Path

GROUP = "userdrop-clients"
"""The group of accounts that `client add` has made: sshd keeps its sessions in a jail; it has no right to any file."""
SHELL = Path("/usr/local/bin/userdrop-nologin")
"""The shell of these accounts: it ends at once, and as /etc/shells names it pam_shells lets vsftpd serve them.

That /etc/shells names nologin itself would open the FTP server to other accounts that were meant to be closed.
"""
SHELLS = Path("/etc/shells")
KEYS = Path("/etc/ssh/userdrop-keys")
"""The directory of clients' public keys, which is root's, so that no client gives itself another one."""
SSHD_RULES = Path("/etc/ssh/sshd_config.d/userdrop.conf")
PRIVILEGE_SEPARATION = Path("/run/sshd")

_NAME = re.compile(r"[a-z][a-z0-9-]{0,29}[a-z0-9]")
_RESERVED = {"bak"}
_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+) ([A-Za-z0-9+/]+=*)( [^\r\n]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step: a command that is run as root.

    Attributes:
        command: the program and its arguments, none of which is secret.
        given: what the command reads from its standard input.
        is_secret: whether that is shown as ***.
        expected: lines that the command has to print.
    """

    command: tuple[str, ...]
    given: str = ""
    is_secret: bool = False
    expected: tuple[str, ...] = ()

    def __str__(self) -> str:
        given = "***" if self.is_secret else self.given
        return shlex.join(self.command) + (f" <<< {shlex.quote(given)}" if given else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory, or what has a name as one: its owner and group by name, its mode, and whether it is one."""

    owned_by: str
    group_name: str
    mode: int
    is_directory: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAccount:
    """An account, as far as it matters to a client.

    Attributes:
        name: the account's name.
        client: the client for which `client add` made it; empty where that did not.
        is_root: whether its number is root's.
        groups: the groups that it is in.
        folders: the clients whose folders let it in by name.
        is_open: whether it has a password or a key.
        is_removed: whether it is locked or has expired.
    """

    name: str
    client: str = ""
    is_root: bool = False
    groups: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    is_open: bool = False
    is_removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What of the machine is there already.

    Attributes:
        groups: the groups whose names matter, as far as they are there.
        has_shell: whether there is the shell.
        is_shell_listed: whether /etc/shells names it.
        has_sshd: whether there is an SSH server.
        sshd_rules: the text of the rules for clients; None where there are none.
        sshd_unit: the unit of systemd that serves SSH; empty where systemd does not run.
        has_privilege_separation: whether sshd has the directory without which it does not even check its configuration.
        has_setfacl: whether access control lists can be set.
    """

    groups: frozenset[str] = frozenset()
    has_shell: bool = False
    is_shell_listed: bool = False
    has_sshd: bool = False
    sshd_rules: str | None = None
    sshd_unit: str = ""
    has_privilege_separation: bool = True
    has_setfacl: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The upload directory with clients' folders, and what is around and in it.

    Attributes:
        upload: the upload directory, which is no link.
        rights: its owner, group and mode.
        above: the directories above it, the nearest first, with their rights.
        service: the service's user.
        group_name: that user's primary group.
        folders: client → its folder's rights; links and files are in it, too.
        own: directories of the service's own, in the upload directory or in the client's folder, with their rights.
        strange: what has such a name in the client's folder and is not the service's own.
        machine: what of the machine is there already.
    """

    upload: Path
    rights: Directory
    above: dict[Path, Directory]
    service: str
    group_name: str
    folders: dict[str, Directory]
    own: dict[Path, Directory]
    strange: tuple[Path, ...] = ()
    machine: Machine

    @property
    def jail(self) -> Path:
        """The directory that SFTP sessions see as /: sshd wants it, and all above it, to be root's."""
        return self.upload.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for: a client, and the accounts with which it logs in.

    Attributes:
        client: the client's name, and that of its folder.
        accounts: accounts that were there before and are let in; without any, one of the client's name is made.
        key: the public key of that account; empty where it gets a password.
        password: the password of that account.
    """

    client: str
    accounts: tuple[str, ...] = ()
    key: str = ""
    password: str = ""

    @property
    def is_new(self) -> bool:
        """Whether an account is made for the client."""
        return not self.accounts

    @property
    def let_in(self) -> tuple[str, ...]:
        """The accounts that get into the folder."""
        return self.accounts or (self.client,)


def comment_of(client: str) -> str:
    """The comment of an account that was made for a client, by which it is known again."""
    return f"userdrop client {client}"


def public_key(text: str) -> str | None:
    """The one public key that a text holds, without its comment; None where it holds anything else."""
    found = _KEY.fullmatch(text.strip())
    if found is None:
        return None
    kind, blob = found[1], found[2]
    try:
        inner = b64decode(blob, validate=True)
    except Error:
        return None
    named = kind.encode()
    return f"{kind} {blob}" if inner[4 : 4 + len(named)] == named and inner[:4] == len(named).to_bytes(4) else None


def sftp_only(upload: str) -> str:
    """The command to which sshd keeps clients' sessions: they begin in the client's folder."""
    return f"internal-sftp -u 0027 -d /{upload}/%u"


def sshd_rules(jail: Path, upload: str) -> str:
    """The rules by which sshd keeps clients' sessions in a jail.

    Args:
        jail: the directory that sessions see as /.
        upload: the name of the upload directory in it.
    """
    return "\n".join(
        [
            "# By `userdrop client add`: clients get nothing but SFTP, and see nothing of the machine.",
            f"Match Group {GROUP}",
            f"    ChrootDirectory {jail}",
            f"    ForceCommand {sftp_only(upload)}",
            f"    AuthorizedKeysFile {KEYS}/%u",
            "    DisableForwarding yes",
            *(f"    {name} no" for name in ("PermitTTY", "PermitTunnel", "PermitUserRC")),
            "",
        ]
    )


def may_be_new(name: str) -> bool:
    """Whether a client, and the account that is made for it, may be called so."""
    return bool(_NAME.fullmatch(name)) and name not in _RESERVED
